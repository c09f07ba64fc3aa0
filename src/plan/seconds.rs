//! Whole seconds: Slurm starts jobs on them, the optimum seldom does.
//!
//! Solve, then fix the start at the second before and at the one after, solve again, and keep the better of those that
//! still meet every constraint; so no budget is missed by rounding.

use super::error::PlanError;
use super::outcome::Outcome;
use super::problem::{Problem, Start};
use super::{Prepared, Request, Run, Tables, check, plan_prepared, prepared};

const SECOND_H: f64 = 1.0 / 3600.0;

/// What is closer than this, in hours, is the same instant: a millionth of a second.
const HAIR_H: f64 = 1e-6 * SECOND_H;

/// [`super::plan`] with a start on a whole second after now.
///
/// Infeasible only if no plan that starts on one of the two seconds beside the exact optimum's start meets the request; the figures of the
/// miss are then those of these two starts.
///
/// # Errors
/// If the problem is malformed.
pub fn plan_whole_seconds(problem: &Problem) -> Result<Outcome, PlanError> {
    check::problem(problem)?;
    let tables: Vec<Tables> = problem.candidates.iter().map(Tables::of_checked).collect();
    let Problem { objective, deadline_h, budget_g, work_gpu_h, .. } = *problem;
    plan_whole_seconds_prepared(&prepared(problem, &tables), &Request { objective, deadline_h, budget_g, work_gpu_h })
}

/// [`plan_whole_seconds`] from tables that were prepared before.
///
/// # Errors
/// If the request or a run is malformed, or there is no candidate.
pub fn plan_whole_seconds_prepared(candidates: &[Prepared], request: &Request) -> Result<Outcome, PlanError> {
    let exact = match plan_prepared(candidates, request)? {
        Outcome::Feasible(plan) => plan,
        miss => return Ok(miss),
    };
    let chosen = candidates[exact.candidate];
    let (earliest, latest) = match chosen.run.start {
        Start::Fixed(_) => return Ok(Outcome::Feasible(exact)), // the caller's own choice
        Start::Within { earliest_h, latest_h } => (earliest_h, latest_h),
    };
    let fixed: Vec<_> = starts(exact.start_h, &chosen.tables.bounds)
        .into_iter()
        .filter(|&at| at >= earliest - HAIR_H && at <= latest + HAIR_H)
        .map(|at| Prepared { run: Run { start: Start::Fixed(at), ..chosen.run }, ..chosen })
        .collect();
    if fixed.is_empty() {
        return Ok(Outcome::Feasible(exact)); // the window holds no whole second
    }
    let mut outcome = plan_prepared(&fixed, request)?;
    if let Outcome::Feasible(plan) = &mut outcome {
        plan.candidate = exact.candidate;
    }
    Ok(outcome)
}

/// The whole seconds beside an instant, or the instant itself where it is one.
///
/// A count of seconds made into hours often lies a rounding before the slot boundary that is meant, which is summed from the
/// slots' lengths: where the slot before is closed, such a start would be in it. So each is also offered as the boundary itself.
fn starts(exact_h: f64, bounds: &[f64]) -> Vec<f64> {
    let seconds = exact_h / SECOND_H;
    let mut starts = vec![seconds.floor() * SECOND_H, seconds.ceil() * SECOND_H];
    if (exact_h - seconds.round() * SECOND_H).abs() <= HAIR_H {
        starts = vec![exact_h];
    }
    for at in starts.clone() {
        let next = bounds.partition_point(|&bound| bound < at - HAIR_H);
        starts.extend(bounds.get(next).filter(|&&bound| bound <= at + HAIR_H && bound != at));
    }
    starts
}
