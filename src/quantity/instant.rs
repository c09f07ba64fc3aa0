//! Instants: deadlines as users write them, RFC 3339 as CARM's own files and variables write it.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};

use super::{QuantityError, parse_slurm_clock};

const EXPECTED: &str = "a time such as 2026-05-01T18:00, 2026-05-01T18:00:00Z, 2026-05-01T18:00+02:00, or now+8hours";

/// The time and the local time zone, handed in by the program: the library has no clock of its own.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The present instant.
    pub now: DateTime<Utc>,
    /// Reads a local wall-clock time; `None` where it does not exist (the hour that a change to summer time skips).
    pub local: &'a dyn Fn(NaiveDateTime) -> Option<DateTime<Utc>>,
}

impl Moment<'_> {
    /// The local wall-clock time of an instant, by trial: the zone is known by its answers alone.
    pub(super) fn wall(&self, instant: DateTime<Utc>) -> Option<NaiveDateTime> {
        // Zones lie within 14 hours and on quarters of an hour.
        let offset = |instant: DateTime<Utc>| {
            let offsets = (-56..=56).map(|quarters| TimeDelta::minutes(15 * quarters));
            offsets.into_iter().find(|&offset| (self.local)(instant.naive_utc() + offset) == Some(instant))
        };
        // The second of two readings is nobody's answer; the zone of later holds by then.
        let offset = (0..=3).find_map(|hours| offset(instant.checked_add_signed(TimeDelta::hours(hours))?))?;
        instant.naive_utc().checked_add_signed(offset)
    }
}

/// Reads a deadline: any form of [`parse_time`], or of sbatch's own times ([`parse_slurm_clock`]).
///
/// # Errors
/// Any other form, a local time that does not exist, or a time before 1970 or after 9999.
pub fn parse_deadline(text: &str, moment: &Moment) -> Result<DateTime<Utc>, QuantityError> {
    let absolute = parse_time(text, moment);
    let skipped = |error: &QuantityError| error.cause != NOT_A_TIME;
    match absolute {
        Err(error) if !skipped(&error) && text.len() <= 40 => parse_slurm_clock(text, moment),
        other => other,
    }
}

const NOT_A_TIME: &str = "not a time";

/// Reads a time: absolute (`2026-05-01T18:00[:00]`, local time, or with `Z` or an offset), or `now+N[unit]` with
/// sbatch's units (seconds, minutes, hours, days, weeks; without one: seconds) and s, m, h, d, w.
///
/// # Errors
/// Any other form, a local time that does not exist, or a time before 1970 or after 9999.
pub fn parse_time(text: &str, moment: &Moment) -> Result<DateTime<Utc>, QuantityError> {
    let refuse = || QuantityError::new(NOT_A_TIME, EXPECTED);
    if let Some(rest) = text.strip_prefix("now") {
        let seconds = if rest.is_empty() { 0 } else { parse_offset(rest).ok_or_else(refuse)? };
        let delta = TimeDelta::try_seconds(seconds).ok_or_else(refuse)?;
        return moment.now.checked_add_signed(delta).and_then(in_range).ok_or_else(refuse);
    }
    let (wall, offset) = parse_wall_time(text).ok_or_else(refuse)?;
    let instant = match offset {
        Some(offset) => wall.and_local_timezone(offset).single().map(|t| t.to_utc()),
        None => Some(
            (moment.local)(wall)
                .ok_or_else(|| QuantityError::new("a local time that the change to summer time skips", EXPECTED))?,
        ),
    };
    instant.and_then(in_range).ok_or_else(refuse)
}

/// Reads one of CARM's own instants: RFC 3339 with `Z` or an offset.
///
/// # Errors
/// Any other form.
pub fn parse_instant(text: &str) -> Result<DateTime<Utc>, QuantityError> {
    let refuse = || QuantityError::new("not an RFC 3339 time", "a time with its zone, such as 2026-05-01T18:00:00Z");
    if text.len() > 40 {
        return Err(refuse());
    }
    DateTime::parse_from_rfc3339(text).ok().and_then(|t| in_range(t.to_utc())).ok_or_else(refuse)
}

/// Reads the time of a trace's row: RFC 3339; seconds may be left out, the zone may not.
pub fn parse_trace_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = parse_instant(text) {
        return Some(time);
    }
    let (wall, offset) = parse_wall_time(text)?;
    in_range(wall.and_local_timezone(offset?).single()?.to_utc())
}

/// Writes an instant as CARM does everywhere: RFC 3339, UTC, with milliseconds.
#[must_use]
pub fn format_instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An instant of the years 1970 to 9999. A leap second (23:59:60) is the second after it, as the system's clock has it: seconds counted from
/// it would else come out one short.
pub(super) fn in_range(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const NS: u32 = 1_000_000_000;
    let (second, ns) = (instant.timestamp(), instant.timestamp_subsec_nanos());
    let instant = DateTime::from_timestamp(second + i64::from(ns / NS), ns % NS)?;
    (0..253_402_300_800).contains(&instant.timestamp()).then_some(instant)
}

/// `+8hours` in seconds. sbatch(1): "now+1hour", "now+60minutes"; a bare count is seconds.
pub(super) fn parse_offset(text: &str) -> Option<i64> {
    let rest = text.strip_prefix('+')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (count, unit) = rest.split_at(end);
    if count.is_empty() || count.len() > 10 {
        return None;
    }
    let seconds_per_unit = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(seconds_per_unit)
}

/// `YYYY-MM-DDTHH:MM[:SS[.fff]]`, with `Z`, an offset or neither.
fn parse_wall_time(text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
    if !text.is_ascii() || text.len() > 40 {
        return None;
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (time, offset) = if let Some(time) = time.strip_suffix(['Z', 'z']) {
        (time, Some(FixedOffset::east_opt(0)?))
    } else if let Some(at) = time.find(['+', '-']) {
        let (time, zone) = time.split_at(at);
        (time, Some(zone.parse::<FixedOffset>().ok()?))
    } else {
        (time, None)
    };
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let time = NaiveTime::parse_from_str(time, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(time, "%H:%M")).ok()?;
    Some((date.and_time(time), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        parse_instant(text).expect(text)
    }

    /// Two hours east of Greenwich, and the hour from 02:00 on 2026-03-29 does not exist.
    fn central_european(wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let skipped = at("2026-03-29T02:00:00Z").naive_utc();
        if (skipped..skipped + TimeDelta::hours(1)).contains(&wall) {
            return None;
        }
        wall.and_local_timezone(FixedOffset::east_opt(7_200)?).single().map(|t| t.to_utc())
    }

    fn deadline(text: &str) -> Result<DateTime<Utc>, QuantityError> {
        parse_deadline(text, &Moment { now: at("2026-05-01T00:00:00Z"), local: &central_european })
    }

    #[test]
    fn a_time_without_a_zone_is_local() {
        assert_eq!(deadline("2026-05-01T18:00"), Ok(at("2026-05-01T16:00:00Z")));
        assert_eq!(deadline("2026-05-01T18:00:30"), Ok(at("2026-05-01T16:00:30Z")));
    }

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        assert_eq!(at("2016-12-31T23:59:60Z"), at("2017-01-01T00:00:00Z"));
        assert_eq!(format_instant(at("2016-12-31T23:59:60.250Z")), "2017-01-01T00:00:00.250Z");
        assert!(parse_instant("9999-12-31T23:59:60Z").is_err(), "year 10000");
    }

    #[test]
    fn a_zone_is_honoured() {
        assert_eq!(deadline("2026-05-01T18:00Z"), Ok(at("2026-05-01T18:00:00Z")));
        assert_eq!(deadline("2026-05-01T18:00:00-05:00"), Ok(at("2026-05-01T23:00:00Z")));
        assert_eq!(deadline("2026-05-01T18:00+0530"), Ok(at("2026-05-01T12:30:00Z")));
    }

    #[test]
    fn relative_deadlines_take_sbatchs_units_and_short_ones() {
        for (text, hours) in [
            ("now+2hours", 2.0),
            ("now+1hour", 1.0),
            ("now+90m", 1.5),
            ("now+7200", 2.0),
            ("now+1d", 24.0),
            ("now+1week", 168.0),
            ("now", 0.0),
        ] {
            let expected = at("2026-05-01T00:00:00Z") + TimeDelta::seconds((hours * 3600.0) as i64);
            assert_eq!(deadline(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_local_time_that_does_not_exist_is_named_as_such() {
        let error = deadline("2026-03-29T02:30").expect_err("skipped hour");
        assert!(error.cause.contains("summer time"), "{error}");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "5pm yesterday",
            "now-1h",
            "now+",
            "now+h",
            "now+1.5h",
            "now+9999999999w",
            "2026-13-01T00:00",
            "2026-05-01T25:00",
            "2026-05-01T18:00+99:00",
            "99999-01-01T00:00Z",
            "nan",
            "2026-05-01T18:00Z; reboot",
            "２026-05-01T18:00",
        ] {
            let error = deadline(bad).expect_err(bad);
            assert!(error.to_string().contains("2026-05-01T18:00"), "{bad}: {error}");
        }
    }
}
