//! The time limit of a job that runs slower, as carm-submit sets it: the user's limit times the plan's stretch by speeds that are sure, and a
//! margin, in whole minutes, within the partition's MaxTime.

use ::carm::govern::{guaranteed_speed, margin_h};
use ::carm::plan::{Candidate, Plan};

use crate::policy::Asked;

/// The limit that a plan needs, h.
pub fn stretched_h(asked: &Asked, candidate: &Candidate, plan: &Plan, measured: bool, max_time_h: Option<f64>) -> f64 {
    let (run_h, sure_work_h) = plan.segments.iter().fold((0.0, 0.0), |(run, work), segment| {
        let hours = segment.to_h - segment.from_h;
        (run + hours, work + hours * guaranteed_speed(candidate, segment.level, measured))
    });
    let (stretch, slower_card) = (run_h / sure_work_h, candidate.work_h / asked.said_work_h());
    if stretch <= 1.0 + 1e-9 && slower_card <= 1.0 + 1e-9 {
        return asked.limit_h();
    }
    let needs_h = asked.limit_h().max(asked.said_work_h()) * slower_card * stretch + margin_h(asked.said_work_h());
    let whole_minutes_h = (needs_h * 60.0 - 1e-6).ceil() / 60.0;
    whole_minutes_h.min(max_time_h.unwrap_or(f64::INFINITY)).max(asked.limit_h())
}

/// The longest run whose stretched limit the partition allows, h; none where it allows any.
pub fn longest_run_h(asked: &Asked, candidate: &Candidate, measured: bool, max_time_h: Option<f64>) -> Option<f64> {
    let slower_card = candidate.work_h / asked.said_work_h();
    let stretch = (max_time_h? - margin_h(asked.said_work_h())) / (asked.limit_h().max(asked.said_work_h()) * slower_card);
    let optimism = (0..candidate.levels.len())
        .map(|level| candidate.levels[level].speed / guaranteed_speed(candidate, level, measured))
        .fold(1.0, f64::max);
    Some(candidate.work_h * (stretch / optimism).max(1.0) * (1.0 + 1e-9))
}
