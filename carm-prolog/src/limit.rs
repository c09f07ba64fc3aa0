//! When Slurm will end the job. Slurm 23.02 and later tell the prolog; carm-submit tells it otherwise; else it is asked for
//! once, with one squeue that is given one second.

use std::path::Path;

use carm::config::Config;
use carm::quantity::{SlurmTime, parse_slurm_time};
use chrono::{DateTime, TimeDelta, Utc};

use crate::job::Job;
use crate::squeue;

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
    let squeue = squeue::find()?;
    match ask(&squeue, job.id, job.slurm_conf.as_deref()) {
        Ok(Some(seconds)) => after(seconds),
        Ok(None) => Err("squeue knows none".into()),
        Err(cause) => Err(format!("asking squeue: {cause}")),
    }
}

/// The seconds left by squeue; `None` where there is no limit.
fn ask(squeue: &Path, job: u32, slurm_conf: Option<&Path>) -> Result<Option<u64>, String> {
    let text = squeue::ask(squeue, job, "--format=%L", slurm_conf)?;
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
    use std::time::{Duration, Instant};

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
