//! Small problems at random, with the equal figures, zeros and odd lengths at which such algorithms go wrong.

use carm::plan::{Candidate, Level, Objective, Problem, Slot, Start};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run; others with `PROPTEST_RNG_SEED`, more with `PROPTEST_CASES`.
pub fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

fn intensity() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => Just(0.0),
        3 => (1..6u32).prop_map(|i| f64::from(i) * 100.0),
        3 => 5.0..900.0f64,
    ]
}

fn slot() -> impl Strategy<Value = Slot> {
    let hours = prop_oneof![3 => Just(1.0), 1 => Just(0.5), 2 => 0.05..2.5f64];
    let onsite = prop_oneof![3 => Just(0.0), 1 => Just(300.0), 2 => 0.0..1500.0f64];
    (
        hours,
        intensity(),
        onsite,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.04),
    )
        .prop_map(|(hours, g_per_kwh, onsite_w, estimated, closed)| Slot {
            hours,
            g_per_kwh,
            onsite_w,
            estimated,
            closed,
        })
}

pub fn levels() -> impl Strategy<Value = Vec<Level>> {
    let level = prop_oneof![
        (1..10u32, 1..8u32).prop_map(|(s, w)| (f64::from(s) / 10.0, f64::from(w) * 50.0)),
        (0.2..0.99f64, 40.0..400.0f64),
    ];
    (prop::collection::vec(level, 0..5), 50.0..450.0f64).prop_map(|(slower, top)| {
        let mut levels: Vec<Level> = vec![Level {
            clock_mhz: 2000,
            watts: top,
            speed: 1.0,
            latency_ms: None,
        }];
        for (i, (speed, watts)) in slower.into_iter().enumerate() {
            levels.insert(
                i / 2,
                Level {
                    clock_mhz: 1000 + i as u32,
                    watts,
                    speed,
                    latency_ms: None,
                },
            );
        }
        levels
    })
}

fn start(horizon: f64) -> impl Strategy<Value = Start> {
    let at = move |share: f64| share * horizon;
    prop_oneof![
        2 => Just(Start::Fixed(0.0)),
        1 => (0.0..0.7f64).prop_map(move |s| Start::Fixed(at(s))),
        3 => Just(Start::Within { earliest_h: 0.0, latest_h: 1e3 }),
        2 => (0.0..0.5f64, 0.0..0.5f64).prop_map(move |(e, l)| Start::Within { earliest_h: at(e), latest_h: at(e + l) }),
        1 => (0..2u32, 0..3u32).prop_map(|(e, l)| Start::Within { earliest_h: f64::from(e), latest_h: f64::from(e + l) }),
    ]
}

pub fn candidate(most_slots: usize) -> impl Strategy<Value = Candidate> {
    (prop::collection::vec(slot(), 1..=most_slots), levels()).prop_flat_map(|(slots, levels)| {
        let horizon: f64 = slots.iter().map(|s| s.hours).sum();
        let work = prop_oneof![
            (0.02..0.9f64).prop_map(move |s| s * horizon),
            Just(0.5),
            Just(1.0),
            Just(2.0)
        ];
        let run = prop_oneof![3 => Just(None), 2 => (1.0..2.0f64).prop_map(Some)];
        let host = prop_oneof![Just(0.0), Just(50.0), Just(100.0)];
        let onsite = prop_oneof![Just(0.0), Just(30.0), Just(250.0)];
        (
            Just(slots),
            Just(levels),
            work,
            run,
            host,
            1.0..1.6f64,
            onsite,
            start(horizon),
            1..4u32,
        )
            .prop_map(
                |(
                    slots,
                    levels,
                    work_h,
                    run,
                    host_watts,
                    pue,
                    onsite_g_per_kwh,
                    start,
                    workers,
                )| Candidate {
                    slots,
                    levels,
                    workers,
                    work_h,
                    host_watts,
                    pue,
                    onsite_g_per_kwh,
                    start,
                    max_run_h: run.map(|r: f64| r * work_h),
                },
            )
    })
}

/// A problem of one to three candidates. Deadline and budget are shares, to be scaled by what the problem allows.
pub fn problem(most_slots: usize) -> impl Strategy<Value = (Problem, f64, f64)> {
    (
        prop::collection::vec(candidate(most_slots), 1..=3),
        0.3..1.1f64,
        0.9..1.7f64,
    )
        .prop_map(|(candidates, d, b)| {
            let work_gpu_h = candidates[0].work_h * f64::from(candidates[0].workers);
            (
                Problem {
                    candidates,
                    objective: Objective::Ppc,
                    deadline_h: None,
                    budget_g: None,
                    work_gpu_h,
                },
                d,
                b,
            )
        })
}
