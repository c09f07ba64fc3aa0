//! How far forecasts were off, by lead time.

use carm::grid::Signal;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::rival::Rival;

/// The lead times that are told, in hours: the value that holds just before so many hours have passed.
pub const LEADS_H: [i64; 6] = [1, 6, 12, 24, 48, 96];
/// A forecast is made so often: no divisor of the day, so that all hours of the day are begun from.
const EVERY: TimeDelta = TimeDelta::hours(7);

/// The misses of all ways to foresee.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Misses {
    /// How many forecasts were made.
    pub forecasts: usize,
    pub leads_h: [i64; LEADS_H.len()],
    /// Mean absolute percentage error, by way to foresee and lead time; null without a forecast that reaches so far.
    pub mape_percent: Vec<Row>,
    /// The part of the truth that lay in the band of CARM's forecast, by lead time, percent.
    pub in_band_percent: [Option<f64>; LEADS_H.len()],
}

/// One way to foresee.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub forecast: Rival,
    pub by_lead: [Option<f64>; LEADS_H.len()],
}

#[derive(Default, Clone, Copy)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn percent(self) -> Option<f64> {
        (self.count > 0.0).then(|| 100.0 * self.sum / self.count)
    }
}

/// Forecasts the truth from `from` on, again and again, and compares.
pub fn of(truth: &Signal, from: DateTime<Utc>) -> Misses {
    let longest = TimeDelta::hours(LEADS_H[LEADS_H.len() - 1]);
    let mut rows = Rival::ALL.map(|rival| (rival, [Mean::default(); LEADS_H.len()]));
    let mut in_band = [Mean::default(); LEADS_H.len()];
    let (mut now, mut forecasts) = (from, 0);
    while now + TimeDelta::hours(1) <= truth.end() {
        forecasts += 1;
        let long = longest.min(truth.end() - now);
        for (rival, means) in &mut rows {
            let Some(said) = rival.foresee(truth, now, long) else { continue };
            for (index, &lead_h) in LEADS_H.iter().enumerate() {
                let at = now + TimeDelta::hours(lead_h) - TimeDelta::milliseconds(1);
                let (Some(step), Some(was)) = (said.at(at), truth.at(at)) else { continue };
                // Of nothing there is no percentage.
                if was.value > 0.0 {
                    means[index].add((step.value - was.value).abs() / was.value);
                }
                if *rival == Rival::Carm {
                    in_band[index].add(f64::from(u8::from(step.low <= was.value && was.value <= step.high)));
                }
            }
        }
        now += EVERY;
    }
    let row = |(forecast, means): (Rival, [Mean; LEADS_H.len()])| Row { forecast, by_lead: means.map(Mean::percent) };
    Misses { forecasts, leads_h: LEADS_H, mape_percent: rows.map(row).into(), in_band_percent: in_band.map(Mean::percent) }
}
