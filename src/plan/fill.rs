//! Buying work: given what a window's slots do below a price, take the cheapest segments until the job is done.
//!
//! Also says what was bought where ([`Part`]), from which a schedule is made. Holds the scratch memory of the search.

use super::pair::PairHull;
use super::tables::Tables;
use super::window::{FirstHours, Window, Windows};

/// What a window costs, and the price of the last work bought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bought {
    pub grams: f64,
    pub price: f64,
}

/// A stretch of time within one slot that is run at one level, at a mix of two, or partly not at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub slot: usize,
    pub hours: f64,
    /// Vertex of the slot's hull; `None` is idle.
    pub vertex: Option<usize>,
    /// A faster vertex and the hours that are run at it instead.
    pub faster: Option<(usize, f64)>,
}

/// A segment on offer.
#[derive(Debug, Clone, Copy)]
struct Offer {
    slope: f64,
    work: f64,
    /// Who goes first at equal slopes: the first slot (an earlier start), then by time, the last slot last (an earlier end).
    rank: u32,
    /// Which part it belongs to, and the vertex that it leads to.
    part: u32,
    vertex: u32,
}

/// Scratch memory.
#[derive(Debug, Default)]
pub(super) struct Fill {
    offers: Vec<Offer>,
    pair: PairHull,
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

    /// Takes the cheapest offers until the need is met: a selection by weight, not a sort.
    fn buy(&mut self, mut needed: f64, mut grams: f64, mut price: f64) -> Bought {
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

    /// Segments of the slots in between. Parts are numbered: 0 first, 1 forced rest of the first, then slot by slot.
    fn offer_inner(&mut self, t: &Tables, w: Window, lo: usize) {
        self.offers.extend(t.steps(lo, w.a + 1, w.z).iter().map(|s| {
            let part = s.slot - w.a as u32 + 1;
            Offer { slope: s.slope, work: s.speed * t.slots[s.slot as usize].hours, rank: part, part, vertex: s.vertex }
        }));
    }

    /// Segments of a slot that may be idle.
    fn offer_end(&mut self, t: &Tables, k: usize, hours: f64, lo: usize, part: u32, rank: u32) {
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
    fn offer_plain(&mut self, t: &Tables, k: usize, hours: f64, lo: usize, part: u32) {
        if hours <= 0.0 {
            return;
        }
        let hull = t.hulls.slot(k);
        for i in t.vertex(lo, k) + 1..=t.vertex(lo + 1, k) {
            let speed = hull[i].speed - hull[i - 1].speed;
            self.offers.push(Offer { slope: hull[i].slope, work: speed * hours, rank: part, part, vertex: i as u32 });
        }
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

    fn offer_pair(&mut self, t: &Tables, lo: usize) {
        for i in self.pair.state(t, lo) + 1..=self.pair.state(t, lo + 1) {
            let (v, below) = (&self.pair.vertices[i], &self.pair.vertices[i - 1]);
            self.offers.push(Offer { slope: v.slope, work: v.work - below.work, rank: u32::MAX, part: 0, vertex: i as u32 });
        }
    }

    fn bracket_limited(&mut self, ws: &Windows, w: Window, h: FirstHours) -> Option<(usize, (f64, f64))> {
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

    /// What a window's optimum runs in each slot, in time order; idle time stands before the first run and after the last.
    pub fn parts(&mut self, ws: &Windows, w: Window) -> Option<Vec<Part>> {
        let t = ws.tables;
        if w.a == w.z {
            return single_part(ws, w).map(|p| vec![p]);
        }
        let h = ws.first_hours(w.a);
        let limited = h.free + h.forced + w.e > ws.end_hours(w);
        let (lo, _) = if limited { self.bracket_limited(ws, w, h)? } else { ws.bracket(w, h)? };

        let part = |slot: usize, hours: f64, vertex: Option<usize>| Part { slot, hours, vertex, faster: None };
        let mut parts = Vec::with_capacity(w.z - w.a + 2);
        parts.push(part(w.a, h.free, t.end_vertex(lo, w.a)));
        parts.push(part(w.a, h.forced, Some(t.vertex(lo, w.a))));
        parts.extend((w.a + 1..w.z).map(|k| part(k, t.slots[k].hours, Some(t.vertex(lo, k)))));
        parts.push(part(w.z, w.e, t.end_vertex(lo, w.z)));

        self.offers.clear();
        self.offer_inner(t, w, lo);
        let last = parts.len() - 1;
        let mut at = 0; // of the pair hull
        if limited {
            at = self.pair.state(t, lo);
            self.offer_pair(t, lo);
            for i in [0, 1, last] {
                parts[i].hours = 0.0;
            }
        } else {
            self.offer_end(t, w.a, h.free, lo, 0, 0);
            self.offer_plain(t, w.a, h.forced, lo, 1);
            self.offer_end(t, w.z, w.e, lo, last as u32, u32::MAX);
        }
        self.offers.sort_unstable_by(|x, y| x.slope.total_cmp(&y.slope).then(x.rank.cmp(&y.rank)).then(x.vertex.cmp(&y.vertex)));

        let speed = |p: &Part| p.vertex.map_or(0.0, |i| t.hulls.slot(p.slot)[i].speed) * p.hours;
        let mut needed = ws.work - parts.iter().map(speed).sum::<f64>();
        if limited {
            needed -= self.pair.vertices[at].work;
        }
        let mut toward = None;
        for o in &self.offers {
            if needed <= 0.0 {
                break;
            }
            let whole = o.work <= needed;
            let pair = limited && o.rank == u32::MAX;
            match (whole, pair) {
                (true, true) => at = o.vertex as usize,
                (true, false) => parts[o.part as usize].vertex = Some(o.vertex as usize),
                (false, true) => toward = Some((o.vertex as usize, needed / o.work)),
                (false, false) => {
                    let p = &mut parts[o.part as usize];
                    p.faster = Some((o.vertex as usize, p.hours * needed / o.work));
                }
            }
            needed -= o.work;
        }
        if limited {
            let ends = self.pair.mix(w.a, w.z, at, toward);
            parts[last] = ends.last;
            parts.splice(0..2, [ends.first]);
        }
        Some(parts)
    }
}

/// Costs below this many times the tables' rounding noise are summed anew.
const SMALL: f64 = 1e12;

/// What a state emits in the slots between a window's first and last.
fn inner_grams(t: &Tables, w: Window, j: usize) -> f64 {
    (w.a + 1..w.z).map(|k| t.hulls.slot(k)[t.vertex(j, k)].rate * t.slots[k].hours).sum()
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

/// A window within one slot: up to the tangent level if there is time, else between two faster ones.
fn single(ws: &Windows, w: Window) -> Option<Bought> {
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
fn faster_vertex(ws: &Windows, w: Window, hours: f64) -> usize {
    let hull = ws.tables.hulls.slot(w.z);
    hull.partition_point(|v| v.speed * hours < ws.work).clamp(ws.tables.hulls.tangent(w.z) + 1, hull.len() - 1)
}

fn single_part(ws: &Windows, w: Window) -> Option<Part> {
    single(ws, w)?;
    let hours = ws.single_hours(w);
    let (hull, tangent) = (ws.tables.hulls.slot(w.z), ws.tables.hulls.tangent(w.z));
    let busy = ws.work / hull[tangent].speed;
    if busy <= hours || tangent + 1 == hull.len() {
        return Some(Part { slot: w.z, hours: busy.min(hours), vertex: Some(tangent), faster: None });
    }
    let i = faster_vertex(ws, w, hours);
    let (below, above) = (hull[i - 1].speed, hull[i].speed);
    let fast = ((ws.work - below * hours) / (above - below)).clamp(0.0, hours);
    Some(Part { slot: w.z, hours, vertex: Some(i - 1), faster: Some((i, fast)) })
}
