//! Which windows may matter: nearly all are passed over by a bound, and few are solved.

use super::fill::Fill;
use super::window::{Solved, Window, Windows};

impl Windows<'_> {
    /// Visits the windows that end in slot `z` after at most `e` hours and may cost no more than a limit, nearest start first.
    /// `visit` gets the window and its cost and returns the limit from there on.
    ///
    /// Nearly all windows are passed over by a dual bound: first at the price that the last window visited came to, a sum a
    /// window; then between the two states that bracket its own price.
    pub fn scan(
        &self,
        z: usize,
        e: f64,
        mut limit: f64,
        fill: &mut Fill,
        mut visit: impl FnMut(&mut Fill, Window, Solved) -> f64,
    ) {
        let t = self.tables;
        if self.pauses() && z > self.first {
            let w = Window { a: self.first, z, e };
            // What ends in a closed slot ended before.
            if let Some(s) = self.solve(w, fill).filter(|_| !t.slots[z].closed) {
                visit(fill, w, s);
            }
            return;
        }
        let first = self.first.max(t.open_since[z]);
        if first <= z && z <= self.last {
            let w = Window { a: z, z, e };
            if let Some(s) = self.solve(w, fill) {
                limit = visit(fill, w, s);
            }
        }
        // At full clock from its begin, a window must do; without its ends, at the slow end, it must not do too much.
        let nearest = t.bounds[..z].partition_point(|&b| b <= t.bounds[z] + e - self.work + self.slip());
        let too_far = |a: usize| {
            t.bounds[z] - t.bounds[a + 1] > self.max_run
                || t.cell(0, z).work_before - t.cell(0, a + 1).work_before > self.work + self.slip()
        };
        let farthest = first_not(first, z, too_far);
        let mut hi = t.states() - 1;
        let mut hint = fill.hint.min(hi);
        let mut starts = t.starts(hint);
        let mut rest = self.rest_of_bound(hint, z, e);
        for a in (farthest..nearest.min(self.last + 1)).rev() {
            // The first and last possible slot may be cut: no sum is kept for those.
            if rest + starts[a] > limit && a != self.first && a != self.last {
                continue;
            }
            let w = Window { a, z, e };
            let h = self.first_hours(a);
            // The bracket of states only moves down as the window grows.
            let mut high = self.sums(hi, w, h);
            if high.0 < self.work - self.slip() {
                continue;
            }
            let mut low = self.sums(hi - 1, w, h);
            while hi > 1 && low.0 >= self.work {
                hi -= 1;
                high = low;
                low = self.sums(hi - 1, w, h);
            }
            if low.0 > self.work + self.slip() {
                break; // even the slow end does too much, and more so in longer windows
            }
            let from_below = low.1 + t.price(hi - 1) * (self.work - low.0) - t.noise(hi - 1);
            let from_above = high.1 + t.price(hi) * (self.work - high.0) - t.noise(hi);
            if from_below.max(from_above) > limit {
                continue;
            }
            let too_long = self.too_long(w);
            let bought = if too_long { fill.solve(self, w) } else { Some(fill.between(self, w, h, hi - 1, low)) };
            let Some(bought) = bought else { continue };
            limit = visit(fill, w, self.solved(w, &bought));
            if hint != hi {
                hint = hi;
                fill.hint = hi;
                starts = t.starts(hint);
                rest = self.rest_of_bound(hint, z, e);
            }
        }
    }

    /// A window's dual bound from state `j` but for what its first slot adds, less what rounding may have added.
    fn rest_of_bound(&self, j: usize, z: usize, e: f64) -> f64 {
        let t = self.tables;
        t.price(j) * self.work + t.gain_before(j, z) + e * t.end_gain(j, z) - 2.0 * t.noise(j)
    }

    /// A bound on the least carbon of any run that ends by an instant: as if it could pause at will.
    pub fn floor(&self, by: f64) -> f64 {
        let t = self.tables;
        let bound = |j: usize| {
            let hours = |k: usize| (by.min(t.bounds[k + 1]) - self.begin(k)).max(0.0);
            let gain: f64 = self.ends().map(|k| hours(k) * t.end_gain(j, k)).sum();
            t.price(j) * self.work + gain - t.noise(j)
        };
        // Concave over the states; any state's bound holds.
        let (mut lo, mut hi) = (0, t.states() - 1);
        while hi - lo > 2 {
            let mid = lo.midpoint(hi);
            if bound(mid) < bound(mid + 1) { lo = mid } else { hi = mid + 1 }
        }
        (lo..=hi).map(bound).fold(0.0, f64::max)
    }
}

/// The first of `from..to` for which a condition that only turns from true to false is false; `to` if none.
fn first_not(mut from: usize, mut to: usize, condition: impl Fn(usize) -> bool) -> usize {
    while from < to {
        let mid = from.midpoint(to);
        if condition(mid) { from = mid + 1 } else { to = mid }
    }
    from
}
