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
//! | [`plan_service`] | inference: a given length, a clock floor from its latency |
//! | [`constant`], [`evaluate`] | runs that are given, not sought: one clock from a given start; any list of stretches |
//! | [`Tables`], [`plan_prepared`] | the same for many jobs on the same candidates |

mod check;
mod error;
mod evaluate;
mod fill;
mod frontier;
mod hull;
mod objective;
mod outcome;
mod pair;
mod problem;
mod schedule;
mod seconds;
mod service;
mod tables;
mod window;

pub use error::PlanError;
pub use evaluate::{constant, evaluate};
pub use frontier::{Ends, frontier, frontier_prepared};
pub use outcome::{FrontierPoint, Infeasible, Outcome, Plan, Reason, Segment};
pub use problem::{Candidate, Level, Objective, Problem, Slot, Start};
pub use seconds::{plan_whole_seconds, plan_whole_seconds_prepared};
pub use service::{levels_within_latency, plan_service};
pub use tables::Tables;
pub use window::Run;

use fill::Fill;
use objective::{Budget, Descent, End, SAME_INSTANT};
use window::{TIE, Windows};

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
    Ok(best(&prepared(problem, &tables), &request))
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
    Ok(best(candidates, request))
}

fn prepared<'t>(problem: &Problem, tables: &'t [Tables]) -> Vec<Prepared<'t>> {
    let run = |c: &Candidate| Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h };
    problem.candidates.iter().zip(tables).map(|(c, tables)| Prepared { tables, run: run(c) }).collect()
}

fn best(candidates: &[Prepared], request: &Request) -> Outcome {
    let windows: Vec<Option<Windows>> = candidates.iter().map(|c| Windows::new(c.tables, &c.run)).collect();
    let mut search = Search { windows, fill: Fill::default() };
    let by = request.deadline_h.unwrap_or(f64::INFINITY);
    let budget = request.budget_g.unwrap_or(f64::INFINITY);
    let ends = match request.objective {
        Objective::Performance => search.least_carbon(budget, by),
        Objective::Carbon => search.earliest(budget, by),
        Objective::Ppc => search.best_ppc(budget, by),
    };
    match search.finish(&ends, request.work_gpu_h) {
        Some(plan) => Outcome::Feasible(plan),
        None => Outcome::Infeasible(search.miss(candidates, request)),
    }
}

/// The candidates' windows, with the memory that searching them needs.
struct Search<'t> {
    windows: Vec<Option<Windows<'t>>>,
    fill: Fill,
}

impl Search<'_> {
    /// Each candidate's end by a rule.
    fn ends(&mut self, mut rule: impl FnMut(&Windows, &mut Fill) -> Option<End>) -> Vec<Option<End>> {
        let fill = &mut self.fill;
        self.windows.iter().map(|ws| ws.as_ref().and_then(|ws| rule(ws, fill))).collect()
    }

    /// Performance: the earliest end at the least carbon by the deadline.
    fn least_carbon(&mut self, budget: f64, by: f64) -> Vec<Option<End>> {
        let fill = &mut self.fill;
        let descents: Vec<Descent> =
            self.windows.iter().map(|ws| ws.as_ref().map_or(Descent::default(), |ws| ws.least_carbon(by, fill))).collect();
        let cost = descents.iter().map(Descent::least).fold(f64::INFINITY, f64::min);
        if cost > Budget::about(budget).most {
            return Vec::new();
        }
        let reach = |(ws, descent): (&Option<Windows>, &Descent)| {
            ws.as_ref()?.earliest_end_from(descent.reaches(cost)?, Budget::about(cost), by, fill)
        };
        self.windows.iter().zip(&descents).map(reach).collect()
    }

    /// Carbon: the earliest end within the budget.
    fn earliest(&mut self, budget: f64, by: f64) -> Vec<Option<End>> {
        self.within(budget, |ws, budget, fill| ws.earliest_end(budget, by, fill))
    }

    /// PPC: the least product of end and carbon.
    fn best_ppc(&mut self, budget: f64, by: f64) -> Vec<Option<End>> {
        let mut ends = self.within(budget, |ws, budget, fill| ws.best_ppc(budget, by, fill));
        let least = ends.iter().flatten().map(|e| e.at * e.cost).fold(f64::INFINITY, f64::min);
        for end in &mut ends {
            *end = end.filter(|e| e.at * e.cost <= least * (1.0 + TIE));
        }
        ends
    }

    /// Each candidate's end under a budget that is kept to the last digit, unless it is just the least there is.
    fn within(&mut self, budget: f64, mut rule: impl FnMut(&Windows, Budget, &mut Fill) -> Option<End>) -> Vec<Option<End>> {
        let inside = self.ends(|ws, fill| rule(ws, Budget::strictly(budget), fill));
        if inside.iter().any(Option::is_some) { inside } else { self.ends(|ws, fill| rule(ws, Budget::about(budget), fill)) }
    }

    /// The plan of the best end: the earliest, then the earliest start, then the fewest workers, then the first in order.
    fn finish(&mut self, ends: &[Option<End>], work_gpu_h: f64) -> Option<Plan> {
        let earliest = ends.iter().flatten().map(|e| e.at).fold(f64::INFINITY, f64::min);
        let mut best: Option<(Plan, u32)> = None;
        for (i, (end, ws)) in ends.iter().zip(&self.windows).enumerate() {
            let (Some(end), Some(ws)) = (end, ws) else {
                continue;
            };
            if end.at > earliest + SAME_INSTANT {
                continue;
            }
            let Some(plan) = ws.plan_at(*end, i, work_gpu_h, &mut self.fill) else {
                continue;
            };
            let workers = ws.tables.workers;
            let better = best.as_ref().is_none_or(|(kept, n)| {
                plan.start_h < kept.start_h - SAME_INSTANT || plan.start_h <= kept.start_h + SAME_INSTANT && workers < *n
            });
            if better {
                best = Some((plan, workers));
            }
        }
        best.map(|(plan, _)| plan)
    }

    /// By how much an infeasible request misses.
    fn miss(&mut self, candidates: &[Prepared], request: &Request) -> Infeasible {
        let by = request.deadline_h.unwrap_or(f64::INFINITY);
        let budget = Budget::about(request.budget_g.unwrap_or(f64::INFINITY));
        let fill = &mut self.fill;
        let least = self.windows.iter().flatten().map(|ws| ws.least_carbon(by, fill).least()).fold(f64::INFINITY, f64::min);
        let within_budget = self.ends(|ws, fill| ws.earliest_end(budget, f64::INFINITY, fill));
        let fits = self.ends(|ws, fill| ws.earliest_end(Budget::about(f64::INFINITY), f64::INFINITY, fill));
        let least_carbon_g = least.is_finite().then_some(least);
        let earliest_end_h = within_budget.iter().flatten().map(|e| e.at).reduce(f64::min);
        let reason = if fits.iter().all(Option::is_none) {
            let too_long = |c: &Prepared| c.run.max_run_h.is_some_and(|most| most < c.run.work_h);
            if candidates.iter().all(too_long) { Reason::MaxRun } else { Reason::Horizon }
        } else {
            match (least_carbon_g, earliest_end_h) {
                (None, Some(_)) => Reason::Deadline,
                (Some(_), None) => Reason::Budget,
                _ => Reason::DeadlineAndBudget,
            }
        };
        Infeasible { reason, least_carbon_g, earliest_end_h }
    }
}
