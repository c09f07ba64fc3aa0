//! Whether a job still runs here, where its epilog has not come: told by its processes for nothing, else by slurmctld, which is
//! asked seldom.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// The first pause between two questions about a job, and the longest: it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

/// How long a new job's first question waits where one is sure to be asked: the governor looks at once at a job that is new, and
/// its next look is soon enough.
const MOMENT: Duration = Duration::from_secs(1);

/// Enough of a process's status for its users, and of its command line for a title; the rest may be long.
const HEAD_BYTES: u64 = 1024;

/// The jobs that have a slurmstepd on this host. None is no proof that a job has ended: an allocation may have no step.
pub fn jobs_with_steps(proc: &Path) -> Vec<u32> {
    jobs_of(proc, None)
}

/// As [`jobs_with_steps`], without those of another slurmd on this host: its steps' environment names another slurm.conf.
pub fn jobs_of(proc: &Path, slurm_conf: Option<&Path>) -> Vec<u32> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let jobs = pids.filter_map(|pid| Some((pid, job_of(proc, pid)?)));
    let mut jobs: Vec<u32> = jobs.filter(|&(pid, _)| is_under(proc, pid, slurm_conf)).map(|(_, job)| job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    jobs
}

/// Whether a process belongs to root, or to the user who runs this, as slurmd does (`SlurmdUser`). A job can give its processes any
/// title, and keep a dead job open. The real user counts (proc_pid_status(5)): slurmstepd takes the job's effective one for a
/// moment, and a setuid program of a job's has root's.
fn is_slurmd_user(status: &[u8]) -> bool {
    let status = String::from_utf8_lossy(status);
    let mut ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default().split_whitespace();
    let real: Option<u32> = ids.next().and_then(|id| id.parse().ok());
    real.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw())
}

/// The job of a process that is a slurmstepd.
pub fn job_of(proc: &Path, pid: u32) -> Option<u32> {
    let head = |name: &str| {
        let mut bytes = Vec::new();
        let file = File::open(proc.join(pid.to_string()).join(name)).ok()?;
        file.take(HEAD_BYTES).read_to_end(&mut bytes).ok().map(|_| bytes)
    };
    job_of_title(&head("cmdline")?).filter(|_| head("status").is_some_and(|status| is_slurmd_user(&status)))
}

/// Whether a slurmstepd may belong to the slurmd of this slurm.conf. An environment without SLURM_CONF, or one that only
/// CAP_SYS_PTRACE may read, does not exclude it.
fn is_under(proc: &Path, pid: u32, slurm_conf: Option<&Path>) -> bool {
    let Some(slurm_conf) = slurm_conf else { return true };
    let environment = std::fs::read(proc.join(pid.to_string()).join("environ")).unwrap_or_default();
    let named = environment.split(|&byte| byte == 0).find_map(|variable| variable.strip_prefix(b"SLURM_CONF="));
    named.is_none_or(|named| named == slurm_conf.as_os_str().as_encoded_bytes())
}

/// The job of a step's title, `slurmstepd: [7.batch]`; array tasks and het components stand there by their own number.
fn job_of_title(cmdline: &[u8]) -> Option<u32> {
    let title = cmdline.strip_prefix(b"slurmstepd: [")?;
    let digits: Vec<u8> = title.iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Who was asked about when: so that a node full of idle allocations does not become a load on slurmctld.
#[derive(Default)]
pub struct Questions(HashMap<u32, (Instant, Duration)>);

impl Questions {
    /// Whether it is time to ask about a job; if so, the next time is later.
    pub fn is_time(&mut self, job: u32, now: Instant) -> bool {
        match self.0.get_mut(&job) {
            Some((asked, pause)) if now.duration_since(*asked) < *pause => false,
            Some((asked, pause)) => {
                (*asked, *pause) = (now, (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE));
                true
            }
            None => {
                self.0.insert(job, (now, FIRST_PAUSE));
                true
            }
        }
    }

    /// Lets the first question about a new job wait: to the next look where it is known already that there is one.
    pub fn postpone(&mut self, job: u32, is_sure: bool, now: Instant) {
        self.0.entry(job).or_insert((now, if is_sure { MOMENT } else { FIRST_PAUSE }));
    }

    /// Forgets the jobs that are gone.
    pub fn keep(&mut self, is_here: impl Fn(u32) -> bool) {
        self.0.retain(|&job, _| is_here(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_title_names_its_job() {
        assert_eq!(job_of_title(b"slurmstepd: [7.batch]\0"), Some(7));
        assert_eq!(job_of_title(b"slurmstepd: [123.extern]"), Some(123));
        for other in [&b"slurmstepd"[..], b"slurmstepd: []", b"/usr/sbin/slurmd\0-N\0n1", b"slurmstepd: [99999999999.0]"] {
            assert_eq!(job_of_title(other), None);
        }
    }

    #[test]
    fn title_of_a_users_process_keeps_no_job() {
        let process = |uid: Option<u32>, job: u32| {
            let mut command = std::process::Command::new("sleep");
            std::os::unix::process::CommandExt::arg0(&mut command, format!("slurmstepd: [{job}.batch]")).arg("60");
            uid.map(|uid| std::os::unix::process::CommandExt::uid(&mut command, uid));
            command.spawn().expect("sleep of coreutils")
        };
        let mut processes = vec![process(None, 4_294_000_001)];
        // Another user than root needs root to start it.
        if rustix::process::geteuid().is_root() {
            processes.push(process(Some(65_534), 4_294_000_002));
        }
        // vfork(2) lets the parent go on before the kernel has the new command line.
        let is_titled = |process: &std::process::Child| {
            std::fs::read(format!("/proc/{}/cmdline", process.id())).is_ok_and(|title| title.starts_with(b"slurmstepd"))
        };
        while !processes.iter().all(is_titled) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let jobs = jobs_with_steps(Path::new("/proc"));
        for mut process in processes {
            process.kill().and_then(|()| process.wait()).expect("ended");
        }
        assert!(jobs.contains(&4_294_000_001), "{jobs:?}");
        assert!(!jobs.contains(&4_294_000_002), "{jobs:?}");
        assert!(is_slurmd_user(b"Name:\tslurmstepd\nUid:\t0\t1000\t0\t1000\n"), "it works as the user for a moment");
        for status in ["Uid:\t65534\t0\t0\t0\n", "Name:\tx\n", ""] {
            assert!(!is_slurmd_user(status.as_bytes()), "{status}");
        }
    }

    #[test]
    fn slurmctld_is_asked_ever_more_seldom() {
        let mut questions = Questions::default();
        let start = Instant::now();
        let asked = (0..7200).filter(|&second| questions.is_time(7, start + Duration::from_secs(second))).count();
        assert_eq!(asked, 8, "at 0, 1, 3, 7, 15, 31, 61 and 91 minutes");
        questions.keep(|_| false);
        assert!(questions.is_time(7, start));
    }

    #[test]
    fn a_new_jobs_first_question_waits_and_the_next_ones_are_as_seldom_as_any() {
        let start = Instant::now();
        for (is_sure, expected) in [(true, vec![1, 61, 181, 421]), (false, vec![60, 180, 420])] {
            let mut questions = Questions::default();
            questions.postpone(7, is_sure, start);
            let is_time = |second: &u64| questions.is_time(7, start + Duration::from_secs(*second));
            let asked: Vec<u64> = (0..600).filter(is_time).collect();
            assert_eq!(asked, expected, "in seconds");
        }
    }
}
