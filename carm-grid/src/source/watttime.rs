//! WattTime: marginal or average intensity of a grid region, in steps of five minutes.
//!
//! `/v3/historical` and `/v3/forecast` of the signal `co2_moer` (marginal) or `co2_aoer` (average), by the zone's `signal`:
//! an answer about the other, another region or in another unit is refused. Values are pounds of CO2 a MWh. A login gives a
//! token for half an hour; it is kept for the run of the process alone, one for all zones of an account.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use carm::grid::Intensity;
use carm::request::printable;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;

use super::value::{AtMost, Number, Time, point, side_part, warn};
use super::{Area, Ask, Point, Reading, Source, either, history};
use crate::fault::Fault;
use crate::http::{Answer, Http, Request};
use crate::token::Token;

/// The source.
pub struct WattTime;

/// g/kWh in a pound a MWh: a pound is 453.59237 g by definition, a MWh 1000 kWh.
const G_PER_KWH: f64 = 0.453_592_37;
/// The unit that the values are in.
const UNITS: &str = "lbs_co2_per_mwh";
/// A token holds 30 minutes; it is renewed somewhat earlier.
const TOKEN_HOLDS: Duration = Duration::from_secs(25 * 60);
/// The longest span of one request for history; 32 days are the service's own limit.
const SPAN: TimeDelta = TimeDelta::days(30);
/// The service's longest forecast.
const MOST_HOURS: i64 = 72;

/// Tokens of this run, by address and account. A login counts towards a limit of its own (100 in 5 minutes), so whoever needs
/// one waits for whoever is already logging in.
static LOGGED_IN: Mutex<BTreeMap<(String, String), Session>> = Mutex::new(BTreeMap::new());

struct Session {
    token: Token,
    since: Instant,
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

#[derive(Deserialize)]
struct Reply {
    /// Thirty days of five minutes are 8,640.
    data: AtMost<Entry, 10_000>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Entry {
    point_time: Time,
    value: Number,
}

#[derive(Deserialize)]
struct Meta {
    region: String,
    signal_type: String,
    units: String,
    data_point_period_seconds: Number,
    #[serde(default, deserialize_with = "side_part")]
    warnings: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Access {
    signal_types: Vec<SignalAccess>,
}

#[derive(Deserialize)]
struct SignalAccess {
    signal_type: String,
    regions: Vec<RegionAccess>,
}

#[derive(Deserialize)]
struct RegionAccess {
    region: String,
    #[serde(default)]
    region_full_name: Option<String>,
}

impl Source for WattTime {
    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.watttime.org")
    }

    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault> {
        let call = Call { base: base(self, ask), http, ask };
        let mut reading = Reading::default();
        // A plan may include one of forecast and history and not the other; none of the two is a fault of the zone.
        call.token(None)?;
        let forecast = call.forecast(&mut reading.remarks);
        let observed = call.historical(&mut reading.remarks);
        either(&mut reading.carbon_g_per_kwh, observed, forecast, &mut reading.remarks)?;
        Ok(reading)
    }

    fn areas(&self, http: &Http, ask: &Ask) -> Result<Vec<Area>, Fault> {
        let call = Call { base: base(self, ask), http, ask };
        let access: Access = call.get(Request::to(format!("{}/v3/my-access", call.base)), Answer::json)?;
        let ours = access.signal_types.into_iter().filter(|signal| signal.signal_type == signal_type(ask.intensity));
        let areas = ours.flat_map(|signal| signal.regions);
        Ok(areas.map(|region| Area { name: region.region_full_name.unwrap_or_default(), key: region.region }).collect())
    }
}

fn base<'a>(source: &WattTime, ask: &Ask<'a>) -> &'a str {
    ask.live.base_url.as_deref().or(source.base_url()).unwrap_or_default()
}

fn signal_type(intensity: Intensity) -> &'static str {
    match intensity {
        Intensity::Marginal => "co2_moer",
        Intensity::Average => "co2_aoer",
    }
}

struct Call<'a> {
    base: &'a str,
    http: &'a Http,
    ask: &'a Ask<'a>,
}

impl Call<'_> {
    fn request(&self, path: &str) -> Request {
        Request::to(format!("{}/v3/{path}", self.base))
            .with("region", &self.ask.live.area)
            .with("signal_type", signal_type(self.ask.intensity))
    }

    fn forecast(&self, remarks: &mut Vec<String>) -> Result<Vec<Point>, Fault> {
        let hours = ((self.ask.until - self.ask.now).num_minutes() + 59) / 60;
        let request = self.request("forecast").with("horizon_hours", hours.clamp(1, MOST_HOURS));
        self.get(request, |answer| read(answer, self.ask, remarks))
    }

    fn historical(&self, remarks: &mut Vec<String>) -> Result<Vec<Point>, Fault> {
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        history(self.ask, SPAN, SPAN, remarks, |from, to, remarks| {
            let request = self.request("historical").with("start", text(from)).with("end", text(to));
            self.get(request, |answer| read(answer, self.ask, remarks))
        })
    }

    /// Asks with the token of the login, and once more with a new one where the service no longer takes it.
    fn get<T: Send>(&self, request: Request, mut read: impl FnMut(&Answer) -> Result<T, Fault> + Send) -> Result<T, Fault> {
        let token = self.token(None)?;
        match self.http.get(&Request { bearer: Some(token.clone()), ..request.clone() }, &mut read) {
            Err(fault) if is_expired(&fault) => {
                let token = self.token(Some(&token))?;
                self.http.get(&Request { bearer: Some(token), ..request }, read)
            }
            other => other,
        }
    }

    /// The token of this run; a new one where there is none, it is old, or it is the one that the service `refused`.
    fn token(&self, refused: Option<&Token>) -> Result<Token, Fault> {
        let account = self.ask.token.ok_or_else(|| Fault::Setup("token_file: missing; it holds user:password".to_owned()))?;
        if !account.secret().contains(':') {
            return Err(Fault::Setup("token_file: not user:password; put both on its one line, with a colon between".to_owned()));
        }
        let mut known = LOGGED_IN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.base.to_owned(), account.secret().to_owned());
        if let Some(Session { token, since }) = known.get(&key)
            && since.elapsed() < TOKEN_HOLDS
            && Some(token) != refused
        {
            return Ok(token.clone());
        }
        let request = Request { basic: Some(account.clone()), ..Request::to(format!("{}/login", self.base)) };
        let token = self.http.get(&request, bearer).map_err(|fault| match fault {
            Fault::Status { url, status: status @ (401 | 403), said, retry_after, .. } => {
                let way_out = "look at the user:password of token_file";
                Fault::Status { url, status, said, retry_after, way_out }
            }
            other => other,
        })?;
        known.insert(key, Session { token: token.clone(), since: Instant::now() });
        Ok(token)
    }
}

/// The token of a login's answer. Nothing of the answer is told: it is a secret.
fn bearer(answer: &Answer) -> Result<Token, Fault> {
    let login: Option<Login> = serde_json::from_slice(&answer.body).ok();
    let token = login.map(|login| login.token).filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
    token.map(|token| Token::from(token.as_str())).ok_or_else(|| answer.wrong("holds no token"))
}

/// Whether a token ran out: 401, or 403 with a page of the service's web server; its own 403 is JSON and means the plan.
fn is_expired(fault: &Fault) -> bool {
    match fault {
        Fault::Status { status: 401, .. } => true,
        Fault::Status { status: 403, said, .. } => said.is_empty(),
        _ => false,
    }
}

/// The steps of an answer in g/kWh.
pub(super) fn read(answer: &Answer, ask: &Ask, remarks: &mut Vec<String>) -> Result<Vec<Point>, Fault> {
    let Reply { data, meta }: Reply = answer.json()?;
    let expected = signal_type(ask.intensity);
    for (key, said, expected) in [
        ("region", &meta.region, ask.live.area.as_str()),
        ("signal_type", &meta.signal_type, expected),
        ("units", &meta.units, UNITS),
    ] {
        if said != expected {
            return Err(answer.wrong(format!("is of {key} '{}', not '{}'", printable(said), printable(expected))));
        }
    }
    let seconds = meta.data_point_period_seconds.0.filter(|seconds| (60.0..=86_400.0).contains(seconds));
    let Some(seconds) = seconds else {
        return Err(answer.wrong("data_point_period_seconds is none of 60 to 86400"));
    };
    warn("the service", &meta.warnings, remarks);
    let length = TimeDelta::seconds(seconds as i64);
    let points = data.0.into_iter().filter_map(|entry| Some((entry.point_time.0, entry.value.0?)));
    Ok(points.map(|(from, pounds)| point(from, length, pounds * G_PER_KWH)).collect())
}

#[cfg(test)]
mod tests;
