//! A time axis: which column an instant lies in, and where it is labelled.

use chrono::{DateTime, NaiveTime, TimeDelta, TimeZone, Utc};

/// The column, of so many for `end_h` hours, in which an instant lies; `None` past the edges.
#[must_use]
pub fn column(hours: f64, end_h: f64, columns: usize) -> Option<usize> {
    let at = hours / end_h * columns as f64;
    (at >= 0.0 && at <= columns as f64 + 1e-9).then(|| ((at - 1e-9).ceil() as usize).clamp(1, columns) - 1)
}

/// Where an axis from `now` on is labelled, and how: round hours of the day in a time zone, a new day by its name.
pub fn ticks<Z: TimeZone>(zone: &Z, now: DateTime<Utc>, end_h: f64, columns: usize) -> Vec<(usize, String)> {
    let most = (columns / 9).max(1) as f64;
    let steps_min = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080];
    let step = steps_min.into_iter().find(|&step| end_h * 60.0 / step as f64 <= most).unwrap_or(43_200);
    let begin = now.with_timezone(zone).date_naive().and_time(NaiveTime::MIN);
    let count = ((end_h + 25.0) * 60.0 / step as f64) as i64 + 1;
    let tick = |k: i64| {
        let wall = begin + TimeDelta::try_minutes(k.checked_mul(step)?)?;
        let at = zone.from_local_datetime(&wall).earliest()?;
        let hours = (at.to_utc() - now).as_seconds_f64() / 3600.0;
        let text = if wall.time() == NaiveTime::MIN { "%a %d" } else { "%H:%M" };
        (hours >= 0.0).then(|| column(hours, end_h, columns).map(|column| (column, wall.format(text).to_string())))?
    };
    (0..count).filter_map(tick).collect()
}
