//! A job as slurmd's environment tells of it.

use std::ffi::OsString;

use chrono::{SecondsFormat, TimeDelta, Utc};

/// What slurmd sets for a job; the carbon options are the user's.
#[derive(Clone)]
pub struct Job {
    pub variables: Vec<(String, OsString)>,
}

/// A job on GRES index 0, of a day at most, without carbon options.
pub fn job(id: u32) -> Job {
    let job = Job { variables: Vec::new() };
    job.set("SLURM_JOB_ID", &id.to_string())
        .set("SLURMD_NODENAME", "wind1")
        .set("SLURM_CLUSTER_NAME", "lab")
        .set("SLURM_JOB_USER", "ada")
        .set("SLURM_JOB_UID", "1000")
        .set("SLURM_JOB_PARTITION", "gpu")
        .gpus("0")
        .ends_in("24h")
}

/// A job with carbon options that has an hour of work at full clock, and time to spare.
pub fn green(id: u32) -> Job {
    job(id).work("1h").deadline_in("3h")
}

fn span(text: &str) -> TimeDelta {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: i64 = number.parse().unwrap();
    match unit {
        "h" => TimeDelta::hours(number),
        "m" => TimeDelta::minutes(number),
        "s" => TimeDelta::seconds(number),
        _ => panic!("{text}: no span"),
    }
}

impl Job {
    pub fn set(mut self, name: &str, text: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), text.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// A carbon option as the plugin passes it on.
    pub fn carbon(self, name: &str, text: &str) -> Self {
        self.set("SPANK_CARM_V", "1").set(&format!("SPANK_CARM_{name}"), text)
    }

    pub fn gpus(self, list: &str) -> Self {
        // Under slurmd CUDA_VISIBLE_DEVICES repeats the index where no UUID is known.
        self.set("SLURM_JOB_GPUS", list).set("CUDA_VISIBLE_DEVICES", list)
    }

    pub fn work(self, text: &str) -> Self {
        self.carbon("WORK_S", &span(text).num_seconds().to_string())
    }

    pub fn deadline_in(self, text: &str) -> Self {
        self.carbon("DEADLINE", &(Utc::now() + span(text)).to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub fn ends_in(self, text: &str) -> Self {
        self.set("SLURM_JOB_END_TIME", &(Utc::now() + span(text)).timestamp().to_string())
    }

    pub fn restarted(self, count: u32) -> Self {
        self.set("SLURM_JOB_RESTART_COUNT", &count.to_string())
    }
}
