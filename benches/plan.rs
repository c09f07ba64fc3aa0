//! How fast the planner is, on synthetic grids like real ones: a day's and a week's waves, noise, and sun on the roof.
//!
//! `cargo bench --bench plan`. "tables" is their preparation, which every other figure includes: once in "all".

#![allow(missing_docs)] // of what criterion's macros write

use std::hint::black_box;
use std::time::Duration;

use carm::plan::*;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use synthetic::{all, candidate, problem, three};

mod synthetic;

fn group(c: &mut Criterion, name: &str, p: &Problem, ends: &Ends) {
    let problems = three(p);
    let mut g = c.benchmark_group(name);
    for (objective, p) in ["performance", "carbon", "ppc"].iter().zip(&problems) {
        g.bench_function(*objective, |b| b.iter(|| plan(black_box(p))));
    }
    g.bench_function("frontier", |b| b.iter(|| frontier(black_box(p), ends)));
    g.bench_function("tables", |b| b.iter(|| Tables::new(black_box(&p.candidates[0]))));
    g.bench_function("all", |b| b.iter(|| all(&problems, ends)));
    g.finish();
}

fn week(c: &mut Criterion) {
    for (name, sun) in [("week of hours", 0.0), ("week of hours, sun", 1.0)] {
        group(c, name, &problem(candidate(168, 1.0, 16, 8.0, sun)), &Ends::EverySlot);
    }
}

fn five_minutes(c: &mut Criterion) {
    for (name, sun) in [("week of five minutes", 0.0), ("week of five minutes, sun", 1.0)] {
        group(c, name, &problem(candidate(2016, 1.0 / 12.0, 20, 24.0, sun)), &Ends::Some(200));
    }
}

fn growth(c: &mut Criterion) {
    let mut g = c.benchmark_group("8 h of work, five minutes");
    for days in [2, 4, 8, 14] {
        let problems = three(&problem(candidate(days * 288, 1.0 / 12.0, 20, 8.0, 1.0)));
        g.bench_with_input(BenchmarkId::new("all, days", days), &problems, |b, p| b.iter(|| all(p, &Ends::Some(200))));
    }
    g.finish();
}

/// All that waits in a queue, each job on four sites, from tables prepared once per site.
fn queue(c: &mut Criterion) {
    let sites: Vec<Candidate> = (0..4).map(|i| candidate(168, 1.0, 16, 1.0, f64::from(i) / 3.0)).collect();
    let mut g = c.benchmark_group("pending jobs, 4 sites");
    g.sample_size(10);
    for jobs in [1_000, 10_000] {
        g.bench_with_input(BenchmarkId::from_parameter(jobs), &jobs, |b, &jobs| b.iter(|| pending(&sites, jobs)));
    }
    g.finish();
}

fn pending(sites: &[Candidate], jobs: u32) {
    let tables: Vec<Tables> = sites.iter().filter_map(|s| Tables::new(s).ok()).collect();
    for job in 0..jobs {
        let work_h = 0.5 + f64::from(job % 97) / 4.0;
        let start = Start::Within { earliest_h: f64::from(job % 13) / 3.0, latest_h: 24.0 };
        let run = Run { work_h, start, max_run_h: Some(48.0) };
        let prepared: Vec<Prepared> = tables.iter().map(|tables| Prepared { tables, run }).collect();
        let (objective, deadline_h) = match job % 3 {
            0 => (Objective::Performance, Some(3.0 * work_h + 6.0)),
            _ => (Objective::Ppc, None),
        };
        let request = Request { objective, deadline_h, budget_g: None, work_gpu_h: work_h };
        let _ = black_box(plan_prepared(&prepared, &request));
    }
}

/// A service of a day that may start at any instant of the next one.
fn service(c: &mut Criterion) {
    let mut p = problem(candidate(2016, 1.0 / 12.0, 20, 24.0, 1.0));
    p.candidates[0].start = Start::Within { earliest_h: 0.0, latest_h: 24.0 };
    let mut g = c.benchmark_group("service of a day, week of five minutes, sun, start within a day");
    g.sample_size(10);
    for (objective, p) in ["performance", "carbon", "ppc"].iter().zip(&three(&p)) {
        let p = Problem { deadline_h: None, ..p.clone() };
        g.bench_function(*objective, |b| b.iter(|| plan_service(black_box(&p), None)));
    }
    g.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = week, five_minutes, growth, queue, service
}
criterion_main!(benches);
