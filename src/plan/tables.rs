//! What a candidate's windows share: prices, prefix sums and price buckets, prepared once and asked for every job.
//!
//! A window's optimum buys work from the cheapest hull segments until the job is done; the price of the last one
//! bought settles everything. For some dozens of prices the tables hold, over the slots, the prefix sums of the work and
//! grams that are bought below each; so a window is bracketed between two prices by a few subtractions, bounded from below by
//! its dual there, and solved only if it may win, by looking at the segments between these two prices alone.

use super::check;
use super::error::PlanError;
use super::hull::{Hulls, carbon_rate};
use super::problem::{Candidate, Slot};

/// How a state's choice adds up at one slot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    /// Work (full-clock hours) and grams of all slots before this one, never idle.
    pub work_before: f64,
    pub grams_before: f64,
    /// Speed and g/h in this slot if it may be idle.
    pub end_speed: f64,
    pub end_rate: f64,
}

/// A hull segment of one slot: the step up to its vertex `vertex`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub slope: f64,
    pub speed: f64,
    pub slot: u32,
    pub vertex: u32,
}

/// Everything about a candidate that does not depend on the job's work, start or limits.
///
/// Prepare once per (site, profile, workers) and ask for each job with [`super::plan_prepared`].
#[derive(Debug, Clone)]
pub struct Tables {
    pub(super) workers: u32,
    /// Boundaries of the slots, h: one more than there are slots.
    pub(super) bounds: Vec<f64>,
    pub(super) slots: Vec<Slot>,
    /// The first slot from which the site is open until this one; one past it where this one is closed.
    pub(super) open_since: Vec<usize>,
    pub(super) power_w: Vec<f64>,
    pub(super) onsite_g_per_kwh: f64,
    pub(super) hulls: Hulls,
    /// State j has bought every segment cheaper than `prices[j]`: state 0 none, the last all.
    prices: Vec<f64>,
    /// By state, then slot (one more than there are slots).
    cells: Vec<Cell>,
    /// Segments between the prices of two neighbouring states, by that bucket, then slot.
    steps: Vec<Step>,
    /// Where a slot's steps begin in `steps`, by bucket, then slot (one more than there are slots).
    step_start: Vec<u32>,
    /// The part of a window's dual bound that its first slot decides, by state, then slot: what a slot that may be idle
    /// gains at the state's price, less the gain of all slots up to it.
    starts: Vec<f64>,
    /// How far sums over the whole horizon may be off by rounding: full-clock hours and grams.
    pub(super) work_noise: f64,
    pub(super) grams_noise: f64,
}

impl Tables {
    /// Prepares a candidate; its work, start and longest run are not looked at.
    ///
    /// # Errors
    /// If any figure is out of range.
    pub fn new(candidate: &Candidate) -> Result<Self, PlanError> {
        check::supply(candidate, &str::to_owned)?;
        Ok(Self::of_checked(candidate))
    }

    pub(super) fn of_checked(c: &Candidate) -> Self {
        let mut bounds = Vec::with_capacity(c.slots.len() + 1);
        let mut end = 0.0;
        bounds.push(end);
        for s in &c.slots {
            end += s.hours;
            bounds.push(end);
        }
        // The boundaries round; lengths follow them, so that instants and lengths agree.
        let mut slots = c.slots.clone();
        for (s, b) in slots.iter_mut().zip(bounds.windows(2)) {
            s.hours = b[1] - b[0];
        }
        let mut open_since = Vec::with_capacity(slots.len());
        let mut since = 0;
        for (k, s) in slots.iter().enumerate() {
            if s.closed {
                since = k + 1;
            }
            open_since.push(since);
        }
        let hulls = Hulls::new(c);
        let prices = prices(&hulls);
        let mut tables = Self {
            workers: c.workers,
            bounds,
            slots,
            open_since,
            power_w: c.levels.iter().map(|l| c.power_w(l)).collect(),
            onsite_g_per_kwh: c.onsite_g_per_kwh,
            hulls,
            prices,
            cells: Vec::new(),
            steps: Vec::new(),
            step_start: Vec::new(),
            starts: Vec::new(),
            work_noise: 0.0,
            grams_noise: 0.0,
        };
        tables.fill();
        let all = (0..tables.states()).map(|j| tables.cell(j, tables.slots.len()));
        let (work, grams) = all.fold((0.0, 0.0), |(w, g): (f64, f64), c| (w.max(c.work_before), g.max(c.grams_before)));
        tables.work_noise = 8.0 * f64::EPSILON * work;
        tables.grams_noise = 8.0 * f64::EPSILON * grams;
        tables.fill_starts();
        tables
    }

    pub(super) fn states(&self) -> usize {
        self.prices.len()
    }

    pub(super) fn price(&self, state: usize) -> f64 {
        self.prices[state]
    }

    /// The end of the forecast, h.
    #[must_use]
    pub fn horizon_h(&self) -> f64 {
        self.bounds[self.slots.len()]
    }

    /// Whether state `j` has bought a segment of this slope.
    pub(super) fn buys(&self, j: usize, slope: f64) -> bool {
        // Named, not compared: a slope worked out elsewhere may lie a rounding outside the range of prices.
        j + 1 == self.states() || j > 0 && slope < self.prices[j]
    }

    pub(super) fn cell(&self, state: usize, k: usize) -> &Cell {
        &self.cells[state * (self.slots.len() + 1) + k]
    }

    /// How far a bound from state `j` may be off by rounding, g.
    pub(super) fn noise(&self, j: usize) -> f64 {
        2.0 * (self.grams_noise + self.prices[j].abs() * self.work_noise)
    }

    /// The dual of slot `k`'s share in a window at a state's price, g/h, if it may be idle; never positive but for rounding.
    pub(super) fn end_gain(&self, j: usize, k: usize) -> f64 {
        let cell = self.cell(j, k);
        cell.end_rate - self.prices[j] * cell.end_speed
    }

    /// The dual of all slots before `k` at a state's price, g.
    pub(super) fn gain_before(&self, j: usize, k: usize) -> f64 {
        let cell = self.cell(j, k);
        cell.grams_before - self.prices[j] * cell.work_before
    }

    /// By slot: what a window that begins there adds to its dual bound from state `j`.
    pub(super) fn starts(&self, j: usize) -> &[f64] {
        &self.starts[j * self.slots.len()..(j + 1) * self.slots.len()]
    }

    fn fill_starts(&mut self) {
        let mut starts = Vec::with_capacity(self.states() * self.slots.len());
        for j in 0..self.states() {
            starts.extend(self.slots.iter().enumerate().map(|(k, s)| s.hours * self.end_gain(j, k) - self.gain_before(j, k + 1)));
        }
        self.starts = starts;
    }

    /// The vertex at which state `j` runs slot `k` when it may not be idle.
    pub(super) fn vertex(&self, j: usize, k: usize) -> usize {
        self.hulls.slot(k)[1..].partition_point(|v| self.buys(j, v.slope))
    }

    /// The vertex at which state `j` runs slot `k` when it may be idle; `None` for idle.
    pub(super) fn end_vertex(&self, j: usize, k: usize) -> Option<usize> {
        self.buys(j, self.hulls.ratio(k)).then(|| self.vertex(j, k).max(self.hulls.tangent(k)))
    }

    /// The segments of slots `from..to` that state `j + 1` buys and state `j` does not.
    pub(super) fn steps(&self, j: usize, from: usize, to: usize) -> &[Step] {
        let row = j * (self.slots.len() + 1);
        &self.steps[self.step_start[row + from] as usize..self.step_start[row + to] as usize]
    }

    /// Carbon rate of slot `k` at a level of the caller's, g/h.
    pub(super) fn rate(&self, k: usize, level: usize) -> f64 {
        let s = &self.slots[k];
        carbon_rate(self.power_w[level], s.g_per_kwh, s.onsite_w, self.onsite_g_per_kwh)
    }

    /// Walks all slots up through the prices, a state at a time.
    fn fill(&mut self) {
        let count = self.slots.len();
        let mut walks: Vec<Walk> = (0..count).map(|k| Walk::new(&self.hulls, k, self.slots[k].hours)).collect();
        let mut cells = Vec::with_capacity(self.states() * (count + 1));
        let mut steps = Vec::with_capacity(self.hulls.vertices());
        let mut step_start = Vec::with_capacity(self.states() * (count + 1));
        for j in 0..self.states() {
            let mut sum = Cell::default();
            let price = if j + 1 == self.states() { f64::INFINITY } else { self.prices[j] };
            for (k, walk) in walks.iter_mut().enumerate() {
                if j > 0 {
                    step_start.push(steps.len() as u32);
                    while walk.next < price {
                        steps.push(walk.step(&self.hulls, k));
                    }
                    (sum.end_speed, sum.end_rate) = if walk.ratio < price { walk.end(&self.hulls, k) } else { (0.0, 0.0) };
                }
                cells.push(sum);
                sum.work_before += walk.speed * walk.hours;
                sum.grams_before += walk.rate * walk.hours;
            }
            if j > 0 {
                step_start.push(steps.len() as u32);
            }
            cells.push(Cell { end_speed: 0.0, end_rate: 0.0, ..sum });
        }
        (self.cells, self.steps, self.step_start) = (cells, steps, step_start);
    }
}

/// Where a slot stands on its hull.
struct Walk {
    /// Slope of the segment after the vertex; infinite after the last.
    next: f64,
    speed: f64,
    rate: f64,
    hours: f64,
    ratio: f64,
    vertex: usize,
}

impl Walk {
    fn new(hulls: &Hulls, k: usize, hours: f64) -> Self {
        let mut walk = Self { next: 0.0, speed: 0.0, rate: 0.0, hours, ratio: hulls.ratio(k), vertex: 0 };
        walk.look(hulls, k);
        walk
    }

    fn look(&mut self, hulls: &Hulls, k: usize) {
        let hull = hulls.slot(k);
        let v = hull[self.vertex];
        (self.speed, self.rate) = (v.speed, v.rate);
        self.next = hull.get(self.vertex + 1).map_or(f64::INFINITY, |v| v.slope);
    }

    fn step(&mut self, hulls: &Hulls, k: usize) -> Step {
        let (slope, below) = (self.next, self.speed);
        self.vertex += 1;
        self.look(hulls, k);
        Step { slope, speed: self.speed - below, slot: k as u32, vertex: self.vertex as u32 }
    }

    /// Speed and rate where idling is allowed but running pays.
    fn end(&self, hulls: &Hulls, k: usize) -> (f64, f64) {
        let tangent = hulls.tangent(k);
        if self.vertex >= tangent {
            return (self.speed, self.rate);
        }
        let v = hulls.slot(k)[tangent];
        (v.speed, v.rate)
    }
}

/// Prices between the cheapest and the dearest segment: more make tighter bounds and dearer tables.
const PRICES: (usize, usize) = (16, 64);
/// About so many segments are looked at to choose them.
const SAMPLE: usize = 1024;

/// The cheapest slope, quantiles of a sample of them, and the dearest: at least two, rising.
fn prices(hulls: &Hulls) -> Vec<f64> {
    let slopes = |k: usize| {
        let after_first = hulls.slot(k)[1..].iter().map(|v| v.slope);
        after_first.chain(std::iter::once(hulls.ratio(k)))
    };
    let all = || (0..hulls.slots()).flat_map(slopes);
    let least = all().fold(f64::INFINITY, f64::min);
    let most = all().fold(f64::NEG_INFINITY, f64::max);
    // Whole slots, so that every level has its share.
    let stride = all().count() / SAMPLE + 1;
    let mut sample: Vec<f64> = (0..hulls.slots()).step_by(stride).flat_map(slopes).collect();
    sample.sort_unstable_by(f64::total_cmp);
    let inner = (hulls.slots() / 6).clamp(PRICES.0, PRICES.1).min(sample.len());
    let mut prices = vec![least];
    for q in 1..inner {
        let price = sample[q * sample.len() / inner];
        if price > *prices.last().unwrap_or(&least) && price < most {
            prices.push(price);
        }
    }
    prices.push(most);
    prices
}
