//! A WebApi of the Green Software Foundation's carbon-aware-sdk: intensity by location, whatever source stands behind it.
//!
//! Which of the two intensities it tells is a matter of that source (WattTime: marginal; Electricity Maps: average): the answer
//! does not say, so the zone's `signal` must. There is no renewable share. Releases write one thing in two ways: `time`,
//! `rating` and a span (`01:00:00`, in its data files `01:00`), or `timestamp`, `value` and minutes.

use carm::request::printable;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::value::{AtMost, Number, Time, point, time_span};
use super::{Area, Ask, Point, Reading, Source, either, history};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};

/// The source.
pub struct CarbonAwareSdk;

/// The newest part of the history. The WebApi gives the last 24 hours from Electricity Maps' `history`, which every token has;
/// a longer span is its `past-range`, which a free token has not.
const NEWEST: TimeDelta = TimeDelta::hours(23);
/// The longest older part: `past-range` gives 10 days, WattTime 32.
const OLDER: TimeDelta = TimeDelta::days(9);
/// The longest that one value may hold.
const LONGEST: TimeDelta = TimeDelta::days(1);

/// One value.
#[derive(Deserialize)]
struct Emissions {
    location: Option<String>,
    #[serde(alias = "time")]
    timestamp: Time,
    #[serde(alias = "rating")]
    value: Number,
    #[serde(default, deserialize_with = "duration")]
    duration: Option<TimeDelta>,
}

/// Nine days of five minutes are 2,592.
type List = AtMost<Emissions, 3_000>;

#[derive(Deserialize)]
struct Forecast {
    location: String,
    #[serde(rename = "forecastData")]
    data: List,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    name: Option<String>,
}

impl Source for CarbonAwareSdk {
    fn base_url(&self) -> Option<&'static str> {
        None
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let request = |path: &str| request(ask, path).with("location", &ask.live.area);
        let mut reading = Reading::default();
        let observed = history(ask, NEWEST, OLDER, &mut reading.remarks, |from, to, _| {
            let past = request("emissions/bylocation").with("time", text(from)).with("toTime", text(to));
            Ok(given(http.get(&past, read_past), &[204])?.unwrap_or_default())
        });
        // Without bounds: releases differ in whether one past the forecast's end is refused.
        let forecast = http.get(&request("emissions/forecasts/current"), |answer| read_forecast(answer, &ask.live.area));
        let forecast = match given(forecast, &[204, 404, 501]) {
            Ok(Some(points)) => Ok(points),
            Ok(None) => {
                reading.remarks.push("no forecast: the source behind the WebApi has none".to_owned());
                Ok(Vec::new())
            }
            Err(fault) => Err(fault),
        };
        if let (Err(fault), Ok([])) = (&observed, forecast.as_deref()) {
            return Err(fault.clone());
        }
        either(&mut reading.carbon_g_per_kwh, observed, forecast, &mut reading.remarks)?;
        Ok(reading)
    }

    fn areas(&self, http: &Http, ask: &Ask) -> Result<Vec<Area>, Fault> {
        let known: std::collections::BTreeMap<String, Location> = http.get(&request(ask, "locations"), Answer::json)?;
        Ok(known.into_iter().map(|(key, location)| Area { name: location.name.unwrap_or_default(), key }).collect())
    }
}

fn request(ask: &Ask, path: &str) -> Request {
    let base = ask.live.base_url.as_deref().unwrap_or_default();
    Request { bearer: ask.token.cloned(), ..Request::to(format!("{base}/{path}")) }
}

/// An answer's points; none for these statuses, which mean that there are no data.
fn given(points: Result<Vec<Point>, Fault>, none: &[u16]) -> Result<Option<Vec<Point>>, Fault> {
    match points {
        Err(Fault::Status { status, .. }) if none.contains(&status) => Ok(None),
        other => other.map(Some),
    }
}

/// The points of an answer of `/emissions/bylocation`.
pub(super) fn read_past(answer: &Answer) -> Result<Vec<Point>, Fault> {
    points(answer, answer.json()?)
}

/// The points of an answer of `/emissions/forecasts/current`.
pub(super) fn read_forecast(answer: &Answer, location: &str) -> Result<Vec<Point>, Fault> {
    let mut all = Vec::new();
    for forecast in answer.json::<AtMost<Forecast, 100>>()?.0 {
        if !forecast.location.eq_ignore_ascii_case(location) {
            let (said, asked) = (printable(&forecast.location), printable(location));
            return Err(answer.wrong(format!("is a forecast of location '{said}', not '{asked}'")));
        }
        all.extend(points(answer, forecast.data)?);
    }
    Ok(all)
}

fn points(answer: &Answer, AtMost(mut entries): List) -> Result<Vec<Point>, Fault> {
    // The WebApi names the area of the source behind it here, so it cannot be compared with the location; it is one area at least.
    let mut names = entries.iter().filter_map(|entry| entry.location.as_deref());
    if let Some(first) = names.next()
        && let Some(other) = names.find(|name| !name.eq_ignore_ascii_case(first))
    {
        return Err(answer.wrong(format!("is of '{}' and of '{}'; ask for one location", printable(first), printable(other))));
    }
    entries.sort_by_key(|entry| entry.timestamp);
    let distances = entries.windows(2).map(|pair| pair[1].timestamp.0 - pair[0].timestamp.0);
    let shortest = distances.filter(|&distance| distance > TimeDelta::zero()).min();
    let mut points = Vec::new();
    for entry in entries {
        // Some sources tell no duration.
        let length = entry.duration.filter(|&length| length > TimeDelta::zero()).or(shortest);
        if let (Some(value), Some(length)) = (entry.value.0, length) {
            points.push(point(entry.timestamp.0, length.min(LONGEST), value));
        }
    }
    Ok(points)
}

/// Minutes as a number, or a span as .NET writes it.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeDelta>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Minutes(f64),
        Span(String),
    }
    match Option::<Form>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Form::Minutes(minutes)) if (0.0..=1e5).contains(&minutes) => {
            Ok(Some(TimeDelta::milliseconds((minutes * 6e4).round() as i64)))
        }
        Some(Form::Minutes(_)) => Err(D::Error::custom("duration out of range")),
        Some(Form::Span(text)) if text.is_empty() => Ok(None),
        Some(Form::Span(text)) => {
            let refuse = || D::Error::custom(format!("'{}' is no duration", printable(&text)));
            time_span(&text).map(Some).ok_or_else(refuse)
        }
    }
}

#[cfg(test)]
mod tests;
