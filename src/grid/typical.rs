//! The typical day: what CARM plans with where no data is to be had. Modelled, never live, and marked as estimated
//! wherever it is used.
//!
//! A mixed grid of a temperate country on a spring day, by hour of the local day: the share of each source times its
//! life-cycle intensity ([`super::factors`]). The shares are CARM's own round figures: a flat base of nuclear and hydro, wind
//! somewhat stronger at night, a solar bell around noon, coal and gas for the rest of a load with a morning and an evening peak.

use chrono::{DateTime, TimeDelta, Timelike, Utc};

use super::factors::{Fuel, mix};
use super::signal::{Signal, Step};

/// How messages name the typical day.
pub const TYPICAL_DAY_SOURCE: &str = "built-in typical day (modelled, not live)";

/// Load by hour of the day, relative to its daily peak.
const LOAD: [f64; 24] = [
    0.70, 0.67, 0.65, 0.64, 0.65, 0.69, 0.78, 0.88, 0.93, 0.93, 0.92, 0.92, 0.91, 0.90, 0.88, 0.88, 0.90, 0.95, 1.00, 0.99, 0.95,
    0.89, 0.82, 0.75,
];
/// Solar generation by hour of the day, relative to the load's peak.
const SOLAR: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.04, 0.10, 0.18, 0.26, 0.32, 0.36, 0.37, 0.35, 0.30, 0.24, 0.16, 0.09, 0.03, 0.01, 0.0, 0.0,
    0.0, 0.0,
];
/// Nuclear and hydropower, relative to the load's peak.
const NUCLEAR: f64 = 0.15;
const HYDRO: f64 = 0.07;
/// The share of coal in what coal and gas generate together.
const COAL_OF_FOSSIL: f64 = 0.4;

/// Carbon intensity in g/kWh at an hour of the local day.
fn intensity(hour: usize) -> f64 {
    let (load, solar) = (LOAD[hour], SOLAR[hour]);
    let wind = if (7..20).contains(&hour) { 0.16 } else { 0.19 };
    let fossil = (load - solar - wind - NUCLEAR - HYDRO).max(0.0);
    let generation = [
        (Fuel::HardCoal, COAL_OF_FOSSIL * fossil),
        (Fuel::Gas, (1.0 - COAL_OF_FOSSIL) * fossil),
        (Fuel::Solar, solar),
        (Fuel::WindOnshore, wind),
        (Fuel::Nuclear, NUCLEAR),
        (Fuel::Hydro, HYDRO),
    ];
    mix(generation).map_or(0.0, |mixed| mixed.g_per_kwh)
}

/// The typical day's carbon intensity (g/kWh) over [`from`, `to`), hour by hour, every step marked as estimated.
/// `utc_offset_s` says how far east the grid's clocks are. `None` for an empty span.
#[must_use]
pub fn typical_day(from: DateTime<Utc>, to: DateTime<Utc>, utc_offset_s: i32) -> Option<Signal> {
    let offset = TimeDelta::seconds(i64::from(utc_offset_s));
    let local = from + offset;
    let mut hour_start = local.date_naive().and_hms_opt(local.hour(), 0, 0)?.and_utc();
    let mut steps = Vec::new();
    while hour_start - offset < to {
        let value = intensity(hour_start.hour() as usize);
        steps.push(Step::estimate((hour_start - offset).max(from), value));
        hour_start += TimeDelta::hours(1);
    }
    Signal::new(steps, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::parse_instant;

    #[test]
    fn noon_is_greener_than_the_evening_peak_and_all_is_within_what_grids_do() {
        let day: Vec<f64> = (0..24).map(intensity).collect();
        assert!(day[12] < 0.7 * day[19], "{day:?}");
        assert!(day.iter().all(|&g| (50.0..600.0).contains(&g)), "{day:?}");
    }

    #[test]
    fn it_follows_the_local_clock_and_is_marked_as_estimated() {
        let from = parse_instant("2026-05-01T10:30:00Z").expect("a time");
        let east = typical_day(from, from + TimeDelta::hours(3), 7200).expect("a signal");
        assert_eq!(east.start(), from);
        assert_eq!(east.steps()[0].value, intensity(12));
        assert_eq!(east.steps().len(), 4);
        assert!(east.steps().iter().all(|s| s.estimated));
    }
}
