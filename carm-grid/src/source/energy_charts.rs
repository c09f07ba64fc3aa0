//! Energy-Charts of Fraunhofer ISE: generation by source of European countries, from which the average intensity is
//! reckoned by CARM's table of factors, and the renewable share of load, with its forecast.
//!
//! The service gives no intensity: it is that of the country's own generation, without imports and exports, and has no
//! forecast. The traffic light (`/signal`) repeats the share, which stands in where `/ren_share_forecast` is not given, and
//! tells of a congested grid, which becomes a remark.

use std::collections::BTreeMap;

use carm::grid::factors::{Fuel, mix};
use carm::quantity::counted;
use carm::request::printable;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;

use super::value::{AtMost, Number, point, side_part};
use super::{Area, Ask, Point, Reading, Source, optional};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};

/// The source.
pub struct EnergyCharts;

/// The step of most countries; that of an answer with one time alone.
const STEP: TimeDelta = TimeDelta::minutes(15);
/// The longest step; what is further apart has a gap between.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// A type that never reaches this part of the generation may be missing at a time; a larger one's time is left out.
const SMALL: f64 = 0.01;
/// No source of a country generates more, in MW; all of Europe generates some 500,000.
const MOST_MW: f64 = 5e6;
/// The service's own share, in percent. It may exceed 100: a country that exports generates more than its load.
const SHARE_OF_LOAD: &str = "renewable share of load";

/// Five weeks of quarter hours are 3,360.
type Numbers = AtMost<Number, 4_000>;

#[derive(Deserialize)]
struct PublicPower {
    unix_seconds: Numbers,
    production_types: AtMost<Production, 100>,
    #[serde(default, deserialize_with = "side_part")]
    deprecated: bool,
}

#[derive(Deserialize)]
struct Production {
    name: String,
    data: Option<Numbers>,
}

#[derive(Deserialize)]
struct ShareForecast {
    unix_seconds: Numbers,
    ren_share: Option<Numbers>,
    #[serde(default, deserialize_with = "side_part")]
    substitute: bool,
    #[serde(default, deserialize_with = "side_part")]
    deprecated: bool,
}

#[derive(Deserialize)]
struct TrafficLight {
    unix_seconds: Numbers,
    share: Option<Numbers>,
    #[serde(default, deserialize_with = "side_part")]
    signal: Option<Numbers>,
    #[serde(default, deserialize_with = "side_part")]
    substitute: bool,
}

impl Source for EnergyCharts {
    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.energy-charts.info")
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let country = country(&ask.live.area)?;
        let base = ask.live.base_url.as_deref().or(self.base_url()).unwrap_or_default();
        let get = |path: &str| Request::to(format!("{base}/{path}")).with("country", &country);
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut reading = Reading::default();
        let power = get("public_power").with("start", text(ask.since)).with("end", text(ask.now));
        let power = http.get(&power, |answer| read_power(answer, &mut reading.remarks));
        let (intensity, share) = power.map_err(with_way_out)?;
        let has_begun = |point: &Point| point.from <= ask.now;
        reading.carbon_g_per_kwh.observed = intensity.into_iter().filter(has_begun).collect();
        reading.renewable_share.observed = share.into_iter().filter(has_begun).collect();

        let remarks = &mut reading.remarks;
        let forecast = given(http.get(&get("ren_share_forecast"), |answer| read_forecast(answer, remarks)));
        let forecast = optional(forecast, "ren_share_forecast", remarks).unwrap_or_default();
        let light = given(http.get(&get("signal"), |answer| read_light(answer, ask.now, forecast.is_empty(), remarks)));
        let light = optional(light, "signal", remarks).unwrap_or_default();
        reading.renewable_share.forecast = if forecast.is_empty() { light } else { forecast };
        if reading.renewable_share.forecast.is_empty() {
            reading.remarks.push(format!("ren_share_forecast: none for country '{country}'"));
        }
        Ok(reading)
    }

    fn areas(&self, _: &Http, _: &Ask) -> Result<Vec<Area>, Fault> {
        Ok(COUNTRIES.iter().map(|(key, name)| Area { key: (*key).to_owned(), name: (*name).to_owned() }).collect())
    }
}

/// The service's word for a country: small letters.
fn country(area: &str) -> Result<String, Fault> {
    if (2..=3).contains(&area.len()) && area.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(area.to_ascii_lowercase());
    }
    Err(Fault::Setup(format!("area: '{}' is no country; give its two letters, such as de", printable(area))))
}

/// A country that the service does not know is refused as a parameter of a wrong form.
fn with_way_out(fault: Fault) -> Fault {
    match fault {
        Fault::Status { url, status: status @ (400 | 404 | 422), said, retry_after, .. } => {
            Fault::Status { url, status, said, retry_after, way_out: "look at area; carm-grid zones lists the countries" }
        }
        other => other,
    }
}

/// What was given; nothing where the service does not have it for this country.
fn given(points: Result<Vec<Point>, Fault>) -> Result<Vec<Point>, Fault> {
    match points {
        Err(Fault::Status { status: 400 | 404 | 422, .. }) => Ok(Vec::new()),
        other => other,
    }
}

/// Intensity in g/kWh and renewable share from 0 to 1 of an answer of `/public_power`.
fn read_power(answer: &Answer, remarks: &mut Vec<String>) -> Result<(Vec<Point>, Vec<Point>), Fault> {
    let power: PublicPower = answer.json()?;
    if power.deprecated {
        remarks.push("public_power: the service means to give it up (deprecated)".to_owned());
    }
    let steps = steps(answer, &power.unix_seconds.0)?;
    let mut share = Vec::new();
    let mut known: Vec<(Fuel, Vec<Number>)> = Vec::new();
    let mut unknown: Vec<(String, Vec<Number>)> = Vec::new();
    for Production { name, data } in power.production_types.0 {
        let Some(AtMost(mut data)) = data else { continue };
        if data.len() != steps.len() {
            let (values, times) = (counted(data.len(), "value"), counted(steps.len(), "time"));
            return Err(answer.wrong(format!("'{}' has {values} for {times}", printable(&name))));
        }
        match kind(&name) {
            Kind::Generation(fuel) => {
                if let Some(absurd) = leave_out_absurd(&mut data) {
                    let name = printable(&name);
                    remarks.push(format!(
                        "public_power: '{name}' has {absurd} MW at a time, which no country has; the time is left out"
                    ));
                }
                known.push((fuel, data));
            }
            Kind::Unknown => unknown.push((name, data)),
            Kind::ShareOfLoad => share = percent(&steps, &data),
            Kind::Other => {}
        }
    }
    let most = most_mw(&known, steps.len());
    let is_large = |data: &[Number]| data.iter().any(|value| value.0.is_some_and(|mw| mw > SMALL * most));
    for (name, _) in unknown.iter().filter(|(_, data)| is_large(data)) {
        let name = printable(name);
        remarks.push(format!("public_power: '{name}' is not in CARM's table of factors; the intensity is reckoned without it"));
    }
    let needed: Vec<bool> = known.iter().map(|(_, data)| is_large(data)).collect();
    let intensity = |at: usize| {
        // The newest times are there before all of their values are: what is missing is not zero.
        let is_whole = known.iter().zip(&needed).all(|((_, data), needed)| data[at].0.is_some() || !needed);
        let mixed = mix(known.iter().filter_map(|(fuel, data)| Some((*fuel, data[at].0?)))).filter(|_| is_whole);
        mixed.map(|mixed| mixed.g_per_kwh)
    };
    let points = steps.iter().enumerate().filter_map(|(at, &(from, length))| Some(point(from, length, intensity(at)?)));
    Ok((points.collect(), share))
}

/// The most that is generated at one time, in MW.
fn most_mw(types: &[(Fuel, Vec<Number>)], times: usize) -> f64 {
    let total = |at: usize| types.iter().filter_map(|(_, data)| data[at].0).map(|mw| mw.max(0.0)).sum::<f64>();
    (0..times).map(total).fold(0.0, f64::max)
}

/// Takes values out that no country has, for they would pass unseen in the mean; one of them.
fn leave_out_absurd(data: &mut [Number]) -> Option<f64> {
    let mut found = None;
    for value in data {
        if let Some(mw) = value.0.filter(|mw| mw.is_nan() || mw.abs() > MOST_MW) {
            (*value, found) = (Number(None), Some(mw));
        }
    }
    found
}

/// Shares from 0 to 1 of an answer of `/ren_share_forecast`.
fn read_forecast(answer: &Answer, remarks: &mut Vec<String>) -> Result<Vec<Point>, Fault> {
    let forecast: ShareForecast = answer.json()?;
    if forecast.deprecated {
        remarks.push("ren_share_forecast: the service means to give it up (deprecated)".to_owned());
    }
    let points = shares(answer, &forecast.unix_seconds.0, forecast.ren_share, "ren_share")?;
    if forecast.substitute && !points.is_empty() {
        remarks.push("ren_share_forecast: a guess from past data, for want of better ones (substitute)".to_owned());
    }
    Ok(points)
}

/// The same of an answer of `/signal`, and a remark where the grid will be congested.
fn read_light(answer: &Answer, now: DateTime<Utc>, is_used: bool, remarks: &mut Vec<String>) -> Result<Vec<Point>, Fault> {
    let light: TrafficLight = answer.json()?;
    let steps = steps(answer, &light.unix_seconds.0)?;
    let points = shares(answer, &light.unix_seconds.0, light.share, "share")?;
    if is_used && light.substitute && !points.is_empty() {
        remarks.push("signal: a guess from past data, for want of better ones (substitute)".to_owned());
    }
    let lights = light.signal.unwrap_or_default().0;
    // -1 red for a congested grid, 0 red, 1 yellow, 2 green by the share.
    let mut congested = steps.iter().zip(lights).filter(|((from, length), light)| *from + *length > now && light.0 == Some(-1.0));
    if let Some(((from, _), _)) = congested.next() {
        let from = from.to_rfc3339_opts(SecondsFormat::Secs, true);
        remarks.push(format!("signal: a congested grid from {from} on (traffic light -1); plans go by intensity, not by it"));
    }
    Ok(points)
}

fn shares(answer: &Answer, times: &[Number], values: Option<Numbers>, key: &str) -> Result<Vec<Point>, Fault> {
    let steps = steps(answer, times)?;
    let Some(AtMost(values)) = values else { return Ok(Vec::new()) };
    if values.len() != steps.len() {
        let (values, times) = (counted(values.len(), "value"), counted(steps.len(), "time"));
        return Err(answer.wrong(format!("{key} has {values} for {times}")));
    }
    Ok(percent(&steps, &values))
}

fn percent(steps: &[(DateTime<Utc>, TimeDelta)], values: &[Number]) -> Vec<Point> {
    let points = steps.iter().zip(values).filter_map(|(step, value)| Some((step, value.0?)));
    points.map(|(&(from, length), percent)| point(from, length, if percent > 100.0 { 1.0 } else { percent / 100.0 })).collect()
}

/// The times of an answer, in its order, and how long each holds: to the next one, or as long as the shortest where the next
/// one is too far.
fn steps(answer: &Answer, times: &[Number]) -> Result<Vec<(DateTime<Utc>, TimeDelta)>, Fault> {
    let read = |time: &Number| {
        let seconds = time.0.filter(|seconds| (0.0..2.5e11).contains(seconds) && seconds.fract() == 0.0);
        let shown = || time.0.map_or("null".to_owned(), |time| time.to_string());
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds as i64, 0));
        time.ok_or_else(|| answer.wrong(format!("unix_seconds: {} is no time", shown())))
    };
    let times = times.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let sorted: std::collections::BTreeSet<_> = times.iter().copied().collect();
    let gaps: Vec<_> = sorted.iter().zip(sorted.iter().skip(1)).map(|(from, to)| (*from, *to - *from)).collect();
    let shortest = gaps.iter().map(|(_, gap)| *gap).min().unwrap_or(STEP).min(LONGEST);
    let lengths: BTreeMap<_, _> = gaps.into_iter().filter(|(_, gap)| *gap <= LONGEST).collect();
    Ok(times.into_iter().map(|from| (from, lengths.get(&from).copied().unwrap_or(shortest))).collect())
}

/// What a production type is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Generation(Fuel),
    ShareOfLoad,
    /// Not generation: load, trade, what storage takes and gives. Stored power was counted when it was generated.
    Other,
    Unknown,
}

fn kind(name: &str) -> Kind {
    let name = name.trim().to_lowercase();
    let fuel = match name.as_str() {
        "nuclear" => Fuel::Nuclear,
        "biomass" => Fuel::Biomass,
        "fossil brown coal / lignite" => Fuel::Lignite,
        "fossil hard coal" => Fuel::HardCoal,
        "fossil peat" => Fuel::Peat,
        "fossil oil" => Fuel::Oil,
        "fossil oil shale" => Fuel::OilShale,
        "fossil gas" => Fuel::Gas,
        "fossil coal-derived gas" => Fuel::CoalGas,
        "geothermal" => Fuel::Geothermal,
        "hydro run-of-river" | "hydro water reservoir" => Fuel::Hydro,
        "marine" => Fuel::Marine,
        "other renewables" => Fuel::OtherRenewable,
        "others" | "other" => Fuel::Other,
        "waste" => Fuel::Waste,
        "wind offshore" => Fuel::WindOffshore,
        "wind onshore" => Fuel::WindOnshore,
        "solar" => Fuel::Solar,
        SHARE_OF_LOAD => return Kind::ShareOfLoad,
        "load" | "load (incl. self-consumption)" | "residual load" | "renewable share of generation" => return Kind::Other,
        "cross border electricity trading" => return Kind::Other,
        _ if name.contains("pumped storage") || name.contains("battery") || name.contains("energy storage") => {
            return Kind::Other;
        }
        _ => return Kind::Unknown,
    };
    Kind::Generation(fuel)
}

/// The countries that the service documents.
const COUNTRIES: [(&str, &str); 44] = [
    ("al", "Albania"),
    ("am", "Armenia"),
    ("at", "Austria"),
    ("az", "Azerbaijan"),
    ("ba", "Bosnia-Herzegovina"),
    ("be", "Belgium"),
    ("bg", "Bulgaria"),
    ("by", "Belarus"),
    ("ch", "Switzerland"),
    ("cy", "Cyprus"),
    ("cz", "Czech Republic"),
    ("de", "Germany"),
    ("dk", "Denmark"),
    ("ee", "Estonia"),
    ("es", "Spain"),
    ("eu", "European Union"),
    ("fi", "Finland"),
    ("fr", "France"),
    ("ge", "Georgia"),
    ("gr", "Greece"),
    ("hr", "Croatia"),
    ("hu", "Hungary"),
    ("ie", "Ireland"),
    ("it", "Italy"),
    ("lt", "Lithuania"),
    ("lu", "Luxembourg"),
    ("lv", "Latvia"),
    ("md", "Moldova"),
    ("me", "Montenegro"),
    ("mk", "North Macedonia"),
    ("mt", "Malta"),
    ("nl", "Netherlands"),
    ("no", "Norway"),
    ("pl", "Poland"),
    ("pt", "Portugal"),
    ("ro", "Romania"),
    ("rs", "Serbia"),
    ("se", "Sweden"),
    ("si", "Slovenia"),
    ("sk", "Slovakia"),
    ("tr", "Turkey"),
    ("ua", "Ukraine"),
    ("uk", "United Kingdom"),
    ("xk", "Kosovo"),
];

#[cfg(test)]
pub(super) fn read_any(answer: &Answer, now: DateTime<Utc>) -> Vec<Result<Vec<Point>, Fault>> {
    let power = |first: bool| {
        let (carbon, share) = read_power(answer, &mut Vec::new())?;
        Ok(if first { carbon } else { share })
    };
    let (forecast, light) = (read_forecast(answer, &mut Vec::new()), read_light(answer, now, true, &mut Vec::new()));
    vec![power(true), power(false), forecast, light]
}

#[cfg(test)]
mod tests;
