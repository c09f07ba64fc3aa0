//! What was bought where: a window's optimum as parts of slots, in time order, from which a schedule is made.

use super::fill::{Fill, faster_vertex, single};
use super::tables::Tables;
use super::window::{FirstHours, Window, Windows};

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

impl Fill {
    /// What a window's optimum runs in each slot, in time order; idle time stands before the first run and after the last.
    pub fn parts(&mut self, ws: &Windows, w: Window) -> Option<Vec<Part>> {
        let t = ws.tables;
        if w.a == w.z {
            return single_part(ws, w).map(|p| vec![p]);
        }
        let h = ws.first_hours(w.a);
        if ws.pauses() {
            return self.pool_parts(ws, w, h);
        }
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
        self.sort();

        let mut needed = ws.work - parts.iter().map(|p| speed(t, p)).sum::<f64>();
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

    fn pool_parts(&mut self, ws: &Windows, w: Window, h: FirstHours) -> Option<Vec<Part>> {
        let t = ws.tables;
        let (lo, _) = ws.bracket(w, h)?;
        let hours = |k: usize| if k == w.z { w.e } else { ws.open_hours(k) };
        let part = |slot: usize| Part { slot, hours: hours(slot), vertex: t.end_vertex(lo, slot), faster: None };
        let mut parts: Vec<Part> = (w.a..=w.z).map(part).collect();
        self.offer_pool(ws, w, lo);
        self.sort();
        let mut needed = ws.work - parts.iter().map(|p| speed(t, p)).sum::<f64>();
        for o in &self.offers {
            if needed <= 0.0 {
                break;
            }
            let p = &mut parts[o.part as usize];
            if o.work <= needed {
                p.vertex = Some(o.vertex as usize);
            } else {
                p.faster = Some((o.vertex as usize, p.hours * needed / o.work));
            }
            needed -= o.work;
        }
        Some(parts)
    }
}

/// What a part does at its vertex alone.
fn speed(t: &Tables, p: &Part) -> f64 {
    p.vertex.map_or(0.0, |i| t.hulls.slot(p.slot)[i].speed) * p.hours
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
