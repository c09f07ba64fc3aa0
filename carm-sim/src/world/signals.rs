//! Signals of an episode: cut from traces, continued where they end, put on steps of their own.

use carm::grid::{Signal, Step};
use chrono::{DateTime, TimeDelta, Utc};

/// So many days before an episode are kept: a forecaster learns from them.
pub const PAST_DAYS: i64 = 35;

/// A signal from the past's begin to `until`. Where its data end before, the last seven days are repeated: jobs that are still there
/// then need some grid. `None` where it has no data for `start`.
pub fn cut(signal: &Signal, start: DateTime<Utc>, until: DateTime<Utc>) -> Option<Signal> {
    signal.at(start)?;
    let from = start - TimeDelta::days(PAST_DAYS);
    let steps = signal.steps();
    let first = steps.partition_point(|step| step.from <= from).saturating_sub(1);
    let last = steps.partition_point(|step| step.from < until);
    let mut kept: Vec<Step> = steps[first..last].to_vec();
    let mut end = signal.end().min(until);
    if end < until {
        let week: Vec<(TimeDelta, f64)> = steps
            .iter()
            .filter(|step| step.from >= signal.end() - TimeDelta::days(7))
            .map(|step| (step.from - signal.end() + TimeDelta::days(7), step.value))
            .collect();
        while end < until && !week.is_empty() {
            let base = end;
            kept.extend(week.iter().map(|(after, value)| Step::exact(base + *after, *value)));
            end = base + TimeDelta::days(7);
        }
        // Data that begin in the middle of a week leave its first part open: the value before holds.
    }
    kept.retain(|step| step.from < until);
    Signal::new(kept, end.min(until).max(start + TimeDelta::seconds(1)))
}

/// One signal of several files' parts, in the order of time; a later part takes over where it begins.
pub fn joined(parts: Vec<Signal>) -> Option<Signal> {
    let mut parts = parts;
    parts.sort_by_key(Signal::start);
    let end = parts.iter().map(Signal::end).max()?;
    let mut steps: Vec<Step> = Vec::new();
    for part in parts {
        steps.retain(|step| step.from < part.start());
        steps.extend_from_slice(part.steps());
    }
    Signal::new(steps, end)
}

/// A signal of equal steps from `from` on, each the value of its begin.
pub fn stepped(
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    step: TimeDelta,
    value: impl Fn(DateTime<Utc>) -> f64,
) -> Option<Signal> {
    let mut steps = Vec::new();
    let mut at = from;
    while at < until {
        steps.push(Step::exact(at, value(at)));
        at += step;
    }
    Signal::new(steps, until)
}

/// The mean of a signal over steps of its own; what lies outside the data counts as nothing.
pub fn averaged(signal: &Signal, from: DateTime<Utc>, until: DateTime<Utc>, step: TimeDelta) -> Option<Signal> {
    stepped(from, until, step, |at| {
        let (a, z) = (at.max(signal.start()), (at + step).min(signal.end()));
        let hours = step.num_milliseconds() as f64 / 3.6e6;
        if a >= z { 0.0 } else { signal.integrate(a, z).unwrap_or(0.0) / hours }
    })
}
