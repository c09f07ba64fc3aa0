//! The step of a file's times: times that jitter by seconds, and files that turn from a long step to a short one.

use std::collections::BTreeMap;

use carm::quantity::{format_duration, format_instant};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Values by time.
pub type Values = BTreeMap<DateTime<Utc>, f64>;

/// Meters stamp a value when they get round to it. More than this from a whole minute is a time of its own.
const JITTER: TimeDelta = TimeDelta::seconds(15);
/// Rows at a file's begin and end that say what its steps are there.
const LOOKED_AT: usize = 24;
/// The longest step that a file may turn from.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// The most frequent distance of two times; the shortest of equally frequent ones.
pub fn common_step<'a>(times: impl IntoIterator<Item = &'a DateTime<Utc>>) -> Option<TimeDelta> {
    let times: Vec<_> = times.into_iter().collect();
    let mut counts: BTreeMap<TimeDelta, usize> = BTreeMap::new();
    for pair in times.windows(2) {
        *counts.entry(*pair[1] - *pair[0]).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(step, _)| step)
}

/// Whether times that should be a minute's or more apart are off whole minutes by some seconds, each by others.
pub fn is_jittered(times: &[DateTime<Utc>]) -> bool {
    let rounded: Vec<_> = times.iter().map(|&at| minute(at)).collect();
    let is_near = times.iter().zip(&rounded).all(|(at, minute)| (*at - *minute).abs() <= JITTER);
    let seconds = |at: &DateTime<Utc>| at.timestamp().rem_euclid(60);
    let differ = times.windows(2).any(|pair| seconds(&pair[0]) != seconds(&pair[1]));
    is_near && differ && common_step(&rounded).is_some_and(|step| step >= TimeDelta::minutes(1))
}

/// The whole minute that a time is nearest to.
pub fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_round(TimeDelta::minutes(1)).unwrap_or(at)
}

/// Where a file turns from one step to a shorter one that divides it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// The first time with the shorter step.
    at: DateTime<Utc>,
    long: TimeDelta,
    pub short: TimeDelta,
}

impl Turn {
    /// The turn of a file, where its first rows have another step than its last ones.
    pub fn of(times: &[DateTime<Utc>]) -> Option<Self> {
        let some = (times.len() / 2).min(LOOKED_AT);
        let (long, short) = (common_step(&times[..some])?, common_step(&times[times.len() - some..])?);
        let divides = short < long && long <= LONGEST && long.num_milliseconds() % short.num_milliseconds() == 0;
        let first = times.windows(2).find(|pair| pair[1] - pair[0] < long)?;
        divides.then_some(Self { at: first[0], long, short })
    }

    /// Repeats each value before the turn in all short steps of its long one.
    pub fn shorten(&self, values: &mut Values) {
        let before: Vec<(DateTime<Utc>, f64)> = values.range(..self.at).map(|(at, value)| (*at, *value)).collect();
        for (from, value) in before {
            let mut at = from + self.short;
            while at < (from + self.long).min(self.at) {
                values.insert(at, value);
                at += self.short;
            }
        }
    }

    pub fn remark(&self) -> String {
        let [long, short] = [self.long, self.short].map(|step| format_duration(step.as_seconds_f64()));
        format!("steps of {long} turn to {short} at {}; each earlier value stands for all of its {long}", format_instant(self.at))
    }
}
