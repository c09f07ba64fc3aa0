//! Times of files: with their own zone, or by the clock that the command line names. On the two days a year on which clocks change,
//! an hour of local time is missing or comes twice; the order of the rows tells which of the two is meant.

use std::str::FromStr;

use carm::quantity::parse_trace_time;
use carm::request::printable;
use chrono::{DateTime, FixedOffset, Local, MappedLocalTime, NaiveDateTime, TimeZone, Utc};

/// By which clock times that name no zone are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// UTC.
    Utc,
    /// So far east of UTC, all the year.
    Fixed(FixedOffset),
    /// This host's, or that of the variable TZ.
    Local,
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "UTC" | "utc" | "Z" => Ok(Self::Utc),
            "local" => Ok(Self::Local),
            // chrono's own reading of an offset.
            _ => text.parse().map(Self::Fixed).map_err(|_| {
                "give UTC, an offset such as +01:00, or local; of another zone: TZ=Europe/Berlin and local".to_owned()
            }),
        }
    }
}

impl Clock {
    /// The instant of a wall clock's time in a list in which `last` stands just before.
    fn instant(self, wall: NaiveDateTime, last: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, &'static str> {
        let mapped = match self {
            Self::Utc => MappedLocalTime::Single(wall.and_utc()),
            Self::Fixed(offset) => offset.from_local_datetime(&wall).map(|at| at.to_utc()),
            Self::Local => Local.from_local_datetime(&wall).map(|at| at.to_utc()),
        };
        match mapped {
            // chrono gives the first second of a skipped hour an instant; the clock shows another time then.
            MappedLocalTime::Single(at) if self.shows(at) == wall => Ok(at),
            MappedLocalTime::Ambiguous(one, other) => {
                let (first, second) = (one.min(other), one.max(other));
                Ok(if last.is_some_and(|last| last >= first) { second } else { first })
            }
            _ => Err("there is no such time: clocks go forward there; is the file by a clock that never changes? \
                      Then give its offset, such as +01:00"),
        }
    }

    /// What the clock shows at an instant.
    fn shows(self, at: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Self::Utc => at.naive_utc(),
            Self::Fixed(offset) => at.with_timezone(&offset).naive_local(),
            Self::Local => at.with_timezone(&Local).naive_local(),
        }
    }
}

/// Reads the times of a list, one after the other.
pub struct Times {
    clock: Option<Clock>,
    last: Option<DateTime<Utc>>,
}

/// Ways in which tables write a time without a zone.
const WALL: [&str; 6] =
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M"];

impl Times {
    /// Of files whose times name no zone, `clock` says by which clock they are.
    pub fn by(clock: Option<Clock>) -> Self {
        Self { clock, last: None }
    }

    /// The next time of the list; the error is the cause and the way out.
    pub fn read(&mut self, text: &str) -> Result<DateTime<Utc>, String> {
        let at = self.instant(text.trim()).map_err(|cause| format!("time '{}': {cause}", printable(text.trim())))?;
        self.last = Some(at);
        Ok(at)
    }

    fn instant(&self, text: &str) -> Result<DateTime<Utc>, String> {
        if let Some(at) = parse_trace_time(text).or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())) {
            return Ok(at);
        }
        // Seconds since 1970 have had nine digits or ten since 1973.
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        if (9..=10).contains(&whole.len()) && whole.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = text.parse().ok().map(|seconds: f64| (seconds * 1e3).round() as i64);
            return seconds.and_then(DateTime::from_timestamp_millis).ok_or_else(|| "not a time".to_owned());
        }
        let wall = WALL.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let Some(wall) = wall else {
            return Err("not a time; write 2026-05-01T18:00:00Z, 2026-05-01 18:00 or seconds since 1970".to_owned());
        };
        let Some(clock) = self.clock else {
            return Err("names no zone; say by which clock it is: --time-zone=UTC, an offset such as +01:00, or local".to_owned());
        };
        clock.instant(wall, self.last).map_err(str::to_owned)
    }
}
