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
use super::fill::Part;
use super::objective::SAME_INSTANT;
use super::outcome::{Infeasible, Outcome, Plan, Reason};
use super::pair::PairHull;
use super::problem::{Candidate, Level, Objective, Problem, Start};
use super::schedule;
use super::tables::Tables;
use super::window::TIE;

/// Which levels keep a latency limit: the profile's latency at the level, or that at full clock over the level's speed.
/// `None` if the profile tells no latency at full clock, and so cannot say.
#[must_use]
pub fn levels_within_latency(levels: &[Level], limit_ms: f64) -> Option<Vec<usize>> {
    let top = levels.iter().filter(|l| l.speed == 1.0).find_map(|l| l.latency_ms);
    let latency = |l: &Level| l.latency_ms.or(top.map(|ms| ms / l.speed));
    if levels.iter().all(|l| latency(l).is_none()) {
        return None;
    }
    Some((0..levels.len()).filter(|&i| latency(&levels[i]).is_some_and(|ms| ms <= limit_ms)).collect())
}

/// The best plan of a service. Each candidate's `work_h` is the run's length, its whole time limit; the problem's
/// `work_gpu_h` is what it would do at full clock, and the plan's PPC is (work done / length) / carbon.
///
/// Ties go to the earlier end, the earlier start, fewer workers, then the order of the candidates.
///
/// # Errors
/// If the problem is malformed, or a latency limit is given and a profile knows no latency.
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
    levels_within_latency(&c.levels, limit).ok_or_else(|| PlanError::Empty {
        field: format!("candidates[{candidate}].levels: latency_ms"),
        expected: "the latency at full clock, since a latency limit is given",
    })
}

/// Starts between which a run's first and last slot stay the same.
#[derive(Debug, Clone, Copy)]
struct Span {
    a: usize,
    z: usize,
    from: f64,
    to: f64,
}

/// All spans of starts, in order; those that would touch a closed slot or pass the horizon are left out.
fn spans(t: &Tables, start: Start, length: f64) -> Vec<Span> {
    let (earliest, latest) = match start {
        Start::Fixed(at) => (at, at),
        Start::Within { earliest_h, latest_h } => (earliest_h, latest_h),
    };
    // A run that just fits may miss the horizon by a rounding.
    let last = latest.min(t.horizon_h() - length + 4.0 * f64::EPSILON * t.horizon_h());
    let inside = |at: &f64| *at > earliest && *at < last;
    let mut cuts: Vec<f64> = t.bounds.iter().copied().chain(t.bounds.iter().map(|b| b - length)).filter(inside).collect();
    cuts.extend([earliest, last]);
    cuts.sort_unstable_by(f64::total_cmp);
    if earliest > last {
        return Vec::new();
    }
    let mut stretches: Vec<(f64, f64)> = cuts.windows(2).map(|c| (c[0], c[1])).filter(|c| c.0 < c.1).collect();
    // A run may just fit between two closed slots.
    stretches.extend(cuts.iter().map(|&c| (c, c)));
    let slots = t.slots.len();
    let hair = 4.0 * f64::EPSILON * t.horizon_h();
    let span = |(from, to): (f64, f64)| {
        let middle = from.midpoint(to);
        let a = t.bounds[1..slots].partition_point(|&b| b <= middle + hair);
        let z = t.bounds[1..slots].partition_point(|&b| b < middle + length - hair).max(a);
        Span { a, z, from, to }
    };
    stretches.into_iter().map(span).filter(|s| t.open_since[s.z] <= s.a).collect()
}

impl Span {
    fn ending_by(self, by: f64, length: f64) -> Option<Self> {
        let to = self.to.min(by - length);
        (to >= self.from - 4.0 * f64::EPSILON * self.to.abs()).then_some(Self { to: to.max(self.from), ..self })
    }

    /// Hours in the first and the last slot of a run that starts then.
    fn hours(&self, t: &Tables, at: f64, length: f64) -> (f64, f64) {
        if self.a == self.z {
            return (length, 0.0);
        }
        ((t.bounds[self.a + 1] - at).max(0.0), (at + length - t.bounds[self.z]).max(0.0))
    }

    /// Least carbon of a run that starts then: the cheapest level everywhere.
    fn least(&self, t: &Tables, at: f64, length: f64) -> f64 {
        let cheapest = |k: usize| t.hulls.slot(k).iter().map(|v| v.rate).fold(f64::INFINITY, f64::min);
        let (u, v) = self.hours(t, at, length);
        let inner: f64 = (self.a + 1..self.z).map(|k| cheapest(k) * t.slots[k].hours).sum();
        u * cheapest(self.a) + inner + v * cheapest(self.z)
    }
}

/// Work against carbon over all the runs of a span: slow end and segments, cheapest first.
struct Curve {
    work: f64,
    grams: f64,
    steps: Vec<Step>,
}

/// A segment: slope, work, and where it leads: a slot in between and its vertex, or a vertex of the pair of ends.
struct Step {
    slope: f64,
    work: f64,
    slot: Option<usize>,
    vertex: usize,
}

/// How much of a curve is taken: so many whole steps and a share of the next.
struct Taken {
    whole: usize,
    share: f64,
    work: f64,
}

impl Curve {
    fn new(t: &Tables, span: &Span, length: f64, pair: &mut PairHull) -> Self {
        let (early, late) = (span.hours(t, span.from, length), span.hours(t, span.to, length));
        pair.build_corners(t, span.a, span.z, &[early, late]);
        let ends = pair.vertices[0];
        let mut curve = Curve { work: ends.work, grams: ends.grams, steps: Vec::new() };
        for k in span.a + 1..span.z {
            let (hull, hours) = (t.hulls.slot(k), t.slots[k].hours);
            curve.work += hull[0].speed * hours;
            curve.grams += hull[0].rate * hours;
            curve.steps.extend((1..hull.len()).map(|i| Step {
                slope: hull[i].slope,
                work: (hull[i].speed - hull[i - 1].speed) * hours,
                slot: Some(k),
                vertex: i,
            }));
        }
        curve.steps.extend((1..pair.vertices.len()).map(|i| Step {
            slope: pair.vertices[i].slope,
            work: pair.vertices[i].work - pair.vertices[i - 1].work,
            slot: None,
            vertex: i,
        }));
        // Stable: at equal slopes a slot's own order and the order in time stand.
        curve.steps.sort_by(|x, y| x.slope.total_cmp(&y.slope));
        curve
    }

    /// The objective's point on the curve; `None` if even the least carbon is over the budget.
    fn take(&self, objective: Objective, budget: f64) -> Option<Taken> {
        let (mut work, mut grams) = (self.work, self.grams);
        let mut whole = 0;
        // What is faster for no more carbon is taken whatever the objective.
        while let Some(s) = self.steps.get(whole).filter(|s| s.slope <= 0.0) {
            work += s.work;
            grams += s.slope * s.work;
            whole += 1;
        }
        if grams < 1e-13 * self.grams {
            grams = 0.0; // what rounding leaves of nothing
        }
        if grams > budget * (1.0 + TIE) {
            return None;
        }
        while let Some(s) = self.steps.get(whole) {
            let more = match objective {
                Objective::Performance => false,
                Objective::Carbon => true,
                Objective::Ppc => s.slope * work < grams,
            };
            if !more {
                break;
            }
            if grams + s.slope * s.work > budget {
                let share = ((budget - grams) / (s.slope * s.work)).clamp(0.0, 1.0);
                return Some(Taken { whole, share, work: work + share * s.work });
            }
            work += s.work;
            grams += s.slope * s.work;
            whole += 1;
        }
        Some(Taken { whole, share: 0.0, work })
    }

    fn plan(&self, t: &Tables, span: &Span, taken: &Taken, candidate: usize, pair: &PairHull) -> Plan {
        let mut parts: Vec<Part> =
            (span.a + 1..span.z).map(|slot| Part { slot, hours: t.slots[slot].hours, vertex: Some(0), faster: None }).collect();
        let (mut at, mut toward) = (0, None);
        for (i, s) in self.steps.iter().enumerate().take(taken.whole + usize::from(taken.share > 0.0)) {
            match (s.slot.map(|k| &mut parts[k - span.a - 1]), i < taken.whole) {
                (Some(p), true) => p.vertex = Some(s.vertex),
                (Some(p), false) => p.faster = Some((s.vertex, p.hours * taken.share)),
                (None, true) => at = s.vertex,
                (None, false) => toward = Some((s.vertex, taken.share)),
            }
        }
        let ends = pair.mix(span.a, span.z, at, toward);
        parts.insert(0, ends.first);
        if span.z > span.a {
            parts.push(ends.last);
        }
        let begins = (span.a == span.z).then_some(span.from);
        schedule::plan(t, &schedule::contiguous(t, begins, &parts), candidate, 1.0)
    }
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
