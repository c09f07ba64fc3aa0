//! The calendar: what happens when. At one instant jobs end before others are looked at or arrive, and all of it happens before anybody starts.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Its work is done; void if the job has changed since (its version is another).
    Ends(u32),
    /// Its time limit is over.
    Killed(u32),
    /// The policy wanted to look at it.
    Looks(u32),
    /// It is submitted.
    Arrives,
    /// Its time to begin has come.
    Eligible,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    at_h: f64,
    what: What,
    job: usize,
}

impl Eq for Event {}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at_h.total_cmp(&other.at_h).then(self.what.cmp(&other.what)).then(self.job.cmp(&other.job))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Default)]
pub(super) struct Calendar(BinaryHeap<Reverse<Event>>);

impl Calendar {
    pub fn add(&mut self, at_h: f64, job: usize, what: What) {
        if at_h.is_finite() {
            self.0.push(Reverse(Event { at_h, what, job }));
        }
    }

    pub fn next_instant(&self) -> Option<f64> {
        self.0.peek().map(|event| event.0.at_h)
    }

    /// What happens at exactly this instant, one after the other.
    pub fn at(&mut self, now_h: f64) -> Option<(usize, What)> {
        let next = self.0.peek().filter(|event| event.0.at_h <= now_h)?;
        let (job, what) = (next.0.job, next.0.what);
        self.0.pop();
        Some((job, what))
    }
}
