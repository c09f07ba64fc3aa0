//! What is sure although nobody measured: a model's word on how little a slower clock costs moves no deadline.
//!
//! Choices go by a profile's speeds, guarantees by its clocks ([`guaranteed_speed`]). A run may go slower for as long as the rest could
//! still be done in time at full clock, were each hour so far worth no more than its clock. Until its end by the profile's word the
//! time that is left for that only shrinks, so a run keeps the guarantee if it does at its end: its *loss*, the hours that its clocks
//! would then have fallen behind full clock, is no more than the slack. [`sure_end_h`] says so of a job that runs,
//! [`crate::submission::plan_surely`] of one that is planned.

use crate::plan::Candidate;

/// The speed of a level that a guarantee may count on: measured, or in proportion to the clock.
#[must_use]
pub fn guaranteed_speed(candidate: &Candidate, level: usize, measured: bool) -> f64 {
    let level = &candidate.levels[level];
    if measured {
        return level.speed;
    }
    let top = candidate.levels.iter().map(|l| l.clock_mhz).max().unwrap_or(1).max(1);
    level.speed.min(f64::from(level.clock_mhz) / f64::from(top))
}

/// How long a job takes at a level by the profile's word, and how far it would then be behind full clock by what is sure, both in hours.
pub(crate) fn length_and_loss_h(candidate: &Candidate, level: usize) -> (f64, f64) {
    let run_h = candidate.work_h / candidate.levels[level].speed;
    (run_h, run_h * (1.0 - guaranteed_speed(candidate, level, false)))
}

/// The latest end, by the profile's word, of what is left of a job (`candidate`) whose start is fixed at now, that may not end after
/// `by_h`, and of which `sure_work_h` may be left. Of runs equally long one at a single clock loses most, as far as sure speeds are a
/// convex function of the profile's; so all that end by then keep the guarantee.
#[must_use]
pub fn sure_end_h(candidate: &Candidate, measured: bool, sure_work_h: f64, by_h: f64) -> f64 {
    if measured {
        return by_h;
    }
    let slack_h = by_h - sure_work_h;
    let mut runs: Vec<(f64, f64)> = (0..candidate.levels.len()).map(|level| length_and_loss_h(candidate, level)).collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let within = runs.iter().take_while(|run| run.1 <= slack_h).count();
    match (within.checked_sub(1).map(|last| runs[last]), runs.get(within)) {
        (Some(last), Some(next)) => by_h.min(last.0 + (next.0 - last.0) * (slack_h - last.1) / (next.1 - last.1)),
        (Some(_), None) => by_h,
        (None, _) => by_h.min(candidate.work_h),
    }
}
