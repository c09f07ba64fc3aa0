//! From what a window runs in each slot to a plan: instants, clocks, energy and carbon, with no more clock changes than needed.
//!
//! Every figure of a plan is summed here from its own segments, so that it can be checked against the trace.

use super::outcome::{Plan, Segment};
use super::parts::Part;
use super::tables::Tables;

/// Shorter stretches than this, h, are rounding (4 ns).
const NOTHING: f64 = 1e-12;

/// Some time within one slot at one level (of the caller's).
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub slot: usize,
    pub from: f64,
    pub to: f64,
    pub level: usize,
}

/// The stretches of a contiguous run, whose first slot's part ends with the slot unless it `begins` at an instant of its own.
pub(super) fn contiguous(t: &Tables, begins: Option<f64>, parts: &[Part]) -> Vec<Stretch> {
    let runs = ordered(runs(t, parts));

    let first = parts.first().map_or(0, |p| p.slot);
    let in_first: f64 = runs.iter().filter(|r| r.0 == first).map(|r| r.2).sum();
    // What fills its first slot may come out a rounding longer than that.
    let mut at = begins.unwrap_or(t.bounds[first + 1] - in_first).max(t.bounds[first]);
    let mut stretches = Vec::with_capacity(runs.len());
    let mut previous = None;
    for &(slot, level, hours) in &runs {
        if previous.is_some_and(|p| p != slot) {
            at = t.bounds[slot];
        }
        previous = Some(slot);
        stretches.push(Stretch { slot, from: at, to: (at + hours).min(t.bounds[slot + 1]), level });
        at += hours;
    }
    // A slot run to its end ends at its boundary, not a rounding beside it.
    for i in 1..stretches.len() {
        stretches[i - 1].to = stretches[i].from;
    }
    stretches
}

/// The stretches of a run that may pause: a slot that is partly idle runs beside the neighbour that runs, the earlier first.
pub(super) fn paused(t: &Tables, begin: f64, parts: &[Part]) -> Vec<Stretch> {
    let runs = ordered(runs(t, parts));
    let mut stretches: Vec<Stretch> = Vec::with_capacity(runs.len());
    for slot in runs.chunk_by(|x, y| x.0 == y.0) {
        let k = slot[0].0;
        let hours = parts.iter().find(|p| p.slot == k).map_or(0.0, |p| p.hours);
        let busy: f64 = slot.iter().map(|r| r.2).sum();
        let from = t.bounds[k].max(begin);
        let follows = stretches.last().is_some_and(|s| s.to == from);
        let leads = runs.iter().any(|r| r.0 == k + 1);
        let full = hours - busy <= NOTHING;
        let mut at = if follows || full || !leads { from } else { from + hours - busy };
        for &(slot, level, hours) in slot {
            stretches.push(Stretch { slot, from: at, to: at + hours, level });
            at += hours;
        }
        // A slot run to its end ends at its boundary, not a rounding beside it.
        if let Some(last) = stretches.last_mut().filter(|s| (s.to - t.bounds[k + 1]).abs() <= NOTHING) {
            last.to = t.bounds[k + 1];
        }
    }
    stretches
}

/// Per part that runs at all: its slot, and the levels and hours that it runs, slower first.
fn runs(t: &Tables, parts: &[Part]) -> Vec<(usize, Vec<(usize, f64)>)> {
    let level = |slot: usize, vertex: usize| t.hulls.slot(slot)[vertex].level;
    let run = |p: &Part| {
        let fast = p.faster.map_or(0.0, |(_, hours)| hours);
        let base = p.vertex.map(|i| (level(p.slot, i), p.hours - fast));
        let faster = p.faster.map(|(i, hours)| (level(p.slot, i), hours));
        (p.slot, base.into_iter().chain(faster).filter(|r| r.1 > NOTHING).collect::<Vec<_>>())
    };
    parts.iter().map(run).filter(|r| !r.1.is_empty()).collect()
}

/// Puts each slot's two levels in the order that changes clocks least: (slot, level, hours).
fn ordered(runs: Vec<(usize, Vec<(usize, f64)>)>) -> Vec<(usize, usize, f64)> {
    // best[i][o]: fewest changes up to part i if it is in order o (1: faster first), and the order of the part before.
    let level = |i: usize, order: usize, last: bool| {
        let run = &runs[i].1;
        if (order == 0) == last { run[run.len() - 1].0 } else { run[0].0 }
    };
    let mut best: Vec<[(usize, usize); 2]> = Vec::with_capacity(runs.len());
    for i in 0..runs.len() {
        best.push([0, 1].map(|order| {
            let Some(before) = best.last() else {
                return (0, 0);
            };
            let changes = |o: usize| before[o].0 + usize::from(level(i - 1, o, true) != level(i, order, false));
            if changes(1) < changes(0) { (changes(1), 1) } else { (changes(0), 0) }
        }));
    }
    let mut order = best.last().map_or(0, |b| usize::from(b[1].0 < b[0].0));
    let mut out = Vec::with_capacity(runs.len() + 2);
    for i in (0..runs.len()).rev() {
        let (slot, run) = &runs[i];
        // Written back to front.
        if order == 0 {
            out.extend(run.iter().rev().map(|&(l, h)| (*slot, l, h)));
        } else {
            out.extend(run.iter().map(|&(l, h)| (*slot, l, h)));
        }
        order = best[i][order].1;
    }
    out.reverse();
    out
}

/// Sums stretches (in time order) up to a plan; neighbours at one level become one segment.
pub(super) fn plan(t: &Tables, stretches: &[Stretch], candidate: usize, work_gpu_h: f64) -> Plan {
    let mut segments: Vec<Segment> = Vec::new();
    let (mut hours, mut estimated) = (0.0, 0.0);
    // Far from now a moment can be shorter than what tells two instants apart.
    for s in stretches.iter().filter(|s| s.from < s.to) {
        let length = s.to - s.from;
        let carbon_g = t.rate(s.slot, s.level) * length;
        hours += length;
        if t.slots[s.slot].estimated {
            estimated += length;
        }
        match segments.last_mut() {
            Some(last) if last.level == s.level && last.to_h == s.from => {
                last.to_h = s.to;
                last.carbon_g += carbon_g;
            }
            _ => segments.push(Segment { from_h: s.from, to_h: s.to, level: s.level, power_w: t.power_w[s.level], carbon_g }),
        }
    }
    let carbon_g = segments.iter().map(|s| s.carbon_g).sum();
    let end_h = segments.last().map_or(0.0, |s| s.to_h);
    Plan {
        candidate,
        start_h: segments.first().map_or(0.0, |s| s.from_h),
        end_h,
        carbon_g,
        energy_kwh: segments.iter().map(|s| s.power_w * (s.to_h - s.from_h) / 1000.0).sum(),
        ppc: performance_per_carbon(work_gpu_h, end_h, carbon_g),
        segments,
        estimated_share: if hours > 0.0 { estimated / hours } else { 0.0 },
    }
}

/// PPC = (n W / turnaround) / carbon; `None` where nothing is emitted.
pub(super) fn performance_per_carbon(work_gpu_h: f64, end_h: f64, carbon_g: f64) -> Option<f64> {
    let product = end_h * carbon_g;
    (product > 0.0).then(|| work_gpu_h / product)
}
