//! When Slurm will end the job. Slurm 23.02 and later tell the prolog; carm-submit tells it otherwise; else it is asked for
//! once, with one squeue that is given one second.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carm::config::Config;
use carm::quantity::{SlurmTime, parse_slurm_time};
use chrono::{DateTime, TimeDelta, Utc};

use crate::job::Job;

const PATIENCE: Duration = Duration::from_secs(1);

/// slurmd's environment has no PATH; these are where distributions and sites put Slurm's commands.
const COMMAND_DIRS: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/slurm/bin", "/usr/local/slurm/bin"];

/// The instant at which Slurm ends the job, or why that is not known.
pub fn end_of(job: &Job, config: &Config, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Some(end) = job.end_time {
        return Ok(end);
    }
    let after = |seconds: u64| {
        let span = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
        span.and_then(|span| now.checked_add_signed(span)).ok_or_else(|| format!("{seconds} s is no time limit"))
    };
    if let Some(seconds) = job.request.as_ref().ok().and_then(|request| request.as_ref()?.limit_s) {
        return after(seconds);
    }
    if !config.node.ask_limit {
        return Err("ask_limit = false".into());
    }
    let squeue = COMMAND_DIRS.iter().map(|dir| Path::new(dir).join("squeue")).find(|path| path.exists());
    let squeue = squeue.ok_or_else(|| format!("squeue is not in {}", COMMAND_DIRS.join(", ")))?;
    match ask(&squeue, job.id, job.slurm_conf.as_deref()) {
        Ok(Some(seconds)) => after(seconds),
        Ok(None) => Err("squeue knows none".into()),
        Err(cause) => Err(format!("asking squeue: {cause}")),
    }
}

/// The seconds left by squeue; `None` where there is no limit.
fn ask(squeue: &Path, job: u32, slurm_conf: Option<&Path>) -> Result<Option<u64>, String> {
    let mut command = Command::new(squeue);
    command.args(["--noheader", "--format=%L", "--jobs", &job.to_string()]);
    command.env_clear().envs(slurm_conf.iter().map(|path| ("SLURM_CONF", path)));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    let since = Instant::now();
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if since.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err("no answer within a second".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse_slurm_time(text.trim()) {
        Ok(SlurmTime::Seconds(seconds)) => Ok(Some(seconds)),
        Ok(SlurmTime::Unlimited) => Ok(None),
        Err(_) => Err(format!("its answer was '{}'", carm::request::printable(text.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What comes of a squeue that is this script.
    fn answer(script: &str) -> Result<Option<u64>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let squeue = dir.path().join("squeue");
        std::fs::write(&squeue, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&squeue, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        ask(&squeue, 7, Some(Path::new("/etc/slurm/slurm.conf")))
    }

    #[test]
    fn squeue_tells_the_time_that_is_left() {
        assert_eq!(answer("echo 1-00:00:30"), Ok(Some(86_430)));
        assert_eq!(answer("echo UNLIMITED"), Ok(None));
        let asked = r#"[ "$*" = "--noheader --format=%L --jobs 7" ] && [ "$SLURM_CONF" = /etc/slurm/slurm.conf ] && echo 10:00"#;
        assert_eq!(answer(asked), Ok(Some(600)));
    }

    #[test]
    fn an_answer_that_is_no_time_is_shown_and_not_believed() {
        for (script, shown) in [("echo INVALID", "INVALID"), ("exit 1", ""), ("printf '\\033[2J'", "\\u{1b}[2J")] {
            assert_eq!(answer(script), Err(format!("its answer was '{shown}'")), "{script}");
        }
    }

    #[test]
    fn a_squeue_that_does_not_answer_is_given_up_after_a_second() {
        let since = Instant::now();
        assert_eq!(answer("exec sleep 30"), Err("no answer within a second".into()));
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    }
}
