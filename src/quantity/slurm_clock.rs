//! Points in time as sbatch takes them (`--begin`, `--deadline`): `tomorrow`, `09:00`, `noon`, `12/01-09:00`, `now+1hour`.
//!
//! After Slurm's parse_time.c (`_parse_time`, the same from 22.05 to 26.05 but for `elevenses`): words, dates and times of
//! day in any order, separated by blanks, `-` or `T`; the last of each holds.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use super::instant::in_range;
use super::{Moment, QuantityError};

pub(super) const EXPECTED: &str =
    "a time such as 18:00, tomorrow, \"tomorrow 9:00\", noon, 12/01-09:00, 2026-05-01T18:00 or now+8hours";

/// Reads a point in time as sbatch does, local time. A time of day alone is the next such one, a date without a year the next
/// such day, a date without a time its midnight.
///
/// # Errors
/// What sbatch refuses, a local time that does not exist, or a time before 1970 or after 9999.
pub fn parse_slurm_clock(text: &str, moment: &Moment) -> Result<DateTime<Utc>, QuantityError> {
    let refuse = || QuantityError::new("not a time", EXPECTED);
    if let Some(seconds) = starts_with(text.as_bytes(), b"uts").then(|| &text[3..]) {
        let instant = seconds.parse::<i64>().ok().filter(|&s| s >= 1_000_000).and_then(|s| DateTime::from_timestamp(s, 0));
        return instant.and_then(in_range).ok_or_else(refuse);
    }
    let now = moment.wall(moment.now).ok_or_else(refuse)?;
    let mut found = Found::default();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match first {
            b' ' | b'\t' | b'-' | b'T' => tail,
            _ => found.take(rest, now, moment).ok_or_else(refuse)?,
        };
    }
    match found {
        Found { exact: Some(instant), .. } => in_range(instant).ok_or_else(refuse),
        Found { date: None, time: None, .. } => Err(refuse()),
        Found { date, time, .. } => {
            let wall = wall(date, time, now, moment).ok_or_else(refuse)?;
            let skipped = || QuantityError::new("a local time that the change to summer time skips", EXPECTED);
            (moment.local)(wall).ok_or_else(skipped).and_then(|instant| in_range(instant).ok_or_else(refuse))
        }
    }
}

/// What a text says, as far as it has been read.
#[derive(Default)]
struct Found {
    date: Option<Date>,
    time: Option<NaiveTime>,
    /// `now` and nothing after it.
    exact: Option<DateTime<Utc>>,
}

/// A day of the calendar; `year`: `None` where the text names none.
#[derive(Clone, Copy)]
struct Date {
    year: Option<i32>,
    month: u32,
    day: u32,
}

impl From<NaiveDate> for Date {
    fn from(date: NaiveDate) -> Self {
        Self { year: Some(date.year()), month: date.month(), day: date.day() }
    }
}

impl Found {
    /// Takes the next word, date or time; the text behind it.
    fn take<'t>(&mut self, text: &'t [u8], now: NaiveDateTime, moment: &Moment) -> Option<&'t [u8]> {
        const TIMES: [(&[u8], u32); 5] = [(b"midnight", 0), (b"noon", 12), (b"elevenses", 11), (b"fika", 15), (b"teatime", 16)];
        self.exact = None;
        if starts_with(text, b"today") {
            self.date = Some(now.date().into());
            return text.get(5..);
        }
        if starts_with(text, b"tomorrow") {
            self.date = Some(tomorrow(moment)?.into());
            return text.get(8..);
        }
        if let Some(&(word, hour)) = TIMES.iter().find(|(word, _)| starts_with(text, word)) {
            self.time = NaiveTime::from_hms_opt(hour, 0, 0);
            return text.get(word.len()..);
        }
        if starts_with(text, b"now") {
            let (delta_s, rest) = offset(text.get(3..)?)?;
            let instant = moment.now.checked_add_signed(TimeDelta::try_seconds(delta_s)?)?;
            let wall = moment.wall(instant)?;
            (self.date, self.time, self.exact) = (Some(wall.date().into()), Some(wall.time()), Some(instant));
            return Some(rest);
        }
        let colon = |at: usize| text.get(at) == Some(&b':');
        if text.first().is_some_and(u8::is_ascii_digit) && (colon(1) || colon(2)) {
            let (time, rest) = time_of_day(text)?;
            self.time = Some(time);
            return Some(rest);
        }
        let (date, rest) = date(text)?;
        // A year that an earlier date named stays.
        let year = date.year.or(self.date.and_then(|earlier| earlier.year));
        self.date = Some(Date { year, ..date });
        Some(rest)
    }
}

/// The wall-clock time that is meant.
fn wall(date: Option<Date>, time: Option<NaiveTime>, now: NaiveDateTime, moment: &Moment) -> Option<NaiveDateTime> {
    // Slurm compares whole minutes: at 09:00:30, `09:00` and `09:00:59` are tomorrow.
    let minute = |time: NaiveTime| (time.hour(), time.minute());
    let time_or_midnight = time.unwrap_or(NaiveTime::MIN);
    let Some(date) = date else {
        let is_ahead = minute(time_or_midnight) > minute(now.time());
        let day = if is_ahead { now.date() } else { tomorrow(moment)? };
        return Some(day.and_time(time_or_midnight));
    };
    let year = date.year.unwrap_or_else(|| {
        let meant = (date.month, date.day, minute(time_or_midnight));
        now.year() + i32::from(meant <= (now.month(), now.day(), minute(now.time())))
    });
    // As mktime(3) has it, February 30 is March 1 or 2.
    let first = NaiveDate::from_ymd_opt(year, date.month, 1)?;
    Some(first.checked_add_signed(TimeDelta::days(i64::from(date.day) - 1))?.and_time(time_or_midnight))
}

/// The local day of 24 hours from now.
fn tomorrow(moment: &Moment) -> Option<NaiveDate> {
    Some(moment.wall(moment.now.checked_add_signed(TimeDelta::hours(24))?)?.date())
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// What stands behind `now`: nothing, or `+` or `-` and a count with its unit (seconds without one), in seconds.
fn offset(text: &[u8]) -> Option<(i64, &[u8])> {
    const UNITS: [(&[u8], i64); 10] = [
        (b"seconds", 1),
        (b"second", 1),
        (b"minutes", 60),
        (b"minute", 60),
        (b"hours", 3_600),
        (b"hour", 3_600),
        (b"days", 86_400),
        (b"day", 86_400),
        (b"weeks", 604_800),
        (b"week", 604_800),
    ];
    let text = text.trim_ascii_start();
    let (sign, mut rest) = match text {
        [] => return Some((0, text)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let mut count: Option<i64> = None;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(&(word, unit_s)) = UNITS.iter().find(|(word, _)| starts_with(rest, word)) {
            return Some((count?.checked_mul(sign * unit_s)?, rest.get(word.len()..)?));
        }
        match rest {
            [] => return Some((count?.checked_mul(sign)?, rest)),
            [digit @ b'0'..=b'9', behind @ ..] => {
                count = Some(count.unwrap_or(0).checked_mul(10)?.checked_add(i64::from(digit - b'0'))?);
                rest = behind;
            }
            _ => return None,
        }
    }
}

/// One digit, or two; the text behind them.
fn one_or_two(text: &[u8]) -> Option<(u32, &[u8])> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    match text {
        [tens, ones, rest @ ..] if ones.is_ascii_digit() => Some((digit(tens)? * 10 + digit(ones)?, rest)),
        [ones, rest @ ..] => Some((digit(ones)?, rest)),
        [] => None,
    }
}

/// Two digits; the text behind them.
fn two(text: &[u8]) -> Option<(u32, &[u8])> {
    if text.get(1).is_some_and(u8::is_ascii_digit) { one_or_two(text) } else { None }
}

/// `9:00`, `09:00:30`, `9:00 pm`.
fn time_of_day(text: &[u8]) -> Option<(NaiveTime, &[u8])> {
    let (mut hour, rest) = one_or_two(text)?;
    let (minute, mut rest) = two(rest.strip_prefix(b":")?)?;
    let mut second = 0;
    if let Some(behind) = rest.strip_prefix(b":") {
        (second, rest) = two(behind)?;
    }
    NaiveTime::from_hms_opt(hour, minute, second)?;
    rest = rest.trim_ascii_start();
    if starts_with(rest, b"pm") {
        hour = if hour == 12 { 12 } else { hour + 12 };
        rest = rest.get(2..)?;
    } else if starts_with(rest, b"am") {
        hour = match hour {
            12 => 0,
            13.. => return None,
            hour => hour,
        };
        rest = rest.get(2..)?;
    }
    Some((NaiveTime::from_hms_opt(hour, minute, second)?, rest))
}

/// `2026-05-01`, or month, day and perhaps a year of this century: `05/01/26`, `5.1`, `050126`.
fn date(text: &[u8]) -> Option<(Date, &[u8])> {
    if text.get(4) == Some(&b'-') && text.get(7) == Some(&b'-') {
        let (century, rest) = two(text)?;
        let (year, rest) = two(rest)?;
        let (month, rest) = one_or_two(rest.strip_prefix(b"-")?)?;
        let (day, rest) = one_or_two(rest.strip_prefix(b"-")?)?;
        return in_calendar(i32::try_from(century * 100 + year).ok(), month, day).map(|date| (date, rest));
    }
    fn separator(text: &[u8]) -> &[u8] {
        text.strip_prefix(b".").or_else(|| text.strip_prefix(b"/")).unwrap_or(text)
    }
    let (month, rest) = one_or_two(text)?;
    let (day, rest) = one_or_two(separator(rest))?;
    let rest = separator(rest);
    let (year, rest) = if rest.first().is_some_and(u8::is_ascii_digit) { two(rest)? } else { (0, rest) };
    // Slurm takes year 00 for none.
    let year = i32::try_from(year).ok().filter(|&year| year > 0).map(|year| 2000 + year);
    in_calendar(year, month, day).map(|date| (date, rest))
}

fn in_calendar(year: Option<i32>, month: u32, day: u32) -> Option<Date> {
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Date { year, month, day })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::parse_instant;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        parse_instant(text).expect(text)
    }

    /// Germany in 2026: summer time from March 29 to October 25; the first of two readings.
    fn berlin(wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let (spring, autumn) = (at("2026-03-29T01:00:00Z"), at("2026-10-25T01:00:00Z"));
        let is_summer = |instant: DateTime<Utc>| instant >= spring && instant < autumn;
        let reading = |hours: i64| Some(wall.and_utc() - TimeDelta::hours(hours)).filter(|&it| is_summer(it) == (hours == 2));
        reading(2).or_else(|| reading(1))
    }

    fn clock(text: &str, now: &str) -> Result<DateTime<Utc>, QuantityError> {
        parse_slurm_clock(text, &Moment { now: at(now), local: &berlin })
    }

    #[test]
    fn words_dates_and_times_are_sbatchs() {
        // 14:30:20 in Berlin, a Tuesday.
        for (text, expected) in [
            ("today", "2026-11-24T00:00:00+01:00"),
            ("tomorrow", "2026-11-25T00:00:00+01:00"),
            ("midnight", "2026-11-25T00:00:00+01:00"),
            ("noon", "2026-11-25T12:00:00+01:00"),
            ("elevenses", "2026-11-25T11:00:00+01:00"),
            ("fika", "2026-11-24T15:00:00+01:00"),
            ("teatime", "2026-11-24T16:00:00+01:00"),
            ("FIKA", "2026-11-24T15:00:00+01:00"),
            ("tomorrow 9:00", "2026-11-25T09:00:00+01:00"),
            ("9:00 tomorrow", "2026-11-25T09:00:00+01:00"),
            ("tomorrow-noon", "2026-11-25T12:00:00+01:00"),
            ("09:00", "2026-11-25T09:00:00+01:00"),
            ("14:30", "2026-11-25T14:30:00+01:00"),
            ("14:31", "2026-11-24T14:31:00+01:00"),
            ("23:59:59", "2026-11-24T23:59:59+01:00"),
            ("6:00 PM", "2026-11-24T18:00:00+01:00"),
            ("12:00am", "2026-11-25T00:00:00+01:00"),
            ("12:15pm", "2026-11-25T12:15:00+01:00"),
            ("12/01-09:00", "2026-12-01T09:00:00+01:00"),
            ("12/01", "2026-12-01T00:00:00+01:00"),
            ("1201", "2026-12-01T00:00:00+01:00"),
            ("12.1.27", "2027-12-01T00:00:00+01:00"),
            ("120127", "2027-12-01T00:00:00+01:00"),
            ("11/24", "2027-11-24T00:00:00+01:00"),
            ("11/24 15:00", "2026-11-24T15:00:00+01:00"),
            ("1/2", "2027-01-02T00:00:00+01:00"),
            ("02/30", "2027-03-02T00:00:00+01:00"),
            ("2026-12-01", "2026-12-01T00:00:00+01:00"),
            ("2026-12-01T09:00", "2026-12-01T09:00:00+01:00"),
            ("2026-12-01 09:00:05", "2026-12-01T09:00:05+01:00"),
            ("now", "2026-11-24T14:30:20+01:00"),
            ("now+1hour", "2026-11-24T15:30:20+01:00"),
            ("now + 90 minutes", "2026-11-24T16:00:20+01:00"),
            ("now+60", "2026-11-24T14:31:20+01:00"),
            ("now-1day", "2026-11-23T14:30:20+01:00"),
            ("now+1day 09:00", "2026-11-25T09:00:00+01:00"),
            ("uts1796000000", "2026-11-30T00:53:20Z"),
        ] {
            assert_eq!(clock(text, "2026-11-24T13:30:20Z"), Ok(at(expected)), "{text}");
        }
    }

    #[test]
    fn what_sbatch_refuses_is_refused() {
        for text in [
            "",
            " ",
            "-",
            "soon",
            "Tomorrow",
            "24:00",
            "9",
            "9:0",
            "09:60",
            "13:00am",
            "13:00pm",
            "13/01",
            "12/32",
            "12",
            "now+",
            "now+h",
            "now+1h",
            "now*2",
            "2026-05-01T18:00Z",
            "2026-05-01T18:00+02:00",
            "uts12",
            "uts-5",
            "18:00;id",
            "１８:00",
        ] {
            assert_eq!(clock(text, "2026-11-24T13:30:20Z").map_err(|error| error.cause), Err("not a time".into()), "{text:?}");
        }
    }

    #[test]
    fn changes_of_summer_time_are_kept_to() {
        // The night of October 25 has 02:00 to 03:00 twice, that of March 29 has none.
        assert_eq!(clock("tomorrow 9:00", "2026-10-24T20:00:00Z"), Ok(at("2026-10-25T08:00:00Z")));
        assert_eq!(clock("9:00", "2026-10-25T00:30:00Z"), Ok(at("2026-10-25T08:00:00Z")), "the first 02:30");
        assert_eq!(clock("9:00", "2026-10-25T01:30:00Z"), Ok(at("2026-10-25T08:00:00Z")), "the second 02:30");
        assert_eq!(clock("2:40", "2026-10-24T20:00:00Z"), Ok(at("2026-10-25T00:40:00Z")), "the first of two");
        assert_eq!(clock("now+2hours", "2026-10-25T00:30:00Z"), Ok(at("2026-10-25T02:30:00Z")));
        assert_eq!(clock("tomorrow 9:00", "2026-03-28T20:00:00Z"), Ok(at("2026-03-29T07:00:00Z")));
        let error = clock("tomorrow 2:30", "2026-03-28T20:00:00Z").expect_err("no such time");
        assert_eq!(error.cause, "a local time that the change to summer time skips");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(today|tomorrow|noon|now[+-]?|uts|[0-9]{1,4}|[-/.:T ]|am|pm|days|\\PC){0,8}") {
            let _ = clock(&text, "2026-10-25T00:30:00Z");
        }

        #[test]
        fn time_of_day_is_its_next_occurrence(now_s in 0..31_000_000_i64, hour in 0..24_u32, minute in 0..60_u32) {
            let now = at("2026-01-02T00:00:00Z") + TimeDelta::seconds(now_s);
            let moment = Moment { now, local: &berlin };
            if let Ok(instant) = parse_slurm_clock(&format!("{hour}:{minute:02}"), &moment) {
                let (wall, ahead) = (moment.wall(instant).expect("a wall"), instant - now);
                prop_assert_eq!((wall.hour(), wall.minute(), wall.second()), (hour, minute, 0));
                prop_assert!(ahead > -TimeDelta::hours(1) && ahead <= TimeDelta::hours(25), "{ahead}");
            }
        }

        #[test]
        fn one_time_in_many_words_is_one_instant(day in 0..300_i64, minutes in 0..1440_i64) {
            let wall = at("2026-01-10T00:00:00Z").naive_utc() + TimeDelta::days(day) + TimeDelta::minutes(minutes);
            let read = |form: &str| clock(&wall.format(form).to_string(), "2026-01-02T00:00:00Z");
            for form in ["%m/%d/%y-%H:%M", "%m%d%y %H:%M:%S", "%H:%M %m.%d", "%Y-%m-%d %I:%M%p", "%Y-%m-%dT%-H:%M"] {
                prop_assert_eq!(read(form), read("%Y-%m-%dT%H:%M:%S"), "{}", wall.format(form));
            }
        }
    }
}
