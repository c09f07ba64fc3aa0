//! Throttled arrays (`--array=0-9%1`): their tasks run in rounds, one behind the other, and the last one has to end by the
//! deadline. The first is planned to end as much earlier as the later ones need at full clock; so is each on the node.

use carm::quantity::{counted, format_duration};
use carm::slurm::array::Tasks;
use carm::submission::CYCLE_H;
use chrono::{DateTime, TimeDelta, Utc};

use crate::assemble::Work;
use crate::explain::local;
use crate::gather::Gathered;

/// The rounds of an array with a deadline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounds {
    count: u64,
    /// What the later ones take at full clock, in seconds.
    pub later_s: u64,
    deadline: DateTime<Utc>,
    /// Whether all of them fit before the deadline.
    pub fit: bool,
    each_s: u64,
}

impl Rounds {
    /// Those of a job, where there are several and a deadline bounds them. `begin`: when it may start.
    pub fn of(gathered: &Gathered, work: Work, begin: DateTime<Utc>) -> Option<Self> {
        let count = Tasks::parse(gathered.job.array.as_deref()?).rounds();
        let given_s = gathered.job.time_limit.known().and_then(|limit| limit.seconds());
        let slurms = gathered.job.deadline.known().copied();
        let deadline = gathered.request.deadline.into_iter().chain(slurms).min().filter(|_| count > 1)?;
        // Slurm gives a task up as soon as its limit no longer fits before --deadline.
        let task_s = slurms.and(given_s).unwrap_or(0).max(work.seconds);
        let later_s = (count - 1).saturating_mul(task_s + (CYCLE_H * 3600.0) as u64);
        let first = begin + TimeDelta::try_seconds(i64::try_from(task_s).ok()?)?;
        let last = i64::try_from(later_s).ok().and_then(TimeDelta::try_seconds).and_then(|later| first.checked_add_signed(later));
        // A request that not even one task meets is refused as any other.
        (first <= deadline).then_some(Self {
            count,
            later_s,
            deadline,
            fit: last.is_some_and(|last| last <= deadline),
            each_s: task_s,
        })
    }
}

impl std::fmt::Display for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, each) = (counted(self.count, "round"), format_duration(self.each_s as f64));
        let deadline = local(self.deadline);
        if self.fit {
            write!(f, "--array: {count} of {each}: planned so that the last one ends by {deadline}")
        } else {
            write!(f, "--array: {count} of {each} do not fit before {deadline}: the array starts at once, at full clock")
        }
    }
}
