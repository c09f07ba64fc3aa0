//! What work costs in one slot: the lower convex hull of its levels' (speed, carbon rate).
//!
//! Time-sharing two clocks reaches every point between them, so only the hull matters. Where a run may
//! also be idle (its first and last slot) the hull starts at the origin and joins the other at `tangent`.

use super::problem::Candidate;

/// A carbon rate below this, in g/h, is none: a picogram an hour tells no two plans apart, and products of such numbers would
/// fall below what a float holds.
const LEAST_RATE: f64 = 1e-12;

/// Carbon rate, g/h: `g_k(P) = CI_k max(0, P - R_k) / 1000 + CI_on min(P, R_k) / 1000`.
#[must_use]
pub(super) fn carbon_rate(power_w: f64, g_per_kwh: f64, onsite_w: f64, onsite_g_per_kwh: f64) -> f64 {
    let rate = (g_per_kwh * (power_w - onsite_w).max(0.0) + onsite_g_per_kwh * power_w.min(onsite_w)) / 1000.0;
    if rate < LEAST_RATE { 0.0 } else { rate }
}

/// A level on a slot's hull.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vertex {
    pub speed: f64,
    /// g/h.
    pub rate: f64,
    /// Grams per unit of work from the vertex before to this one; of a slot's first vertex, minus infinity.
    pub slope: f64,
    /// Index into the caller's levels.
    pub level: usize,
}

/// The hulls of all slots of a candidate, in one array.
#[derive(Debug, Clone)]
pub(super) struct Hulls {
    first: Vec<usize>,
    vertices: Vec<Vertex>,
    tangent: Vec<usize>,
    ratio: Vec<f64>,
}

impl Hulls {
    pub fn new(c: &Candidate) -> Self {
        // Slow to fast; among equally fast levels only the cheapest in watts can be on a hull.
        let mut order: Vec<usize> = (0..c.levels.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&c.levels[a], &c.levels[b]);
            a.speed.total_cmp(&b.speed).then(a.watts.total_cmp(&b.watts)).then(a.clock_mhz.cmp(&b.clock_mhz))
        });
        order.dedup_by(|later, kept| c.levels[*later].speed == c.levels[*kept].speed);
        let powers: Vec<f64> = order.iter().map(|&l| c.power_w(&c.levels[l])).collect();

        let mut hulls = Hulls {
            first: Vec::with_capacity(c.slots.len() + 1),
            vertices: Vec::with_capacity(c.slots.len() * order.len()),
            tangent: Vec::with_capacity(c.slots.len()),
            ratio: Vec::with_capacity(c.slots.len()),
        };
        for s in &c.slots {
            let from = hulls.vertices.len();
            hulls.first.push(from);
            for (&level, &power) in order.iter().zip(&powers) {
                let rate = carbon_rate(power, s.g_per_kwh, s.onsite_w, c.onsite_g_per_kwh);
                hulls.add(from, Vertex { speed: c.levels[level].speed, rate, slope: f64::NEG_INFINITY, level });
            }
            let slot = &hulls.vertices[from..];
            // The last of the best: one long segment from the origin rather than two in line.
            let (mut tangent, mut ratio) = (0, f64::INFINITY);
            for (i, v) in slot.iter().enumerate() {
                if v.rate / v.speed <= ratio {
                    (tangent, ratio) = (i, v.rate / v.speed);
                }
            }
            hulls.tangent.push(tangent);
            hulls.ratio.push(ratio);
        }
        hulls.first.push(hulls.vertices.len());
        hulls
    }

    /// Appends the next faster point, dropping those that it leaves above the hull.
    fn add(&mut self, from: usize, mut new: Vertex) {
        while let [.., last] = &self.vertices[from..] {
            new.slope = (new.rate - last.rate) / (new.speed - last.speed);
            if self.vertices.len() - from > 1 && new.slope <= last.slope {
                self.vertices.pop();
            } else {
                break;
            }
        }
        self.vertices.push(new);
    }

    pub fn slots(&self) -> usize {
        self.tangent.len()
    }

    /// How many there are over all slots.
    pub fn vertices(&self) -> usize {
        self.vertices.len()
    }

    /// Slow to fast; slopes rise strictly.
    pub fn slot(&self, k: usize) -> &[Vertex] {
        &self.vertices[self.first[k]..self.first[k + 1]]
    }

    /// Where the line from the origin touches the hull: the level with the least carbon per work.
    pub fn tangent(&self, k: usize) -> usize {
        self.tangent[k]
    }

    /// Least grams per unit of work in the slot: the slope of the segment from the origin.
    pub fn ratio(&self, k: usize) -> f64 {
        self.ratio[k]
    }

    /// The segment up to vertex `i` as an end slot sees it: never cheaper than the one from the origin before it.
    pub fn slope_after_origin(&self, k: usize, i: usize) -> f64 {
        self.slot(k)[i].slope.max(self.ratio(k))
    }
}
