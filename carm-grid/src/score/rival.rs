//! What CARM's forecast is held against: forecasts that anybody could make, and the one that nobody can.

use carm::grid::{Forecaster, Quantity, Signal, Step};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// A way to foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rival {
    /// CARM's own forecast.
    Carm,
    /// The last value holds on.
    LastValue,
    /// The mean of the last seven days at the same time of day.
    SevenDays,
    /// What will be.
    Perfect,
}

impl Rival {
    pub const ALL: [Self; 4] = [Self::Carm, Self::SevenDays, Self::LastValue, Self::Perfect];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Carm => "CARM's forecast",
            Self::SevenDays => "seven-day mean",
            Self::LastValue => "last value",
            Self::Perfect => "perfect",
        }
    }

    /// The signal from `now` on for so long, as this would have foreseen it then.
    pub fn foresee(self, truth: &Signal, now: DateTime<Utc>, long: TimeDelta) -> Option<Signal> {
        let until = now + long;
        match self {
            Self::Carm => Forecaster::learn(truth, Quantity::CarbonGPerKwh, now)?.forecast(truth, now, now, until),
            Self::LastValue => {
                let last = truth.at(now - TimeDelta::milliseconds(1))?;
                Signal::new(vec![Step::estimate(now, last.value)], until)
            }
            Self::SevenDays => hours(now, long, |at| {
                let days_past = (at - now).num_days() as i32 + 1;
                let same_time = (0..7).filter_map(|back| truth.at(at - TimeDelta::days(1) * (days_past + back)));
                let values: Vec<f64> = same_time.map(|step| step.value).collect();
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            }),
            Self::Perfect => {
                let first = Step { from: now, ..truth.at(now)? };
                let later = truth.steps().iter().filter(|step| step.from > now && step.from < until);
                (until <= truth.end()).then(|| Signal::new(std::iter::once(&first).chain(later).copied().collect(), until))?
            }
        }
    }
}

fn hours(now: DateTime<Utc>, long: TimeDelta, value: impl Fn(DateTime<Utc>) -> Option<f64>) -> Option<Signal> {
    let begins = (0..long.num_hours().max(1)).map(|hour| now + TimeDelta::hours(hour));
    let steps = begins.map(|at| Some(Step::estimate(at, value(at)?))).collect::<Option<Vec<_>>>()?;
    Signal::new(steps, now + long)
}
