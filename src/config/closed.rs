//! When a site is closed: `[[site]] closed`, a list of absolute and of recurring windows.
//!
//! A recurring window counts in the local time of the program that plans; local instants come from its caller, so that a
//! change to or from summer time moves the window with the wall clock.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};

use crate::quantity::{Moment, parse_instant};

/// A time in which no job may run at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// From one instant to another.
    Once(DateTime<Utc>, DateTime<Utc>),
    /// On some days of each week, from one minute of the day to another, past midnight where the second is not the later.
    Weekly {
        /// By day, Monday first.
        days: [bool; 7],
        /// Minutes after local midnight.
        from_min: u16,
        /// Minutes after local midnight, up to 1440.
        to_min: u16,
    },
}

/// What a window's text has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a window; give '2026-12-24T00:00Z/2026-12-27T00:00Z', '17:00-20:00' or 'Sat-Sun 00:00-24:00'")]
pub struct NotAWindow;

impl std::str::FromStr for Closed {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        if let Some((from, to)) = text.split_once('/') {
            let instant = |text: &str| read_instant(text).ok_or(NotAWindow);
            let (from, to) = (instant(from)?, instant(to)?);
            return if from < to { Ok(Self::Once(from, to)) } else { Err(NotAWindow) };
        }
        let (days, hours) = match text.split_once(' ') {
            Some((days, hours)) => (read_days(days).ok_or(NotAWindow)?, hours),
            None => ([true; 7], text),
        };
        let (from, to) = hours.split_once('-').ok_or(NotAWindow)?;
        let (from_min, to_min) = (minute(from).ok_or(NotAWindow)?, minute(to).ok_or(NotAWindow)?);
        if from_min == to_min || from_min == 1440 || to_min == 0 {
            return Err(NotAWindow);
        }
        Ok(Self::Weekly { days, from_min, to_min })
    }
}

/// RFC 3339, also without seconds.
fn read_instant(text: &str) -> Option<DateTime<Utc>> {
    let minutes = || DateTime::parse_from_str(&text.replacen('Z', "+00:00", 1), "%Y-%m-%dT%H:%M%:z").ok();
    parse_instant(text).ok().or_else(|| Some(minutes()?.to_utc()))
}

/// `Sat`, `Sat-Sun`, `Fri-Mon`, `Mon,Wed`.
fn read_days(text: &str) -> Option<[bool; 7]> {
    let day = |text: &str| text.parse::<Weekday>().ok().map(|day| day.num_days_from_monday() as usize);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        (0..=(last + 7 - first) % 7).for_each(|after| days[(first + after) % 7] = true);
    }
    Some(days)
}

/// `17:00`, `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two =
        |text: &str| if text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<u16>().ok() } else { None };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= 1440).then_some(hours * 60 + minutes)
}

impl Closed {
    /// Its spans that touch those from the moment's now to `until`.
    #[must_use]
    pub fn spans(&self, moment: &Moment, until: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let touches = |span: &(DateTime<Utc>, DateTime<Utc>)| span.0 < span.1 && span.0 < until && span.1 > moment.now;
        match *self {
            Self::Once(from, to) => Some((from, to)).into_iter().filter(touches).collect(),
            Self::Weekly { days, from_min, to_min } => {
                // The local date is not handed in: from two days before to two after no zone's date is missed.
                let first = moment.now.date_naive() - Days::new(2);
                let count = (until - moment.now).num_days().clamp(0, 400) as usize + 5;
                let dates = first.iter_days().take(count).filter(|date| days[date.weekday().num_days_from_monday() as usize]);
                dates.filter_map(|date| on(date, from_min, to_min, moment)).filter(touches).collect()
            }
        }
    }
}

fn on(date: NaiveDate, from_min: u16, to_min: u16, moment: &Moment) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let next = if to_min <= from_min { date.checked_add_days(Days::new(1))? } else { date };
    let wall = |date: NaiveDate, minute: u16| date.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(minute.into());
    Some((instant(wall(date, from_min), moment)?, instant(wall(next, to_min), moment)?))
}

/// The first instant at or after a wall-clock time that exists.
fn instant(wall: NaiveDateTime, moment: &Moment) -> Option<DateTime<Utc>> {
    (0..=12).find_map(|quarters| (moment.local)(wall + TimeDelta::minutes(15 * quarters)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        read_instant(text).expect(text)
    }

    /// Central Europe around 2026-03-29, when 02:00 to 03:00 is skipped.
    fn europe(wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let change = NaiveDate::from_ymd_opt(2026, 3, 29)?.and_hms_opt(2, 0, 0)?;
        match wall {
            wall if wall < change => Some(wall.and_utc() - TimeDelta::hours(1)),
            wall if wall < change + TimeDelta::hours(1) => None,
            wall => Some(wall.and_utc() - TimeDelta::hours(2)),
        }
    }

    fn spans(window: &str, now: &str, until: &str) -> Vec<String> {
        let window: Closed = window.parse().expect(window);
        let shown = |(from, to): (DateTime<Utc>, DateTime<Utc>)| format!("{}/{}", from.format("%dT%H:%M"), to.format("%dT%H:%M"));
        window.spans(&Moment { now: at(now), local: &europe }, at(until)).into_iter().map(shown).collect()
    }

    #[test]
    fn a_daily_window_follows_the_wall_clock_over_a_change_to_summer_time() {
        let spans = spans("17:00-20:00", "2026-03-28T12:00Z", "2026-03-30T12:00Z");
        assert_eq!(spans, ["28T16:00/28T19:00", "29T15:00/29T18:00"]);
    }

    #[test]
    fn a_window_that_begins_in_the_skipped_hour_begins_after_it() {
        assert_eq!(spans("Sun 02:30-05:00", "2026-03-28T12:00Z", "2026-03-30T12:00Z"), ["29T01:00/29T03:00"]);
    }

    #[test]
    fn days_and_midnights_are_local() {
        assert_eq!(
            spans("Sat-Sun 00:00-24:00", "2026-03-27T12:00Z", "2026-04-01T00:00Z"),
            ["27T23:00/28T23:00", "28T23:00/29T22:00"]
        );
        assert_eq!(spans("Fri 22:00-06:00", "2026-03-28T01:00Z", "2026-03-30T00:00Z"), ["27T21:00/28T05:00"]);
        assert_eq!(spans("2026-12-24T00:00Z/2026-12-27T00:00Z", "2026-12-26T01:00Z", "2026-12-30T00:00Z"), ["24T00:00/27T00:00"]);
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "always",
            "17:00",
            "17-20",
            "17:00-17:00",
            "24:00-03:00",
            "25:00-26:00",
            "Sat",
            "Foo 01:00-02:00",
            "2026-12-27T00:00Z/2026-12-24T00:00Z",
        ] {
            assert_eq!(text.parse::<Closed>(), Err(NotAWindow), "{text}");
        }
    }
}
