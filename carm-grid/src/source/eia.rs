//! The U.S. Energy Information Administration, version 2: hourly generation by energy source of a respondent (a balancing
//! authority or a region), from which the average intensity and the renewable share are reckoned by CARM's table of factors.
//!
//! What is told is some hours to a day old: the present is CARM's own forecast. Not in the mix: imports, storage. A period is
//! named by the hour's **end**.

use std::collections::BTreeMap;

use carm::grid::factors::Fuel;
use carm::request::printable;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::generation::Generation;
use super::value::{AtMost, Number};
use super::{Area, Ask, Reading, Source};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};

/// The source.
pub struct Eia;

/// The most rows that the service gives at once.
const PAGE: usize = 5_000;
/// Five weeks of twenty energy sources are 16,800 rows.
const MOST_PAGES: usize = 4;

#[derive(Deserialize)]
struct Whole {
    response: Reply,
}

#[derive(Deserialize)]
struct Reply {
    total: Number,
    data: AtMost<Row, PAGE>,
}

/// One hour of one energy source.
#[derive(Deserialize)]
struct Row {
    period: String,
    respondent: String,
    fueltype: String,
    value: Number,
    #[serde(rename = "value-units")]
    units: Option<String>,
}

#[derive(Deserialize)]
struct Facets {
    response: FacetsReply,
}

#[derive(Deserialize)]
struct FacetsReply {
    facets: Vec<Facet>,
}

#[derive(Deserialize)]
struct Facet {
    id: String,
    #[serde(default)]
    name: Option<String>,
}

/// What the service calls an energy source.
enum Kind {
    Generation(Fuel),
    /// It gives back what was generated before.
    Storage,
    Unknown,
}

fn kind(code: &str) -> Kind {
    Kind::Generation(match code {
        "COL" => Fuel::HardCoal,
        "NG" => Fuel::Gas,
        "NUC" => Fuel::Nuclear,
        "OIL" => Fuel::Oil,
        "WAT" => Fuel::Hydro,
        "GEO" => Fuel::Geothermal,
        // With a battery beside the panels or turbines, and without.
        "SUN" | "SNB" => Fuel::Solar,
        "WND" | "WNB" => Fuel::WindOnshore,
        "OTH" | "UNK" => Fuel::Other,
        "BAT" | "PS" | "OES" | "UES" => return Kind::Storage,
        _ => return Kind::Unknown,
    })
}

impl Source for Eia {
    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.eia.gov")
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let text = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H").to_string();
        let mut rows = Rows::default();
        let mut count = 0;
        for _ in 0..MOST_PAGES {
            let request = request(self, ask, "data/")?
                .with("frequency", "hourly")
                .with("data[0]", "value")
                .with("facets[respondent][]", &ask.live.area)
                .with("start", text(ask.since))
                .with("end", text(ask.now + TimeDelta::hours(1)))
                .with("sort[0][column]", "period")
                .with("sort[0][direction]", "asc")
                .with("offset", count)
                .with("length", PAGE);
            let (page, total) = http.get(&request, |answer| rows.read(answer, &ask.live.area))?;
            count += page;
            if page == 0 || count >= total {
                return Ok(http.alone(|| rows.reading()));
            }
        }
        Err(Fault::Setup(format!("more than {} rows for respondent '{}'", MOST_PAGES * PAGE, printable(&ask.live.area))))
    }

    fn areas(&self, http: &Http, ask: &Ask) -> Result<Vec<Area>, Fault> {
        let known: Facets = http.get(&request(self, ask, "facet/respondent/")?, Answer::json)?;
        let area = |facet: Facet| Area { name: facet.name.unwrap_or_default(), key: facet.id };
        Ok(known.response.facets.into_iter().map(area).collect())
    }
}

fn request(source: &Eia, ask: &Ask, path: &str) -> Result<Request, Fault> {
    let base = ask.live.base_url.as_deref().or(source.base_url()).unwrap_or_default();
    let token = ask.token.ok_or_else(|| Fault::Setup("token_file: missing; it holds the service's api_key".to_owned()))?;
    let mut request = Request::to(format!("{base}/v2/electricity/rto/fuel-type-data/{path}"));
    request.secret_query.push(("api_key", token.clone()));
    Ok(request)
}

/// The rows of an answer's pages: generation in MW by hour and energy source. A row that comes again counts once, as it came
/// last.
#[derive(Debug, Default)]
pub(super) struct Rows {
    known: BTreeMap<(DateTime<Utc>, String), f64>,
}

impl Rows {
    /// Takes a page; how many rows it has, and how many all pages have.
    pub(super) fn read(&mut self, answer: &Answer, respondent: &str) -> Result<(usize, usize), Fault> {
        let Reply { total, data: AtMost(data) } = answer.json::<Whole>()?.response;
        let page = data.len();
        for row in data {
            if row.respondent != respondent {
                let (said, asked) = (printable(&row.respondent), printable(respondent));
                return Err(answer.wrong(format!("is of respondent '{said}', not '{asked}'")));
            }
            if let Some(units) = row.units.filter(|units| units != "megawatthours") {
                return Err(answer.wrong(format!("is in '{}', not in megawatthours", printable(&units))));
            }
            let end = period(&row.period)
                .ok_or_else(|| answer.wrong(format!("period '{}' is no hour as 2026-05-01T12", printable(&row.period))))?;
            let Some(mw) = row.value.0 else { continue };
            self.known.insert((end - TimeDelta::hours(1), row.fueltype), mw);
        }
        Ok((page, total.0.unwrap_or(0.0).max(0.0) as usize))
    }

    /// What follows from them.
    pub(super) fn reading(self) -> Reading {
        let mut reading = Reading::default();
        let mut generation = Generation::in_steps_of(TimeDelta::hours(1));
        let mut unknown = Vec::new();
        for ((from, code), mw) in self.known {
            match kind(&code) {
                Kind::Generation(fuel) => generation.add(from, fuel, mw),
                Kind::Storage => {}
                Kind::Unknown if unknown.contains(&code) => {}
                Kind::Unknown => unknown.push(code),
            }
        }
        let mixes = generation.mixes();
        reading.carbon_g_per_kwh.observed = mixes.g_per_kwh;
        reading.renewable_share.observed = mixes.renewable_share;
        reading.remarks.extend(mixes.remarks);
        for code in unknown {
            let code = printable(&code);
            reading.remarks.push(format!("fueltype '{code}' is not in CARM's table; the intensity is reckoned without it"));
        }
        reading
    }
}

/// The intensities of an answer that is all pages in one.
#[cfg(test)]
pub(super) fn read_any(answer: &Answer, respondent: &str) -> Result<Vec<super::Point>, Fault> {
    let mut rows = Rows::default();
    rows.read(answer, respondent)?;
    Ok(rows.reading().carbon_g_per_kwh.observed)
}

/// An hour as the service writes it, always in UTC with `frequency=hourly`.
fn period(text: &str) -> Option<DateTime<Utc>> {
    // chrono wants minutes.
    (text.len() == 13).then(|| NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").ok())?.map(|t| t.and_utc())
}

#[cfg(test)]
mod tests;
