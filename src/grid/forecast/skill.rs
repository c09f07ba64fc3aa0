//! How well each model has done on a signal's own recent past, by lead time, and how far the forecast made of them was off.

use super::lattice::Lattice;
use super::models::{COUNT, Past, UNSCORED, View, fade};
use crate::grid::Quantity;

/// How many groups of lead times there are.
pub(super) const GROUPS: usize = 14;
/// Lead times that share their weights and band: up to so many hours ahead, each.
const LEADS_H: [usize; GROUPS] = [1, 2, 3, 6, 9, 12, 18, 24, 36, 48, 72, 96, 120, 168];
/// Fewer misses than this tell nothing of a lead time; it takes what the one before it has.
const LEAST_MISSES: usize = 20;
/// So often is the past asked what would have been forecast then.
const ORIGINS: usize = 80;
/// Models weigh by this power of their mean squared miss, inverted: close rivals are averaged, the rest hardly count.
const SHARPNESS: i32 = 4;
/// The part of the misses below the lower and below the upper edge of the band. Meant to hold eight in ten of what comes: a little
/// wider than a tenth at each side, for weights that were learnt on the same weeks miss them by less than the weeks to come.
const EDGES: (f64, f64) = (0.075, 0.925);

/// What was learnt of one group of lead times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lead {
    /// What each model counts; they add up to one.
    pub weights: [f64; COUNT],
    /// The band's edges as misses in the unit of [`View::unit`]; none where there are too few misses to tell.
    pub edges: Option<(f64, f64)>,
}

/// The group of a lead time in hours.
pub(super) fn lead(hours: f64) -> usize {
    LEADS_H.iter().position(|&most| hours < most as f64).unwrap_or(LEADS_H.len() - 1)
}

/// Learns from the hours of the past.
pub(super) fn learn(hours: &Lattice, quantity: Quantity) -> [Lead; GROUPS] {
    let kinds = hours.kinds_of_day(0);
    let past = Past { y: &hours.y, kinds: &kinds, per_hour: 1, quantity };
    let (known, longest) = (hours.y.len(), LEADS_H[LEADS_H.len() - 1]);
    // With a fortnight and more, each origin has a week before it; with less, a day.
    let first = if known > 14 * 24 { 7 * 24 } else { 24 + known.saturating_sub(24) / 3 };
    let stride = ((known - first.min(known)) / ORIGINS).max(1);
    let fades: Vec<[f64; 5]> = (0..longest).map(|ahead| fade(ahead as f64)).collect();
    let mut said: Vec<Said> = Vec::new();
    let mut view = View::default();
    let mut squares = [[0.0; COUNT]; GROUPS];
    let mut counts = [0_usize; GROUPS];
    for origin in (first..known).step_by(stride) {
        past.look(origin, &mut view);
        // A day ahead each hour counts, then every third: hours of the same day miss alike.
        for ahead in (0..24).chain((24..longest).step_by(3)).take_while(|ahead| origin + ahead < known) {
            let (lead, truth) = (lead(ahead as f64), past.y[origin + ahead]);
            let values = view.say(&past, ahead, &fades[ahead]);
            for (sum, value) in squares[lead].iter_mut().zip(values) {
                *sum += (value - truth) * (value - truth);
            }
            counts[lead] += 1;
            let least = view.unit(&past, ahead, 0.0);
            said.push(Said { lead, truth, values, least });
        }
    }
    let mut learnt = [Lead { weights: only(UNSCORED), edges: None }; GROUPS];
    for lead in 0..GROUPS {
        if counts[lead] >= LEAST_MISSES {
            learnt[lead].weights = weights(&squares[lead]);
            let miss = |said: &Said| {
                let value = blend(&learnt[lead].weights, &said.values);
                let unit = if quantity == Quantity::CarbonGPerKwh { value.max(said.least) } else { said.least };
                (unit > 0.0).then(|| (said.truth - value) / unit)
            };
            learnt[lead].edges = edges(said.iter().filter(|said| said.lead == lead).filter_map(miss));
        } else if lead > 0 {
            learnt[lead] = learnt[lead - 1];
        }
    }
    learnt
}

/// What the models said of an hour that is past.
struct Said {
    lead: usize,
    truth: f64,
    values: [f64; COUNT],
    /// The unit of a miss, for a forecast of zero.
    least: f64,
}

fn only(model: usize) -> [f64; COUNT] {
    std::array::from_fn(|index| if index == model { 1.0 } else { 0.0 })
}

/// The models' values as one.
pub(super) fn blend(weights: &[f64; COUNT], values: &[f64; COUNT]) -> f64 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

fn weights(squares: &[f64; COUNT]) -> [f64; COUNT] {
    let least = squares.iter().copied().fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return only(UNSCORED);
    }
    // Relative to the best, so that neither overflow nor a perfect model is a division by zero.
    let relative = squares.map(|square| if square <= least { 1.0 } else { (least / square).powi(SHARPNESS) });
    let sum: f64 = relative.iter().sum();
    relative.map(|weight| weight / sum)
}

fn edges(misses: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut misses: Vec<f64> = misses.collect();
    if misses.len() < LEAST_MISSES {
        return None;
    }
    misses.sort_unstable_by(f64::total_cmp);
    // The place of a quantile among n values so that n + 1 of the same kind fall around it evenly.
    let at = |part: f64| misses[((misses.len() + 1) as f64 * part) as usize - 1];
    Some((at(EDGES.0).min(0.0), at(EDGES.1).max(0.0)))
}
