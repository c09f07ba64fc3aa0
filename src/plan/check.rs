//! Refuses numbers that no plan can be made from, so that the rest need not look twice.
//!
//! The ranges are wide for any machine and narrow enough that no product of them overflows.

use super::error::PlanError;
use super::problem::{Candidate, Objective, Problem, Start};

/// Longest time the planner looks at, h (some 114 years).
const MOST_HOURS: f64 = 1e6;

fn within(value: f64, least: f64, most: f64, field: impl FnOnce() -> String, expected: &'static str) -> Result<(), PlanError> {
    if value >= least && value <= most { Ok(()) } else { Err(PlanError::OutOfRange { field: field(), value, expected }) }
}

/// Checks a whole problem, its objective's own needs included.
pub(super) fn problem(problem: &Problem) -> Result<(), PlanError> {
    request(problem.objective, problem.deadline_h, problem.budget_g, problem.work_gpu_h)?;
    candidates(problem)
}

/// Checks what the frontier needs: everything but the objective.
pub(super) fn candidates(problem: &Problem) -> Result<(), PlanError> {
    if problem.candidates.is_empty() {
        return Err(PlanError::Empty { field: "candidates".into(), expected: "at least one site to run at" });
    }
    for (i, c) in problem.candidates.iter().enumerate() {
        supply(c, &|name| format!("candidates[{i}].{name}"))?;
        run(c.work_h, c.start, c.max_run_h, &|name| format!("candidates[{i}].{name}"))?;
    }
    Ok(())
}

pub(super) fn request(
    objective: Objective,
    deadline_h: Option<f64>,
    budget_g: Option<f64>,
    work_gpu_h: f64,
) -> Result<(), PlanError> {
    within(work_gpu_h, 1e-9, 1e12, || "work_gpu_h".into(), "GPU-hours above 0")?;
    if let Some(d) = deadline_h {
        within(d, f64::MIN, f64::MAX, || "deadline_h".into(), "a finite number of hours after now")?;
    }
    if let Some(b) = budget_g {
        within(b, 0.0, f64::MAX, || "budget_g".into(), "a mass of 0 g or more")?;
    }
    match objective {
        Objective::Performance if deadline_h.is_none() => {
            Err(PlanError::Missing { objective: "performance", needs: "deadline_h", expected: "give the time to finish by" })
        }
        Objective::Carbon if budget_g.is_none() => {
            Err(PlanError::Missing { objective: "carbon", needs: "budget_g", expected: "give the most carbon to emit" })
        }
        _ => Ok(()),
    }
}

/// Checks what a candidate offers, whatever the job.
pub(super) fn supply(c: &Candidate, path: &dyn Fn(&str) -> String) -> Result<(), PlanError> {
    if c.slots.is_empty() {
        return Err(PlanError::Empty { field: path("slots"), expected: "a forecast of at least one slot" });
    }
    if c.levels.is_empty() {
        return Err(PlanError::Empty { field: path("levels"), expected: "at least one clock" });
    }
    for (k, s) in c.slots.iter().enumerate() {
        let at = |name: &str| path(&format!("slots[{k}].{name}"));
        within(s.hours, 1e-7, 1e5, || at("hours"), "a length from 1e-7 h to 1e5 h")?;
        within(s.g_per_kwh, 0.0, 1e6, || at("g_per_kwh"), "0 to 1e6 g/kWh")?;
        within(s.onsite_w, 0.0, 1e12, || at("onsite_w"), "0 to 1e12 W")?;
    }
    let horizon: f64 = c.slots.iter().map(|s| s.hours).sum();
    within(horizon, 0.0, MOST_HOURS, || path("slots"), "at most 1e6 h in all")?;
    for (l, level) in c.levels.iter().enumerate() {
        let at = |name: &str| path(&format!("levels[{l}].{name}"));
        within(level.watts, 0.0, 1e6, || at("watts"), "0 to 1e6 W")?;
        within(level.speed, 1e-6, 1.0, || at("speed"), "above 0, at most 1")?;
        if let Some(ms) = level.latency_ms {
            within(ms, 0.0, 1e12, || at("latency_ms"), "0 ms or more")?;
        }
    }
    let top = c.levels.iter().map(|l| l.speed).fold(0.0, f64::max);
    within(top, 1.0, 1.0, || path("levels"), "a fastest level with speed exactly 1")?;
    within(f64::from(c.workers), 1.0, 1e9, || path("workers"), "at least 1")?;
    within(c.host_watts, 0.0, 1e6, || path("host_watts"), "0 to 1e6 W")?;
    within(c.pue, 1.0, 100.0, || path("pue"), "at least 1")?;
    within(c.onsite_g_per_kwh, 0.0, 1e6, || path("onsite_g_per_kwh"), "0 to 1e6 g/kWh")
}

/// Checks what a job asks of a candidate.
pub(super) fn run(work_h: f64, start: Start, max_run_h: Option<f64>, path: &dyn Fn(&str) -> String) -> Result<(), PlanError> {
    within(work_h, 1e-7, MOST_HOURS, || path("work_h"), "full-clock hours from 1e-7 to 1e6")?;
    match start {
        Start::Fixed(at) => within(at, 0.0, MOST_HOURS, || path("start"), "an instant from now (0 h) on")?,
        Start::Within { earliest_h, latest_h } => {
            within(earliest_h, 0.0, MOST_HOURS, || path("start.earliest_h"), "an instant from now (0 h) on")?;
            within(latest_h, earliest_h, f64::MAX, || path("start.latest_h"), "an instant no earlier than earliest_h")?;
        }
    }
    match max_run_h {
        Some(most) => within(most, 1e-7, f64::MAX, || path("max_run_h"), "a length above 0 h"),
        None => Ok(()),
    }
}

/// Checks a service's latency limit.
pub(super) fn latency(limit_ms: f64) -> Result<(), PlanError> {
    within(limit_ms, 0.0, 1e12, || "latency_ms".into(), "a limit of 0 to 1e12 ms")
}

/// Checks what a resume costs.
pub(super) fn restart(restart_h: f64) -> Result<(), PlanError> {
    within(restart_h, 0.0, MOST_HOURS, || "restart_h".into(), "full-clock hours from 0 to 1e6")
}
