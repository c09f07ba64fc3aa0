//! Services: inference that runs for its whole time limit at once, no slower than its latency limit allows.
//!
//! Nothing is deferred unless a start window is given. With T the run's length, s d the work and g d the grams of a slot:
//! *performance* is the least carbon above the clock floor, *carbon* the greatest mean speed (sum s d / T) within the budget,
//! *ppc* the greatest (sum s d / T) / sum g d. For a start between two slots' boundaries all three are linear programs with the
//! work as the coupling constraint; their optimum has its marginal price at the hull's slow end, at the budget, or at the mean
//! (Dinkelbach's condition: carbon per work equals the price of more).

use std::cmp::Ordering;

use super::check;
use super::error::PlanError;
use super::objective::SAME_INSTANT;
use super::outcome::{Infeasible, Outcome, Plan, Reason};
use super::pair::PairHull;
use super::problem::{Candidate, Level, Objective, Problem};
use super::schedule;
use super::span::{Curve, Span, spans};
use super::tables::Tables;
use super::window::TIE;

/// Which levels keep a latency limit: the profile's latency at the level, or that at full clock over the level's speed.
/// `None` if the profile tells no latency at full clock, and so cannot say.
///
/// # Errors
/// The limit is no number, or negative.
pub fn levels_within_latency(levels: &[Level], limit_ms: f64) -> Result<Option<Vec<usize>>, PlanError> {
    check::latency(limit_ms)?;
    let top = levels.iter().filter(|l| l.speed == 1.0).find_map(|l| l.latency_ms);
    let latency = |l: &Level| l.latency_ms.or(top.map(|ms| ms / l.speed));
    if levels.iter().all(|l| latency(l).is_none()) {
        return Ok(None);
    }
    Ok(Some((0..levels.len()).filter(|&i| latency(&levels[i]).is_some_and(|ms| ms <= limit_ms)).collect()))
}

/// The best plan of a service. Each candidate's `work_h` is the run's length, its whole time limit; the problem's
/// `work_gpu_h` is what it would do at full clock, and the plan's PPC is (work done / length) / carbon.
///
/// Ties go to the earlier end, the earlier start, fewer workers, then the order of the candidates.
///
/// # Errors
/// If the problem or the latency limit is malformed, or one is given and a profile knows no latency.
pub fn plan_service(problem: &Problem, latency_ms: Option<f64>) -> Result<Outcome, PlanError> {
    // The least carbon of a given length needs no deadline to be well defined.
    let deadline_h = problem.deadline_h.or(Some(f64::MAX));
    check::problem(&Problem { deadline_h, ..problem.clone() })?;
    let by = problem.deadline_h.unwrap_or(f64::INFINITY);
    let budget = problem.budget_g.unwrap_or(f64::INFINITY);

    let mut miss = Miss::new(problem.budget_g.is_some());
    let mut best: Option<(Rank, Plan)> = None;
    let mut pair = PairHull::default();
    for (candidate, c) in problem.candidates.iter().enumerate() {
        let levels = kept_levels(candidate, c, latency_ms)?;
        if levels.is_empty() {
            continue;
        }
        miss.latency = false;
        if c.max_run_h.is_some_and(|most| most < c.work_h) {
            continue;
        }
        miss.max_run = false;
        let kept = Candidate { levels: levels.iter().map(|&l| c.levels[l]).collect(), ..c.clone() };
        let tables = Tables::of_checked(&kept);
        for span in spans(&tables, c.start, c.work_h) {
            miss.see(&span, &tables, c.work_h, budget, by);
            let Some(span) = span.ending_by(by, c.work_h) else {
                continue;
            };
            let curve = Curve::new(&tables, &span, c.work_h, &mut pair);
            let Some(taken) = curve.take(problem.objective, budget) else {
                continue;
            };
            let mut plan = curve.plan(&tables, &span, &taken, candidate, &pair);
            for s in &mut plan.segments {
                s.level = levels[s.level];
            }
            let done = taken.work / c.work_h;
            plan.ppc = schedule::performance_per_carbon(problem.work_gpu_h * done, c.work_h, plan.carbon_g);
            let rank =
                Rank { mark: mark(problem.objective, &plan, done), end: plan.end_h, start: plan.start_h, workers: c.workers };
            if best.as_ref().is_none_or(|(kept, _)| rank.before(kept)) {
                best = Some((rank, plan));
            }
        }
    }
    Ok(match best {
        Some((_, plan)) => Outcome::Feasible(plan),
        None => Outcome::Infeasible(miss.explain()),
    })
}

fn kept_levels(candidate: usize, c: &Candidate, latency_ms: Option<f64>) -> Result<Vec<usize>, PlanError> {
    let Some(limit) = latency_ms else {
        return Ok((0..c.levels.len()).collect());
    };
    levels_within_latency(&c.levels, limit)?.ok_or_else(|| PlanError::Empty {
        field: format!("candidates[{candidate}].levels: latency_ms"),
        expected: "the latency at full clock, since a latency limit is given",
    })
}

/// What an objective wants least of.
fn mark(objective: Objective, plan: &Plan, speed: f64) -> f64 {
    match objective {
        Objective::Performance => plan.carbon_g,
        Objective::Carbon => -speed,
        Objective::Ppc => plan.carbon_g / speed,
    }
}

/// What plans are compared by, in this order.
struct Rank {
    mark: f64,
    end: f64,
    start: f64,
    workers: u32,
}

impl Rank {
    fn before(&self, other: &Self) -> bool {
        let about = |a: f64, b: f64, tie: f64| {
            if (a - b).abs() <= tie { Ordering::Equal } else { a.total_cmp(&b) }
        };
        about(self.mark, other.mark, TIE * self.mark.abs().max(other.mark.abs()))
            .then(about(self.end, other.end, SAME_INSTANT))
            .then(about(self.start, other.start, SAME_INSTANT))
            .then(self.workers.cmp(&other.workers))
            .is_lt()
    }
}

/// What an infeasible answer says, gathered on the way.
struct Miss {
    budgeted: bool,
    latency: bool,
    max_run: bool,
    fits: bool,
    least: f64,
    earliest_within: f64,
}

impl Miss {
    fn new(budgeted: bool) -> Self {
        Self { budgeted, latency: true, max_run: true, fits: false, least: f64::INFINITY, earliest_within: f64::INFINITY }
    }

    fn see(&mut self, span: &Span, t: &Tables, length: f64, budget: f64, by: f64) {
        self.fits = true;
        let (early, late) = (span.least(t, span.from, length), span.least(t, span.to, length));
        if let Some(cut) = span.ending_by(by, length) {
            self.least = self.least.min(early).min(span.least(t, cut.to, length));
        }
        // Linear in the start within a span.
        let within = budget * (1.0 + TIE);
        if early <= within {
            self.earliest_within = self.earliest_within.min(span.from + length);
        } else if late <= within {
            let at = span.from + (span.to - span.from) * (early - budget) / (early - late);
            self.earliest_within = self.earliest_within.min(at.clamp(span.from, span.to) + length);
        }
    }

    fn explain(&self) -> Infeasible {
        let least_carbon_g = self.least.is_finite().then_some(self.least);
        let earliest_end_h = self.earliest_within.is_finite().then_some(self.earliest_within);
        let reason = match (least_carbon_g, earliest_end_h) {
            _ if self.latency => Reason::Latency,
            _ if self.max_run => Reason::MaxRun,
            _ if !self.fits => Reason::Horizon,
            (None, Some(_)) => Reason::Deadline,
            (Some(_), None) => Reason::Budget,
            _ if self.budgeted => Reason::DeadlineAndBudget,
            _ => Reason::Deadline,
        };
        Infeasible { reason, least_carbon_g, earliest_end_h }
    }
}
