//! What the runs of a span can do at best, before any of them is solved.
//!
//! At a price p of work, no run of the span emits less than D(p) + p w for the work w that it does, D(p) being the sum over
//! its slots of the least g - p s. The tables hold that sum at some dozens of prices. D is concave and falls, so between
//! two prices it is no less than their chord; where that crosses zero, no run emits less per work.

use super::problem::Objective;
use super::span::Span;
use super::tables::Tables;
use super::window::TIE;

/// A bound below what an objective wants least of: grams (performance), mean speed less than none (carbon), grams per mean
/// speed (ppc). `least` is the span's least carbon; infinite where that is over the budget.
pub(super) fn bound(t: &Tables, span: &Span, length: f64, objective: Objective, (least, budget): (f64, f64)) -> f64 {
    let budget = budget * (1.0 + TIE);
    if least > budget * (1.0 + TIE) {
        return f64::INFINITY;
    }
    let hours = [span.from, span.to].map(|at| span.hours(t, at, length));
    // Lazy: performance asks for none.
    let duals = (0..t.states()).map(|j| (t.price(j), dual(t, span, hours, j)));
    let least_work = length * t.speed.iter().copied().fold(1.0, f64::min);
    let most = || duals.clone().filter(|d| d.0 > 0.0).map(|(price, dual)| (budget - dual) / price).fold(length, f64::min);
    match objective {
        Objective::Performance => least,
        Objective::Carbon => -most() / length,
        Objective::Ppc => ratio((least_work, most().max(least_work)), duals.clone()) * length,
    }
}

/// D at the price of state `j`, less what rounding may have added.
fn dual(t: &Tables, span: &Span, hours: [(f64, f64); 2], j: usize) -> f64 {
    let gain = |k: usize| {
        let v = &t.hulls.slot(k)[t.vertex(j, k)];
        v.rate - t.price(j) * v.speed
    };
    let (first, last) = (gain(span.a), gain(span.z));
    let ends = hours.map(|(u, v)| u * first + v * last);
    let inner = if span.z > span.a { t.gain_before(j, span.z) - t.gain_before(j, span.a + 1) } else { 0.0 };
    inner + ends[0].min(ends[1]) - t.noise(j)
}

/// The least carbon per work, of work between two amounts.
fn ratio((least, most): (f64, f64), duals: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut below: Option<(f64, f64)> = None;
    let mut budgeted = f64::NEG_INFINITY;
    for (price, dual) in duals {
        if dual < 0.0 {
            let root = match below {
                Some((p, d)) => p + (price - p) * d / (d - dual),
                None => price + dual / least,
            };
            return root.max(budgeted);
        }
        budgeted = budgeted.max(price + dual / most);
        below = Some((price, dual));
    }
    budgeted
}
