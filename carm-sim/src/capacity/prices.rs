//! The capacity-aware bound without a solver: Lagrange prices. A price for each GPU-hour of a site and block, and one for its energy between
//! what on-site and grid energy emit, take the place of the rows that tie jobs together. At any such prices each job finds its own
//! cheapest way, and the sum of these, less what the prices would pay for all the room and all the on-site energy, is
//! a lower bound (Geoffrion, "Lagrangean relaxation for integer programming", Mathematical Programming Study 2, 1974). The best prices give
//! the linear program's optimum, on-site power and all.
//!
//! Prices are sought by [`least_g`]: they rise where jobs want more than there is and fall where they want less.

use super::instance::{Instance, Need};
use super::way::Kind;

/// So often prices are changed, where it does not take too long.
pub const ROUNDS: usize = 300;

/// A round looks at every clock of every block that a job may use; all rounds together at no more than these: a minute or two.
const MOST_PIECES: usize = 4_000_000_000;

/// But so often at least.
const LEAST_ROUNDS: usize = 30;

/// Prices, by site and block: `site * blocks + block`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// Of a GPU-hour, g; 0 or more.
    pub gpu_h_g: Vec<f64>,
    /// Of energy, g/kWh, between on-site and grid.
    pub kwh_g: Vec<f64>,
}

/// What jobs do at some prices.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The lower bound, g.
    pub bound_g: f64,
    /// GPU-hours used beyond what there is, by site and block.
    pub over_gpu_h: Vec<f64>,
    /// Energy drawn beyond the on-site energy, kWh.
    pub over_kwh: Vec<f64>,
}

/// Corners of the lower hull of (work, cost at the prices) in one block, rest left out.
struct Corner {
    /// Cost for each piece of work from the corner before to this one.
    slope: f64,
    /// Work an hour between both.
    work_per_h: f64,
    way: usize,
}

/// The hulls of a kind in all blocks.
struct Hulls {
    corners: Vec<Corner>,
    starts: Vec<usize>,
}

impl Hulls {
    fn of(kind: &Kind, prices: &Prices, blocks: usize) -> Self {
        let (mut corners, mut starts) = (Vec::with_capacity(blocks * kind.ways.len()), vec![0]);
        // Of the hull so far: way, work and cost.
        let mut hull: Vec<(usize, f64, f64)> = Vec::new();
        for block in 0..blocks {
            hull.clear();
            for (i, way) in kind.ways.iter().enumerate() {
                let cell = way.site * blocks + block;
                let (work, cost) = (way.work_per_h, prices.kwh_g[cell] * way.power_kw + prices.gpu_h_g[cell] * way.gpus);
                while let Some(&(_, last_work, last_cost)) = hull.last() {
                    let (work_0, cost_0) = hull.len().checked_sub(2).map_or((0.0, 0.0), |at| (hull[at].1, hull[at].2));
                    // The corner stays if it lies below the line from the one before to the new one.
                    if work > last_work && (last_cost - cost_0) * (work - work_0) < (cost - cost_0) * (last_work - work_0) {
                        break;
                    }
                    if work <= last_work && cost >= last_cost {
                        break;
                    }
                    hull.pop();
                }
                if hull.last().is_none_or(|last| work > last.1) {
                    hull.push((i, work, cost));
                }
            }
            let (mut work_0, mut cost_0) = (0.0, 0.0);
            for &(way, work, cost) in &hull {
                corners.push(Corner { slope: (cost - cost_0) / (work - work_0), work_per_h: work - work_0, way });
                (work_0, cost_0) = (work, cost);
            }
            starts.push(corners.len());
        }
        Self { corners, starts }
    }
}

/// A piece of a job's cheapest work.
#[derive(Clone, Copy)]
struct Piece {
    slope: f64,
    work_h: f64,
    order: u32,
}

impl Piece {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.slope.total_cmp(&other.slope).then(self.order.cmp(&other.order))
    }
}

/// What jobs do at these prices, and the bound.
#[must_use]
pub fn answer(instance: &Instance, prices: &Prices) -> Answer {
    let blocks = instance.blocks();
    let hulls: Vec<Hulls> = instance.kinds.iter().map(|kind| Hulls::of(kind, prices, blocks)).collect();
    let cells = instance.rooms.len() * blocks;
    let (mut bound_g, mut over_gpu_h, mut over_kwh) = (0.0, vec![0.0; cells], vec![0.0; cells]);
    for (site, room) in instance.rooms.iter().enumerate() {
        for block in 0..blocks {
            let cell = site * blocks + block;
            over_gpu_h[cell] = -room.gpu_h[block];
            over_kwh[cell] = room.service_kwh[block] - room.onsite_kwh[block];
            bound_g += prices.gpu_h_g[cell] * over_gpu_h[cell] + prices.kwh_g[cell] * over_kwh[cell];
            bound_g += room.onsite_g_per_kwh[block] * room.onsite_kwh[block];
        }
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for need in &instance.needs {
        let hulls = &hulls[need.kind];
        pieces.clear();
        let mut possible_h = 0.0;
        for block in need.first..need.end {
            let open_h = instance.open_h(need, block);
            for at in hulls.starts[block]..hulls.starts[block + 1] {
                let corner = &hulls.corners[at];
                let piece = Piece { slope: corner.slope, work_h: corner.work_per_h * open_h, order: at as u32 };
                possible_h += piece.work_h;
                pieces.push(piece);
            }
        }
        let (last, cost) = cheapest(&mut pieces, need.work_h.min(possible_h));
        bound_g += need.units * cost;
        book(instance, need, hulls, last, &mut over_gpu_h, &mut over_kwh);
    }
    Answer { bound_g, over_gpu_h, over_kwh }
}

/// The cheapest pieces that make up some work: the last of them with the work taken of it, and what all cost. Weighted selection.
fn cheapest(pieces: &mut [Piece], work_h: f64) -> (Option<Piece>, f64) {
    let (mut rest, mut left_h, mut cost) = (pieces, work_h, 0.0);
    while rest.len() > 1 {
        let middle = rest.len() / 2;
        rest.select_nth_unstable_by(middle, Piece::cmp);
        let (below, above) = rest.split_at_mut(middle);
        let (work, grams) =
            below.iter().fold((0.0, 0.0), |sum, piece| (sum.0 + piece.work_h, sum.1 + piece.work_h * piece.slope));
        if work >= left_h {
            rest = below;
        } else {
            (left_h, cost) = (left_h - work, cost + grams);
            rest = above;
        }
    }
    let last = rest.first().map(|piece| Piece { work_h: left_h.min(piece.work_h).max(0.0), ..*piece });
    (last, cost + last.map_or(0.0, |last| last.work_h * last.slope))
}

/// Books what a job does: in each block all pieces up to the last.
fn book(instance: &Instance, need: &Need, hulls: &Hulls, last: Option<Piece>, over_gpu_h: &mut [f64], over_kwh: &mut [f64]) {
    let (Some(last), blocks) = (last, instance.blocks()) else { return };
    let ways = &instance.kinds[need.kind].ways;
    let mut add = |corner: usize, block: usize, hours: f64| {
        let way = &ways[hulls.corners[corner].way];
        let cell = way.site * blocks + block;
        over_gpu_h[cell] += need.units * way.gpus * hours;
        over_kwh[cell] += need.units * way.power_kw * hours;
    };
    for block in need.first..need.end {
        let open_h = instance.open_h(need, block);
        let corners = hulls.starts[block]..hulls.starts[block + 1];
        let whole = |at: &usize| {
            let piece = Piece { slope: hulls.corners[*at].slope, work_h: 0.0, order: *at as u32 };
            piece.cmp(&last).is_lt()
        };
        let taken = corners.clone().take_while(whole).last();
        let next = taken.map_or(corners.start, |at| at + 1);
        // The last piece lies between two corners: part of the time at the one, part at the other.
        let part_h =
            if corners.contains(&next) && next as u32 == last.order { last.work_h / hulls.corners[next].work_per_h } else { 0.0 };
        if part_h > 0.0 {
            add(next, block, part_h);
        }
        if let Some(at) = taken {
            add(at, block, open_h - part_h);
        }
    }
}

/// The best bound that so many rounds of prices find, g.
///
/// Jobs are many and small, so what they want hardly jumps as prices move, and steps along what is wanted too much lead to the best prices.
/// Each price has a step of its own, by the running mean and spread of its excess (Adam: Kingma and Ba, ICLR 2015), and all steps
/// shrink from half a typical price to a 2500th of that. Any prices give a bound; the best one of all rounds is given.
#[must_use]
pub fn least_g(instance: &Instance, rounds: usize) -> f64 {
    let limits: Vec<(f64, f64)> = instance.rooms.iter().flat_map(|room| room.kwh_limits()).collect();
    let cells = limits.len();
    let mean_g = limits.iter().map(|limit| limit.1).sum::<f64>() / cells.max(1) as f64;
    let ways = || instance.kinds.iter().flat_map(|kind| &kind.ways);
    let kw_per_gpu = ways().map(|way| way.power_kw / way.gpus).sum::<f64>() / ways().count().max(1) as f64;
    let mut prices = Prices { gpu_h_g: vec![0.0; cells], kwh_g: limits.iter().map(|limit| limit.1).collect() };
    let (mut gpu_h, mut kwh) = (vec![Pace::default(); cells], vec![Pace::default(); cells]);
    let mut best_g = f64::NEG_INFINITY;
    for round in 0..rounds.max(1) {
        let answer = answer(instance, &prices);
        best_g = best_g.max(answer.bound_g);
        let step = mean_g * FIRST_STEP * LAST_STEP.powf(round as f64 / rounds as f64);
        let mut moved = false;
        let mut follow = |price: &mut f64, (low, high): (f64, f64), by: f64| {
            let before = std::mem::replace(price, (*price + by).clamp(low, high));
            moved |= *price != before;
        };
        for cell in 0..cells {
            let by = gpu_h[cell].follow(answer.over_gpu_h[cell], round);
            follow(&mut prices.gpu_h_g[cell], (0.0, f64::INFINITY), step * kw_per_gpu * by);
            let by = kwh[cell].follow(answer.over_kwh[cell], round);
            follow(&mut prices.kwh_g[cell], limits[cell], step * by);
        }
        // Nobody wants more than there is, at no price for it: the optimum.
        if !moved {
            break;
        }
    }
    best_g
}

/// How many rounds an instance is given.
#[must_use]
pub fn rounds(instance: &Instance) -> usize {
    let pieces = |need: &Need| (need.end - need.first) * instance.kinds[need.kind].ways.len();
    let pieces: usize = instance.needs.iter().map(pieces).sum();
    (MOST_PIECES / pieces.max(1)).clamp(LEAST_ROUNDS, ROUNDS)
}

/// Of a typical price, at first, and at last of the first.
const FIRST_STEP: f64 = 0.5;
const LAST_STEP: f64 = 4e-4;

/// The running mean and spread of one excess.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    mean: f64,
    square: f64,
}

impl Pace {
    /// The usual memory of Adam is ten and a thousand rounds; there are too few here for the latter.
    const MEAN: f64 = 0.9;
    const SQUARE: f64 = 0.99;

    /// One more excess: which way the price goes, 1 or so at most.
    fn follow(&mut self, excess: f64, round: usize) -> f64 {
        self.mean = Self::MEAN * self.mean + (1.0 - Self::MEAN) * excess;
        self.square = Self::SQUARE * self.square + (1.0 - Self::SQUARE) * excess * excess;
        let rounds = i32::try_from(round).unwrap_or(i32::MAX - 1) + 1;
        let (mean, square) = (self.mean / (1.0 - Self::MEAN.powi(rounds)), self.square / (1.0 - Self::SQUARE.powi(rounds)));
        if square > 0.0 { mean / square.sqrt() } else { 0.0 }
    }
}
