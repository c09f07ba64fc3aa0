//! The planner's definition, followed to the letter: every window of every candidate as a linear program of its own.
//!
//! Shares no code with the planner but the types of its question.

use crate::simplex::{Program, Relation};
use carm::plan::{Candidate, Level, Start};

/// Hours in which a window runs: in a slot, at most or exactly so many.
#[derive(Clone, Copy)]
struct Part {
    slot: usize,
    hours: f64,
    relation: Relation,
}

/// A window: first slot, last slot, its parts in time order (the last part is the last slot's), and where the last part begins.
pub struct Window {
    parts: Vec<Part>,
    last_from: f64,
}

pub fn bounds(c: &Candidate) -> Vec<f64> {
    let mut at = 0.0;
    let mut bounds = vec![0.0];
    for s in &c.slots {
        at += s.hours;
        bounds.push(at);
    }
    bounds
}

pub fn starts(c: &Candidate) -> (f64, f64) {
    match c.start {
        Start::Fixed(at) => (at, at),
        Start::Within {
            earliest_h,
            latest_h,
        } => (earliest_h, latest_h),
    }
}

/// g/h of a slot at a level, as planner.md writes it.
pub fn rate(c: &Candidate, slot: usize, level: &Level) -> f64 {
    let p = c.pue * f64::from(c.workers) * (level.watts + c.host_watts);
    let s = &c.slots[slot];
    s.g_per_kwh * (p - s.onsite_w).max(0.0) / 1000.0
        + c.onsite_g_per_kwh * p.min(s.onsite_w) / 1000.0
}

/// Every window that ends by an instant.
pub fn windows(c: &Candidate, by: f64) -> Vec<Window> {
    let b = bounds(c);
    let (earliest, latest) = starts(c);
    let mut windows = Vec::new();
    for a in 0..c.slots.len() {
        let from = b[a].max(earliest);
        if from >= b[a + 1] || b[a] > latest {
            continue;
        }
        for z in a..c.slots.len() {
            let to = b[z + 1].min(by);
            if (a..=z).any(|k| c.slots[k].closed) || to <= b[z].max(from) {
                break;
            }
            let mut parts = Vec::new();
            if a < z {
                let cut = latest.clamp(from, b[a + 1]);
                parts.push(Part {
                    slot: a,
                    hours: cut - from,
                    relation: Relation::AtMost,
                });
                parts.push(Part {
                    slot: a,
                    hours: b[a + 1] - cut,
                    relation: Relation::Exactly,
                });
                parts.extend((a + 1..z).map(|k| Part {
                    slot: k,
                    hours: b[k + 1] - b[k],
                    relation: Relation::Exactly,
                }));
            }
            let last_from = b[z].max(from);
            parts.push(Part {
                slot: z,
                hours: to - last_from,
                relation: Relation::AtMost,
            });
            windows.push(Window { parts, last_from });
        }
    }
    windows
}

impl Window {
    fn program(&self, c: &Candidate) -> Program {
        let l = c.levels.len();
        let n = self.parts.len() * l;
        let mut rows = Vec::new();
        for (i, p) in self.parts.iter().enumerate() {
            let mut row = vec![0.0; n];
            row[i * l..(i + 1) * l].fill(1.0);
            rows.push((row, p.relation, p.hours));
        }
        rows.push((
            (0..n).map(|v| c.levels[v % l].speed).collect(),
            Relation::Exactly,
            c.work_h,
        ));
        if let Some(most) = c.max_run_h {
            rows.push((vec![1.0; n], Relation::AtMost, most));
        }
        Program {
            cost: self.carbon(c),
            rows,
        }
    }

    fn carbon(&self, c: &Candidate) -> Vec<f64> {
        self.parts
            .iter()
            .flat_map(|p| c.levels.iter().map(|l| rate(c, p.slot, l)))
            .collect()
    }

    /// The least carbon of the window.
    pub fn least_carbon(&self, c: &Candidate) -> Option<f64> {
        self.program(c).minimise().map(|s| s.0.max(0.0))
    }

    /// The least carbon if the last slot is run for at most so many hours.
    fn least_carbon_in(&self, c: &Candidate, hours: f64) -> Option<f64> {
        let mut p = self.program(c);
        p.rows[self.parts.len() - 1].2 = hours;
        p.minimise().map(|s| s.0.max(0.0))
    }

    /// The earliest end within a budget.
    pub fn earliest_end(&self, c: &Candidate, budget: Option<f64>) -> Option<f64> {
        let mut p = self.program(c);
        if let Some(budget) = budget {
            p.rows.push((self.carbon(c), Relation::AtMost, budget));
        }
        let l = c.levels.len();
        p.cost.fill(0.0);
        let n = p.cost.len();
        p.cost[n - l..].fill(1.0);
        p.minimise().map(|s| self.last_from + s.0)
    }

    /// Ends that are worth trying for the greatest PPC: a grid, and the kinks that lines through neighbouring points betray.
    fn ppc_ends(&self, c: &Candidate, cells: usize) -> Vec<f64> {
        let most = self.parts[self.parts.len() - 1].hours;
        let Some(least) = self.earliest_end(c, None) else {
            return vec![];
        };
        let least = least - self.last_from;
        let grid: Vec<f64> = (0..=cells)
            .map(|i| least + (most - least) * i as f64 / cells as f64)
            .collect();
        let f: Vec<f64> = grid
            .iter()
            .map(|&e| self.least_carbon_in(c, e).unwrap_or(f64::INFINITY))
            .collect();
        let mut ends = grid.clone();
        for i in 1..cells.saturating_sub(1) {
            let left = (f[i] - f[i - 1]) / (grid[i] - grid[i - 1]);
            let right = (f[i + 2] - f[i + 1]) / (grid[i + 2] - grid[i + 1]);
            let kink =
                grid[i] + (f[i + 1] - f[i] - right * (grid[i + 1] - grid[i])) / (left - right);
            if kink > grid[i] && kink < grid[i + 1] {
                ends.push(kink);
            }
        }
        ends.retain(|e| e.is_finite());
        ends
    }
}

/// C*(E) over some candidates.
pub fn least_carbon(candidates: &[Candidate], by: f64) -> Option<f64> {
    let all = candidates
        .iter()
        .flat_map(|c| windows(c, by).into_iter().filter_map(|w| w.least_carbon(c)));
    all.reduce(f64::min)
}

/// The earliest end with C*(E) within a budget, no later than an instant.
pub fn earliest_end(candidates: &[Candidate], budget: Option<f64>, by: f64) -> Option<f64> {
    let all = candidates.iter().flat_map(|c| {
        windows(c, by)
            .into_iter()
            .filter_map(move |w| w.earliest_end(c, budget))
    });
    all.reduce(f64::min)
}

/// The least E x C*(E) that a grid of ends and its kinks show (the true one may be a little less).
pub fn least_product(candidates: &[Candidate], budget: Option<f64>, by: f64) -> Option<f64> {
    let mut best: Option<f64> = None;
    for c in candidates {
        for w in windows(c, by) {
            for e in w.ppc_ends(c, 24) {
                let Some(carbon) = w.least_carbon_in(c, e) else {
                    continue;
                };
                if budget.is_none_or(|b| carbon <= b) {
                    let product = (w.last_from + e) * carbon;
                    best = Some(best.map_or(product, |b| b.min(product)));
                }
            }
        }
    }
    best
}
