//! A forecast with an error: what will be, times a factor that wanders off with the time ahead. Modelled: the error's spread grows with
//! the square root of the lead (up to four days), errors of neighbouring steps resemble each other, and now is known.

use carm::grid::{Signal, Step};
use chrono::{DateTime, Utc};

use crate::chance::Chance;

/// How much the error of a step is that of the step before it.
const ALIKE: f64 = 0.9;

/// Seed, error a day ahead (one standard deviation), and what it is about.
pub type Noise = (u64, f64, String);

/// The signal from the step of `issued` until `until`, with an error.
pub fn forecast(truth: &Signal, issued: DateTime<Utc>, until: DateTime<Utc>, (seed, error, about): &Noise) -> Signal {
    let mut chance = Chance::of(*seed, about, &[issued.timestamp() as u64]);
    let first = truth.steps().partition_point(|step| step.from <= issued).saturating_sub(1);
    let last = truth.steps().partition_point(|step| step.from < until);
    let mut wander = chance.normal();
    let steps = truth.steps()[first..last].iter().map(|step| {
        let days = (step.from - issued).num_seconds().max(0) as f64 / 86_400.0;
        wander = ALIKE * wander + (1.0 - ALIKE * ALIKE).sqrt() * chance.normal();
        let factor = (1.0 + error * days.sqrt().min(2.0) * wander).max(0.05);
        Step::exact(step.from, step.value * factor)
    });
    Signal::new(steps.collect(), truth.end().min(until)).unwrap_or_else(|| truth.clone())
}
