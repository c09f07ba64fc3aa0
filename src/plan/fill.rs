//! A window's least carbon: what its slots do below a price, and the cheapest segments until the job is done.
//!
//! Holds the scratch memory of the search. What is on offer is `offers`', what was bought where `parts`'.

use super::offers::Offer;
use super::pair::PairHull;
use super::tables::Tables;
use super::window::{FirstHours, Window, Windows};

/// What a window costs, and the price of the last work bought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bought {
    pub grams: f64,
    pub price: f64,
}

/// Scratch memory.
#[derive(Debug, Default)]
pub(super) struct Fill {
    pub offers: Vec<Offer>,
    pub pair: PairHull,
    /// The state at which bounds were tightest last.
    pub hint: usize,
}

impl Fill {
    /// The least carbon of any window.
    pub fn solve(&mut self, ws: &Windows, w: Window) -> Option<Bought> {
        if w.a == w.z {
            return single(ws, w);
        }
        let h = ws.first_hours(w.a);
        if ws.pauses() {
            return self.pooled(ws, w, h);
        }
        if h.free + h.forced + w.e > ws.end_hours(w) {
            return self.limited(ws, w, h);
        }
        let (lo, low) = ws.bracket(w, h)?;
        Some(self.between(ws, w, h, lo, low))
    }

    /// The least carbon of a window of several slots whose state below is known.
    pub fn between(&mut self, ws: &Windows, w: Window, h: FirstHours, lo: usize, low: (f64, f64)) -> Bought {
        let t = ws.tables;
        self.offers.clear();
        self.offer_inner(t, w, lo);
        self.offer_end(t, w.a, h.free, lo, 0, 0);
        self.offer_plain(t, w.a, h.forced, lo, 1);
        self.offer_end(t, w.z, w.e, lo, (w.z - w.a + 1) as u32, u32::MAX);
        let needed = ws.work - low.0;
        let bought = self.buy(needed, low.1, t.price(lo));
        if bought.grams > SMALL * t.grams_noise {
            return bought;
        }
        // Differences of sums over the whole horizon are too coarse here: add up the window's own slots.
        let rate = |k: usize, vertex: Option<usize>| vertex.map_or(0.0, |i| t.hulls.slot(k)[i].rate);
        let ends = h.free * rate(w.a, t.end_vertex(lo, w.a))
            + h.forced * rate(w.a, Some(t.vertex(lo, w.a)))
            + w.e * rate(w.z, t.end_vertex(lo, w.z));
        self.buy(needed, ends + inner_grams(t, w, lo), t.price(lo))
    }

    /// The least carbon of a run that may pause at will: the cheapest work of all slots.
    fn pooled(&mut self, ws: &Windows, w: Window, h: FirstHours) -> Option<Bought> {
        let (lo, low) = ws.bracket(w, h)?;
        self.offer_pool(ws, w, lo);
        let bought = self.buy(ws.work - low.0, low.1, ws.tables.price(lo));
        if bought.grams > SMALL * ws.tables.grams_noise {
            return Some(bought);
        }
        let rate = |k: usize| ws.tables.end_vertex(lo, k).map_or(0.0, |i| ws.tables.hulls.slot(k)[i].rate);
        let grams = (w.a..w.z).map(|k| ws.open_hours(k) * rate(k)).sum::<f64>() + w.e * rate(w.z);
        Some(self.buy(ws.work - low.0, grams, ws.tables.price(lo)))
    }

    /// A window whose first and last slot share fewer hours than they have, because of the longest run.
    fn limited(&mut self, ws: &Windows, w: Window, h: FirstHours) -> Option<Bought> {
        let (lo, low) = self.bracket_limited(ws, w, h)?;
        self.offers.clear();
        self.offer_inner(ws.tables, w, lo);
        self.offer_pair(ws.tables, lo);
        let pair = &self.pair.vertices[self.pair.state(ws.tables, lo)];
        Some(self.buy(ws.work - low.0, pair.grams + inner_grams(ws.tables, w, lo), ws.tables.price(lo)))
    }

    pub fn bracket_limited(&mut self, ws: &Windows, w: Window, h: FirstHours) -> Option<(usize, (f64, f64))> {
        let t = ws.tables;
        if !self.pair.build(t, w, h, ws.end_hours(w)) {
            return None;
        }
        let sums = |j: usize| {
            let (inner, end) = (t.cell(j, w.a + 1), t.cell(j, w.z));
            let v = &self.pair.vertices[self.pair.state(t, j)];
            (end.work_before - inner.work_before + v.work, end.grams_before - inner.grams_before + v.grams)
        };
        let (mut lo, mut hi) = (0, t.states() - 1);
        if sums(lo).0 > ws.work + ws.slip() || sums(hi).0 < ws.work - ws.slip() {
            return None;
        }
        while hi - lo > 1 {
            let mid = lo.midpoint(hi);
            if sums(mid).0 <= ws.work { lo = mid } else { hi = mid }
        }
        Some((lo, sums(lo)))
    }
}

/// Costs below this many times the tables' rounding noise are summed anew.
const SMALL: f64 = 1e12;

/// What a state emits in the slots between a window's first and last.
fn inner_grams(t: &Tables, w: Window, j: usize) -> f64 {
    (w.a + 1..w.z).map(|k| t.hulls.slot(k)[t.vertex(j, k)].rate * t.slots[k].hours).sum()
}

/// A window within one slot: up to the tangent level if there is time, else between two faster ones.
pub(super) fn single(ws: &Windows, w: Window) -> Option<Bought> {
    let (t, hours, work) = (ws.tables, ws.single_hours(w), ws.work);
    if work > hours + ws.slip() {
        return None;
    }
    let (hull, tangent) = (t.hulls.slot(w.z), t.hulls.tangent(w.z));
    let ratio = t.hulls.ratio(w.z);
    if work <= hull[tangent].speed * hours || tangent + 1 == hull.len() {
        return Some(Bought { grams: ratio * work, price: ratio });
    }
    let i = faster_vertex(ws, w, hours);
    let price = t.hulls.slope_after_origin(w.z, i);
    Some(Bought { grams: hull[i - 1].rate * hours + price * (work - hull[i - 1].speed * hours), price })
}

/// The first vertex past the tangent that does the work in time.
pub(super) fn faster_vertex(ws: &Windows, w: Window, hours: f64) -> usize {
    let hull = ws.tables.hulls.slot(w.z);
    hull.partition_point(|v| v.speed * hours < ws.work).clamp(ws.tables.hulls.tangent(w.z) + 1, hull.len() - 1)
}
