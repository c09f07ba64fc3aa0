//! Made-up grids and roofs, for a first try without data. Shapes that grids have, figures that none has: results on them show that the
//! program works, and nothing about any country.

use carm::grid::Signal;
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

use super::signals::stepped;
use crate::chance::Chance;
use crate::scenario::MadeUpGrid;

/// Hour by hour: carbon intensity in g/kWh and renewable share.
pub fn grid(
    kind: MadeUpGrid,
    (seed, which): (u64, u64),
    utc_offset_h: f64,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<(Signal, Signal)> {
    let g_per_kwh = |at: DateTime<Utc>| {
        let hour = local_hour(at, utc_offset_h);
        let weather = weather(seed, which, at);
        let bell = |peak: f64, width: f64| {
            let off = (hour - peak + 36.0).rem_euclid(24.0) - 12.0;
            (-0.5 * (off / width).powi(2)).exp()
        };
        match kind {
            MadeUpGrid::Sunny => {
                330.0 - 190.0 * bell(12.5, 2.6) * (0.85 + 0.15 * weather).clamp(0.3, 1.1) + 60.0 * bell(19.5, 1.8)
            }
            MadeUpGrid::Windy => 260.0 - 110.0 * weather.tanh() - 40.0 * bell(3.0, 3.0) + 30.0 * bell(18.5, 2.0),
            MadeUpGrid::Hydro => 36.0 - 8.0 * weather.tanh() + 6.0 * bell(18.0, 2.5),
            MadeUpGrid::Fossil => 620.0 - 30.0 * weather.tanh() + 40.0 * bell(19.0, 2.5),
        }
    };
    let hour = TimeDelta::hours(1);
    let intensity = stepped(from, until, hour, g_per_kwh)?;
    let share = intensity.map(|g| ((650.0 - g) / 620.0).clamp(0.0, 1.0));
    Some((intensity, share))
}

/// A roof's power as a part of its peak: the sun's height at 40 degrees north (declination after Cooper, 1969), and clouds by the day.
pub fn roof(
    seed: u64,
    which: u64,
    utc_offset_h: f64,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    step: TimeDelta,
) -> Option<Signal> {
    let latitude = 40.0_f64.to_radians();
    let height = |at: DateTime<Utc>| {
        let declination = (23.45 * (std::f64::consts::TAU * (284.0 + f64::from(at.ordinal())) / 365.0).sin()).to_radians();
        let angle = (15.0 * (local_hour(at, utc_offset_h) - 12.0)).to_radians();
        latitude.sin() * declination.sin() + latitude.cos() * declination.cos() * angle.cos()
    };
    let highest = (latitude - 23.45_f64.to_radians()).cos();
    stepped(from, until, step, |at| {
        let clear = (height(at + step / 2) / highest).max(0.0);
        clear * (0.8 + 0.25 * weather(seed, 1000 + which, at)).clamp(0.15, 1.0)
    })
}

fn local_hour(at: DateTime<Utc>, utc_offset_h: f64) -> f64 {
    (f64::from(at.num_seconds_from_midnight()) / 3600.0 + utc_offset_h).rem_euclid(24.0)
}

/// A number around nought that changes over days: noise by the day, a mean of three, joined by lines.
fn weather(seed: u64, which: u64, at: DateTime<Utc>) -> f64 {
    let days = at.timestamp() as f64 / 86_400.0;
    let day = days.floor();
    let noise = |day: f64| Chance::of(seed, "weather", &[which, day as i64 as u64]).normal();
    let of = |day: f64| (noise(day) + noise(day - 1.0) + noise(day - 2.0)) / 3.0_f64.sqrt();
    of(day) + (of(day + 1.0) - of(day)) * (days - day)
}
