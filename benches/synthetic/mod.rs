//! Grids like real ones, and the jobs that the benchmarks plan on them. The noise is the same in every run.

use std::hint::black_box;

use carm::plan::*;

/// A candidate over so many slots of so many hours, with so many levels and hours of work; on-site sun as a share of its power.
pub fn candidate(slots: usize, hours: f64, levels: usize, work_h: f64, sun: f64) -> Candidate {
    // A small generator of noise, the same in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let slots = (0..slots)
        .map(|k| {
            let day = (k as f64 * hours / 24.0) * std::f64::consts::TAU;
            let g_per_kwh = 300.0 + 120.0 * day.cos() + 40.0 * (day / 7.0).sin() + 30.0 * noise();
            let onsite_w = (sun * 450.0 * -day.cos() * (1.0 + 0.5 * noise())).max(0.0);
            Slot { hours, g_per_kwh, onsite_w, ..Slot::default() }
        })
        .collect();
    let levels = (0..levels)
        .map(|l| {
            let x = 0.4 + 0.6 * (l + 1) as f64 / levels as f64;
            let watts = 60.0 + 290.0 * x.powi(3);
            Level { clock_mhz: (x * 2520.0) as u32, watts, speed: 1.0 / (0.25 + 0.75 / x), latency_ms: None }
        })
        .collect();
    let mut candidate = Candidate {
        slots,
        levels,
        workers: 1,
        work_h,
        host_watts: 50.0,
        pue: 1.2,
        onsite_g_per_kwh: 30.0,
        start: Start::Within { earliest_h: 0.0, latest_h: 1e5 },
        max_run_h: None,
    };
    let top = candidate.levels.len() - 1;
    candidate.levels[top].speed = 1.0;
    candidate
}

/// A problem of one candidate, by performance per carbon.
pub fn problem(c: Candidate) -> Problem {
    let work_gpu_h = c.work_h;
    Problem { candidates: vec![c], objective: Objective::Ppc, deadline_h: None, budget_g: None, work_gpu_h }
}

/// The three objectives, with a deadline of three times the work and a budget between the least and full clock's.
pub fn three(p: &Problem) -> [Problem; 3] {
    let horizon: f64 = p.candidates[0].slots.iter().map(|s| s.hours).sum();
    let deadline = horizon.min(3.0 * p.candidates[0].work_h);
    let full = constant(p, 0, p.candidates[0].full_clock().unwrap_or(0), 0.0).ok().flatten().map_or(1e9, |r| r.carbon_g);
    [
        Problem { objective: Objective::Performance, deadline_h: Some(deadline), ..p.clone() },
        Problem { objective: Objective::Carbon, budget_g: Some(0.7 * full), ..p.clone() },
        p.clone(),
    ]
}

/// Prepares the tables once and asks for all three objectives and the frontier.
pub fn all(problems: &[Problem; 3], ends: &Ends) {
    let c = &problems[2].candidates[0];
    let Ok(tables) = Tables::new(black_box(c)) else {
        return;
    };
    let run = Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h };
    let prepared = [Prepared { tables: &tables, run }];
    for p in problems {
        let Problem { objective, deadline_h, budget_g, work_gpu_h, .. } = *p;
        let _ = black_box(plan_prepared(&prepared, &Request { objective, deadline_h, budget_g, work_gpu_h }));
    }
    let _ = black_box(frontier_prepared(&prepared, ends));
}
