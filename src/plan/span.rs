//! Runs of a given length: spans of starts between which the first and last slot stay the same, and work against carbon in each.

use super::outcome::Plan;
use super::pair::PairHull;
use super::parts::Part;
use super::problem::{Objective, Start};
use super::schedule;
use super::tables::Tables;
use super::window::TIE;

/// Starts between which a run's first and last slot stay the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub a: usize,
    pub z: usize,
    pub from: f64,
    pub to: f64,
}

/// All spans of starts, in order; those that would touch a closed slot or pass the horizon are left out.
pub(super) fn spans(t: &Tables, start: Start, length: f64) -> Vec<Span> {
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

/// The least that each slot can emit, g/h.
pub(super) fn cheapest(t: &Tables) -> Vec<f64> {
    let least = |k: usize| t.hulls.slot(k).iter().map(|v| v.rate).fold(f64::INFINITY, f64::min);
    (0..t.slots.len()).map(least).collect()
}

impl Span {
    pub fn ending_by(self, by: f64, length: f64) -> Option<Self> {
        let to = self.to.min(by - length);
        (to >= self.from - 4.0 * f64::EPSILON * self.to.abs()).then_some(Self { to: to.max(self.from), ..self })
    }

    /// Hours in the first and the last slot of a run that starts then.
    pub fn hours(&self, t: &Tables, at: f64, length: f64) -> (f64, f64) {
        if self.a == self.z {
            return (length, 0.0);
        }
        ((t.bounds[self.a + 1] - at).max(0.0), (at + length - t.bounds[self.z]).max(0.0))
    }

    /// Least carbon of a run that starts then: the [`cheapest`] level everywhere.
    pub fn least(&self, t: &Tables, cheapest: &[f64], at: f64, length: f64) -> f64 {
        let (u, v) = self.hours(t, at, length);
        let inner: f64 = (self.a + 1..self.z).map(|k| cheapest[k] * t.slots[k].hours).sum();
        u * cheapest[self.a] + inner + v * cheapest[self.z]
    }
}

/// Work against carbon over all the runs of a span: slow end and segments, cheapest first.
pub(super) struct Curve {
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
pub(super) struct Taken {
    whole: usize,
    share: f64,
    pub work: f64,
}

impl Curve {
    pub fn new(t: &Tables, span: &Span, length: f64, pair: &mut PairHull) -> Self {
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
    pub fn take(&self, objective: Objective, budget: f64) -> Option<Taken> {
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

    pub fn plan(&self, t: &Tables, span: &Span, taken: &Taken, candidate: usize, pair: &PairHull) -> Plan {
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
