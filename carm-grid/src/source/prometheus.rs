//! Prometheus: what one query answers, over time: on-site meters, or an intensity that a site's own exporter keeps.
//!
//! `quantity` says what the answer is, and with it its unit; Prometheus does not know. The answer must be one series. A value holds
//! from its time for a step. There is no forecast; CARM's own continues it.

use std::collections::BTreeMap;

use carm::config::Quantity;
use carm::request::printable;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::value::{AtMost, point, side_part, warn};
use super::{Area, Ask, Point, Reading, Source};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};

/// The source.
pub struct Prometheus;

/// The distance of two values.
const STEP: TimeDelta = TimeDelta::minutes(5);
/// Prometheus refuses more than 11,000 values of a series in one answer.
const MOST_STEPS: i32 = 10_000;
/// A share may be above 1 by so much: the sum of parts is not exact.
const ROUNDING: f64 = 0.01;

#[derive(Deserialize)]
struct Whole {
    status: String,
    data: Option<Data>,
    #[serde(default, deserialize_with = "side_part")]
    error: Option<String>,
    #[serde(default, deserialize_with = "side_part")]
    warnings: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Box<RawValue>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default, deserialize_with = "side_part")]
    metric: BTreeMap<String, String>,
    /// Seconds since 1970, and the value in a string.
    #[serde(default)]
    values: AtMost<(f64, String), 11_000>,
}

impl Source for Prometheus {
    fn base_url(&self) -> Option<&'static str> {
        None
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let live = ask.live;
        let (Some(query), Some(quantity)) = (&live.query, live.quantity) else {
            return Err(Fault::Setup("query and quantity: both are needed".to_owned()));
        };
        let base = live.base_url.as_deref().unwrap_or_default();
        let mut reading = Reading::default();
        let mut points = Vec::new();
        let last = ask.now.duration_trunc(STEP).unwrap_or(ask.now);
        let mut from = ask.since.duration_trunc(STEP).unwrap_or(ask.since).min(last);
        while from <= last {
            // Both ends are part of the answer.
            let to = (from + STEP * MOST_STEPS).min(last);
            let request = Request::to(format!("{base}/api/v1/query_range"))
                .with("query", query)
                .with("start", from.timestamp())
                .with("end", to.timestamp())
                .with("step", STEP.num_seconds());
            let request = Request { bearer: ask.token.cloned(), ..request };
            points.extend(http.get(&request, |answer| read(answer, quantity, &mut reading.remarks))?);
            from = to + STEP;
        }
        if points.is_empty() {
            let cause = "query: answers nothing in the time that was asked for; try it in Prometheus itself";
            return Err(Fault::Setup(cause.to_owned()));
        }
        let series = match quantity {
            Quantity::CarbonGPerKwh => &mut reading.carbon_g_per_kwh,
            Quantity::RenewableShare => &mut reading.renewable_share,
            Quantity::OnsiteW => &mut reading.onsite_w,
        };
        series.observed = points;
        Ok(reading)
    }

    fn areas(&self, _: &Http, _: &Ask) -> Result<Vec<Area>, Fault> {
        Ok(Vec::new())
    }
}

/// The points of an answer of `/api/v1/query_range`.
pub(super) fn read(answer: &Answer, quantity: Quantity, remarks: &mut Vec<String>) -> Result<Vec<Point>, Fault> {
    let whole: Whole = answer.json()?;
    if whole.status != "success" {
        return Err(answer.wrong(format!("refused: '{}'", printable(&whole.error.unwrap_or(whole.status)))));
    }
    warn("Prometheus", &whole.warnings, remarks);
    let data = whole.data.ok_or_else(|| answer.wrong("holds no data"))?;
    if data.kind != "matrix" {
        return Err(answer.wrong(format!("is a {}, not a matrix", printable(&data.kind))));
    }
    let all = serde_json::from_str(data.result.get());
    let AtMost::<Series, 1_000>(mut all) = all.map_err(|error| answer.wrong(format!("no matrix as documented ({error})")))?;
    if all.len() > 1 {
        let told: Vec<String> = all.iter().take(2).map(|series| labels(&series.metric)).collect();
        let (count, told) = (all.len(), told.join(" and "));
        return Err(Fault::Setup(format!(
            "query: answers {count} series, such as {told}; make one of them, such as by sum(...)"
        )));
    }
    let Some(series) = all.pop() else { return Ok(Vec::new()) };
    let mut points = Vec::new();
    for (seconds, text) in series.values.0 {
        let value: f64 = text.parse().map_err(|_| answer.wrong(format!("value '{}' is no number", printable(&text))))?;
        let from = time(seconds).ok_or_else(|| answer.wrong(format!("{seconds} is no time in seconds since 1970")))?;
        // Nothing divided by nothing; a meter that was not there.
        if value.is_finite() {
            points.push(point(from, STEP, value));
        }
    }
    check(quantity, &mut points, remarks)?;
    Ok(points)
}

/// Whether the values are in the unit that `quantity` says, as far as they tell.
fn check(quantity: Quantity, points: &mut [Point], remarks: &mut Vec<String>) -> Result<(), Fault> {
    let beyond = |limit: f64| points.iter().filter(|point| point.value > limit).count();
    match quantity {
        Quantity::RenewableShare => {
            if beyond(1.0 + ROUNDING) * 2 > points.len() {
                let cause = "query: most values are above 1, but a renewable_share is from 0 to 1; divide percent by 100";
                return Err(Fault::Setup(cause.to_owned()));
            }
            points.iter_mut().filter(|point| point.value <= 1.0 + ROUNDING).for_each(|point| point.value = point.value.min(1.0));
        }
        Quantity::CarbonGPerKwh => {
            if beyond(0.0) > 0 && beyond(2.0) == 0 {
                let remark = "no value is above 2 g/kWh; if the query answers in kg/kWh, multiply it by 1000";
                remarks.push(remark.to_owned());
            }
        }
        // An inverter takes a few watts at night.
        Quantity::OnsiteW => points.iter_mut().for_each(|point| point.value = point.value.max(0.0)),
    }
    Ok(())
}

fn time(seconds: f64) -> Option<DateTime<Utc>> {
    (0.0..=1e11).contains(&seconds).then(|| DateTime::from_timestamp_millis((seconds * 1e3).round() as i64))?
}

/// Labels, short.
fn labels(metric: &BTreeMap<String, String>) -> String {
    let all: Vec<String> = metric.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text: String = printable(&all.join(", ")).chars().take(100).collect();
    format!("{{{text}}}")
}

#[cfg(test)]
mod tests;
