//! The planner and HiGHS on the same instances: the same optimum to 1e-6, and the ratio of their times in one run.
//!
//!     cd benches/highs && cargo run --release
//!
//! A contiguous run has no linear program of its own: it may begin in any slot and end in any later one. For one window (first
//! and last slot) there is one: hours at each level in each slot, full slots in between, so much work in all, least carbon. The
//! plan by a deadline is the least over all windows that end by it. HiGHS is given every window that the work fits; so is,
//! implicitly, the planner. Work that may pause (no restart cost) is one linear program, and is compared as one.

use std::time::{Duration, Instant};

use carm::plan::{self, Candidate, Level, Objective, Outcome, Problem, Slot, Start};
use highs::{HighsModelStatus, RowProblem, Sense};

/// A grid of hourly slots with a day's and a week's waves, and sun on the roof by day.
fn candidate(slots: usize, levels: usize, work_h: f64) -> Candidate {
    let slot = |k: usize| {
        let hour = k as f64;
        let wave = 300.0 + 120.0 * (hour * std::f64::consts::TAU / 24.0).cos() + 40.0 * (hour * std::f64::consts::TAU / 168.0).sin();
        let ripple = 15.0 * (hour * 2.3).sin();
        let sun = 900.0 * (((hour - 6.0) * std::f64::consts::TAU / 24.0).sin()).max(0.0);
        Slot { onsite_w: sun, ..Slot::grid(1.0, wave + ripple) }
    };
    let level = |l: usize| {
        let x = 0.5 + 0.5 * (l + 1) as f64 / levels as f64;
        let speed = if l + 1 == levels { 1.0 } else { 1.0 / (0.27 + 0.73 / x) };
        let volts = if x < 0.75 { 0.82 } else { 0.82 + 0.72 * (x - 0.75) };
        Level { clock_mhz: (2000.0 * x) as u32, watts: 60.0 + 300.0 * x * volts * volts, speed, latency_ms: None }
    };
    Candidate {
        slots: (0..slots).map(slot).collect(),
        levels: (0..levels).map(level).collect(),
        workers: 2,
        work_h,
        host_watts: 100.0,
        pue: 1.2,
        onsite_g_per_kwh: 30.0,
        start: Start::Within { earliest_h: 0.0, latest_h: slots as f64 },
        max_run_h: None,
    }
}

/// Facility carbon rate in g/h, written out here again from its definition.
fn rate(c: &Candidate, slot: &Slot, level: &Level) -> f64 {
    let power = c.pue * f64::from(c.workers) * (level.watts + c.host_watts);
    (slot.g_per_kwh * (power - slot.onsite_w).max(0.0) + c.onsite_g_per_kwh * power.min(slot.onsite_w)) / 1000.0
}

/// The least carbon of the work in slots `first..=last` by HiGHS; `partial` says which slots need not be filled.
fn linear_program(c: &Candidate, first: usize, last: usize, partial: impl Fn(usize) -> bool) -> Option<f64> {
    let mut problem = RowProblem::default();
    let mut work = Vec::new();
    for k in first..=last {
        let slot = &c.slots[k];
        let hours: Vec<_> = c.levels.iter().map(|level| (problem.add_column(rate(c, slot, level), 0.0..), 1.0)).collect();
        work.extend(hours.iter().zip(&c.levels).map(|(&(column, _), level)| (column, level.speed)));
        let least = if partial(k) { 0.0 } else { slot.hours };
        problem.add_row(least..=slot.hours, hours);
    }
    problem.add_row(c.work_h..=c.work_h, work);
    let mut model = problem.optimise(Sense::Minimise);
    model.set_option("output_flag", false);
    let solved = model.solve();
    (solved.status() == HighsModelStatus::Optimal).then(|| solved.objective_value())
}

/// The least carbon of a contiguous run that ends by the last slot, over every window.
fn contiguous(c: &Candidate) -> (f64, usize) {
    let slowest = c.levels.iter().map(|level| level.speed).fold(1.0, f64::min);
    let (mut best, mut windows) = (f64::INFINITY, 0);
    for first in 0..c.slots.len() {
        for last in first..c.slots.len() {
            let hours: f64 = c.slots[first..=last].iter().map(|slot| slot.hours).sum();
            let inner = hours - c.slots[first].hours - if last > first { c.slots[last].hours } else { 0.0 };
            // Too short for the work at full clock, or so long that the slots in between alone do more.
            if hours < c.work_h || inner * slowest > c.work_h {
                continue;
            }
            windows += 1;
            if let Some(carbon_g) = linear_program(c, first, last, |k| k == first || k == last) {
                best = best.min(carbon_g);
            }
        }
    }
    (best, windows)
}

fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let answer = f();
    (answer, since.elapsed())
}

/// The median of several runs of the planner.
fn planner<T>(f: impl Fn() -> T) -> (T, Duration) {
    let mut times: Vec<Duration> = (0..50).map(|_| timed(&f).1).collect();
    times.sort();
    (f(), times[25])
}

fn show(what: &str, ours: (f64, Duration), theirs: (f64, Duration)) {
    let off = (ours.0 - theirs.0).abs() / theirs.0;
    let ratio = theirs.1.as_secs_f64() / ours.1.as_secs_f64();
    println!("{what:<58} {:>12.6} g {:>9.3} ms {:>12.6} g {:>10.1} ms {off:>8.0e} {ratio:>8.0}x", ours.0, ours.1.as_secs_f64() * 1e3, theirs.0, theirs.1.as_secs_f64() * 1e3);
    assert!(off <= 1e-6, "the optima differ");
}

fn main() {
    println!("{:<58} {:>25} {:>27} {:>8} {:>9}", "", "CARM", "HiGHS", "off by", "ratio");
    for (slots, levels, work_h) in [(24, 8, 4.0), (72, 16, 8.0), (168, 16, 8.0), (168, 16, 24.0)] {
        let c = candidate(slots, levels, work_h);
        let problem = Problem {
            candidates: vec![c.clone()],
            objective: Objective::Performance,
            deadline_h: Some(slots as f64),
            budget_g: None,
            work_gpu_h: 2.0 * work_h,
        };
        let (ours, our_time) = planner(|| match plan::plan(&problem) {
            Ok(Outcome::Feasible(plan)) => plan.carbon_g,
            other => panic!("no plan: {other:?}"),
        });
        let ((theirs, windows), their_time) = timed(|| contiguous(&c));
        show(&format!("{slots} slots, {levels} levels, {work_h} h, {windows} windows"), (ours, our_time), (theirs, their_time));
        let (ours, our_time) = planner(|| plan::limit(&c, Some(slots as f64)).expect("a limit").expect("it fits"));
        let (theirs, their_time) = timed(|| linear_program(&c, 0, slots - 1, |_| true).expect("an optimum"));
        show(&format!("{slots} slots, {levels} levels, {work_h} h, free to pause (one program)"), (ours, our_time), (theirs, their_time));
    }
}
