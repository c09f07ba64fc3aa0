//! Contiguous windows: a run that begins in slot `a`, ends in slot `z` and never pauses in between.
//!
//! For given `a`, `z` and hours `e` usable in `z`, the least carbon is a linear program with one coupling
//! constraint (the work): base load at the slow end of every hull in between, then the cheapest segments until the
//! work is done. It is convex in `e`; [`Solved::slope`] is its derivative. Which windows may matter is `scan`'s.

use super::fill::{Bought, Fill};
use super::problem::Start;
use super::tables::Tables;

/// Relative difference below which two costs, or an amount of work and its target, count as equal.
pub(super) const TIE: f64 = 1e-11;

/// What one job asks of a candidate's tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Work, in full-clock hours with the candidate's workers.
    pub work_h: f64,
    /// When the run may begin.
    pub start: Start,
    /// The longest run that the partition allows, h.
    pub max_run_h: Option<f64>,
}

/// The windows of one run over one candidate.
pub(super) struct Windows<'t> {
    pub tables: &'t Tables,
    pub work: f64,
    earliest: f64,
    latest: f64,
    pub max_run: f64,
    /// First and last slot in which the run may begin.
    pub first: usize,
    pub last: usize,
    /// How much work may be missed or exceeded by rounding.
    slip: f64,
    /// For a run that may pause at will: then there is one window an end, and every slot of it may be idle.
    pool: Option<Pool>,
}

/// The optimum of one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Solved {
    pub cost: f64,
    /// Change of the cost per hour more in the last slot, g/h: never positive.
    pub slope: f64,
}

/// A window: first slot, last slot, hours usable in the last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub a: usize,
    pub z: usize,
    pub e: f64,
}

/// Hours of a window's first slot: those in which the run may begin, and those after the last possible start.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstHours {
    pub free: f64,
    pub forced: f64,
}

impl<'t> Windows<'t> {
    /// `None` if the run could begin only after the forecast.
    pub fn new(tables: &'t Tables, run: &Run) -> Option<Self> {
        let (earliest, latest) = match run.start {
            Start::Fixed(at) => (at, at),
            Start::Within { earliest_h, latest_h } => (earliest_h, latest_h),
        };
        let horizon = tables.horizon_h();
        if earliest >= horizon {
            return None;
        }
        let count = tables.slots.len();
        let slot_of = |t: f64| tables.bounds[1..].partition_point(|&b| b <= t).min(count - 1);
        Some(Self {
            tables,
            work: run.work_h,
            earliest,
            latest,
            max_run: run.max_run_h.unwrap_or(f64::INFINITY),
            first: slot_of(earliest),
            last: slot_of(latest),
            slip: 0.1 * TIE * run.work_h + tables.work_noise,
            pool: None,
        })
    }

    /// The windows of a run that may pause at will. Its patience and longest run are not looked at: a moment's work meets
    /// the one, and each stretch is a job of its own to the other.
    pub fn suspended(tables: &'t Tables, run: &Run) -> Option<Self> {
        let mut windows = Self::new(tables, run)?;
        windows.max_run = f64::INFINITY;
        windows.last = tables.slots.len() - 1;
        windows.latest = f64::INFINITY;
        windows.pool = Some(Pool::new(&windows));
        Some(windows)
    }

    /// Hours of slot `k` that a run which may pause can use.
    pub fn open_hours(&self, k: usize) -> f64 {
        if self.tables.slots[k].closed { 0.0 } else { self.tables.bounds[k + 1] - self.begin(k) }
    }

    /// The slots in which a run may end, in order.
    pub fn ends(&self) -> std::ops::Range<usize> {
        self.first..self.tables.slots.len()
    }

    /// The first instant of slot `a` at which the run may be.
    pub fn begin(&self, a: usize) -> f64 {
        self.tables.bounds[a].max(self.earliest)
    }

    pub fn first_hours(&self, a: usize) -> FirstHours {
        let (from, to) = (self.begin(a), self.tables.bounds[a + 1]);
        let cut = self.latest.clamp(from, to);
        FirstHours { free: cut - from, forced: to - cut }
    }

    /// Hours of a window that lies in one slot.
    pub fn single_hours(&self, w: Window) -> f64 {
        (self.tables.bounds[w.z] + w.e - self.begin(w.z)).min(self.max_run)
    }

    /// Whether a run that fills the window would be longer than the partition allows.
    pub fn too_long(&self, w: Window) -> bool {
        self.tables.bounds[w.z] + w.e - self.begin(w.a) > self.max_run
    }

    /// Hours that the first and the last slot may have together, beside all in between.
    pub fn end_hours(&self, w: Window) -> f64 {
        self.max_run - (self.tables.bounds[w.z] - self.tables.bounds[w.a + 1])
    }

    /// The shortest that the last slot's part can be in a window, h: at full clock all along.
    pub fn least_end(&self, a: usize, z: usize) -> f64 {
        if self.pool.is_some() && a < z {
            return (self.work - (a..z).map(|k| self.open_hours(k)).sum::<f64>()).max(0.0);
        }
        (self.begin(a) - self.tables.bounds[z] + self.work).max(0.0)
    }

    /// Work and grams of state `j` in a window of more than one slot, whatever the longest run.
    pub fn sums(&self, j: usize, w: Window, h: FirstHours) -> (f64, f64) {
        let t = self.tables;
        if let Some(pool) = &self.pool {
            let ((work, grams), end) = (pool.before(j, w), t.cell(j, w.z));
            return (work + w.e * end.end_speed, grams + w.e * end.end_rate);
        }
        let (begin, inner, end) = (t.cell(j, w.a), t.cell(j, w.a + 1), t.cell(j, w.z));
        let mut work = h.free * begin.end_speed + (end.work_before - inner.work_before) + w.e * end.end_speed;
        let mut grams = h.free * begin.end_rate + (end.grams_before - inner.grams_before) + w.e * end.end_rate;
        if h.forced > 0.0 {
            let v = t.hulls.slot(w.a)[t.vertex(j, w.a)];
            work += h.forced * v.speed;
            grams += h.forced * v.rate;
        }
        (work, grams)
    }

    /// The least carbon of a window; `None` if the work does not fit it exactly.
    pub fn solve(&self, w: Window, fill: &mut Fill) -> Option<Solved> {
        let bought = fill.solve(self, w)?;
        Some(self.solved(w, &bought))
    }

    pub fn solved(&self, w: Window, bought: &Bought) -> Solved {
        // Gain per hour of a slot at a price: the least g - price * s of its hull.
        let gain =
            |k: usize| self.tables.hulls.slot(k).iter().map(|v| v.rate - bought.price * v.speed).fold(f64::INFINITY, f64::min);
        let last = gain(w.z);
        let slope = if w.a == w.z {
            if self.too_long(w) { 0.0 } else { last.min(0.0) }
        } else if last >= 0.0 {
            0.0
        } else if !self.too_long(w) {
            last
        } else {
            // The length binds: an hour more at the end is an hour less at the begin, if one can be spared.
            let h = self.first_hours(w.a);
            let first = gain(w.a);
            let most = self.end_hours(w);
            let fits = h.free + h.forced + w.e <= most;
            if fits || first >= 0.0 && h.forced + w.e <= most {
                last
            } else if last < first && w.e < most - h.forced {
                last - first
            } else {
                0.0
            }
        };
        Solved { cost: bought.grams, slope: slope.min(0.0) }
    }

    /// The state below which a window's work is bracketed, and its sums there; `None` if the work does not fit.
    pub fn bracket(&self, w: Window, h: FirstHours) -> Option<(usize, (f64, f64))> {
        let (mut lo, mut hi) = (0, self.tables.states() - 1);
        let mut low = self.sums(lo, w, h);
        if low.0 > self.work + self.slip || self.sums(hi, w, h).0 < self.work - self.slip {
            return None;
        }
        while hi - lo > 1 {
            let mid = lo.midpoint(hi);
            let sums = self.sums(mid, w, h);
            if sums.0 <= self.work {
                (lo, low) = (mid, sums);
            } else {
                hi = mid;
            }
        }
        Some((lo, low))
    }

    pub fn slip(&self) -> f64 {
        self.slip
    }

    /// Whether the run may pause at will.
    pub fn pauses(&self) -> bool {
        self.pool.is_some()
    }
}

/// Work and grams, by slot and state, of all slots before it that may be idle.
struct Pool {
    states: usize,
    first: usize,
    before: Vec<(f64, f64)>,
}

impl Pool {
    fn new(ws: &Windows) -> Self {
        let t = ws.tables;
        let states = t.states();
        let mut sums = vec![(0.0, 0.0); states];
        let mut before = Vec::with_capacity(states * ws.ends().len());
        for k in ws.ends() {
            before.extend_from_slice(&sums);
            let hours = ws.open_hours(k);
            for (j, sum) in sums.iter_mut().enumerate() {
                let cell = t.cell(j, k);
                sum.0 += hours * cell.end_speed;
                sum.1 += hours * cell.end_rate;
            }
        }
        Self { states, first: ws.first, before }
    }

    fn before(&self, j: usize, w: Window) -> (f64, f64) {
        self.before[(w.z - self.first) * self.states + j]
    }
}
