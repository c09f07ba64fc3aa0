//! Elastic width: more workers in clean slots, fewer or none in dirty ones.
//!
//! Source: CarbonScaler (Hanafy and others, SIGMETRICS 2024): each worker of each slot is priced by its marginal work for its carbon, and the best
//! are taken until the job is done (the greedy choice is the best one where throughput is concave in the workers). A change of width costs nothing
//! here. A job that names no widths, or whose profile has no scaling table, can but pause.

use super::pieces::{self, Piece};
use super::{Asked, AtWork, Decision, Next, Policy, View};

/// Runs as wide as each slot is worth.
#[derive(Debug)]
pub struct CarbonScaler;

/// A width in a slot over the next smaller one.
struct Increment {
    slot: usize,
    width: usize,
    /// Grams for each hour of work, but for what all slots share.
    price: f64,
    /// Work in an hour, in full-clock hours of the requested GPUs.
    work_per_h: f64,
}

impl Policy for CarbonScaler {
    fn name(&self) -> &'static str {
        "carbon-scaler"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        if asked.service().is_some() {
            return Decision::at_home(asked, view.now_h, asked.limit_h());
        }
        let site = asked.home();
        let own = [asked.gpus()];
        let counts = if asked.widths().is_empty() { &own[..] } else { asked.widths() };
        let widths: Vec<(u32, f64)> = counts
            .iter()
            .filter(|&&count| count <= view.site(site).gpus)
            .filter_map(|&count| Some((count, view.width_throughput(site, asked, count)?)))
            .collect();
        let run_h = view.said_run_h(site, asked);
        let end_h = (asked.wait_until_h() + run_h).max(view.now_h + run_h);
        let slots: Vec<(f64, f64, f64)> = view.series(site).steps(view.now_h, end_h).collect();
        let taken = pieces::joined(fill(&slots, &widths, run_h));
        let begin_h = taken.first().map_or(view.now_h, |piece| piece.from_h);
        let workers = taken.first().map_or(asked.gpus(), |piece| piece.workers);
        // Narrow runs take longer; the limit is one of running.
        let narrowest = widths.iter().map(|width| width.1).fold(1.0, f64::min);
        Decision { pieces: taken, workers, ..Decision::at_home(asked, begin_h, asked.limit_h() / narrowest) }
    }

    fn look(&self, at: &AtWork, view: &View) -> Next {
        pieces::next(at, view.now_h, view.full_clock(at.site, &at.asked))
    }
}

/// The pieces of least carbon that do the work; `slots` are begin, end, intensity, `widths` workers and throughput.
fn fill(slots: &[(f64, f64, f64)], widths: &[(u32, f64)], run_h: f64) -> Vec<Piece> {
    let mut increments: Vec<Increment> = Vec::new();
    for (slot, (_, _, g)) in slots.iter().enumerate() {
        let mut before = (0, 0.0);
        for (width, &(count, throughput)) in widths.iter().enumerate() {
            let work_per_h = throughput - before.1;
            if work_per_h > 0.0 {
                increments.push(Increment { slot, width, price: g * f64::from(count - before.0) / work_per_h, work_per_h });
                before = (count, throughput);
            }
        }
    }
    increments.sort_by(|a, b| a.price.total_cmp(&b.price).then(a.slot.cmp(&b.slot)).then(a.width.cmp(&b.width)));
    let mut wide: Vec<Option<usize>> = vec![None; slots.len()];
    let mut part: Option<(usize, Option<usize>, f64)> = None;
    let mut left = run_h;
    for increment in increments {
        let (from_h, to_h, _) = slots[increment.slot];
        let work = increment.work_per_h * (to_h - from_h);
        let below = wide[increment.slot];
        wide[increment.slot] = Some(increment.width);
        if work >= left - 1e-12 {
            part = Some((increment.slot, below, left / increment.work_per_h));
            break;
        }
        left -= work;
    }
    let mut pieces = Vec::new();
    for (slot, &(from_h, to_h, _)) in slots.iter().enumerate() {
        let mut push = |from_h: f64, to_h: f64, width: Option<usize>| {
            if let Some(width) = width.filter(|_| to_h - from_h > 1e-9) {
                pieces.push(Piece { from_h, to_h, workers: widths[width].0 });
            }
        };
        match part {
            Some((cut, below, hours)) if cut == slot => {
                push(from_h, from_h + hours, wide[slot]);
                push(from_h + hours, to_h, below);
            }
            _ => push(from_h, to_h, wide[slot]),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_slots_are_filled_wide_before_dirty_ones_are_used_at_all() {
        // One worker does 1, two do 1.8. Prices: slot 0 (100 g): 100, 125; slot 1 (300 g): 300, 375. Two hours of work.
        let pieces = fill(&[(0.0, 1.0, 100.0), (1.0, 2.0, 300.0)], &[(1, 1.0), (2, 1.8)], 2.0);
        assert_eq!(pieces.len(), 2);
        assert_eq!((pieces[0].workers, pieces[0].from_h, pieces[0].to_h), (2, 0.0, 1.0));
        assert_eq!((pieces[1].workers, pieces[1].from_h), (1, 1.0));
        assert!((pieces[1].to_h - 1.2).abs() < 1e-9, "{pieces:?}");
    }
}
