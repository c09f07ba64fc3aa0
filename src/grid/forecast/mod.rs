//! Past a source's data: CARM's own forecast, learnt anew from each signal's own last five weeks, in a millisecond or two.
//!
//! Simple models ([`models`]: the last value, yesterday, a week ago, means of seven days, of days of the same kind, of four weeks, as they
//! are and scaled to the level of the last hours) say what they would have said at some eighty instants of the past, and are
//! weighed by how far they were off, by lead time ([`skill`]). The band spans from the tenth to the ninetieth of a hundred of the
//! forecast's own misses at that lead time. docs/forecast.md gives the formulas, their sources and how well it does.
//!
//! Times of day and days of the week are UTC's: after a change of clocks the daily shape is off by an hour for some days.
//! Everything is a function of its arguments; no clock, no chance.

mod lattice;
mod models;
mod skill;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};

use super::Quantity;
use super::signal::{Signal, Step};
use lattice::Lattice;
use models::{Past, View, fade};

/// No forecast goes further.
const FARTHEST: TimeDelta = TimeDelta::days(400);

/// Continues a signal of carbon intensity to `until`: [`extend_as`] with all of it taken for observed.
#[must_use]
pub fn extend(signal: &Signal, until: DateTime<Utc>) -> Signal {
    extend_as(signal, Quantity::CarbonGPerKwh, signal.end(), until)
}

/// Continues a signal to `until` with CARM's own forecast: in steps as the signal's own, a quarter of an hour at least and an hour at
/// most, marked as estimated, with a band. What follows `observed_until` was forecast by its source: it is gone by, and the lead time
/// counts from there. Where less than a day of data is at hand there is nothing to go by, and the signal stays as it is.
#[must_use]
pub fn extend_as(signal: &Signal, quantity: Quantity, observed_until: DateTime<Utc>, until: DateTime<Utc>) -> Signal {
    if until <= signal.end() {
        return signal.clone();
    }
    let observed = observed_until.clamp(signal.start(), signal.end());
    // A source's forecast is no past to score models on, unless there is nothing else.
    let learnt = Forecaster::learn(signal, quantity, observed).or_else(|| Forecaster::learn(signal, quantity, signal.end()));
    let ahead = learnt.and_then(|learnt| learnt.forecast(signal, signal.end(), observed, until));
    let Some(ahead) = ahead else { return signal.clone() };
    let steps = signal.steps().iter().chain(ahead.steps()).copied().collect();
    Signal::new(steps, ahead.end()).unwrap_or_else(|| signal.clone())
}

/// What was learnt of a signal. Learning takes a millisecond or two; a forecast from it a tenth of that, from any later instant as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecaster {
    quantity: Quantity,
    leads: [skill::Lead; skill::GROUPS],
}

impl Forecaster {
    /// Learns from a signal's five weeks before `known_until`; what is later is not looked at. `None` for less than a day.
    #[must_use]
    pub fn learn(signal: &Signal, quantity: Quantity, known_until: DateTime<Utc>) -> Option<Self> {
        let past = Lattice::of(signal, known_until)?;
        Some(Self { quantity, leads: skill::learn(&past.hourly(), quantity) })
    }

    /// The signal from `known_until` to `until`, from what was before `known_until` alone; all steps are marked as estimated. Lead times
    /// count from `observed_until`, `known_until` itself where all that is known was observed. `None` for less than a day of past, an
    /// empty span, or one of more than 400 days.
    #[must_use]
    pub fn forecast(
        &self,
        signal: &Signal,
        known_until: DateTime<Utc>,
        observed_until: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<Signal> {
        let known = Lattice::of(signal, known_until)?;
        let (span, cell) = (until - known.end, known.cell());
        if span <= TimeDelta::zero() || span > FARTHEST {
            return None;
        }
        let cells = usize::try_from((span.num_seconds() + cell.num_seconds() - 1) / cell.num_seconds()).ok()?.max(1);
        let kinds = known.kinds_of_day(cells);
        let past = Past { y: &known.y, kinds: &kinds, per_hour: known.per_hour, quantity: self.quantity };
        let mut view = View::default();
        past.look(known.y.len(), &mut view);
        let range = known.y.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), &y| (least.min(y), most.max(y)));
        let late_h = super::signal_hours((known.end - observed_until).max(TimeDelta::zero()));
        let steps = (0..cells).map(|ahead| {
            let ahead_h = ahead as f64 / known.per_hour as f64;
            let lead = &self.leads[skill::lead(late_h + ahead_h)];
            let value = skill::blend(&lead.weights, &view.say(&past, ahead, &fade(ahead_h)));
            let step = Step::estimate(known.end + cell * ahead as i32, 0.0);
            if view.is_dark(&past, ahead) {
                return step;
            }
            let value = self.possible(value);
            let unit = view.unit(&past, ahead, value);
            // Without misses of its own to go by, all that was seen may come again.
            let (low, high) = lead.edges.map_or(range, |(low, high)| (value + low * unit, value + high * unit));
            Step { value, low: self.possible(low).min(value), high: self.possible(high).max(value), ..step }
        });
        Signal::new(steps.collect(), until)
    }

    /// Within what such a signal can be.
    fn possible(&self, value: f64) -> f64 {
        let most = match self.quantity {
            Quantity::CarbonGPerKwh => 10_000.0,
            Quantity::RenewableShare => 1.0,
            Quantity::OnsiteW => 1e12,
        };
        if value.is_finite() { value.clamp(0.0, most) } else { 0.0 }
    }
}
