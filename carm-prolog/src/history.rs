//! What the ledger says of a job's earlier runs, and of its user's earlier jobs of the same name.

use std::collections::BTreeMap;

use carm::config::Config;
use carm::ledger::{self, Record, Workload};
use chrono::{DateTime, Utc};

use crate::bounded::reading;
use crate::gpu::Card;
use crate::job::Job;

/// What is read of the ledger for a prediction: a job waits for it.
const MOST_BYTES: u64 = 4 << 20;

/// The job's work in seconds at full clock, by its user's earlier runs under this name on as many such cards. Only a job with
/// a name has a history: carm-submit tells it, slurmd does not.
pub fn work_s(job: &Job, config: &Config, cards: &[Card], now: DateTime<Utc>) -> Option<u64> {
    let request = job.request.as_ref().ok().and_then(Option::as_ref)?;
    let (name, card) = (request.name.as_ref()?.as_str(), cards.first()?);
    let gpus = u32::try_from(cards.len()).ok()?.checked_mul(job.nodes)?;
    let dir = &config.node.ledger_dir;
    let of = Workload { uid: job.uid?, name, gpus };
    let runs = reading(dir, || ledger::earlier_runs(dir, &of, now, MOST_BYTES));
    let runs = runs.inspect_err(|error| log::debug!("{}: {error}; no run time is predicted", dir.display())).ok()?;
    let such = runs.iter().filter(|run| run.model.as_deref() == Some(&card.name));
    let prediction = ledger::predict(such.map(|run| run.work_s))?;
    let (work_s, runs) = (prediction.work_s, prediction.runs);
    log::info!(
        "job {}: run time {work_s} s at full clock, by {runs} earlier runs of '{}'",
        job.id,
        carm::request::printable(name)
    );
    Some(work_s)
}

/// The node's share of what earlier runs of a requeued job emitted, in grams: of each run the mean over the nodes that the
/// ledger's folder shows, which is all of them where the folder is shared, else this one.
pub fn spent_g(job: &Job, config: &Config, now: DateTime<Utc>) -> f64 {
    if job.restart_count == 0 {
        return 0.0;
    }
    // A run of days has several lines on a node; they add up.
    let mut runs: BTreeMap<u32, BTreeMap<String, f64>> = BTreeMap::new();
    for record in records(job, config, now).into_iter().filter(|record| record.run < job.restart_count) {
        *runs.entry(record.run).or_default().entry(record.node).or_default() += record.carbon_g;
    }
    runs.values().map(|nodes| nodes.values().sum::<f64>() / nodes.len() as f64).sum()
}

/// The budget in grams of the job's first run, where that was worked out of a share.
pub fn budget_g(job: &Job, config: &Config, now: DateTime<Utc>) -> Option<f64> {
    if job.restart_count == 0 {
        return None;
    }
    let first =
        records(job, config, now).into_iter().filter(|record| record.run < job.restart_count).min_by_key(|record| record.run)?;
    first.request.get("CARM_BUDGET")?.parse().ok().filter(|budget_g: &f64| budget_g.is_finite() && *budget_g > 0.0)
}

fn records(job: &Job, config: &Config, now: DateTime<Utc>) -> Vec<Record> {
    let dir = &config.node.ledger_dir;
    let reading = reading(dir, || ledger::of_job(dir, &job.cluster, job.id, now)).unwrap_or_else(|error| {
        log::warn!("{}: {error}; earlier runs of job {} are not known", dir.display(), job.id);
        ledger::Reading::default()
    });
    if let Some((path, cause)) = reading.bad_files.first() {
        let (count, dir) = (reading.bad_files.len(), dir.display());
        log::warn!("{}: {cause}; earlier runs of job {} may be missing ({count} such files in {dir})", path.display(), job.id);
    }
    reading.records
}
