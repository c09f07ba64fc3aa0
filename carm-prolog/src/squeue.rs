//! What only slurmctld can tell of a job: when it ends, its name, whether it still runs. One squeue, given one second.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carm::quantity::parse_instant;
use carm::slurm::hostlist;
use chrono::{DateTime, Utc};

const PATIENCE: Duration = Duration::from_secs(1);

/// What a pipe holds, and so all that is left in it of a squeue that has ended. No more is read in one go: an answer without an
/// end must neither keep from looking at the time nor fill the memory.
const PIPE: u64 = 64 << 10;

/// slurmd's environment has no PATH; these are where distributions and sites put Slurm's commands.
const COMMAND_DIRS: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/slurm/bin", "/usr/local/slurm/bin"];

/// What squeue said of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// slurmctld does not know it any more, or it has ended, or runs elsewhere.
    Gone,
    /// It is there.
    Here {
        /// When Slurm ends it; none without a limit.
        end: Option<DateTime<Utc>>,
        /// Its name.
        name: String,
    },
}

/// Asks how jobs of a node stand, with one squeue for all of them; the error says why there is no answer.
pub fn ask_all(jobs: &[u32], node: &str, slurm_conf: Option<&Path>) -> HashMap<u32, Result<Answer, String>> {
    if let [job] = jobs {
        return HashMap::from([(*job, ask(*job, node, slurm_conf))]);
    }
    let answers = find().and_then(|squeue| run(&squeue, &OPTIONS, jobs, slurm_conf));
    let of_job = |job: u32| {
        let (text, errors, succeeded) = answers.as_ref().map_err(|cause| format!("asking squeue: {cause}"))?;
        // Of several jobs squeue leaves out those that slurmctld has forgotten, and does not fail (22.05 to 26.05).
        match text.lines().find(|line| line.split('|').next() == Some(&job.to_string())) {
            Some(line) => {
                read(line, node).ok_or_else(|| format!("asking squeue: its answer was '{}'", carm::request::printable(line)))
            }
            None if *succeeded => Ok(Answer::Gone),
            None => Err(format!("asking squeue: {}", carm::request::printable(errors.lines().next().unwrap_or("no answer")))),
        }
    };
    jobs.iter().map(|&job| (job, of_job(job))).collect()
}

/// Asks how a job stands; the error says why there is no answer.
pub fn ask(job: u32, node: &str, slurm_conf: Option<&Path>) -> Result<Answer, String> {
    ask_by(&find()?, job, node, slurm_conf).map_err(|cause| format!("asking squeue: {cause}"))
}

/// What squeue prints of jobs in a format of its own (`--format`, `--Format`).
pub fn show(jobs: &[u32], format: &str, slurm_conf: Option<&Path>) -> Result<String, String> {
    Ok(run(&find()?, &["--states=all", format], jobs, slurm_conf)?.0)
}

fn find() -> Result<PathBuf, String> {
    let squeue = COMMAND_DIRS.iter().map(|dir| Path::new(dir).join("squeue")).find(|path| path.exists());
    squeue.ok_or_else(|| format!("squeue is not in {}", COMMAND_DIRS.join(", ")))
}

const OPTIONS: [&str; 2] = ["--states=all", "--format=%A|%e|%t|%N|%j"];

fn ask_by(squeue: &Path, job: u32, node: &str, slurm_conf: Option<&Path>) -> Result<Answer, String> {
    // The name last: it may be anything.
    let (text, errors, _) = run(squeue, &OPTIONS, &[job], slurm_conf)?;
    // Asked for the first task of an array, it shows every task.
    let own = text.lines().find(|line| line.split('|').next() == Some(&job.to_string()));
    match own.or(text.lines().next().filter(|line| !line.contains('|'))) {
        Some(line) => read(line, node).ok_or_else(|| format!("its answer was '{}'", carm::request::printable(line))),
        None if !text.is_empty() => Ok(Answer::Gone),
        // squeue's words for a job that slurmctld has forgotten.
        None if errors.contains("Invalid job id") => Ok(Answer::Gone),
        None => Err(carm::request::printable(errors.lines().next().unwrap_or("no answer")).to_string()),
    }
}

/// Standard output and standard error of a squeue about these jobs, and whether it succeeded. A controller that is busy must hold nobody up.
fn run(squeue: &Path, options: &[&str], jobs: &[u32], slurm_conf: Option<&Path>) -> Result<(String, String, bool), String> {
    let mut command = Command::new(squeue);
    let jobs: Vec<String> = jobs.iter().map(u32::to_string).collect();
    command.arg("--noheader").args(options).args(["--jobs", &jobs.join(",")]);
    // Times in UTC, so that they name an instant.
    command.env_clear().env("TZ", "UTC0").env("SLURM_TIME_FORMAT", "standard");
    command.envs(slurm_conf.iter().map(|path| ("SLURM_CONF", path)));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let (mut output, mut errors) = (Output::of(child.stdout.take())?, Output::of(child.stderr.take())?);
    let since = Instant::now();
    loop {
        // First whether it has ended: then all that it said is there to be read.
        let ended = child.try_wait().map_err(|e| e.to_string())?;
        output.read()?;
        errors.read()?;
        if let Some(status) = ended {
            return Ok((output.text(), errors.text(), status.success()));
        }
        if since.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err("no answer within a second".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What comes out of squeue, read while it runs: an array of some thousand tasks is told in more than a pipe holds. The end of
/// the pipe is not waited for: a process that squeue left behind may hold it open.
struct Output<P> {
    pipe: P,
    bytes: Vec<u8>,
}

impl<P: Read + AsFd> Output<P> {
    fn of(pipe: Option<P>) -> Result<Self, String> {
        let pipe = pipe.ok_or("it has no pipe")?;
        rustix::io::ioctl_fionbio(&pipe, true).map_err(|e| e.to_string())?;
        Ok(Self { pipe, bytes: Vec::new() })
    }

    /// Takes what is there.
    fn read(&mut self) -> Result<(), String> {
        match self.pipe.by_ref().take(PIPE).read_to_end(&mut self.bytes) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// `7|2026-05-01T12:00:00|R|wind[1-2]|train`.
fn read(line: &str, node: &str) -> Option<Answer> {
    let mut parts = line.splitn(5, '|').skip(1);
    let (end, state, nodes, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Running, suspended, completing, configuring, stopped, signalling, staging out: it may still have its GPUs.
    let is_on = matches!(state, "R" | "S" | "CG" | "CF" | "ST" | "SI" | "SO" | "RS");
    // A list that cannot be read is no proof that the job is elsewhere: it was requeued and started there.
    let is_elsewhere = || hostlist::expand(nodes).is_some_and(|nodes| nodes.iter().all(|name| name != node));
    if !is_on || is_elsewhere() {
        return Some(Answer::Gone);
    }
    let end = match end {
        "N/A" | "NONE" | "Unknown" => None,
        at => Some(parse_instant(&format!("{at}Z")).ok()?),
    };
    Some(Answer::Here { end, name: carm::text::job_name(name) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A script that another test's fork still holds open for writing cannot be run: one at a time.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    /// What comes of a squeue that is this script.
    fn answer(script: &str) -> Result<Answer, String> {
        let _alone = ALONE.lock();
        let dir = tempfile::tempdir().expect("a folder");
        let squeue = dir.path().join("squeue");
        std::fs::write(&squeue, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&squeue, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        ask_by(&squeue, 7, "wind1", Some(Path::new("/etc/slurm/slurm.conf")))
    }

    #[test]
    fn squeue_tells_end_state_and_name() {
        let at = parse_instant("2026-05-01T12:00:00Z").ok();
        let here = |end, name: &str| Ok(Answer::Here { end, name: name.into() });
        assert_eq!(answer("echo '7|2026-05-01T12:00:00|R|wind1|a|b c'"), here(at, "a|b c"));
        assert_eq!(answer("echo '7|N/A|R|wind[1-2]|train'"), here(None, "train"));
        let asked = r#"[ "$TZ" = UTC0 ] && [ "$SLURM_CONF" = /etc/slurm/slurm.conf ] && [ "$5" = 7 ] && echo '7|N/A|CG|wind1|x'"#;
        assert_eq!(answer(asked), here(None, "x"));
    }

    #[test]
    fn job_name_steers_no_terminal() {
        let name = |script: &str| match answer(script) {
            Ok(Answer::Here { name, .. }) => name,
            other => format!("{other:?}"),
        };
        assert_eq!(name("printf '7|N/A|R|wind1|\\033[2J\\302\\233\\342\\200\\256x\\n'"), "\\u{1b}[2J\\u{9b}\\u{202e}x");
        assert_eq!(name("echo '7|N/A|R|wind1|训练 Größe'"), "训练 Größe");
        assert_eq!(name("echo \"7|N/A|R|wind1|$(printf '%01000d' 0)\"").len(), 128);
    }

    #[test]
    fn a_job_that_has_ended_or_is_forgotten_is_gone_and_a_silent_slurmctld_tells_nothing() {
        assert_eq!(answer("echo '7|2026-05-01T12:00:00|CD|wind1|x'"), Ok(Answer::Gone));
        assert_eq!(answer("echo '7|2026-05-01T12:00:00|PD||requeued'"), Ok(Answer::Gone));
        assert_eq!(answer("echo '8|N/A|R|wind1|x'"), Ok(Answer::Gone), "another task of its array");
        assert_eq!(answer("echo '8|N/A|PD||x'; echo '7|N/A|R|wind1|x'"), Ok(Answer::Here { end: None, name: "x".into() }));
        assert_eq!(answer("echo '7|2026-05-01T12:00:00|R|solar[1-4]|requeued and started there'"), Ok(Answer::Gone));
        assert_eq!(answer("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"), Ok(Answer::Gone));
        let lost = "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1";
        assert!(answer(lost).is_err_and(|cause| cause.contains("Unable to contact")));
        assert!(answer("printf '7|yesterday|R|wind1|x'").is_err_and(|cause| cause.contains("yesterday")));
        assert!(answer("exit 1").is_err());
    }

    #[test]
    fn a_squeue_that_does_not_answer_is_given_up_after_a_second() {
        let since = Instant::now();
        assert_eq!(answer("exec sleep 30"), Err("no answer within a second".into()));
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    }

    #[test]
    fn an_array_of_thousands_of_tasks_is_read_to_its_end() {
        let others = "yes '8|N/A|PD||a task of an array' | head -n 8000";
        let at = parse_instant("2026-05-01T12:00:00Z").ok();
        let here = Ok(Answer::Here { end: at, name: "x".into() });
        assert_eq!(answer(&format!("{others}; echo '7|2026-05-01T12:00:00|R|wind1|x'")), here);
        assert_eq!(answer(&format!("echo '7|2026-05-01T12:00:00|R|wind1|x'; {others}; {others} >&2")), here);
        assert_eq!(answer(others), Ok(Answer::Gone));
    }

    #[test]
    fn what_squeue_leaves_behind_or_says_without_end_is_not_waited_for() {
        let since = Instant::now();
        let here = Ok(Answer::Here { end: None, name: "x".into() });
        assert_eq!(answer("sleep 30 & echo '7|N/A|R|wind1|x'"), here);
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        assert_eq!(answer("exec yes"), Err("no answer within a second".into()));
        assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    }
}
