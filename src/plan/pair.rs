//! The first and last slot of a window that a longest run ties together.
//!
//! With u hours in the first and v in the last, a run no longer than L asks u + v <= H. What the two can do together costs
//! the lower hull, over the corners of that polygon of hours, of the two slots' scaled hulls added up; it is convex, so the window
//! is again a problem with one coupling constraint.

use super::hull::Vertex;
use super::parts::Part;
use super::tables::Tables;
use super::window::{FirstHours, TIE, Window};

/// A corner of the pair's hull: hours and vertex of the first slot, hours and vertex of the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairVertex {
    pub work: f64,
    pub grams: f64,
    /// Grams per work from the vertex before.
    pub slope: f64,
    first: (f64, usize),
    last: (f64, usize),
}

/// The lower hull of what two slots can do together.
#[derive(Debug, Default)]
pub(super) struct PairHull {
    pub vertices: Vec<PairVertex>,
    points: Vec<PairVertex>,
}

/// What the pair runs, in time order.
pub(super) struct Ends {
    pub first: Part,
    pub last: Part,
}

impl PairHull {
    /// Builds the hull; false if even the hours after the last possible start are too many.
    pub fn build(&mut self, t: &Tables, w: Window, h: FirstHours, most: f64) -> bool {
        let (least, all) = (h.forced, h.free + h.forced);
        if least > most {
            return false;
        }
        let mut corners = vec![(least, 0.0), (all.min(most), 0.0), (least, w.e.min(most - least))];
        if most >= all {
            corners.push((all, w.e.min(most - all)));
        }
        if most - w.e >= least {
            corners.push((all.min(most - w.e), w.e));
        }
        self.build_corners(t, w.a, w.z, &corners);
        true
    }

    /// Builds the hull of what slots `a` and `z` can do over a polygon of hours, given by its corners.
    pub fn build_corners(&mut self, t: &Tables, a: usize, z: usize, corners: &[(f64, f64)]) {
        self.points.clear();
        let mut most = 0.0_f64;
        for &(u, v) in corners {
            most = most.max(u + v);
            self.add_sum(t.hulls.slot(a), u, t.hulls.slot(z), v);
        }
        // Of equal points the one that begins first.
        self.points.sort_unstable_by(|x, y| {
            x.work.total_cmp(&y.work).then(x.grams.total_cmp(&y.grams)).then(y.first.0.total_cmp(&x.first.0))
        });
        self.vertices.clear();
        for i in 0..self.points.len() {
            let mut new = self.points[i];
            if let Some(last) = self.vertices.last()
                && new.work - last.work <= TIE * most
            {
                if new.grams >= last.grams * (1.0 - TIE) {
                    continue;
                }
                self.vertices.pop();
            }
            new.slope = f64::NEG_INFINITY;
            while let Some(last) = self.vertices.last() {
                new.slope = (new.grams - last.grams) / (new.work - last.work);
                if self.vertices.len() > 1 && new.slope <= last.slope {
                    self.vertices.pop();
                } else {
                    break;
                }
            }
            self.vertices.push(new);
        }
    }

    /// Adds the corners of `u` hours on one hull plus `v` hours on another.
    fn add_sum(&mut self, a: &[Vertex], u: f64, z: &[Vertex], v: f64) {
        let (mut i, mut j) = (0, 0);
        loop {
            self.points.push(PairVertex {
                work: u * a[i].speed + v * z[j].speed,
                grams: u * a[i].rate + v * z[j].rate,
                slope: f64::NEG_INFINITY,
                first: (u, i),
                last: (v, j),
            });
            match (a.get(i + 1), z.get(j + 1)) {
                (Some(x), Some(y)) if x.slope <= y.slope => i += 1,
                (_, Some(_)) => j += 1,
                (Some(_), None) => i += 1,
                (None, None) => return,
            }
        }
    }

    /// The vertex that state `j` has reached.
    pub fn state(&self, t: &Tables, j: usize) -> usize {
        self.vertices[1..].partition_point(|v| t.buys(j, v.slope))
    }

    /// What slots `a` and `z` run at vertex `at`, or a share of the way from there to another.
    pub fn mix(&self, a: usize, z: usize, at: usize, toward: Option<(usize, f64)>) -> Ends {
        let from = &self.vertices[at];
        let (to, share) = toward.map_or((from, 0.0), |(i, share)| (&self.vertices[i], share));
        let part = |slot: usize, from: (f64, usize), to: (f64, usize)| {
            let (slow, fast) = ((1.0 - share) * from.0, share * to.0);
            let faster = (from.1 != to.1).then_some((to.1, fast));
            Part { slot, hours: slow + fast, vertex: Some(from.1), faster }
        };
        Ends { first: part(a, from.first, to.first), last: part(z, from.last, to.last) }
    }
}
