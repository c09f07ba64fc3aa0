//! When Slurm will end the job. Slurm 23.02 and later tell the prolog; else it is asked for once, with one squeue that is
//! given one second. What held at submission may not hold any more: users change their jobs' limits.

use carm::config::Config;
use chrono::{DateTime, Utc};

use crate::job::Job;
use crate::squeue::{self, Answer};

/// The instant at which Slurm ends the job, or why that is not known.
pub fn end_of(job: &Job, config: &Config) -> Result<DateTime<Utc>, String> {
    if let Some(end) = job.end_time {
        return Ok(end);
    }
    if !config.node.ask_limit {
        return Err("ask_limit = false".into());
    }
    match squeue::ask(job.id, &job.node, job.slurm_conf.as_deref())? {
        Answer::Here { end: Some(end), .. } => Ok(end),
        Answer::Here { end: None, .. } | Answer::Gone => Err("squeue knows none".into()),
    }
}
