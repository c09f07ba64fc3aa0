//! Axes: round numbers up the side, round times along the foot.

use chrono::{DateTime, NaiveTime, TimeDelta, TimeZone};

/// Round numbers from 0 to at least `most`, four or five of them.
#[must_use]
pub fn numbers(most: f64) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let step = step(most);
    let last = (most / step * 0.999).ceil() as i32;
    (0..=last.max(1)).map(|i| f64::from(i) * step).collect()
}

/// Round numbers from `least` at most to `most` at least, some five of them.
#[must_use]
pub fn between(least: f64, most: f64) -> Vec<f64> {
    let range = if most > least { most - least } else { least.abs().max(1.0) };
    let step = step(range);
    let (first, last) = ((least / step + 1e-3).floor() as i32, (most / step - 1e-3).ceil() as i32);
    (first..=last.max(first + 1)).map(|i| f64::from(i) * step).collect()
}

/// A round number, some four of which make `length`.
fn step(length: f64) -> f64 {
    let rough = length / 4.0;
    let ten = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|n| n * ten).find(|&step| step >= rough * 0.999).unwrap_or(ten * 10.0)
}

/// A number of an axis whose numbers are so far apart.
#[must_use]
pub fn label(value: f64, step: f64) -> String {
    let decimals = if step >= 1.0 && step.fract() == 0.0 {
        0
    } else if step >= 0.1 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// A tick of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Its instant, ms since 1970.
    pub at_ms: i64,
    /// A day, or a time of day.
    pub label: String,
    /// Whether a new day begins with it.
    pub day: bool,
}

const MINUTES: [i64; 16] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 43_200];

/// Round times of a time zone between two instants, so many at most.
#[must_use]
pub fn times<Z: TimeZone>(zone: &Z, from_ms: i64, to_ms: i64, most: usize) -> Vec<Tick> {
    let local = |ms: i64| (DateTime::UNIX_EPOCH + TimeDelta::milliseconds(ms)).with_timezone(zone).naive_local();
    let length = (to_ms - from_ms).max(1);
    let step = MINUTES.into_iter().map(|m| m * 60_000).find(|step| length / step < most as i64).unwrap_or(length);
    let from = local(from_ms);
    // A change to summer time moves what follows by its hour: still times, if not round ones.
    let midnight = from.date().and_time(NaiveTime::MIN);
    let Some(midnight) = zone.from_local_datetime(&midnight).earliest() else { return Vec::new() };
    let first = midnight.timestamp_millis();
    let skip = (from_ms - first).div_euclid(step);
    let ticks = (skip..).map(|i| first + i * step).skip_while(|&at| at < from_ms).take_while(|&at| at <= to_ms);
    ticks
        .map(|at_ms| {
            let time = local(at_ms);
            let day = time.time() == NaiveTime::MIN;
            Tick { at_ms, label: time.format(if day { "%-d %b" } else { "%H:%M" }).to_string(), day }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[test]
    fn numbers_are_round_and_reach_the_greatest_value() {
        assert_eq!(numbers(420.0), [0.0, 200.0, 400.0, 600.0]);
        assert_eq!(numbers(1980.0), [0.0, 500.0, 1000.0, 1500.0, 2000.0]);
        assert_eq!(numbers(0.0).len(), 5);
        for most in [0.07, 3.0, 99.0, 1234.5, 7.7e6] {
            let numbers = numbers(most);
            assert!(numbers.last().is_some_and(|&last| last >= most * 0.999) && numbers.len() <= 6, "{most}: {numbers:?}");
        }
    }

    #[test]
    fn an_axis_need_not_begin_at_nought() {
        assert_eq!(between(61.0, 104.0), [60.0, 80.0, 100.0, 120.0]);
        assert_eq!(between(60.0, 100.0), [60.0, 70.0, 80.0, 90.0, 100.0]);
        for (least, most) in [(100.0, 100.0), (-3.0, 7.0), (0.02, 0.021)] {
            let numbers = between(least, most);
            let ends = (numbers[0], numbers[numbers.len() - 1]);
            assert!(ends.0 <= least && ends.1 >= most && numbers.len() <= 7, "{least} to {most}: {numbers:?}");
        }
    }

    #[test]
    fn there_are_never_more_times_than_fit() {
        for hours in [1, 5, 30, 100, 1000, 20_000] {
            let ticks = times(&Utc, 1_777_600_000_000, 1_777_600_000_000 + hours * 3_600_000, 5);
            assert!((1..=6).contains(&ticks.len()), "{hours}: {ticks:?}");
        }
    }
}
