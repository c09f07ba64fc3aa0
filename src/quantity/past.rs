//! Times that lie behind (`--since`, `--until`), as sacct takes them: a day, a time, `today`, `now-7d`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::instant::parse_offset;
use super::{Moment, QuantityError, parse_time};

const EXPECTED: &str = "a time such as 2026-05-01, 2026-05-01T18:00, today, yesterday, now-12hours or now-7d";

/// Reads a time that lies behind: `2026-05-01` (from its first second on, local time), `today`, `yesterday`, `now`, `now-N[unit]`
/// with sacct's units and s, m, h, d, w; or any form of [`parse_time`].
///
/// # Errors
/// Any other form, or a local time that does not exist.
pub fn parse_past(text: &str, moment: &Moment) -> Result<DateTime<Utc>, QuantityError> {
    let refuse = || QuantityError::new("not a time", EXPECTED);
    // A change to summer time may skip midnight itself: the day then begins an hour later.
    let day_begins = |day: NaiveDate| {
        let midnight = day.and_time(NaiveTime::MIN);
        (moment.local)(midnight).or_else(|| (moment.local)(midnight + TimeDelta::hours(1))).ok_or_else(refuse)
    };
    if let Some(rest) = text.strip_prefix("now-") {
        let seconds = parse_offset(&format!("+{rest}")).ok_or_else(refuse)?;
        let then = TimeDelta::try_seconds(seconds).and_then(|delta| moment.now.checked_sub_signed(delta));
        return then.filter(|then| then.timestamp() >= 0).ok_or_else(refuse);
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return day_begins(day)
            .and_then(|at| if (0..253_402_300_800).contains(&at.timestamp()) { Ok(at) } else { Err(refuse()) });
    }
    let today = || moment.wall(moment.now).map(|wall| wall.date()).ok_or_else(refuse);
    match text {
        "today" => day_begins(today()?),
        "yesterday" => day_begins(today()?.pred_opt().ok_or_else(refuse)?),
        _ => parse_time(text, moment).map_err(|error| QuantityError::new(error.cause, EXPECTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::parse_instant;

    fn at(text: &str) -> DateTime<Utc> {
        parse_instant(text).expect(text)
    }

    fn past(text: &str, now: &str) -> Result<DateTime<Utc>, QuantityError> {
        // Two hours east of Greenwich.
        let east = |wall: chrono::NaiveDateTime| Some(wall.and_utc() - TimeDelta::hours(2));
        parse_past(text, &Moment { now: at(now), local: &east })
    }

    #[test]
    fn days_begin_at_local_midnight() {
        assert_eq!(past("2026-05-01", "2026-05-03T12:00:00Z"), Ok(at("2026-04-30T22:00:00Z")));
        assert_eq!(past("today", "2026-05-03T12:00:00Z"), Ok(at("2026-05-02T22:00:00Z")));
        assert_eq!(past("yesterday", "2026-05-03T12:00:00Z"), Ok(at("2026-05-01T22:00:00Z")));
        // It is tomorrow already where the user is.
        assert_eq!(past("today", "2026-05-03T23:00:00Z"), Ok(at("2026-05-03T22:00:00Z")));
    }

    #[test]
    fn times_before_now_take_sacct_s_units_and_short_ones() {
        for (text, hours) in [("now", 0), ("now-7d", 168), ("now-12hours", 12), ("now-3600", 1), ("now-2weeks", 336)] {
            assert_eq!(past(text, "2026-05-03T12:00:00Z"), Ok(at("2026-05-03T12:00:00Z") - TimeDelta::hours(hours)), "{text}");
        }
        assert_eq!(past("2026-05-01T18:00Z", "2026-05-03T12:00:00Z"), Ok(at("2026-05-01T18:00:00Z")));
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for bad in ["", "last week", "2026-13-01", "now-", "now-9999999999w", "05/01", "99999-01-01"] {
            let error = past(bad, "2026-05-03T12:00:00Z").expect_err(bad);
            assert!(error.to_string().contains("now-7d"), "{bad}: {error}");
        }
    }
}
