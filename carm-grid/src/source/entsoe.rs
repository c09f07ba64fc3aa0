//! The transparency platform of ENTSO-E: generation by type of European areas, from which the average intensity and the
//! renewable share are reckoned by CARM's table of factors, and a forecast of the share.
//!
//! Asked: A75 of process A16 (actual generation by type), A69 of A01 (day-ahead forecast of wind and sun) and A71 of A01
//! (day-ahead forecast of all generation). The forecast of the share is (wind and sun + the other renewables of the last day) /
//! all generation. The platform has no forecast of the other fuels, so an intensity ahead would be a guess dressed as the
//! source's: it is left to CARM's own forecast, which knows its misses and is marked.

mod area;
mod document;

use std::collections::BTreeMap;

use carm::grid::factors::Fuel;
use carm::quantity::format_instant;
use carm::request::printable;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::generation::Generation;
use super::value::point;
use super::{Area, Ask, Point, Reading, Source, history, optional};
use crate::fault::Fault;
use crate::http::{Http, Request};
use document::{Curve, Said};

/// The source.
pub struct Entsoe;

/// The longest span of one request. The platform gave the first 1,000 rows of a type alone from November 2025 to January 2026
/// (entsoe-py#482): ten days of quarter hours are 960.
const SPAN: TimeDelta = TimeDelta::days(10);

/// What the platform calls a type of production.
enum Kind {
    Generation(Fuel),
    /// It gives back what was generated before.
    Storage,
    Unknown,
}

fn kind(psr: &str) -> Kind {
    Kind::Generation(match psr {
        "B01" => Fuel::Biomass,
        "B02" => Fuel::Lignite,
        "B03" => Fuel::CoalGas,
        "B04" => Fuel::Gas,
        "B05" => Fuel::HardCoal,
        "B06" => Fuel::Oil,
        "B07" => Fuel::OilShale,
        "B08" => Fuel::Peat,
        "B09" => Fuel::Geothermal,
        "B11" | "B12" => Fuel::Hydro,
        "B13" => Fuel::Marine,
        "B14" => Fuel::Nuclear,
        "B15" => Fuel::OtherRenewable,
        "B16" => Fuel::Solar,
        "B17" => Fuel::Waste,
        "B18" => Fuel::WindOffshore,
        "B19" => Fuel::WindOnshore,
        "B20" => Fuel::Other,
        "B10" | "B25" => return Kind::Storage,
        _ => return Kind::Unknown,
    })
}

impl Source for Entsoe {
    fn base_url(&self) -> Option<&'static str> {
        Some("https://web-api.tp.entsoe.eu")
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let call = Call { base: ask.live.base_url.as_deref().or(self.base_url()).unwrap_or_default(), http, ask };
        let eic = area::eic(&ask.live.area)?;
        let mut reading = Reading::default();
        let curves = history(ask, SPAN, SPAN, &mut reading.remarks, |from, to, remarks| {
            match call.get(eic, "A75", "A16", floor(from), ceiling(to))? {
                Said::Curves(mut found) => {
                    let end = end_at_last_value(&mut found);
                    // The newest part ends some hours before now as a rule.
                    if let Some(end) = end.filter(|&end| to < ask.now && end < to) {
                        let (end, to) = (format_instant(end), format_instant(to));
                        remarks.push(format!("A75: the answer ends at {end}, not at {to}; the hole is filled by the day before"));
                    }
                    Ok(found)
                }
                Said::Nothing(text) => {
                    Err(Fault::Setup(format!("area: '{}' has no generation by type (A75): '{text}'", printable(eic))))
                }
            }
        })?;
        let (generation, mixes) = http.alone(|| {
            let generation = read_generation(&curves, ask.now, &mut reading.remarks);
            let mixes = generation.mixes();
            (generation, mixes)
        });
        drop(curves);
        reading.carbon_g_per_kwh.observed = mixes.g_per_kwh;
        reading.renewable_share.observed = mixes.renewable_share;
        reading.remarks.extend(mixes.remarks);

        let from = reading.renewable_share.observed.last().map_or(ask.now, |last| last.from + last.length);
        if let Some(steady_mw) = generation.steady_renewable_mw()
            && from < ask.until
        {
            let (start, end) = (floor(from), ceiling(ask.until));
            let ahead = |document, remarks: &mut Vec<String>| {
                let what = format!("no forecast of the share: {document}");
                optional(call.get(eic, document, "A01", start, end), &what, remarks)
            };
            let weather = ahead("A69", &mut reading.remarks);
            let total = weather.as_ref().and_then(|_| ahead("A71", &mut reading.remarks));
            match (weather, total) {
                (Some(Said::Curves(weather)), Some(Said::Curves(total))) => {
                    let mut share = share_ahead(&weather, &total, steady_mw);
                    share.retain(|point| point.from >= from);
                    reading.renewable_share.forecast = share;
                }
                (Some(Said::Nothing(text)), _) => reading.remarks.push(format!("no forecast of the share: A69: {text}")),
                (_, Some(Said::Nothing(text))) => reading.remarks.push(format!("no forecast of the share: A71: {text}")),
                _ => {}
            }
        }
        Ok(reading)
    }

    fn areas(&self, _: &Http, _: &Ask) -> Result<Vec<Area>, Fault> {
        Ok(area::KNOWN.iter().map(|&(key, eic, name)| Area { key: key.to_owned(), name: format!("{name} ({eic})") }).collect())
    }
}

/// The platform takes whole hours, and gives all that overlaps.
fn floor(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::hours(1)).unwrap_or(time)
}

fn ceiling(time: DateTime<Utc>) -> DateTime<Utc> {
    let floor = floor(time);
    if floor < time { floor + TimeDelta::hours(1) } else { floor }
}

struct Call<'a> {
    base: &'a str,
    http: &'a Http,
    ask: &'a Ask<'a>,
}

impl Call<'_> {
    fn get(&self, eic: &str, document: &str, process: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Said, Fault> {
        let token = self.ask.token.ok_or_else(|| Fault::Setup("token_file: missing; it holds the securityToken".to_owned()))?;
        let text = |time: DateTime<Utc>| time.format("%Y%m%d%H%M").to_string();
        let mut request = Request::to(format!("{}/api", self.base))
            .with("documentType", document)
            .with("processType", process)
            .with("in_Domain", eic)
            .with("periodStart", text(from))
            .with("periodEnd", text(to));
        request.secret_query.push(("securityToken", token.clone()));
        match self.http.get(&request, |answer| document::read(answer, eic)) {
            // Of old the same words came with a status of their own.
            Err(Fault::Status { status: 400, said, .. }) if document::is_no_data(&said) => Ok(Said::Nothing(said)),
            other => other,
        }
    }
}

/// Cuts the curves of a document of generation at the last value of any type, and returns that time. A curve of type A03 repeats
/// its last value to the period's end; where no type has a later value, the document covers no more, whatever the period says:
/// it was cut, or nothing was published yet. Wind or load change in every step.
fn end_at_last_value(curves: &mut [Curve]) -> Option<DateTime<Utc>> {
    let end = curves.iter().filter(|curve| curve.is_generation).filter_map(|curve| curve.given_until).max()?;
    curves.iter_mut().for_each(|curve| curve.values.retain(|(from, _)| *from < end));
    Some(end)
}

/// What was generated, in steps of the shortest resolution.
fn read_generation(curves: &[Curve], now: DateTime<Utc>, remarks: &mut Vec<String>) -> Generation {
    let step = curves.iter().map(|curve| curve.step).min().unwrap_or(TimeDelta::hours(1));
    // By type and time: a document may say one thing twice, and the later counts.
    let mut known: BTreeMap<(&str, DateTime<Utc>), f64> = BTreeMap::new();
    for curve in curves.iter().filter(|curve| curve.is_generation) {
        for &(from, mw) in &curve.values {
            let mut at = from;
            while at < from + curve.step && at <= now {
                known.insert((&curve.psr, at), mw);
                at += step;
            }
        }
    }
    let mut generation = Generation::in_steps_of(step);
    let mut unknown: Vec<&str> = Vec::new();
    for ((psr, at), mw) in known {
        match kind(psr) {
            Kind::Generation(fuel) => generation.add(at, fuel, mw),
            Kind::Storage => {}
            Kind::Unknown if unknown.contains(&psr) => {}
            Kind::Unknown => {
                unknown.push(psr);
                let psr = printable(psr);
                remarks.push(format!("psrType '{psr}' is not in CARM's table; the intensity is reckoned without it"));
            }
        }
    }
    generation
}

/// The forecast of the renewable share: where every type of the forecast of wind and sun, and all generation, are known.
fn share_ahead(weather: &[Curve], total: &[Curve], steady_mw: f64) -> Vec<Point> {
    let weather: Vec<&Curve> = weather.iter().filter(|curve| curve.is_generation).collect();
    let Some(step) = weather.iter().map(|curve| curve.step).min() else { return Vec::new() };
    let by_time = |curves: &[&Curve], psr: Option<&str>| {
        let mut values: BTreeMap<DateTime<Utc>, f64> = BTreeMap::new();
        for curve in curves.iter().filter(|curve| psr.is_none_or(|psr| curve.psr == psr)) {
            for &(from, mw) in &curve.values {
                let mut at = from;
                while at < from + curve.step {
                    values.insert(at, mw);
                    at += step.min(curve.step);
                }
            }
        }
        values
    };
    let total: Vec<&Curve> = total.iter().filter(|curve| curve.is_generation).collect();
    let total = by_time(&total, None);
    let mut types: Vec<&str> = weather.iter().map(|curve| curve.psr.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    let types: Vec<_> = types.iter().map(|psr| by_time(&weather, Some(psr))).collect();
    let Some(first) = types.first() else { return Vec::new() };
    let share = |at: &DateTime<Utc>| {
        let mut renewable_mw = steady_mw;
        for values in &types {
            renewable_mw += values.get(at)?.max(0.0);
        }
        let total_mw = total.get(at).copied().filter(|&mw| mw > 0.0)?;
        Some(point(*at, step, (renewable_mw / total_mw).min(1.0)))
    };
    first.keys().filter_map(share).collect()
}

#[cfg(test)]
mod tests;
