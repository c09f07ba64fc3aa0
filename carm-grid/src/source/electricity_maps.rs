//! Electricity Maps: average life-cycle intensity and renewable share of a zone's consumption, hourly.
//!
//! `carbon-intensity/{history,latest,forecast}`, and the share from `power-breakdown/{history,latest}` (which the free plan
//! includes), else `renewable-energy/...`; forecasts of both where the plan includes them. A zone that the service does not
//! know is answered for wherever the caller's address is, unless `disableCallerLookup=true`: it is always sent, and the
//! zone of every answer is looked at.

use std::collections::BTreeMap;

use carm::config::Api;
use carm::request::printable;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::value::{AtMost, Number, Time, point, present, side_part};
use super::{Area, Ask, Point, Reading, Series, Source, contradiction, optional};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};

/// The source.
pub struct ElectricityMaps;

/// What is read from an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// g/kWh.
    Carbon,
    /// Percent, as the service has it.
    Share,
}

/// One hour; of `latest`, also the answer itself. A service that adds keys does no harm.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    zone: Option<String>,
    datetime: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    carbon_intensity: Option<Number>,
    #[serde(default, deserialize_with = "present")]
    renewable_percentage: Option<Number>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Number>,
    #[serde(default, deserialize_with = "side_part")]
    fossil_free_percentage: Option<f64>,
    #[serde(default, deserialize_with = "side_part")]
    is_estimated: bool,
    unit: Option<String>,
    emission_factor_type: Option<String>,
    temporal_granularity: Option<String>,
}

/// Three days of quarter hours are 288.
type List = AtMost<Entry, 1_000>;

/// The rest of an answer. Where its list stands differs by request and version: `history`, `forecast` or `data`.
#[derive(Deserialize)]
struct Reply {
    history: Option<List>,
    forecast: Option<List>,
    data: Option<List>,
    message: Option<String>,
    error: Option<String>,
}

/// What is read of an hour.
#[derive(Debug, Clone, PartialEq)]
struct Hour {
    point: Point,
    /// Part of the consumption that is fossil or of unknown origin, 0 to 1; a breakdown's alone.
    fossil: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zone {
    zone_name: Option<String>,
    country_name: Option<String>,
    access: Option<Vec<String>>,
}

impl Source for ElectricityMaps {
    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.electricitymaps.com")
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let call = Call { source: self, http, ask };
        let mut reading = Reading::default();
        let recent = call.recent("carbon-intensity", What::Carbon, &mut reading.remarks)?;
        remark_provisional(&recent, &mut reading.remarks);
        put(&mut reading.carbon_g_per_kwh, recent.into_iter(), ask.now);

        let shares = match call.recent("power-breakdown", What::Share, &mut Vec::new()) {
            Err(fault) if is_refusal(&fault) => call.recent("renewable-energy", What::Share, &mut Vec::new()),
            other => other,
        };
        let shares = or_remark(shares, "the renewable share", &mut reading.remarks).unwrap_or_default();
        let fossil = |hour: &Hour| Some((hour.point.from, hour.fossil? * contradiction::GAS_G_PER_KWH));
        let fossil_g = shares.iter().filter_map(fossil).collect();
        put(&mut reading.renewable_share, shares.into_iter(), ask.now);
        contradiction::leave_out(&mut reading, &fossil_g);

        let forecast = call.hours("carbon-intensity", "forecast", What::Carbon);
        if let Some(points) = or_remark(forecast, "carbon-intensity/forecast", &mut reading.remarks) {
            reading.carbon_g_per_kwh.forecast.extend(ahead(points));
            let shares = call.hours("renewable-energy", "forecast", What::Share);
            let shares = or_remark(shares, "renewable-energy/forecast", &mut reading.remarks);
            reading.renewable_share.forecast.extend(ahead(shares.unwrap_or_default()));
        }
        Ok(reading)
    }

    fn areas(&self, http: &Http, ask: &Ask) -> Result<Vec<Area>, Fault> {
        let call = Call { source: self, http, ask };
        let zones: BTreeMap<String, Zone> = http.get(&call.request("/v3/zones".to_owned()), Answer::json)?;
        let granted = zones.into_iter().filter(|(_, zone)| zone.access.as_ref().is_none_or(|routes| !routes.is_empty()));
        Ok(granted.map(|(key, zone)| Area { name: zone.name(), key }).collect())
    }
}

impl Zone {
    fn name(self) -> String {
        [self.zone_name, self.country_name].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

struct Call<'a> {
    source: &'a ElectricityMaps,
    http: &'a Http,
    ask: &'a Ask<'a>,
}

impl Call<'_> {
    fn request(&self, path: String) -> Request {
        let base = self.ask.live.base_url.as_deref().or(self.source.base_url()).unwrap_or_default();
        let mut request = Request::to(format!("{base}{path}"));
        request.secret_headers.extend(self.ask.token.map(|token| ("auth-token", token.clone())));
        request
    }

    fn hours(&self, signal: &str, part: &str, what: What) -> Result<Vec<Hour>, Fault> {
        let version = if self.ask.live.api == Some(Api::V3) { "v3" } else { "v4" };
        let mut request = self
            .request(format!("/{version}/{signal}/{part}"))
            .with("zone", &self.ask.live.area)
            .with("disableCallerLookup", true);
        if what == What::Carbon {
            request = request.with("emissionFactorType", "lifecycle");
        }
        let get = |request: &Request| self.http.get(request, |answer| read(answer, &self.ask.live.area, what));
        if part != "forecast" {
            return get(&request);
        }
        let far = request.clone().with("horizonHours", horizon(self.ask.until - self.ask.now));
        match get(&far) {
            // A plan may know the service's usual horizon alone.
            Err(Fault::Status { status: 400, .. }) => get(&request),
            other => other,
        }
    }

    /// The last 24 hours, and the hour of now where they do not reach it.
    fn recent(&self, signal: &str, what: What, remarks: &mut Vec<String>) -> Result<Vec<Hour>, Fault> {
        let history = self.hours(signal, "history", what);
        let Some(mut hours) = or_remark(history, &format!("{signal}/history"), remarks) else {
            return self.hours(signal, "latest", what);
        };
        if !hours.iter().any(|Hour { point, .. }| (point.from..point.from + point.length).contains(&self.ask.now)) {
            let latest = self.hours(signal, "latest", what);
            hours.extend(or_remark(latest, &format!("{signal}/latest"), remarks).unwrap_or_default());
        }
        Ok(hours)
    }
}

/// The horizons that the service knows; the least that reaches as far, else the longest.
fn horizon(wanted: TimeDelta) -> i64 {
    [6, 24, 48].into_iter().find(|&hours| TimeDelta::hours(hours) >= wanted).unwrap_or(72)
}

/// Whether the service lives but does not give this to this token.
fn is_refusal(fault: &Fault) -> bool {
    matches!(fault, Fault::Status { status: 401..=404, .. })
}

/// As [`optional`]; a refusal's remark names the token's plan.
fn or_remark<T>(result: Result<T, Fault>, what: &str, remarks: &mut Vec<String>) -> Option<T> {
    match result {
        Err(Fault::Status { status, said, .. }) if (401..=404).contains(&status) => {
            remarks.push(format!("{what}: answered {status}{said}; the token's plan does not include it for this zone"));
            None
        }
        other => optional(other, what, remarks),
    }
}

/// An hour that has begun is observed; `latest` may be the next one, which is then estimated.
fn put(series: &mut Series, hours: impl Iterator<Item = Hour>, now: DateTime<Utc>) {
    let (begun, later): (Vec<_>, Vec<_>) = hours.partition(|hour| hour.point.from <= now);
    series.observed.extend(begun.into_iter().map(|hour| hour.point));
    series.forecast.extend(ahead(later));
}

/// A forecast is one, whether the service marks it as an estimate or not.
fn ahead(hours: Vec<Hour>) -> impl Iterator<Item = Point> {
    hours.into_iter().map(|hour| Point { provisional: false, ..hour.point })
}

/// The newest hours are estimates everywhere. Where most of a day is, the zone has no live measurements: 146 of the service's 350
/// zones are models all through.
fn remark_provisional(hours: &[Hour], remarks: &mut Vec<String>) {
    let (count, all) = (hours.iter().filter(|hour| hour.point.provisional).count(), hours.len());
    if count * 2 > all {
        remarks.push(format!("{count} of {all} hours are the service's own estimates (isEstimated), not measurements"));
    }
}

/// The hours of an answer: g/kWh, or shares from 0 to 1.
fn read(answer: &Answer, area: &str, what: What) -> Result<Vec<Hour>, Fault> {
    let (head, reply): (Entry, Reply) = (answer.json()?, answer.json()?);
    let Some(zone) = head.zone.as_deref() else {
        let said = reply.message.or(reply.error).map_or(String::new(), |said| format!(" ('{}')", printable(&said)));
        return Err(answer.wrong(format!("names no zone{said}; look at area and at the token's plan")));
    };
    is_zone(answer, zone, area)?;
    let list = reply.history.or(reply.forecast).or(reply.data);
    let length = granularity(answer, head.temporal_granularity.as_deref())?;
    let factors = head.emission_factor_type.clone();
    let unit = head.unit.clone();
    let mut hours = Vec::new();
    for entry in list.map_or_else(|| vec![head], |list| list.0) {
        if let Some(zone) = &entry.zone {
            is_zone(answer, zone, area)?;
        }
        if let Some(factors) = entry.emission_factor_type.as_ref().or(factors.as_ref()).filter(|kind| *kind != "lifecycle") {
            return Err(answer.wrong(format!("emissionFactorType '{}', not the lifecycle asked for", printable(factors))));
        }
        let named = match what {
            What::Carbon => entry.carbon_intensity,
            What::Share => entry.renewable_percentage,
        };
        let Some(Number(value)) = named.or(entry.value) else {
            return Err(answer.wrong("an hour without a value's key: carbonIntensity, renewablePercentage or value"));
        };
        if named.is_none()
            && let Some(unit) = entry.unit.as_ref().or(unit.as_ref()).filter(|unit| !what.is_unit(unit))
        {
            return Err(answer.wrong(format!("unit '{}', not {}", printable(unit), what.unit())));
        }
        let length = match entry.temporal_granularity.as_deref() {
            None => length,
            own => granularity(answer, own)?,
        };
        let Some(Time(from)) = entry.datetime else { return Err(answer.wrong("an hour without datetime")) };
        let scale = if what == What::Share { 100.0 } else { 1.0 };
        let fossil = entry.fossil_free_percentage.map(|percent| 1.0 - percent / 100.0);
        let point = |value| Point { provisional: entry.is_estimated, ..point(from, length, value / scale) };
        hours.extend(value.map(|value| Hour { point: point(value), fossil }));
    }
    Ok(hours)
}

impl What {
    fn unit(self) -> &'static str {
        match self {
            Self::Carbon => "gCO2eq/kWh",
            Self::Share => "%",
        }
    }

    fn is_unit(self, unit: &str) -> bool {
        unit.replace('\u{2082}', "2").eq_ignore_ascii_case(self.unit())
    }
}

fn is_zone(answer: &Answer, zone: &str, area: &str) -> Result<(), Fault> {
    if zone.eq_ignore_ascii_case(area) {
        return Ok(());
    }
    let (zone, area) = (printable(zone), printable(area));
    Err(answer.wrong(format!("is about zone '{zone}', not '{area}'; give area as carm-grid zones lists it")))
}

/// The length of a step; hourly where the service does not say.
fn granularity(answer: &Answer, word: Option<&str>) -> Result<TimeDelta, Fault> {
    match word {
        None | Some("hourly") => Ok(TimeDelta::hours(1)),
        Some("15_minutes") => Ok(TimeDelta::minutes(15)),
        Some(other) => Err(answer.wrong(format!("temporalGranularity '{}', not hourly", printable(other)))),
    }
}

#[cfg(test)]
pub(super) fn read_any(answer: &Answer, area: &str) -> Vec<Result<Vec<Point>, Fault>> {
    let points = |what| Ok(read(answer, area, what)?.into_iter().map(|hour| hour.point).collect());
    [What::Carbon, What::Share].map(points).into()
}

#[cfg(test)]
mod tests;
