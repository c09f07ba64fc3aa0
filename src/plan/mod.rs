//! The planner: when, where and at which clocks a job runs, so that it emits least, ends earliest, or does most per gram.
//!
//! One idea carries everything: the frontier C*(E), the least carbon of any plan that ends by E. It never rises.
//! The three objectives are points on it ([`Objective`]); sites and worker counts enlarge the set of plans ([`Candidate`]).
//! Everything here is a function of its arguments: no clock, no file, no chance.
//!
//! In slot k, a job of n workers at level l draws P = PUE n (p_l + h) at the facility and emits, in g/h,
//! `g_k(P) = CI_k max(0, P - R_k) / 1000 + CI_on min(P, R_k) / 1000`. A contiguous run that begins in slot a and ends in
//! slot z runs in between at any mix of levels. Its least carbon is a linear program with one coupling constraint, the work,
//! which is solved exactly. The formulation is CARM's own, after D.-K. Kang and Y.-H. Moon, "A Carbon-Efficient Framework for
//! Deep Learning Workloads on GPU Clusters", Applied Sciences 16(2), 633 (2026), of which only the abstract is public.
//!
//! | part | what it does |
//! |---|---|
//! | [`Problem`], [`Candidate`] | the question |
//! | [`Outcome`], [`Plan`] | the answer |
//! | [`plan`] | the best plan of a problem |
//! | [`plan_whole_seconds`] | the same with a start that Slurm can keep |
//! | [`frontier`] | the curve |
//! | [`plan_suspended`], [`limit`], [`frontier_suspended`] | work that may pause, with and without a cost to resume |
//! | [`plan_service`] | inference: a given length, a clock floor from its latency |
//! | [`carbon_range`], [`start_at_once_instead`] | what a forecast's error means for a plan |
//! | [`constant`], [`evaluate`] | runs that are given, not sought: one clock from a given start; any list of stretches |
//! | [`Tables`], [`plan_prepared`] | the same for many jobs on the same candidates |

mod band;
mod bound;
mod check;
mod error;
mod evaluate;
mod fill;
mod frontier;
mod hull;
mod objective;
mod offers;
mod outcome;
mod pair;
mod parts;
mod problem;
mod restart;
mod scan;
mod schedule;
mod search;
mod seconds;
mod service;
mod span;
mod suspend;
mod tables;
mod window;

pub use band::{carbon_range, start_at_once_instead};
pub use error::PlanError;
pub use evaluate::{constant, constant_prepared, evaluate, evaluate_prepared};
pub use frontier::{Ends, frontier, frontier_prepared, frontier_suspended};
pub use outcome::{FrontierPoint, Infeasible, Outcome, Plan, Reason, Segment};
pub use problem::{Candidate, Level, Objective, Problem, Slot, Start};
pub use seconds::{plan_whole_seconds, plan_whole_seconds_prepared};
pub use service::{levels_within_latency, plan_service};
pub use suspend::{Suspended, limit, plan_suspended};
pub use tables::Tables;
pub use window::Run;

use search::best;
use window::Windows;

/// What is asked of prepared candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// What is sought.
    pub objective: Objective,
    /// Finish by, h after now.
    pub deadline_h: Option<f64>,
    /// Facility carbon of the whole job, gCO2e.
    pub budget_g: Option<f64>,
    /// The requested GPUs times W, GPU-h at full clock.
    pub work_gpu_h: f64,
}

/// One way to run a job: a candidate's tables, and what the job asks of it.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<'t> {
    /// The candidate's tables.
    pub tables: &'t Tables,
    /// The job's work, start and longest run there.
    pub run: Run,
}

/// The best plan of a problem, or how far off the request is.
///
/// # Errors
/// If the problem is malformed: a number out of range, an empty list, an objective without its constraint.
///
/// ```
/// use carm::plan::*;
/// let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
/// let problem = Problem {
///     candidates: vec![Candidate {
///         slots: vec![Slot::grid(1.0, 400.0), Slot::grid(1.0, 100.0), Slot::grid(1.0, 300.0)],
///         levels: vec![level(1200, 200.0, 0.7), level(1800, 350.0, 1.0)],
///         workers: 1,
///         work_h: 1.0,
///         host_watts: 50.0,
///         pue: 1.2,
///         onsite_g_per_kwh: 30.0,
///         start: Start::Within { earliest_h: 0.0, latest_h: 24.0 },
///         max_run_h: None,
///     }],
///     objective: Objective::Performance,
///     deadline_h: Some(3.0),
///     budget_g: None,
///     work_gpu_h: 1.0,
/// };
/// let best = plan(&problem)?.plan().expect("three hours are enough");
/// assert_eq!((best.start_h, best.end_h), (1.0, 2.0)); // the clean hour, at full clock
/// assert!((best.carbon_g - 1.2 * 0.4 * 100.0).abs() < 1e-9);
/// # Ok::<(), PlanError>(())
/// ```
pub fn plan(problem: &Problem) -> Result<Outcome, PlanError> {
    check::problem(problem)?;
    let tables: Vec<Tables> = problem.candidates.iter().map(Tables::of_checked).collect();
    let request = Request {
        objective: problem.objective,
        deadline_h: problem.deadline_h,
        budget_g: problem.budget_g,
        work_gpu_h: problem.work_gpu_h,
    };
    Ok(best(windows(&prepared(problem, &tables)), &request))
}

/// [`plan`] from tables that were prepared before, once for all jobs.
///
/// # Errors
/// If the request or a run is malformed, or there is no candidate.
pub fn plan_prepared(candidates: &[Prepared], request: &Request) -> Result<Outcome, PlanError> {
    check::request(request.objective, request.deadline_h, request.budget_g, request.work_gpu_h)?;
    if candidates.is_empty() {
        return Err(PlanError::Empty { field: "candidates".into(), expected: "at least one site to run at" });
    }
    for (i, c) in candidates.iter().enumerate() {
        check::run(c.run.work_h, c.run.start, c.run.max_run_h, &|name| format!("candidates[{i}].{name}"))?;
    }
    Ok(best(windows(candidates), request))
}

fn prepared<'t>(problem: &Problem, tables: &'t [Tables]) -> Vec<Prepared<'t>> {
    let run = |c: &Candidate| Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h };
    problem.candidates.iter().zip(tables).map(|(c, tables)| Prepared { tables, run: run(c) }).collect()
}

fn windows<'t>(candidates: &[Prepared<'t>]) -> Vec<Option<Windows<'t>>> {
    candidates.iter().map(|c| Windows::new(c.tables, &c.run)).collect()
}
