//! The run time that a job's earlier runs tell, where its user says none: this user's runs under the same name on as many
//! GPUs, from the ledger, where the ledger is open to the user.

use std::os::unix::fs::MetadataExt;

use carm::config::Config;
use carm::ledger::{self, EarlierRun, NEWEST, Workload};
use carm::profile::{self, Profiles};
use carm::request::JobName;
use chrono::{DateTime, Utc};

use crate::assemble::{Basis, Work};
use crate::gather::Gathered;

/// What is read of the ledger: a tenth of a second's work, while sbatch's help and the partitions are waited for.
const MOST_BYTES: u64 = 32 << 20;

/// The work by history. A ledger that is closed to this user, or not there, is no history.
pub fn work(config: &Config, profiles: &Profiles, gathered: &Gathered, gpus: u32, now: DateTime<Utc>) -> Option<Work> {
    // For another user's job (sbatch's --uid) this user's runs tell nothing.
    let uid = std::fs::metadata("/proc/self").ok().filter(|_| !gathered.options.has("uid"))?.uid();
    let name = JobName::new(&gathered.name);
    let of = Workload { uid, name: name.as_str(), gpus };
    let runs = ledger::earlier_runs(&config.node.ledger_dir, &of, now, MOST_BYTES).ok()?;
    let times = runs.iter().map(|run| run.work_s * throughput(config, profiles, gathered, run));
    let prediction = ledger::predict(times)?;
    Some(Work { seconds: prediction.work_s, from: Basis::History { runs: prediction.runs } })
}

/// How much faster this work runs on the run's card than on the one that run times are told for.
fn throughput(config: &Config, profiles: &Profiles, gathered: &Gathered, run: &EarlierRun) -> f64 {
    let site = config.sites.iter().find(|site| run.site.as_ref() == Some(&site.name));
    let name = gathered.request.profile.clone().or_else(|| site?.profile.clone()).unwrap_or_else(|| profile::generic().name);
    let profile = profiles.find(&name, site.and_then(|site| site.gpu.as_deref()));
    profile.and_then(|profile| profile.throughput).unwrap_or(1.0)
}

/// How a prediction of so many runs was made, in a few words.
pub fn told(runs: usize) -> String {
    match runs {
        1 => "as your one run of this name".to_owned(),
        // Below ten runs the 0.9 quantile is the longest.
        2..10 => format!("longest of your {runs} runs of this name"),
        _ if runs < NEWEST => format!("90th percentile of your {runs} runs of this name"),
        _ => format!("90th percentile of your newest {runs} runs of this name"),
    }
}
