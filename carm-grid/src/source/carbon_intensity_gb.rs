//! The Carbon Intensity API of Great Britain's system operator (NESO): average intensity by half hours, two days ahead.
//!
//! The area is `GB`, or a region by its number (1 to 17) or by an outward postcode. Nationally there is an outturn
//! (`actual`), which goes before the forecast of its half hour, and the generation mix of the past, from which the renewable share
//! is made; of regions there are forecast and mix, past and to come, and no outturn.

use std::collections::BTreeMap;

use carm::request::printable;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::value::{AtMost, Number, OneOrMore, Time, point, side_part};
use super::{Area, Ask, Point, Reading, Series, Source, contradiction, history, optional};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};

/// The source.
pub struct CarbonIntensityGb;

/// The longest span of one request; the service's own limit is 14 days.
const SPAN: TimeDelta = TimeDelta::days(13);
/// The service's step.
const STEP: TimeDelta = TimeDelta::minutes(30);
/// What counts as renewable of the mix. Imports, whose origin is not told, do not.
const RENEWABLE: [&str; 4] = ["biomass", "hydro", "solar", "wind"];
/// More than this is no percentage of anything; the parts are rounded, so their sum may pass 100.
const MOST_PERCENT: f64 = 110.0;
/// The regions, by their number less one.
const REGIONS: [&str; 17] = [
    "North Scotland",
    "South Scotland",
    "North West England",
    "North East England",
    "Yorkshire",
    "North Wales and Merseyside",
    "South Wales",
    "West Midlands",
    "East Midlands",
    "East England",
    "South West England",
    "South England",
    "London",
    "South East England",
    "England",
    "Scotland",
    "Wales",
];

#[derive(Deserialize)]
struct Reply<T> {
    data: T,
}

/// A half hour: of the nation with intensity or mix, of a region with both.
#[derive(Deserialize)]
struct Half {
    from: Time,
    to: Time,
    intensity: Option<HalfIntensity>,
    #[serde(default, deserialize_with = "side_part")]
    generationmix: Option<Mix>,
}

#[derive(Deserialize)]
struct HalfIntensity {
    forecast: Number,
    #[serde(default)]
    actual: Number,
}

/// What is kept of a mix.
#[derive(Deserialize)]
#[serde(from = "AtMost<Share, 100>")]
struct Mix {
    /// Renewable share from 0 to 1: of the parts' sum, which need not be 100. A part that is not told, or is no percentage, makes
    /// it a gap: what is missing is not zero.
    renewable: Option<f64>,
    /// What gas and coal emit, g/kWh, by the service's own factors (`/intensity/factors`).
    fossil_g: f64,
}

#[derive(Deserialize)]
struct Share {
    fuel: String,
    perc: Number,
}

#[derive(Deserialize)]
struct Region {
    regionid: Number,
    #[serde(default)]
    postcode: Option<String>,
    data: OneOrMore<Half>,
}

/// What `area` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Nation,
    Region(u8),
    Postcode(String),
}

impl Source for CarbonIntensityGb {
    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.carbonintensity.org.uk")
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let place = Place::of(&ask.live.area)?;
        let base = ask.live.base_url.as_deref().or(self.base_url()).unwrap_or_default();
        let get = |path: String| http.get(&Request::to(format!("{base}{path}")), halves);
        let mut reading = Reading::default();
        let (carbon, share) = (&mut reading.carbon_g_per_kwh, &mut reading.renewable_share);
        let remarks = &mut reading.remarks;
        let span = |from, to| format!("{}/{}", minute(from), minute(to));
        let ahead = format!("{}/fw48h", minute(ask.now));
        match place.end() {
            None => {
                let past = history(ask, SPAN, SPAN, remarks, |from, to, _| get(format!("/intensity/{}", span(from, to))))?;
                put(carbon, intensities(&past));
                let ahead = get(format!("/intensity/{ahead}"));
                put(carbon, intensities(&optional(ahead, "no forecast", remarks).unwrap_or_default()));
                // It failed for days while the intensity was served (carbon-intensity/api-definitions#14).
                let mix = history(ask, SPAN, SPAN, remarks, |from, to, _| get(format!("/generation/{}", span(from, to))));
                let mix = optional(mix, "no renewable share", remarks).unwrap_or_default();
                share.observed.extend(shares(&mix));
                contradiction::leave_out(&mut reading, &fossil_g(&mix));
            }
            Some(end) => {
                // No outturn will come: what the service says of a half hour that has begun is all that will be known of it.
                let has_begun = |point: Point| (point, point.from <= ask.now);
                let one = |path: String| {
                    let request = Request::to(format!("{base}/regional/intensity/{path}/{end}"));
                    http.get(&request, |answer| region(answer, &place))
                };
                let mut halves = history(ask, SPAN, SPAN, remarks, |from, to, _| one(span(from, to)))?;
                halves.extend(optional(one(ahead), "no forecast", remarks).unwrap_or_default());
                put(carbon, intensities(&halves).into_iter().map(|(point, _)| has_begun(point)));
                put(share, shares(&halves).into_iter().map(has_begun));
                contradiction::leave_out(&mut reading, &fossil_g(&halves));
            }
        }
        Ok(reading)
    }

    fn areas(&self, _: &Http, _: &Ask) -> Result<Vec<Area>, Fault> {
        let nation = Area { key: "GB".to_owned(), name: "Great Britain".to_owned() };
        let regions = REGIONS.iter().zip(1..).map(|(name, id): (_, u8)| Area { key: id.to_string(), name: (*name).to_owned() });
        Ok([nation].into_iter().chain(regions).collect())
    }
}

impl Place {
    fn of(area: &str) -> Result<Self, Fault> {
        if area.eq_ignore_ascii_case("GB") {
            return Ok(Self::Nation);
        }
        match area.parse() {
            Ok(id) if (1..=17).contains(&id) => return Ok(Self::Region(id)),
            _ => {}
        }
        // One or two letters, a digit, then at most one more digit or letter: OX1, EC1A, W1A.
        let code = area.to_ascii_uppercase();
        let letters = code.bytes().take_while(u8::is_ascii_uppercase).count();
        let rest = code.as_bytes().get(letters..).unwrap_or_default();
        let is_outward = (1..=2).contains(&letters)
            && (1..=2).contains(&rest.len())
            && rest.first().is_some_and(u8::is_ascii_digit)
            && rest.iter().all(u8::is_ascii_alphanumeric);
        if is_outward {
            return Ok(Self::Postcode(code));
        }
        let area = printable(area);
        Err(Fault::Setup(format!(
            "area: '{area}' is no area of Great Britain; give GB, 1 to 17, or an outward postcode such as OX1"
        )))
    }

    /// The end of a region's path; none of the nation.
    fn end(&self) -> Option<String> {
        match self {
            Self::Nation => None,
            Self::Region(id) => Some(format!("regionid/{id}")),
            Self::Postcode(code) => Some(format!("postcode/{code}")),
        }
    }
}

/// A minute into the half hour. On the boundary itself the service begins with the half hour that ends there.
fn minute(time: DateTime<Utc>) -> String {
    let half = time.duration_trunc(STEP).unwrap_or(time);
    (half + TimeDelta::minutes(1)).format("%Y-%m-%dT%H:%MZ").to_string()
}

impl From<AtMost<Share, 100>> for Mix {
    fn from(AtMost(shares): AtMost<Share, 100>) -> Self {
        let (mut all, mut renewable, mut fossil_g, mut is_whole) = (0.0, 0.0, 0.0, true);
        for Share { fuel, perc } in shares {
            let Some(perc) = perc.0.filter(|perc| *perc <= MOST_PERCENT) else {
                is_whole = false;
                continue;
            };
            let perc = perc.max(0.0);
            all += perc;
            match fuel.as_str() {
                "gas" => fossil_g += perc / 100.0 * contradiction::GAS_G_PER_KWH,
                "coal" => fossil_g += perc / 100.0 * 937.0,
                fuel if RENEWABLE.contains(&fuel) => renewable += perc,
                _ => {}
            }
        }
        Self { renewable: (is_whole && all > 0.0).then(|| renewable / all), fossil_g }
    }
}

/// What the gas and coal of each mix emit, g/kWh.
fn fossil_g(halves: &[Half]) -> BTreeMap<DateTime<Utc>, f64> {
    halves.iter().filter_map(|half| Some((half.from.0, half.generationmix.as_ref()?.fossil_g))).collect()
}

/// An answer's data. An unknown postcode is answered with nothing at all.
fn data<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Err(answer.wrong("an empty answer, as to an unknown postcode; look at area"));
    }
    answer.json::<Reply<T>>().map(|reply| reply.data)
}

/// The half hours of a national answer: a list, or the only one by itself.
fn halves(answer: &Answer) -> Result<Vec<Half>, Fault> {
    checked(answer, data::<OneOrMore<Half>>(answer)?.0)
}

/// The half hours of a region's answer, which must be the one asked for.
fn region(answer: &Answer, place: &Place) -> Result<Vec<Half>, Fault> {
    let mut regions = data::<OneOrMore<Region>>(answer)?.0;
    let (Some(region), true) = (regions.pop(), regions.is_empty()) else {
        return Err(answer.wrong("not about one region"));
    };
    let is_asked = match place {
        Place::Nation => false,
        Place::Region(id) => region.regionid.0 == Some(f64::from(*id)),
        Place::Postcode(asked) => region.postcode.as_ref().is_none_or(|code| code.eq_ignore_ascii_case(asked)),
    };
    if !is_asked {
        let id = region.regionid.0.map_or("none".to_owned(), |id| id.to_string());
        let code = region.postcode.map_or(String::new(), |code| format!(", postcode '{}'", printable(&code)));
        return Err(answer.wrong(format!("is about regionid {id}{code}, not {}; look at area", place.end().unwrap_or_default())));
    }
    checked(answer, region.data.0)
}

fn checked(answer: &Answer, halves: Vec<Half>) -> Result<Vec<Half>, Fault> {
    let is_step = |half: &Half| half.length() > TimeDelta::zero() && half.length() <= TimeDelta::days(1);
    match halves.iter().find(|half| !is_step(half)) {
        Some(half) => Err(answer.wrong(format!("a step from {} to {}", half.from.0, half.to.0))),
        None => Ok(halves),
    }
}

impl Half {
    fn length(&self) -> TimeDelta {
        self.to.0 - self.from.0
    }
}

/// Intensities, g/kWh, and whether they are outturns.
fn intensities(halves: &[Half]) -> Vec<(Point, bool)> {
    let value = |half: &Half| {
        let HalfIntensity { forecast, actual } = half.intensity.as_ref()?;
        let outturn = actual.0.map(|value| (value, true));
        outturn.or_else(|| forecast.0.map(|value| (value, false)))
    };
    let point = |half: &Half, value| point(half.from.0, half.length(), value);
    halves.iter().filter_map(|half| value(half).map(|(value, is_outturn)| (point(half, value), is_outturn))).collect()
}

/// Renewable shares from 0 to 1.
fn shares(halves: &[Half]) -> Vec<Point> {
    let share = |half: &Half| Some(point(half.from.0, half.length(), half.generationmix.as_ref()?.renewable?));
    halves.iter().filter_map(share).collect()
}

/// Points, and whether they are observed.
fn put(series: &mut Series, points: impl IntoIterator<Item = (Point, bool)>) {
    for (point, is_observed) in points {
        if is_observed {
            series.observed.push(point);
        } else {
            series.forecast.push(point);
        }
    }
}

#[cfg(test)]
pub(super) fn read_any(answer: &Answer, area: &str) -> Vec<Result<Vec<Point>, Fault>> {
    let halves = || match Place::of(area)? {
        Place::Nation => halves(answer),
        place => region(answer, &place),
    };
    let carbon = halves().map(|halves| intensities(&halves).into_iter().map(|(point, _)| point).collect());
    vec![carbon, halves().map(|halves| shares(&halves))]
}

#[cfg(test)]
mod tests;
