//! When Slurm will end the job. Slurm 23.02 and later tell the prolog; carm-submit tells it otherwise; else it is asked for
//! once, with one squeue that is given one second.

use carm::config::Config;
use chrono::{DateTime, TimeDelta, Utc};

use crate::job::Job;
use crate::squeue::{self, Answer};

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
    match squeue::ask(job.id, &job.node, job.slurm_conf.as_deref())? {
        Answer::Here { end: Some(end), .. } => Ok(end),
        Answer::Here { end: None, .. } | Answer::Gone => Err("squeue knows none".into()),
    }
}
