//! How long a job's work takes, by its user's earlier runs under the same name: which runs tell, and the prediction.
//!
//! Run times at full clock (`work_done_s`), so that a run at a slow clock does not make the next one seem longer. Only runs
//! that came to their own end tell. Which work to plan with is the callers' choice: what a user says goes first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Mark, Record};
use crate::quantity::parse_instant;

/// Whose runs tell. The GPUs count, since with more of them the same work takes less time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload<'a> {
    /// The user, by number: Slurm always tells it, and it needs no directory of names.
    pub uid: u32,
    /// The job's name, as the ledger has it.
    pub name: &'a str,
    /// GPUs of the job over all its nodes.
    pub gpus: u32,
}

/// A run that came to its own end.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierRun {
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Its run time at full clock, in seconds; of several nodes the longest.
    pub work_s: f64,
    /// The card as NVML names it; `None` where that is not known, or they differed.
    pub model: Option<String>,
    /// The site of the configuration.
    pub site: Option<String>,
}

/// What the earlier runs say of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// Run time at full clock, in seconds.
    pub work_s: u64,
    /// The runs that it comes from.
    pub runs: usize,
}

/// Older runs than the newest so many tell of what the code once was.
pub const NEWEST: usize = 20;

/// The part of the runs that took no longer than the prediction. A job that takes longer than planned misses its deadline
/// and its budget, one that is over sooner only saves less; of many runs the slowest few are left out as accidents.
const QUANTILE: f64 = 0.9;

/// Ten years, as `CARM_WORK_S` is bounded.
const MOST_S: f64 = 315_360_000.0;

/// The 0.9 quantile of the newest [`NEWEST`] runs' times (in seconds, newest first), rounded up to one of them: below ten
/// runs that is the longest. `None` without a run.
#[must_use]
pub fn predict(newest_first: impl IntoIterator<Item = f64>) -> Option<Prediction> {
    let mut times: Vec<f64> = newest_first.into_iter().take(NEWEST).collect();
    times.sort_by(f64::total_cmp);
    let rank = (QUANTILE * times.len() as f64 - 1e-9).ceil() as usize;
    let time = *times.get(rank.checked_sub(1)?)?;
    (time <= MOST_S).then(|| Prediction { work_s: time.ceil().max(1.0) as u64, runs: times.len() })
}

/// Whether a name is one that Slurm gives to jobs without: of a wrapped command, of a script from standard input or a pipe
/// (`stdin`, `63`), of salloc, and of shells and interpreters under srun. Such jobs have nothing else in common.
#[must_use]
pub fn is_default_name(name: &str) -> bool {
    const NAMES: [&str; 14] =
        ["", "wrap", "sbatch", "interactive", "stdin", "bash", "sh", "dash", "zsh", "tcsh", "csh", "ksh", "fish", "python"];
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    NAMES.contains(&name) || is_number(name) || name.strip_prefix("python").is_some_and(is_number)
}

/// The runs that tell, newest first: those of this user, name and number of GPUs whose every node says that the job ended
/// with success, and for all of whose time the work is known. A run after a requeue does not tell: it may have begun at a
/// checkpoint. Neither does a service, which runs for as long as it may.
#[must_use]
pub fn runs_that_tell(records: &[Record], of: &Workload) -> Vec<EarlierRun> {
    let mut runs: BTreeMap<(&str, u32), BTreeMap<&str, Vec<&Record>>> = BTreeMap::new();
    if is_default_name(of.name) {
        return Vec::new();
    }
    let theirs = |record: &&Record| record.uid == Some(of.uid) && record.name.as_deref() == Some(of.name) && record.run == 0;
    for record in records.iter().filter(theirs) {
        let nodes = runs.entry((&record.cluster, record.job)).or_default();
        nodes.entry(&record.node).or_default().push(record);
    }
    let whole = |nodes: BTreeMap<&str, Vec<&Record>>| -> Option<EarlierRun> {
        let parts: Vec<NodeRun> = nodes.into_values().map(NodeRun::of).collect::<Option<_>>()?;
        let gpus: usize = parts.iter().map(|part| part.last.gpus.len()).sum();
        let models: BTreeSet<_> = parts.iter().flat_map(|part| part.last.gpus.iter().map(|gpu| gpu.model.as_ref())).collect();
        let run = EarlierRun {
            ended: parts.iter().map(|part| part.ended).max()?,
            work_s: parts.iter().map(|part| part.work_s).fold(0.0, f64::max),
            model: models.first().filter(|_| models.len() == 1).copied().flatten().cloned(),
            site: parts.first().and_then(|part| part.last.site.clone()),
        };
        Some(run).filter(|run| gpus == of.gpus as usize && run.work_s > 0.0)
    };
    let mut runs: Vec<EarlierRun> = runs.into_values().filter_map(whole).collect();
    runs.sort_by(|a, b| b.ended.cmp(&a.ended).then(b.work_s.total_cmp(&a.work_s)));
    runs
}

/// One node's part of a run: its lines, added up.
struct NodeRun<'a> {
    last: &'a Record,
    ended: DateTime<Utc>,
    work_s: f64,
}

impl<'a> NodeRun<'a> {
    fn of(mut lines: Vec<&'a Record>) -> Option<Self> {
        lines.sort_by(|a, b| (&a.end, a.closed).cmp(&(&b.end, b.closed)));
        super::read::count_once(&mut lines);
        let last = *lines.last()?;
        let ends_well = last.closed && last.exit?.is_success();
        // The first line begins with the run and each later one where the one before it ends: no day is missing, none twice.
        let begins = lines.first()?.since.is_none();
        let joined = lines.windows(2).all(|pair| !pair[0].closed && pair[1].since.as_ref() == Some(&pair[0].end));
        // A service runs to its time limit, whatever its work.
        let is_service = |line: &Record| line.request.contains_key("CARM_LATENCY");
        let tells = lines.iter().all(|line| !line.marks.contains(&Mark::NoProlog) && !is_service(line));
        let work_s: f64 =
            lines.iter().map(|line| line.work_done_s.filter(|s| s.is_finite() && *s >= 0.0)).sum::<Option<f64>>()?;
        let ended = parse_instant(&last.end).ok()?;
        (ends_well && begins && joined && tells).then_some(Self { last, ended, work_s })
    }
}

#[cfg(test)]
mod tests;
