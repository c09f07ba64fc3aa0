//! Values as services write them. A number may come as a string or not at all, a time without its zone: the first two are
//! read for what they mean, the last is refused, for it means an hour that nobody knows.

use std::fmt;
use std::marker::PhantomData;

use carm::quantity::parse_trace_time;
use carm::request::printable;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Point;

/// A number: as JSON has it, in a string, or none (`null`, an empty string). Other text (`n/a`, `NaN`) is NaN, which no range
/// contains: it becomes a gap with a remark. Anything else is refused with what stood there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Number(pub Option<f64>);

/// A time with its zone; seconds may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub DateTime<Utc>);

/// One or several, up to two thousand: where a service gives a list in one place and its only member in another.
#[derive(Debug, Clone)]
pub struct OneOrMore<T>(pub Vec<T>);

// Not serde's `untagged`, which tells nothing of what is wrong inside.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object or a list of objects")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                AtMost::<T, 2_000>::deserialize(SeqAccessDeserializer::new(list)).map(|list| OneOrMore(list.0))
            }
            fn visit_map<A: MapAccess<'de>>(self, one: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(one)).map(|one| OneOrMore(vec![one]))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                if value.is_finite() { Ok(Number(Some(value))) } else { Err(E::custom("not a finite number")) }
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(Some(value as f64)))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(Some(value as f64)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(Number(None));
                }
                Ok(Number(Some(text.parse().unwrap_or(f64::NAN))))
            }
            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refuse = || D::Error::custom(format!("'{}' is no time with its zone", printable(&text)));
        parse_trace_time(&text).map(Self).ok_or_else(refuse)
    }
}

/// A part that the data do not depend on: of another form it counts as missing.
pub fn side_part<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let part = Box::<RawValue>::deserialize(deserializer)?;
    Ok(if part.get().len() > MOST_SIDE_BYTES { T::default() } else { serde_json::from_str(part.get()).unwrap_or_default() })
}

/// No warning of a service is longer.
const MOST_SIDE_BYTES: usize = 8 << 10;

/// A list with at most `MOST` values: a few bytes of JSON or XML can take a hundred times as many in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct AtMost<T, const MOST: usize>(pub Vec<T>);

impl<T, const MOST: usize> Default for AtMost<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for AtMost<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Reader<T, MOST> {
            type Value = AtMost<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MOST {
                        return Err(A::Error::custom(format!("a list of more than {MOST}")));
                    }
                    items.push(item);
                }
                Ok(AtMost(items))
            }
        }
        deserializer.deserialize_seq(Reader(PhantomData))
    }
}

/// A service's warnings as remarks, each once: text as it is, anything else as JSON.
pub fn warn(whose: &str, warnings: &[serde_json::Value], remarks: &mut Vec<String>) {
    for warning in warnings {
        let message = warning.get("message").unwrap_or(warning);
        let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
        let remark = format!("{whose} warns: {}", printable(&text));
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
}

/// A key that may be missing, or there without a value: the two are kept apart.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    Number::deserialize(deserializer).map(Some)
}

/// A span as .NET writes it, `[days.]hh:mm:ss[.fraction]`, or `hh:mm` as in the data files of the carbon-aware-sdk.
pub fn time_span(text: &str) -> Option<TimeDelta> {
    let (days, clock) = match text.split_once('.') {
        Some((days, rest)) if rest.contains(':') => (days.parse::<u32>().ok()?, rest),
        _ => (0, text),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        [hours, minutes] if clock.len() == 5 => (hours, minutes, "0"),
        _ => return None,
    };
    let (hours, minutes, seconds): (u32, u32, f64) = (hours.parse().ok()?, minutes.parse().ok()?, seconds.parse().ok()?);
    let is_clock = days <= 3650 && hours < 24 && minutes < 60 && (0.0..60.0).contains(&seconds);
    let whole = i64::from(days * 86_400 + hours * 3_600 + minutes * 60) * 1_000;
    is_clock.then(|| TimeDelta::milliseconds(whole + (seconds * 1e3).round() as i64))
}

/// A point without a band.
pub fn point(from: DateTime<Utc>, length: TimeDelta, value: f64) -> Point {
    Point { from, length, value, band: None, provisional: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_a_number_a_string_or_nothing() {
        let read = |text: &str| serde_json::from_str::<Number>(text).map_err(|error| error.to_string());
        for (text, value) in [
            ("216", Some(216.0)),
            ("-3", Some(-3.0)),
            ("2.5e1", Some(25.0)),
            ("\"39.4\"", Some(39.4)),
            ("null", None),
            ("\" \"", None),
        ] {
            assert_eq!(read(text), Ok(Number(value)), "{text}");
        }
        for text in ["\"n/a\"", "\"NaN\"", "\"-\""] {
            assert!(matches!(read(text), Ok(Number(Some(value))) if value.is_nan()), "{text}");
        }
        for (text, cause) in [
            ("1e999", "number out of range"),
            ("true", "invalid type: boolean `true`, expected a number"),
            ("[1]", "invalid type: sequence, expected a number"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(cause), "{error}");
        }
    }

    #[test]
    fn a_list_ends_at_its_most() {
        let read = |text: &str| serde_json::from_str::<AtMost<u8, 2>>(text).map_err(|error| error.to_string());
        assert_eq!(read("[1,2]"), Ok(AtMost(vec![1, 2])));
        assert_eq!(read("[1,2,3]"), Err("a list of more than 2 at line 1 column 7".to_owned()));
    }

    #[test]
    fn a_time_needs_its_zone_and_not_its_seconds() {
        let read = |text: &str| serde_json::from_str::<Time>(&format!("\"{text}\"")).map_err(|error| error.to_string());
        let noon = read("2026-05-01T12:00:00.000Z");
        assert!(noon.is_ok());
        for text in ["2026-05-01T12:00Z", "2026-05-01T14:00:00+02:00", "2026-05-01T12:00:00+00:00"] {
            assert_eq!(read(text), noon, "{text}");
        }
        for text in ["2026-05-01T12:00:00", "2026-05-01", "noon", ""] {
            let error = read(text).expect_err(text);
            assert!(error.contains(&format!("'{text}' is no time with its zone")), "{error}");
        }
    }
}
