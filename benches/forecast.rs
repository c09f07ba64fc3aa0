//! The forecaster: learning from five weeks, a forecast of a week from what was learnt, and both at once; of a signal that is a year long.
//! `cargo bench -p carm --bench forecast`.

#![allow(missing_docs)] // of what criterion's macros write

use std::hint::black_box;

use carm::grid::{Forecaster, Quantity, Signal, Step, extend};
use chrono::{DateTime, TimeDelta};
use criterion::{Criterion, criterion_group, criterion_main};

/// A year of steps of so many minutes: a day and a week with their shapes, and noise that is the same each time.
fn year(minutes: i64) -> Option<Signal> {
    let (start, count) = (DateTime::UNIX_EPOCH, 365 * 1440 / minutes);
    let value = |i: i64| {
        let hours = (i * minutes) as f64 / 60.0;
        let week = if (hours / 24.0) % 7.0 < 2.0 { 0.8 } else { 1.0 };
        let noise = (i.wrapping_mul(7919) % 997) as f64 / 997.0;
        week * (300.0 + 100.0 * (hours / 24.0 * std::f64::consts::TAU).sin()) + 40.0 * noise
    };
    let steps = (0..count).map(|i| Step::exact(start + TimeDelta::minutes(minutes * i), value(i))).collect();
    Signal::new(steps, start + TimeDelta::minutes(minutes * count))
}

fn forecast(c: &mut Criterion) {
    for minutes in [60, 30, 5] {
        let Some(signal) = year(minutes) else { continue };
        let (now, week) = (signal.end(), signal.end() + TimeDelta::days(7));
        let learn = || Forecaster::learn(&signal, Quantity::CarbonGPerKwh, now);
        c.bench_function(&format!("learn, steps of {minutes} min"), |b| b.iter(|| black_box(learn())));
        if let Some(learnt) = learn() {
            let ahead = || learnt.forecast(&signal, now, now, week);
            c.bench_function(&format!("a week ahead, steps of {minutes} min"), |b| b.iter(|| black_box(ahead())));
        }
        c.bench_function(&format!("extend, steps of {minutes} min"), |b| b.iter(|| black_box(extend(&signal, week))));
    }
}

criterion_group!(benches, forecast);
criterion_main!(benches);
