//! What goes wrong with services, on demand.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// One trouble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// The connection is closed without a word.
    Closed,
    /// Nothing is ever answered.
    Stall,
    /// Half of the body, then nothing more.
    StallInBody,
    /// Half of the body, then the connection is closed.
    CutInBody,
    /// A status that says no, in JSON.
    Status {
        /// The status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// A page with status 200: a captive portal, a proxy's log-in.
    Html,
    /// Half of the JSON, in an answer that HTTP calls whole.
    Truncated,
    /// JSON, of another shape.
    OtherShape,
    /// Another zone's data.
    WrongZone,
    /// Times without `Z` or offset.
    NoTimeZone,
    /// Times in the local time of Berlin, with its offset: they do not rise as text when clocks go back.
    LocalTimes,
    /// One step is missing in the middle.
    Gap,
    /// Ten steps are missing in the middle.
    LongGap,
    /// Every step twice.
    Duplicates,
    /// A step twice, with two values.
    Contradiction,
    /// The last step first.
    Backwards,
    /// A value below zero.
    Negative,
    /// A value a million times too large.
    Absurd,
    /// Nothing after three hours from now.
    ShortForecast,
    /// Nothing after now.
    NoForecast,
    /// No points at all.
    Nothing,
    /// So many more values, a second apart, before the first.
    Large(u32),
    /// The `Date` header is off by these seconds.
    Clock(i64),
}

impl Trouble {
    /// Bends the points of an answer, where that is the trouble.
    pub fn bend(&self, points: &mut Vec<(DateTime<Utc>, f64)>, now: DateTime<Utc>) {
        let middle = points.len() / 2;
        match self {
            Self::Gap if points.len() > 2 => drop(points.remove(middle)),
            Self::LongGap if points.len() > 12 => drop(points.drain(middle - 5..middle + 5)),
            Self::Duplicates => *points = points.iter().flat_map(|&point| [point, point]).collect(),
            Self::Contradiction if points.len() > 1 => {
                let (t, value) = points[middle];
                points.insert(middle + 1, (t, value + 40.0));
            }
            Self::Backwards => points.reverse(),
            Self::Negative => points.iter_mut().skip(middle).take(1).for_each(|point| point.1 = -5.0),
            Self::Absurd => points.iter_mut().skip(middle).take(1).for_each(|point| point.1 *= 1e6),
            Self::ShortForecast => points.retain(|&(t, _)| t < now + TimeDelta::hours(3)),
            Self::NoForecast => points.retain(|&(t, _)| t < now),
            Self::Nothing => points.clear(),
            Self::Large(count) => {
                let Some(&(first, value)) = points.first() else { return };
                points.extend((1..=*count).map(|n| (first - TimeDelta::seconds(n.into()), value)));
            }
            _ => {}
        }
    }

    /// Bends the text of an answer, where that is the trouble.
    pub(crate) fn rewrite(&self, body: &[u8]) -> Option<Vec<u8>> {
        let text = || String::from_utf8_lossy(body).into_owned();
        match self {
            Self::Truncated => Some(body[..body.len() / 2].to_vec()),
            Self::OtherShape => Some(b"{\"message\": [\"this\", \"is\", \"not\", \"it\"]}".to_vec()),
            Self::NoTimeZone => Some(each_time(&text(), |time| time.trim_end_matches('Z').to_owned()).into_bytes()),
            Self::LocalTimes => Some(each_time(&text(), in_berlin).into_bytes()),
            _ => None,
        }
    }
}

/// A text with every time that ends in `Z` passed through `f`.
fn each_time(text: &str, f: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("Z") {
        let start = rest[..at].rfind(|c: char| !(c.is_ascii_digit() || "-:.T".contains(c))).map_or(0, |before| before + 1);
        out.push_str(&rest[..start]);
        let time = &rest[start..=at];
        if crate::asked::instant(time).is_some() {
            out.push_str(&f(time))
        } else {
            out.push_str(time)
        }
        rest = &rest[at + 1..];
    }
    out + rest
}

/// A time by the clocks of Berlin: one hour ahead, two from the last Sunday of March to that of October, 01:00 UTC.
fn in_berlin(text: &str) -> String {
    use chrono::{Datelike, FixedOffset, NaiveDate, SecondsFormat};
    let Some(t) = crate::asked::instant(text) else { return text.to_owned() };
    let change = |month: u32| {
        let last = NaiveDate::from_ymd_opt(t.year(), month, 31).unwrap();
        let sunday = last - TimeDelta::days(i64::from(last.weekday().num_days_from_sunday()));
        sunday.and_hms_opt(1, 0, 0).unwrap().and_utc()
    };
    let hours = if (change(3)..change(10)).contains(&t) { 2 } else { 1 };
    t.with_timezone(&FixedOffset::east_opt(hours * 3600).unwrap()).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Troubles that take no argument, with their words.
const PLAIN: [(&str, Trouble); 20] = [
    ("closed", Trouble::Closed),
    ("stall", Trouble::Stall),
    ("stall-in-body", Trouble::StallInBody),
    ("cut-in-body", Trouble::CutInBody),
    ("html", Trouble::Html),
    ("truncated", Trouble::Truncated),
    ("other-shape", Trouble::OtherShape),
    ("wrong-zone", Trouble::WrongZone),
    ("no-time-zone", Trouble::NoTimeZone),
    ("local-times", Trouble::LocalTimes),
    ("gap", Trouble::Gap),
    ("long-gap", Trouble::LongGap),
    ("duplicates", Trouble::Duplicates),
    ("contradiction", Trouble::Contradiction),
    ("backwards", Trouble::Backwards),
    ("negative", Trouble::Negative),
    ("absurd", Trouble::Absurd),
    ("short-forecast", Trouble::ShortForecast),
    ("no-forecast", Trouble::NoForecast),
    ("nothing", Trouble::Nothing),
];

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, retry_after: None } => write!(f, "status={status}"),
            Self::Status { status, retry_after: Some(seconds) } => write!(f, "status={status},{seconds}"),
            Self::Clock(seconds) => write!(f, "clock={seconds}"),
            Self::Large(count) => write!(f, "large={count}"),
            plain => f.write_str(PLAIN.iter().find(|(_, known)| known == plain).map_or("?", |(word, _)| word)),
        }
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = PLAIN.iter().map(|(word, _)| *word).collect();
        let refuse =
            || format!("'{text}': no such trouble; give {}, status=N[,SECONDS], clock=SECONDS or large=COUNT", words.join(", "));
        if let Some((_, trouble)) = PLAIN.iter().find(|(word, _)| *word == text) {
            return Ok(*trouble);
        }
        let (word, argument) = text.split_once('=').ok_or_else(refuse)?;
        let (number, seconds) = match argument.split_once(',') {
            Some((number, seconds)) => (number, Some(seconds.parse().map_err(|_| refuse())?)),
            None => (argument, None),
        };
        match word {
            "status" => Ok(Self::Status { status: number.parse().map_err(|_| refuse())?, retry_after: seconds }),
            "large" => Ok(Self::Large(number.parse().map_err(|_| refuse())?)),
            "clock" => Ok(Self::Clock(number.parse().map_err(|_| refuse())?)),
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_named_as_it_is_asked_for() {
        let others = [
            Trouble::Status { status: 401, retry_after: None },
            Trouble::Status { status: 429, retry_after: Some(2) },
            Trouble::Clock(-7200),
            Trouble::Large(9),
        ];
        for trouble in PLAIN.iter().map(|(_, trouble)| *trouble).chain(others) {
            assert_eq!(trouble.to_string().parse(), Ok(trouble));
        }
        assert!("fire".parse::<Trouble>().unwrap_err().contains("'fire': no such trouble; give closed"));
    }

    #[test]
    fn times_lose_their_zone_or_go_by_another_and_nothing_else_changes() {
        let text = r#"{"zone":"NZ","at":"2026-10-25T00:30:00.000Z","to":"2026-10-25T01:30Z"}"#;
        let no_zone = r#"{"zone":"NZ","at":"2026-10-25T00:30:00.000","to":"2026-10-25T01:30"}"#;
        assert_eq!(Trouble::NoTimeZone.rewrite(text.as_bytes()).unwrap(), no_zone.as_bytes());
        let local = r#"{"zone":"NZ","at":"2026-10-25T02:30:00+02:00","to":"2026-10-25T02:30:00+01:00"}"#;
        assert_eq!(Trouble::LocalTimes.rewrite(text.as_bytes()).unwrap(), local.as_bytes());
    }
}
