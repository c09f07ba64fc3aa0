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
/// Prepare once per (site, profile, workers) and ask for each job with [`super::Fleet`].
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
            work_noise: 0.0,
            grams_noise: 0.0,
        };
        tables.fill_cells();
        tables.fill_steps();
        let all = (0..tables.states()).map(|j| tables.cell(j, tables.slots.len()));
        let (work, grams) = all.fold((0.0, 0.0), |(w, g): (f64, f64), c| {
            (w.max(c.work_before), g.max(c.grams_before))
        });
        tables.work_noise = 8.0 * f64::EPSILON * work;
        tables.grams_noise = 8.0 * f64::EPSILON * grams;
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

    /// The vertex at which state `j` runs slot `k` when it may not be idle.
    pub(super) fn vertex(&self, j: usize, k: usize) -> usize {
        self.hulls.slot(k)[1..].partition_point(|v| self.buys(j, v.slope))
    }

    /// The vertex at which state `j` runs slot `k` when it may be idle; `None` for idle.
    pub(super) fn end_vertex(&self, j: usize, k: usize) -> Option<usize> {
        self.buys(j, self.hulls.ratio(k))
            .then(|| self.vertex(j, k).max(self.hulls.tangent(k)))
    }

    /// The segments of slots `from..to` that state `j + 1` buys and state `j` does not.
    pub(super) fn steps(&self, j: usize, from: usize, to: usize) -> &[Step] {
        let row = j * (self.slots.len() + 1);
        &self.steps[self.step_start[row + from] as usize..self.step_start[row + to] as usize]
    }

    /// Carbon rate of slot `k` at a level of the caller's, g/h.
    pub(super) fn rate(&self, k: usize, level: usize) -> f64 {
        let s = &self.slots[k];
        carbon_rate(
            self.power_w[level],
            s.g_per_kwh,
            s.onsite_w,
            self.onsite_g_per_kwh,
        )
    }

    fn fill_cells(&mut self) {
        let mut cells = Vec::with_capacity(self.states() * (self.slots.len() + 1));
        for j in 0..self.states() {
            let mut sum = Cell::default();
            for (k, s) in self.slots.iter().enumerate() {
                let hull = self.hulls.slot(k);
                let idle = self.end_vertex(j, k).map(|i| hull[i]);
                sum.end_speed = idle.map_or(0.0, |v| v.speed);
                sum.end_rate = idle.map_or(0.0, |v| v.rate);
                cells.push(sum);
                let v = hull[self.vertex(j, k)];
                sum.work_before += v.speed * s.hours;
                sum.grams_before += v.rate * s.hours;
            }
            cells.push(Cell {
                end_speed: 0.0,
                end_rate: 0.0,
                ..sum
            });
        }
        self.cells = cells;
    }

    fn fill_steps(&mut self) {
        let buckets = self.states() - 1;
        for j in 0..buckets {
            for k in 0..self.slots.len() {
                self.step_start.push(self.steps.len() as u32);
                let hull = self.hulls.slot(k);
                for i in self.vertex(j, k) + 1..=self.vertex(j + 1, k) {
                    let (v, below) = (hull[i], hull[i - 1]);
                    self.steps.push(Step {
                        slope: v.slope,
                        speed: v.speed - below.speed,
                        slot: k as u32,
                        vertex: i as u32,
                    });
                }
            }
            self.step_start.push(self.steps.len() as u32);
        }
    }
}

/// Most prices between the cheapest and the dearest segment.
const MOST_PRICES: usize = 64;

/// The cheapest slope, quantiles of a sample of them, and the dearest: at least two, rising.
fn prices(hulls: &Hulls) -> Vec<f64> {
    let slopes = |k: usize| {
        let after_first = hulls.slot(k)[1..].iter().map(|v| v.slope);
        after_first.chain(std::iter::once(hulls.ratio(k)))
    };
    let all = || (0..hulls.slots()).flat_map(slopes);
    let least = all().fold(f64::INFINITY, f64::min);
    let most = all().fold(f64::NEG_INFINITY, f64::max);
    let mut sample: Vec<f64> = all().step_by(all().count() / 2048 + 1).collect();
    sample.sort_unstable_by(f64::total_cmp);
    let inner = MOST_PRICES.min(sample.len());
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
