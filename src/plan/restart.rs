//! When to pause, if each resume costs some work.
//!
//! With the work priced at lambda, a slot run through, run in part or left idle has a cost of its own, and only whether the job runs
//! across a boundary couples slots: a shortest path. Its value is a lower bound for every lambda; the greatest is sought by
//! bisection, and each pattern on the way is completed to a plan by buying exactly the work that it needs. The price alone misses
//! patterns that no price likes best: the best ones are changed boundary by boundary for as long as that emits less.

use super::fill::Fill;
use super::outcome::Plan;
use super::parts::Part;
use super::schedule::{self, Stretch};
use super::window::{Run, TIE, Windows};
use super::{Start, objective::SAME_INSTANT};

/// What a slot is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Idle,
    /// Begins and ends in the slot.
    Within,
    /// Begins in the slot and runs on.
    Begin,
    /// Runs through.
    Through,
    /// Ends in the slot, and another run begins in it.
    Gap,
    /// Ends in the slot.
    Finish,
}

impl Use {
    fn starts(self) -> bool {
        matches!(self, Use::Within | Use::Begin | Use::Gap)
    }

    /// By whether the job runs before the slot and after it, and whether a run begins in it that is not the one after an idle time.
    fn of(before: bool, after: bool, anew: bool) -> Self {
        match (before, after) {
            (false, false) if anew => Use::Within,
            (false, false) => Use::Idle,
            (false, true) => Use::Begin,
            (true, false) => Use::Finish,
            (true, true) if anew => Use::Gap,
            (true, true) => Use::Through,
        }
    }
}

/// A pattern with the boundary behind slot `i` changed, or, past the boundaries, whether a run begins anew within a slot.
fn changed(pattern: &[Use], i: usize) -> Option<Vec<Use>> {
    let slots = pattern.len();
    let mut on: Vec<bool> = pattern.iter().map(|used| matches!(used, Use::Begin | Use::Through | Use::Gap)).collect();
    let mut anew: Vec<bool> = pattern.iter().map(|used| matches!(used, Use::Within | Use::Gap)).collect();
    match i.checked_sub(slots - 1) {
        None => on[i] = !on[i],
        Some(k) => {
            let edge = (k > 0 && on[k - 1]) != on[k];
            if edge {
                return None; // it makes no difference there
            }
            anew[k] = !anew[k];
        }
    }
    Some((0..slots).map(|k| Use::of(k > 0 && on[k - 1], on[k], anew[k])).collect())
}

/// The suspended runs of one job on one candidate.
pub(super) struct Restarts<'t> {
    ws: Windows<'t>,
    restart: f64,
}

/// A pattern at a price: its bound, and the work it does net of the restarts that it pays.
struct Priced {
    bound: f64,
    net: f64,
    pattern: Vec<Use>,
}

/// Steps of the bisection for the price.
const STEPS: usize = 60;
/// Patterns nearest to the best price that are completed to plans.
const PATTERNS: usize = 16;
/// Of these, patterns that are changed, and how much work that may be: changes tried, times slots.
const CHANGED: usize = 3;
const CHANGES: usize = 60_000;
/// Slots' ends that are tried where the end is free.
const ENDS: usize = 128;

impl<'t> Restarts<'t> {
    pub fn new(ws: Windows<'t>, restart: f64) -> Self {
        Self { ws, restart }
    }

    /// Usable hours of slot `k` before an instant.
    fn hours(&self, k: usize, by: f64) -> f64 {
        let t = self.ws.tables;
        if t.slots[k].closed { 0.0 } else { (by.min(t.bounds[k + 1]) - self.ws.begin(k)).max(0.0) }
    }

    fn slots(&self, by: f64) -> std::ops::Range<usize> {
        let all = self.ws.ends();
        let end = all.clone().take_while(|&k| self.ws.begin(k) < by).last().map_or(all.start, |k| k + 1);
        all.start..end
    }

    /// The shortest path over (slot, running?) at a price.
    fn priced(&self, price: f64, by: f64) -> Priced {
        let t = self.ws.tables;
        let slots = self.slots(by);
        let start = price * self.restart;
        let (mut off, mut on) = (0.0, f64::INFINITY);
        // By slot: the use that leads to not running, and to running, at its end; and whether the job ran before it.
        let mut steps: Vec<[(Use, bool); 2]> = Vec::with_capacity(slots.len());
        for k in slots.clone() {
            let hours = self.hours(k, by);
            let least = t.hulls.slot(k).iter().map(|v| v.rate - price * v.speed).fold(f64::INFINITY, f64::min) * hours;
            let some = least.min(0.0);
            let through = if hours > 0.0 { on + least } else { f64::INFINITY };
            let to_off = [(off, Use::Idle, false), (off + start + some, Use::Within, false), (on + some, Use::Finish, true)];
            let to_on =
                [(through, Use::Through, true), (off + start + some, Use::Begin, false), (on + start + some, Use::Gap, true)];
            let least_of = |ways: [(f64, Use, bool); 3]| ways.into_iter().reduce(|x, y| if y.0 < x.0 { y } else { x });
            let (Some(x), Some(y)) = (least_of(to_off), least_of(to_on)) else {
                continue;
            };
            (off, on) = (x.0, y.0);
            steps.push([(x.1, x.2), (y.1, y.2)]);
        }
        let mut running = on < off;
        let bound = price * (self.ws.work - self.restart) + off.min(on);
        let mut pattern: Vec<Use> = Vec::with_capacity(steps.len());
        for step in steps.iter().rev() {
            let (used, before) = step[usize::from(running)];
            pattern.push(used);
            running = before;
        }
        pattern.reverse();
        let work = |(k, used): (usize, &Use)| {
            let gains = |v: &super::hull::Vertex| v.rate - price * v.speed;
            let best = t.hulls.slot(k).iter().min_by(|x, y| gains(x).total_cmp(&gains(y)));
            match (used, best) {
                (Use::Idle, _) | (_, None) => 0.0,
                (Use::Through, Some(v)) => v.speed * self.hours(k, by),
                (_, Some(v)) if gains(v) < 0.0 => v.speed * self.hours(k, by),
                _ => 0.0,
            }
        };
        let done: f64 = slots.zip(&pattern).map(work).sum();
        let resumes = pattern.iter().filter(|u| u.starts()).count().saturating_sub(1);
        Priced { bound, net: done - self.restart * resumes as f64, pattern }
    }

    /// The greatest bound over prices, and the patterns met, nearest to the best price last.
    fn prices(&self, by: f64) -> (f64, Vec<Vec<Use>>) {
        let t = self.ws.tables;
        let (mut lo, mut hi) = (0.0, t.price(t.states() - 1).max(1e-9));
        let mut bound = 0.0_f64;
        let mut patterns: Vec<Vec<Use>> = Vec::new();
        let mut see = |p: Priced| {
            bound = bound.max(p.bound);
            let enough = p.net >= self.ws.work;
            patterns.retain(|q| *q != p.pattern);
            patterns.push(p.pattern);
            enough
        };
        for _ in 0..STEPS {
            if see(self.priced(hi, by)) {
                break;
            }
            (lo, hi) = (hi, 2.0 * hi);
        }
        for _ in 0..STEPS {
            let mid = lo + (hi - lo) / 2.0;
            if see(self.priced(mid, by)) { hi = mid } else { lo = mid }
        }
        (bound, patterns)
    }

    /// No run that ends by an instant emits less.
    pub fn bound(&self, by: f64) -> f64 {
        let by = by + SAME_INSTANT;
        self.prices(by).0
    }

    /// The best plan found that ends by an instant.
    pub fn plan(&self, by: f64, candidate: usize, work_gpu_h: f64) -> Option<Plan> {
        let of_patterns = self.patterns(by, candidate, work_gpu_h).into_iter().map(|(plan, _)| plan);
        of_patterns.chain(self.without_pause(by, candidate, work_gpu_h)).min_by(|x, y| x.carbon_g.total_cmp(&y.carbon_g))
    }

    /// The same, sought for longer.
    pub fn plan_well(&self, by: f64, candidate: usize, work_gpu_h: f64) -> Option<Plan> {
        let mut patterns = self.patterns(by, candidate, work_gpu_h);
        patterns.extend(self.without_pause(by, candidate, work_gpu_h).map(|plan| {
            let pattern = self.pattern_of(&plan, by);
            (plan, pattern)
        }));
        patterns.sort_by(|x, y| x.0.carbon_g.total_cmp(&y.0.carbon_g));
        patterns.truncate(CHANGED);
        let of_patterns = patterns.into_iter().map(|(plan, pattern)| {
            let slots = pattern.len();
            self.change(plan, pattern, CHANGES / CHANGED / slots.max(1), |pattern| {
                Some(schedule::plan(self.ws.tables, &self.complete(pattern, by)?, candidate, work_gpu_h))
            })
        });
        of_patterns.min_by(|x, y| x.carbon_g.total_cmp(&y.carbon_g))
    }

    /// Changes a pattern for as long as that emits less, or until so many changes were tried.
    fn change(&self, mut plan: Plan, mut pattern: Vec<Use>, mut tries: usize, of: impl Fn(&[Use]) -> Option<Plan>) -> Plan {
        let changes = (2 * pattern.len()).saturating_sub(1);
        let (mut i, mut in_vain) = (0, 0);
        while tries > 0 && in_vain < changes {
            (tries, in_vain) = (tries - 1, in_vain + 1);
            if let Some(other) = changed(&pattern, i)
                && let Some(better) = of(&other).filter(|p| p.carbon_g < plan.carbon_g * (1.0 - TIE))
            {
                (plan, pattern, in_vain) = (better, other, 0);
            }
            i = (i + 1) % changes;
        }
        plan
    }

    /// The patterns nearest to the best price, each with its plan.
    fn patterns(&self, by: f64, candidate: usize, work_gpu_h: f64) -> Vec<(Plan, Vec<Use>)> {
        let (_, patterns) = self.prices(by);
        let plan = |pattern: Vec<Use>| {
            Some((schedule::plan(self.ws.tables, &self.complete(&pattern, by)?, candidate, work_gpu_h), pattern))
        };
        patterns.into_iter().rev().take(PATTERNS).filter_map(plan).collect()
    }

    /// The pattern of a run without a pause.
    fn pattern_of(&self, plan: &Plan, by: f64) -> Vec<Use> {
        let border = |k: usize| self.ws.tables.bounds[k + 1];
        let runs_over = |k: usize| plan.start_h < border(k) && plan.end_h > border(k);
        let slots = self.slots(by);
        let last = slots.end.saturating_sub(1);
        let within = |k: usize| plan.start_h >= self.ws.tables.bounds[k] && plan.end_h <= border(k);
        let of = |k: usize| Use::of(k > slots.start && runs_over(k - 1), k < last && runs_over(k), within(k));
        slots.clone().map(of).collect()
    }

    /// One run without a pause is a pattern too.
    fn without_pause(&self, by: f64, candidate: usize, work_gpu_h: f64) -> Option<Plan> {
        let first = self.ws.begin(self.ws.ends().start);
        let start = Start::Within { earliest_h: first, latest_h: f64::MAX };
        let mut fill = Fill::default();
        let ws = Windows::new(self.ws.tables, &Run { work_h: self.ws.work, start, max_run_h: None })?;
        ws.plan_at(ws.least_end_by(by, &mut fill)?, candidate, work_gpu_h, &mut fill)
    }

    /// The cheapest way to do the work in a pattern; `None` if it cannot.
    fn complete(&self, pattern: &[Use], by: f64) -> Option<Vec<Stretch>> {
        let mut starts = pattern.iter().filter(|u| u.starts()).count();
        let mut found = None;
        while starts > 0 {
            let stretches = self.buy(pattern, by, starts - 1)?;
            let runs = 1 + stretches.windows(2).filter(|s| s[1].from - s[0].to > SAME_INSTANT).count();
            if runs > starts {
                break; // fewer were paid for than are made
            }
            found = Some(stretches);
            if runs == starts {
                break;
            }
            starts = runs;
        }
        found
    }

    fn buy(&self, pattern: &[Use], by: f64, resumes: usize) -> Option<Vec<Stretch>> {
        let t = self.ws.tables;
        let mut needed = self.ws.work + self.restart * resumes as f64;
        let mut parts: Vec<Part> = Vec::with_capacity(pattern.len());
        let mut offers: Vec<(f64, f64, usize, usize)> = Vec::new(); // slope, work, part, vertex
        for (i, (k, used)) in self.slots(by).zip(pattern).enumerate() {
            let (hull, hours) = (t.hulls.slot(k), self.hours(k, by));
            let through = *used == Use::Through;
            parts.push(Part { slot: k, hours, vertex: through.then_some(0), faster: None });
            if *used == Use::Idle || hours <= 0.0 {
                continue;
            }
            let from = if through { 0 } else { t.hulls.tangent(k) };
            if through {
                needed -= hull[0].speed * hours;
            } else {
                offers.push((t.hulls.ratio(k), hull[from].speed * hours, i, from));
            }
            offers.extend((from + 1..hull.len()).map(|v| {
                let slope = if through { hull[v].slope } else { t.hulls.slope_after_origin(k, v) };
                (slope, (hull[v].speed - hull[v - 1].speed) * hours, i, v)
            }));
        }
        if needed < -self.ws.slip() {
            return None;
        }
        offers.sort_by(|x, y| x.0.total_cmp(&y.0)); // stable: earlier slots first
        for (_, work, i, vertex) in offers {
            if needed <= 0.0 {
                break;
            }
            if work <= needed {
                parts[i].vertex = Some(vertex);
            } else {
                parts[i].faster = Some((vertex, parts[i].hours * needed / work));
            }
            needed -= work;
        }
        if needed > self.ws.slip() {
            return None;
        }
        Some(schedule::paused(t, self.ws.begin(self.ws.ends().start), &parts))
    }

    /// The earliest plan found within a budget.
    pub fn earliest(&self, budget: f64, plan: impl Fn(f64) -> Option<Plan>) -> Option<Plan> {
        let t = self.ws.tables;
        let kept = |by: f64| plan(by).filter(|p| p.carbon_g <= budget);
        let all = self.ws.ends();
        let mut best = kept(t.horizon_h())?;
        let (mut lo, mut hi) = (all.start, all.end - 1);
        while lo < hi {
            let mid = lo.midpoint(hi);
            match kept(t.bounds[mid + 1]) {
                Some(p) => (best, hi) = (p, mid),
                None => lo = mid + 1,
            }
        }
        let (mut from, mut to) = (t.bounds[lo], best.end_h);
        while to - from > SAME_INSTANT {
            let mid = from.midpoint(to);
            match kept(mid) {
                Some(p) => (to, best) = (mid.min(p.end_h), p),
                None => from = mid,
            }
        }
        Some(best)
    }

    /// Some of the slots' ends no later than an instant.
    pub fn some_ends(&self, by: f64) -> Vec<f64> {
        let slots = self.slots(by);
        let all: Vec<f64> = slots.map(|k| self.ws.tables.bounds[k + 1].min(by)).collect();
        let count = all.len().min(ENDS);
        (1..=count).map(|i| all[i * all.len() / count - 1]).collect()
    }
}
