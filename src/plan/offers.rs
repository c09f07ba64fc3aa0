//! Segments on offer: what a window could buy between two prices, and buying it until the work is done.

use super::fill::{Bought, Fill};
use super::tables::Tables;
use super::window::{Window, Windows};

/// A segment on offer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub slope: f64,
    pub work: f64,
    /// Who goes first at equal slopes: the first slot (an earlier start), then by time, the last slot last (an earlier end).
    pub rank: u32,
    /// Which part it belongs to, and the vertex that it leads to.
    pub part: u32,
    pub vertex: u32,
}

impl Fill {
    /// Segments of the slots in between. Parts are numbered: 0 first, 1 forced rest of the first, then slot by slot.
    pub(super) fn offer_inner(&mut self, t: &Tables, w: Window, lo: usize) {
        self.offers.extend(t.steps(lo, w.a + 1, w.z).iter().map(|s| {
            let part = s.slot - w.a as u32 + 1;
            Offer { slope: s.slope, work: s.speed * t.slots[s.slot as usize].hours, rank: part, part, vertex: s.vertex }
        }));
    }

    /// Segments of a slot that may be idle.
    pub(super) fn offer_end(&mut self, t: &Tables, k: usize, hours: f64, lo: usize, part: u32, rank: u32) {
        let (hull, tangent) = (t.hulls.slot(k), t.hulls.tangent(k));
        let below = t.end_vertex(lo, k);
        let Some(above) = t.end_vertex(lo + 1, k) else {
            return;
        };
        let from = below.map_or(tangent, |i| i + 1);
        for i in from..=above {
            let (slope, speed) = if i == tangent {
                (t.hulls.ratio(k), hull[i].speed)
            } else {
                (t.hulls.slope_after_origin(k, i), hull[i].speed - hull[i - 1].speed)
            };
            self.offers.push(Offer { slope, work: speed * hours, rank, part, vertex: i as u32 });
        }
    }

    /// Segments of (a part of) a slot that may not be idle.
    pub(super) fn offer_plain(&mut self, t: &Tables, k: usize, hours: f64, lo: usize, part: u32) {
        if hours <= 0.0 {
            return;
        }
        let hull = t.hulls.slot(k);
        for i in t.vertex(lo, k) + 1..=t.vertex(lo + 1, k) {
            let speed = hull[i].speed - hull[i - 1].speed;
            self.offers.push(Offer { slope: hull[i].slope, work: speed * hours, rank: part, part, vertex: i as u32 });
        }
    }

    pub(super) fn offer_pair(&mut self, t: &Tables, lo: usize) {
        for i in self.pair.state(t, lo) + 1..=self.pair.state(t, lo + 1) {
            let (v, below) = (&self.pair.vertices[i], &self.pair.vertices[i - 1]);
            self.offers.push(Offer { slope: v.slope, work: v.work - below.work, rank: u32::MAX, part: 0, vertex: i as u32 });
        }
    }

    pub(super) fn offer_pool(&mut self, ws: &Windows, w: Window, lo: usize) {
        self.offers.clear();
        for k in w.a..=w.z {
            let hours = if k == w.z { w.e } else { ws.open_hours(k) };
            let part = (k - w.a) as u32;
            // The last slot last: an earlier end.
            self.offer_end(ws.tables, k, hours, lo, part, if k == w.z { u32::MAX } else { part });
        }
    }

    /// Takes the cheapest offers until the need is met: a selection by weight, not a sort.
    pub(super) fn buy(&mut self, mut needed: f64, mut grams: f64, mut price: f64) -> Bought {
        let mut gross = grams.abs();
        let mut offers = &mut self.offers[..];
        while offers.len() > FEW && needed > 0.0 {
            let (cheaper, dearer) = split(offers);
            let (work, cost, spent) = cheaper
                .iter()
                .fold((0.0, 0.0, 0.0), |(w, c, s), o| (w + o.work, c + o.slope * o.work, s + (o.slope * o.work).abs()));
            if work >= needed {
                offers = cheaper;
            } else {
                price = cheaper.iter().map(|o| o.slope).fold(price, f64::max);
                needed -= work;
                grams += cost;
                gross += spent;
                offers = dearer;
            }
        }
        offers.sort_unstable_by(|x, y| x.slope.total_cmp(&y.slope));
        for o in offers {
            if needed <= 0.0 {
                break;
            }
            let work = o.work.min(needed);
            grams += o.slope * work;
            gross += (o.slope * work).abs();
            needed -= work;
            price = o.slope;
        }
        // A faster level may emit less, down to nothing: what rounding leaves of that is nothing too.
        if grams < 1e-13 * gross {
            grams = 0.0;
        }
        Bought { grams, price }
    }

    /// Cheapest first, and at equal slopes by rank.
    pub(super) fn sort(&mut self) {
        let key = |o: &Offer| (o.rank, o.vertex);
        self.offers.sort_unstable_by(|x, y| x.slope.total_cmp(&y.slope).then(key(x).cmp(&key(y))));
    }
}

/// So few offers are rather sorted than split.
const FEW: usize = 12;

/// Splits offers at the median slope of three of them; both sides have some.
fn split(offers: &mut [Offer]) -> (&mut [Offer], &mut [Offer]) {
    let last = offers.len() - 1;
    let (a, b, c) = (offers[0].slope, offers[last / 2].slope, offers[last].slope);
    let pivot = a.max(b).min(a.min(b).max(c));
    let (mut i, mut j) = (0, last);
    loop {
        while offers[i].slope < pivot {
            i += 1;
        }
        while offers[j].slope > pivot {
            j -= 1;
        }
        if i >= j {
            break;
        }
        offers.swap(i, j);
        i += 1;
        j -= 1;
    }
    // Hoare's partition: neither side is empty, since the pivot is neither the only least nor the only most.
    let at = i.clamp(1, last);
    offers.split_at_mut(at)
}
