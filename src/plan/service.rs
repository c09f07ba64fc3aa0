//! Services: inference that runs for its whole time limit at once, no slower than its latency limit allows.
//!
//! Nothing is deferred unless a start window is given. With T the run's length, s d the work and g d the grams of a slot:
//! *performance* is the least carbon above the clock floor, *carbon* the greatest mean speed (sum s d / T) within the budget,
//! *ppc* the greatest (sum s d / T) / sum g d. For a start between two slots' boundaries all three are linear programs with the
//! work as the coupling constraint; their optimum has its marginal price at the hull's slow end, at the budget, or at the mean
//! (Dinkelbach's condition: carbon per work equals the price of more).

use std::cmp::Ordering;

use super::bound::bound;
use super::check;
use super::error::PlanError;
use super::objective::SAME_INSTANT;
use super::outcome::{Infeasible, Outcome, Plan, Reason};
use super::pair::PairHull;
use super::problem::{Candidate, Level, Objective, Problem};
use super::schedule;
use super::span::{Curve, Span, cheapest, spans};
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

    let mut search = Search { problem, by, budget, miss: Miss::new(problem.budget_g.is_some()), best: None };
    for (candidate, c) in problem.candidates.iter().enumerate() {
        let levels = kept_levels(candidate, c, latency_ms)?;
        if levels.is_empty() {
            continue;
        }
        search.miss.latency = false;
        if c.max_run_h.is_some_and(|most| most < c.work_h) {
            continue;
        }
        search.miss.max_run = false;
        search.candidate(candidate, c, &levels);
    }
    Ok(match search.best {
        Some((_, plan)) => Outcome::Feasible(plan),
        None => Outcome::Infeasible(search.miss.explain()),
    })
}

/// The best plan so far, or why there is none.
struct Search<'p> {
    problem: &'p Problem,
    by: f64,
    budget: f64,
    miss: Miss,
    best: Option<(Rank, Plan)>,
}

impl Search<'_> {
    /// Looks for a better plan on one candidate with these of its levels. Nearly all spans are passed over by a bound, once
    /// the most promising is solved.
    fn candidate(&mut self, candidate: usize, c: &Candidate, levels: &[usize]) {
        let kept = Candidate { levels: levels.iter().map(|&l| c.levels[l]).collect(), ..c.clone() };
        let tables = Tables::of_checked(&kept);
        let cheapest = cheapest(&tables);
        let mut open: Vec<(f64, Span)> = Vec::new();
        for span in spans(&tables, c.start, c.work_h) {
            self.miss.see(&span, &tables, &cheapest, c.work_h, self.budget, self.by);
            let Some(span) = span.ending_by(self.by, c.work_h) else {
                continue;
            };
            let least = [span.from, span.to].map(|at| span.least(&tables, &cheapest, at, c.work_h));
            let of = (least[0].min(least[1]), self.budget);
            open.push((bound(&tables, &span, c.work_h, self.problem.objective, of), span));
        }
        // The most promising first; the others in order of time.
        let promising = open.iter().min_by(|x, y| x.0.total_cmp(&y.0)).copied();
        let mut pair = PairHull::default();
        for (least, span) in promising.into_iter().chain(open) {
            if self.beats(least, span.from + c.work_h) {
                self.solve(candidate, c, levels, &tables, &span, &mut pair);
            }
        }
    }

    /// Whether a run that wants at least so much, and ends then at the earliest, may be better than the best so far.
    fn beats(&self, least: f64, end: f64) -> bool {
        let Some((best, _)) = &self.best else { return least < f64::INFINITY };
        let tie = TIE * best.mark.abs().max(least.abs());
        least <= best.mark - tie || least <= best.mark + tie && end <= best.end + SAME_INSTANT
    }

    fn solve(&mut self, candidate: usize, c: &Candidate, levels: &[usize], t: &Tables, span: &Span, pair: &mut PairHull) {
        let objective = self.problem.objective;
        let curve = Curve::new(t, span, c.work_h, pair);
        let Some(taken) = curve.take(objective, self.budget) else { return };
        let mut plan = curve.plan(t, span, &taken, candidate, pair);
        for s in &mut plan.segments {
            s.level = levels[s.level];
        }
        let done = taken.work / c.work_h;
        plan.ppc = schedule::performance_per_carbon(self.problem.work_gpu_h * done, c.work_h, plan.carbon_g);
        let rank = Rank { mark: mark(objective, &plan, done), end: plan.end_h, start: plan.start_h, workers: c.workers };
        if self.best.as_ref().is_none_or(|(kept, _)| rank.before(kept)) {
            self.best = Some((rank, plan));
        }
    }
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

    fn see(&mut self, span: &Span, t: &Tables, cheapest: &[f64], length: f64, budget: f64, by: f64) {
        self.fits = true;
        let least = |at: f64| span.least(t, cheapest, at, length);
        let (early, late) = (least(span.from), least(span.to));
        if let Some(cut) = span.ending_by(by, length) {
            self.least = self.least.min(early).min(least(cut.to));
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
