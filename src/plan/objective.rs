//! The three objectives of one contiguous run: points on its frontier, found exactly, ends inside a slot included.

use super::fill::Fill;
use super::outcome::Plan;
use super::schedule;
use super::window::{Solved, TIE, Window, Windows};

/// Where a run ends: a slot, and hours into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    pub slot: usize,
    pub hours: f64,
    /// The instant, h after now.
    pub at: f64,
    /// The least carbon of a run that ends by then, g.
    pub cost: f64,
}

/// The slots, in order, at whose ends C* is less than before, and what it is there, g.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Descent(Vec<(usize, f64)>);

impl Descent {
    /// The least of all; infinite if there is no run.
    pub fn least(&self) -> f64 {
        self.0.last().map_or(f64::INFINITY, |d| d.1)
    }

    /// The first slot at whose end a cost is reached, up to rounding.
    pub fn reaches(&self, cost: f64) -> Option<usize> {
        self.0.iter().find(|d| d.1 <= cost * (1.0 + TIE)).map(|d| d.0)
    }
}

/// A budget to search with, g.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// What is sought.
    pub aim: f64,
    /// What still counts as met: equal up to rounding.
    pub most: f64,
}

impl Budget {
    /// Met by whatever is equal to it up to rounding.
    pub fn about(grams: f64) -> Self {
        Self { aim: grams, most: grams * (1.0 + TIE) }
    }

    /// Met a hair early, so that no rounding ends over it.
    pub fn strictly(grams: f64) -> Self {
        Self { aim: grams * (1.0 - TIE), most: grams * (1.0 - TIE) }
    }
}

/// Instants closer than this, h, are the same (4 microseconds).
pub(super) const SAME_INSTANT: f64 = 1e-9;

impl Windows<'_> {
    /// Hours of slot `z` before an instant; `None` if there are none.
    fn hours_before(&self, z: usize, by: f64) -> Option<f64> {
        let from = self.tables.bounds[z];
        let hours = by.min(self.tables.bounds[z + 1]) - from;
        (hours > 0.0).then_some(hours)
    }

    /// C*: the least carbon by an instant, with the slots at whose ends it fell.
    pub fn least_carbon(&self, by: f64, fill: &mut Fill) -> Descent {
        let mut descent = Descent::default();
        for z in self.ends() {
            let Some(hours) = self.hours_before(z, by) else {
                break;
            };
            let limit = descent.least();
            if let Some(cost) = self.least_in(z, hours, limit, fill).filter(|&c| c < limit) {
                descent.0.push((z, cost));
            }
        }
        descent
    }

    /// The least carbon of the windows that end in slot `z` after at most `e` hours, if it is at most a limit.
    pub fn least_in(&self, z: usize, e: f64, limit: f64, fill: &mut Fill) -> Option<f64> {
        let mut best = None;
        self.scan(z, e, limit, fill, |_, _, s| {
            if s.cost <= best.unwrap_or(limit) {
                best = Some(s.cost);
            }
            best.unwrap_or(limit)
        });
        best
    }

    /// The earliest end, no later than an instant, of a run that emits no more than a budget.
    pub fn earliest_end(&self, budget: Budget, by: f64, fill: &mut Fill) -> Option<End> {
        self.earliest_end_from(self.ends().start, budget, by, fill)
    }

    /// The same, where it is known that no run that ends before slot `z` is within the budget.
    pub fn earliest_end_from(&self, z: usize, budget: Budget, by: f64, fill: &mut Fill) -> Option<End> {
        for z in z..self.ends().end {
            let hours = self.hours_before(z, by)?;
            let mut best: Option<End> = None;
            self.scan(z, hours, budget.most, fill, |fill, w, s| {
                if s.cost <= budget.most {
                    let so_far = best.map_or(hours, |b| b.hours);
                    best = self.least_hours(w, budget, so_far, fill).or(best);
                }
                budget.most
            });
            if best.is_some() {
                return best;
            }
        }
        None
    }

    /// The least hours in a window's last slot that keep it within budget, if no more than `so_far`.
    ///
    /// The cost is convex and falls with the hours, so Newton's steps from the left reach the root from below, a piece a step.
    fn least_hours(&self, w: Window, budget: Budget, so_far: f64, fill: &mut Fill) -> Option<End> {
        let end = |e: f64, s: Solved| End { slot: w.z, hours: e, at: self.tables.bounds[w.z] + e, cost: s.cost };
        let most = self.solve(Window { e: so_far, ..w }, fill).filter(|s| s.cost <= budget.most)?;
        let mut e = self.least_end(w.a, w.z).min(so_far);
        for _ in 0..STEPS {
            let Some(s) = self.solve(Window { e, ..w }, fill) else {
                break;
            };
            let next = e + (budget.aim - s.cost) / s.slope;
            if s.cost <= budget.most {
                // On a slope, the aim itself is a rounding away; on a plateau it may be far off, for nothing.
                let near = s.cost > budget.aim && next - e <= SAME_INSTANT;
                let aimed = near.then(|| next.min(so_far)).and_then(|e| Some(end(e, self.solve(Window { e, ..w }, fill)?)));
                return Some(aimed.unwrap_or(end(e, s)));
            }
            if next.is_nan() || next >= so_far {
                break;
            }
            if next <= e {
                return Some(end(e, s)); // the root lies within a rounding of here
            }
            e = next;
        }
        Some(end(so_far, most))
    }

    /// The end with the least E x C*(E), no later than an instant and within a budget; an earlier one at equal products.
    pub fn best_ppc(&self, budget: Budget, by: f64, fill: &mut Fill) -> Option<End> {
        let earliest = self.earliest_end(budget, by, fill)?;
        let budget = budget.most;
        let floor = self.floor(by);
        let mut cheapest = f64::INFINITY;
        let mut best = earliest;
        for z in earliest.slot..self.tables.slots.len() {
            let Some(hours) = self.hours_before(z, by) else {
                break;
            };
            let from = self.tables.bounds[z].max(earliest.at);
            let product = |b: &End| b.at * b.cost;
            if from * floor > product(&best) {
                break;
            }
            // What costs no less than a run that ends before cannot win either.
            let before = cheapest;
            let limit = |b: &End| budget.min(product(b) / from).min(before);
            self.scan(z, hours, limit(&best), fill, |fill, w, s| {
                let least = self.least_end(w.a, z).max(earliest.at - self.tables.bounds[z]).min(hours);
                self.best_hours(w, (least, hours), s, budget, &mut best, fill);
                cheapest = s.cost.min(cheapest);
                limit(&best)
            });
            if best.cost == 0.0 {
                return self.earliest_end_from(best.slot, Budget { aim: 0.0, most: 0.0 }, by, fill);
            }
        }
        Some(best)
    }

    /// Lowers `best` to the least E x C of one window.
    ///
    /// C is convex and piecewise linear in E, so E x C is concave between breakpoints: breakpoints are found where tangents
    /// meet, and a piece is left out when neither its ends nor its tangents' crossing can win.
    fn best_hours(&self, w: Window, (from, to): (f64, f64), at_to: Solved, budget: f64, best: &mut End, fill: &mut Fill) {
        let start = self.tables.bounds[w.z];
        let mut offer = |e: f64, s: Solved| {
            let (at, now) = (start + e, best.at * best.cost);
            let new = at * s.cost;
            if s.cost <= budget && (new < now * (1.0 - TIE) || new <= now * (1.0 + TIE) && at < best.at) {
                *best = End { slot: w.z, hours: e, at, cost: s.cost };
            }
            best.at * best.cost
        };
        let now = offer(to, at_to);
        if from >= to {
            return;
        }
        // Left of `to` the cost is no less than its tangent there.
        let tangent = (start + from) * (at_to.cost + at_to.slope * (from - to));
        if tangent > now * (1.0 + TIE) {
            return;
        }
        let Some(at_from) = self.solve(Window { e: from, ..w }, fill) else {
            return;
        };
        offer(from, at_from);
        let mut pieces = vec![((from, at_from), (to, at_to))];
        for _ in 0..STEPS {
            let Some(((e0, s0), (e1, s1))) = pieces.pop() else {
                return;
            };
            // Where the tangents at both ends meet.
            let e = e0 + (s1.cost - s0.cost - s1.slope * (e1 - e0)) / (s0.slope - s1.slope);
            if !(e > e0 && e < e1) {
                continue;
            }
            let tangent = s0.cost + s0.slope * (e - e0);
            let now = offer(e1, s1);
            let reach = ((start + e0) * s0.cost).min((start + e) * tangent).min((start + e1) * s1.cost);
            if reach > now * (1.0 + TIE) {
                continue;
            }
            let Some(s) = self.solve(Window { e, ..w }, fill) else {
                continue;
            };
            offer(e, s);
            if s.cost > tangent * (1.0 + TIE) {
                pieces.push(((e, s), (e1, s1)));
                pieces.push(((e0, s0), (e, s)));
            }
        }
    }

    /// The plan with the least carbon that ends by an end, of equal ones the one that starts first.
    pub fn plan_at(&self, end: End, candidate: usize, work_gpu_h: f64, fill: &mut Fill) -> Option<Plan> {
        let mut found: Vec<(Window, f64)> = Vec::new();
        let mut least = f64::INFINITY;
        let noise = self.tables.grams_noise;
        self.scan(end.slot, end.hours, least, fill, |_, w, s| {
            least = least.min(s.cost);
            found.push((w, s.cost));
            least * (1.0 + TIE) + noise
        });
        let (w, _) = found.iter().rev().find(|f| f.1 <= least * (1.0 + TIE) + noise)?;
        let parts = fill.parts(self, *w)?;
        Some(schedule::plan(
            self.tables,
            &schedule::contiguous(self.tables, (w.a == w.z).then(|| self.begin(w.a)), &parts),
            candidate,
            work_gpu_h,
        ))
    }
}

/// Bound on the steps of a search that ends after a handful, should rounding ever keep it going.
const STEPS: usize = 500;
