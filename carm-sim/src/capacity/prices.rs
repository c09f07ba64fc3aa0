//! The capacity-aware bound without a solver: Lagrange prices. A price for each GPU-hour of a site and block, and one for its energy between
//! what on-site and grid energy emit, take the place of the rows that tie jobs together. At any such prices each job finds its own
//! cheapest way, and the sum of these, less what the prices would pay for all the room and all the on-site energy, is
//! a lower bound (Held and Karp, 1971; Geoffrion, "Lagrangean relaxation for integer programming", 1974). The best prices give the linear program's optimum.

use super::instance::{Instance, Need};
use super::way::Kind;

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
        let (work, grams) = below.iter().fold((0.0, 0.0), |sum, piece| (sum.0 + piece.work_h, sum.1 + piece.work_h * piece.slope));
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
        let part_h = if corners.contains(&next) && next as u32 == last.order {
            last.work_h / hulls.corners[next].work_per_h
        } else {
            0.0
        };
        if part_h > 0.0 {
            add(next, block, part_h);
        }
        if let Some(at) = taken {
            add(at, block, open_h - part_h);
        }
    }
}
