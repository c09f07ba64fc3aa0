//! Runs that are given, not sought: one clock from a given start, or any list of stretches, re-integrated from the forecast.
//!
//! The baselines (full clock now, the static energy-optimal clock), a prolog that sets one clock once, and every check
//! of a plan against its trace come from here.

use super::Prepared;
use super::check;
use super::error::PlanError;
use super::outcome::{Plan, Segment};
use super::problem::{Problem, Start};
use super::schedule::{self, Stretch};
use super::tables::Tables;
use super::window::Run;

/// The run of a candidate at one level from a given start. `None` if it does not fit: past the forecast's end, into a
/// closed slot, or longer than the partition allows. The candidate's own start, the deadline and the budget are not looked at.
///
/// # Errors
/// If the problem is malformed, or has no such candidate or level.
pub fn constant(problem: &Problem, candidate: usize, level: usize, start_h: f64) -> Result<Option<Plan>, PlanError> {
    let tables = tables_of(problem, candidate)?;
    let c = &problem.candidates[candidate];
    let run = Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h };
    let plan = constant_prepared(&Prepared { tables: &tables, run }, level, start_h, problem.work_gpu_h)?;
    Ok(plan.map(|plan| Plan { candidate, ..plan }))
}

/// [`constant`] from prepared tables; the plan names candidate 0.
///
/// # Errors
/// If the run or the start is malformed, or there is no such level.
pub fn constant_prepared(on: &Prepared, level: usize, start_h: f64, work_gpu_h: f64) -> Result<Option<Plan>, PlanError> {
    let (tables, run) = (on.tables, &on.run);
    let Some(&speed) = tables.speed.get(level) else {
        return Err(PlanError::NoSuchEntry { field: "level", index: level, count: tables.speed.len() });
    };
    check::run(run.work_h, Start::Fixed(start_h), run.max_run_h, &str::to_owned)?;
    let hours = run.work_h / speed;
    let end = start_h + hours;
    // An end at the horizon may lie a rounding past it.
    if end > tables.horizon_h() * (1.0 + 4.0 * f64::EPSILON) || run.max_run_h.is_some_and(|most| hours > most) {
        return Ok(None);
    }
    let stretches = cut(tables, start_h, end.min(tables.horizon_h()), level);
    if stretches.is_empty() || stretches.iter().any(|s| tables.slots[s.slot].closed) {
        return Ok(None);
    }
    Ok(Some(schedule::plan(tables, &stretches, 0, work_gpu_h)))
}

/// What a list of stretches (of which only instants and levels are read) draws and emits on a candidate: a plan under
/// another forecast, after rounding, or as it was really run. Gaps are allowed, closed slots too: what ran, ran.
///
/// # Errors
/// If the problem is malformed, has no such candidate, or the stretches are not in order within its slots.
pub fn evaluate(problem: &Problem, candidate: usize, segments: &[Segment]) -> Result<Plan, PlanError> {
    let plan = evaluate_prepared(&tables_of(problem, candidate)?, segments, problem.work_gpu_h)?;
    Ok(Plan { candidate, ..plan })
}

/// [`evaluate`] from prepared tables; the plan names candidate 0.
///
/// # Errors
/// If the stretches are not in order within the slots, or name no level.
pub fn evaluate_prepared(tables: &Tables, segments: &[Segment], work_gpu_h: f64) -> Result<Plan, PlanError> {
    let levels = tables.speed.len();
    let mut stretches = Vec::new();
    let mut at = 0.0;
    for (index, s) in segments.iter().enumerate() {
        let bad = |what| Err(PlanError::BadSegment { index, what });
        if s.level >= levels {
            return Err(PlanError::NoSuchEntry { field: "level", index: s.level, count: levels });
        }
        if !(s.from_h >= at && s.to_h > s.from_h) {
            return bad("begins before the one before it ends, or does not end after it begins");
        }
        if s.to_h > tables.horizon_h() * (1.0 + 4.0 * f64::EPSILON) {
            return bad("ends past the forecast");
        }
        at = s.to_h;
        stretches.extend(cut(tables, s.from_h, s.to_h.min(tables.horizon_h()), s.level));
    }
    Ok(schedule::plan(tables, &stretches, 0, work_gpu_h))
}

fn tables_of(problem: &Problem, candidate: usize) -> Result<Tables, PlanError> {
    check::candidates(problem)?;
    match problem.candidates.get(candidate) {
        Some(c) => Ok(Tables::of_checked(c)),
        None => Err(PlanError::NoSuchEntry { field: "candidate", index: candidate, count: problem.candidates.len() }),
    }
}

/// Cuts a stretch at the slots' boundaries.
fn cut(t: &Tables, from: f64, to: f64, level: usize) -> Vec<Stretch> {
    let first = t.bounds[1..].partition_point(|&b| b <= from);
    (first..t.slots.len())
        .take_while(|&k| t.bounds[k] < to)
        .map(|slot| Stretch { slot, from: from.max(t.bounds[slot]), to: to.min(t.bounds[slot + 1]), level })
        .collect()
}
