//! Suspended work: a job that checkpoints may pause and resume.
//!
//! If resuming costs nothing, every slot may be idle and the plan is exact: the cheapest work of all slots, whenever it is (the
//! pure water-filling bound, which reports and simulations call *the limit*). If each resume adds some hours of full-clock
//! work, when to run is a choice for every slot. Pricing the work makes it a shortest path over (slot, running?), whose best price gives a
//! bound; every pattern of running and pausing met on the way is then solved exactly, and the best of them is the plan, reported beside the bound.

use super::Request;
use super::check;
use super::error::PlanError;
use super::fill::Fill;
use super::objective::SAME_INSTANT;
use super::outcome::{Infeasible, Outcome, Plan, Reason};
use super::problem::{Candidate, Objective, Problem};
use super::restart::Restarts;
use super::search::best;
use super::tables::Tables;
use super::window::{Run, Windows};

/// A plan that pauses, and how good any could be.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspended {
    /// The plan, with gaps between its segments where it pauses.
    pub outcome: Outcome,
    /// How often it resumes.
    pub resumes: usize,
    /// No plan of the same candidates that ends by the deadline (for the performance objective) or by this plan's end (for the
    /// others) emits less, g.
    pub bound_g: f64,
}

/// The limit: the least carbon by an instant (the horizon without one) of a run that may pause and resume for nothing, g.
/// `None` if the work does not fit. Patience and the longest run are not looked at.
///
/// # Errors
/// If the candidate is malformed.
pub fn limit(candidate: &Candidate, by_h: Option<f64>) -> Result<Option<f64>, PlanError> {
    let tables = Tables::new(candidate)?;
    let run = Run { work_h: candidate.work_h, start: candidate.start, max_run_h: None };
    check::run(run.work_h, run.start, None, &str::to_owned)?;
    let Some(windows) = Windows::suspended(&tables, &run) else {
        return Ok(None);
    };
    let least = windows.least_carbon(by_h.unwrap_or(f64::INFINITY), &mut Fill::default()).least();
    Ok(least.is_finite().then_some(least))
}

/// The best plan of a problem whose job may pause, each resume adding `restart_h` hours of full-clock work.
///
/// If that is nothing, the plan is the optimum and its own bound. Otherwise it is the best of the patterns found; ends are then
/// sought at the slots' boundaries (no more than 128 of them) for the ppc objective. Patience and the longest run are not looked at.
///
/// # Errors
/// If the problem is malformed or `restart_h` is not a length of 0 h or more.
pub fn plan_suspended(problem: &Problem, restart_h: f64) -> Result<Suspended, PlanError> {
    check::problem(problem)?;
    check::restart(restart_h)?;
    let tables: Vec<Tables> = problem.candidates.iter().map(Tables::of_checked).collect();
    let run = |c: &Candidate| Run { work_h: c.work_h, start: c.start, max_run_h: None };
    let windows = || tables.iter().zip(&problem.candidates).map(|(t, c)| Windows::suspended(t, &run(c)));
    let outcome = if restart_h > 0.0 {
        with_restarts(problem, restart_h, &tables)
    } else {
        let Problem { objective, deadline_h, budget_g, work_gpu_h, .. } = *problem;
        best(windows().collect(), &Request { objective, deadline_h, budget_g, work_gpu_h })
    };
    let Outcome::Feasible(plan) = &outcome else {
        return Ok(Suspended { outcome, resumes: 0, bound_g: f64::INFINITY });
    };
    let resumes = plan.segments.windows(2).filter(|s| s[1].from_h - s[0].to_h > SAME_INSTANT).count();
    let by = match problem.objective {
        Objective::Performance => problem.deadline_h.unwrap_or(plan.end_h),
        _ => plan.end_h,
    };
    let bound = |ws: Windows| Restarts::new(ws, restart_h).bound(by);
    let bound_g = windows().flatten().map(bound).fold(f64::INFINITY, f64::min).min(plan.carbon_g);
    Ok(Suspended { outcome, resumes, bound_g })
}

fn with_restarts(problem: &Problem, restart_h: f64, tables: &[Tables]) -> Outcome {
    let budget = problem.budget_g.unwrap_or(f64::INFINITY);
    let by = problem.deadline_h.unwrap_or(f64::INFINITY);
    let mut plans: Vec<(f64, Plan)> = Vec::new();
    let (mut least, mut earliest) = (None::<f64>, None::<f64>);
    for (candidate, (t, c)) in tables.iter().zip(&problem.candidates).enumerate() {
        let run = Run { work_h: c.work_h, start: c.start, max_run_h: None };
        let Some(ws) = Windows::suspended(t, &run) else {
            continue;
        };
        let restarts = Restarts::new(ws, restart_h);
        let plan = |by: f64| restarts.plan(by, candidate, problem.work_gpu_h);
        let at_deadline = restarts.plan_well(by, candidate, problem.work_gpu_h);
        least = least.into_iter().chain(at_deadline.as_ref().map(|p| p.carbon_g)).reduce(f64::min);
        let within = restarts.earliest(budget, plan);
        earliest = earliest.into_iter().chain(within.as_ref().map(|p| p.end_h)).reduce(f64::min);
        let kept = |p: &Plan| p.carbon_g <= budget && p.end_h <= by + SAME_INSTANT;
        let found: Vec<Plan> = match problem.objective {
            Objective::Performance => at_deadline.into_iter().collect(),
            Objective::Carbon => within.into_iter().collect(),
            Objective::Ppc => restarts.some_ends(by).into_iter().filter_map(plan).chain(within).chain(at_deadline).collect(),
        };
        plans.extend(found.into_iter().filter(kept).map(|p| (mark(problem.objective, &p), p)));
    }
    let before = |x: &(f64, Plan), y: &(f64, Plan)| x.0.total_cmp(&y.0).then(x.1.end_h.total_cmp(&y.1.end_h));
    match plans.into_iter().min_by(before) {
        Some((_, plan)) => Outcome::Feasible(plan),
        None => {
            let reason = match (least, earliest) {
                (None, None) if problem.budget_g.is_none() => Reason::Horizon,
                (None, Some(_)) => Reason::Deadline,
                (Some(_), None) => Reason::Budget,
                _ => Reason::DeadlineAndBudget,
            };
            Outcome::Infeasible(Infeasible { reason, least_carbon_g: least, earliest_end_h: earliest })
        }
    }
}

fn mark(objective: Objective, plan: &Plan) -> f64 {
    match objective {
        Objective::Performance => plan.carbon_g,
        Objective::Carbon => plan.end_h,
        Objective::Ppc => plan.end_h * plan.carbon_g,
    }
}
