//! What the ledger says of a job's earlier runs.

use carm::config::Config;
use carm::ledger::{self, Record};
use chrono::{DateTime, Utc};

use crate::job::Job;

/// The node's share of what earlier runs of a requeued job emitted, in grams: of each run the mean over the nodes that the
/// ledger's folder shows, which is all of them where the folder is shared, else this one.
pub fn spent_g(job: &Job, config: &Config, now: DateTime<Utc>) -> f64 {
    if job.restart_count == 0 {
        return 0.0;
    }
    let mut runs: std::collections::BTreeMap<u32, Vec<f64>> = std::collections::BTreeMap::new();
    for record in records(job, config, now).into_iter().filter(|record| record.run < job.restart_count) {
        runs.entry(record.run).or_default().push(record.carbon_g);
    }
    runs.values().map(|grams| grams.iter().sum::<f64>() / grams.len() as f64).sum()
}

/// Whether the run that has just ended has its line already. The epilog of a requeued job's run counts the next one.
pub fn is_booked(job: &Job, config: &Config, now: DateTime<Utc>) -> bool {
    records(job, config, now).iter().any(|record| record.node == job.node && record.run + 1 >= job.restart_count)
}

fn records(job: &Job, config: &Config, now: DateTime<Utc>) -> Vec<Record> {
    let read = ledger::of_job(&config.node.ledger_dir, &job.cluster, job.id, now);
    read.unwrap_or_else(|error| {
        log::warn!("{}: {error}; earlier runs of job {} are not known", config.node.ledger_dir.display(), job.id);
        Vec::new()
    })
}
