//! How long one decision of the governor takes, for a job in the midst of its work: the plan for what is left, and whether to
//! move the clock for it. `cargo bench -p carm --bench reconsider`. A node decides so once an interval for each of its jobs.

#![allow(missing_docs)] // of what criterion's macros write

use std::hint::black_box;

use carm::govern::{OverBudget, Rules, Situation, Standing, reconsider};
use carm::plan::{Candidate, Objective, Slot, Start};
use criterion::{Criterion, criterion_group, criterion_main};
use synthetic::candidate;

#[allow(dead_code)] // shared with the planner's benchmarks
mod synthetic;

fn started(slots: usize, slot_h: f64, levels: usize, work_h: f64, sun: f64) -> Candidate {
    Candidate { start: Start::Fixed(0.0), ..candidate(slots, slot_h, levels, work_h, sun) }
}

fn decision(c: &mut Criterion) {
    let cases = [
        ("a week of hours, 16 levels, 24 h left", started(168, 1.0, 16, 24.0, 0.0)),
        ("the same with on-site sun", started(168, 1.0, 16, 24.0, 1.0)),
        ("two days of five minutes, 16 levels, 16 h left", started(576, 1.0 / 12.0, 16, 16.0, 0.0)),
        ("two days of five minutes with on-site sun, 16 h left", started(576, 1.0 / 12.0, 16, 16.0, 1.0)),
        ("a week of five minutes, 16 levels, 24 h left", started(2016, 1.0 / 12.0, 16, 24.0, 1.0)),
    ];
    let rules = Rules { interval_h: 1.0 / 60.0, dwell_h: 5.0 / 60.0, min_change_mhz: 45, over_budget: OverBudget::Least };
    for (name, candidate) in &cases {
        let edge = |factor: f64| -> Vec<Slot> {
            candidate.slots.iter().map(|slot| Slot { g_per_kwh: factor * slot.g_per_kwh, ..*slot }).collect()
        };
        let (low, high) = (edge(0.9), edge(1.1));
        let mut group = c.benchmark_group(*name);
        for objective in [Objective::Performance, Objective::Carbon, Objective::Ppc] {
            let situation = Situation {
                candidate,
                objective,
                deadline_h: Some(1.5 * candidate.work_h),
                limit_h: 1.6 * candidate.work_h,
                budget_g: (objective == Objective::Carbon).then_some(3000.0),
                measured: true,
            };
            // Away from the plan's own beginning, so that staying is weighed as well.
            let standing = Standing {
                level: Some(0),
                for_h: 1.0,
                sure_work_h: candidate.work_h,
                whole_work_h: candidate.work_h + 2.0,
                spent_g: 100.0,
            };
            let band = Some((&low[..], &high[..]));
            group.bench_function(format!("{objective:?}"), |b| {
                b.iter(|| reconsider(black_box(&situation), black_box(&standing), &rules, band));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decision);
criterion_main!(benches);
