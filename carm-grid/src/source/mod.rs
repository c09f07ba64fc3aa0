//! The sources: one small trait, one file each. A source knows the service's requests and answers and nothing else: what is
//! asked when, retried, cached, joined with earlier data and forecast is the same for all, elsewhere.

#[cfg(test)]
mod bench;
mod carbon_aware_sdk;
mod carbon_intensity_gb;
mod command;
mod contradiction;
mod eia;
mod electricity_maps;
mod energy_charts;
mod entsoe;
mod generation;
#[cfg(test)]
mod hostile;
mod prometheus;
pub mod value;
mod watttime;

use carm::config::{Live, Service};
use carm::grid::Intensity;
use carm::quantity::format_instant;
use chrono::{DateTime, TimeDelta, Utc};

use crate::fault::Fault;
use crate::http::Http;
use crate::token::Token;

/// The unit of life-cycle intensities: all greenhouse gases, from plant and fuel on.
pub const CO2E: &str = "gCO2e/kWh";

/// The unit of a service's intensity. Great Britain's and WattTime's are CO2 from the stacks alone, without other gases and
/// without what it takes to build plants and to bring fuel; any other is taken for life-cycle CO2e.
pub fn unit(service: Service) -> &'static str {
    match service {
        Service::CarbonIntensityGb | Service::WattTime => "gCO2/kWh of operation",
        _ => CO2E,
    }
}

/// What a source is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The zone's own keys.
    pub live: &'a Live,
    /// Which intensity is wanted.
    pub intensity: Intensity,
    /// The token, where the zone names a file.
    pub token: Option<&'a Token>,
    /// The present.
    pub now: DateTime<Utc>,
    /// What is known already ends here: history from there on is wanted, as far as the service gives it.
    pub since: DateTime<Utc>,
    /// The forecast is wanted up to here, as far as the service gives it.
    pub until: DateTime<Utc>,
}

/// A value over a span, as a source gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its begin.
    pub from: DateTime<Utc>,
    /// How long it holds.
    pub length: TimeDelta,
    /// g/kWh, a share from 0 to 1, or W.
    pub value: f64,
    /// The band, where the source gives one.
    pub band: Option<(f64, f64)>,
    /// Marked by the source as an estimate that it will replace.
    pub provisional: bool,
}

/// A signal as a source gives it: in any order, with gaps and repetitions; they are dealt with once for all sources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What was.
    pub observed: Vec<Point>,
    /// What is expected.
    pub forecast: Vec<Point>,
}

/// What a source said, in CARM's units.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Carbon intensity, g/kWh, of the kind that was asked for.
    pub carbon_g_per_kwh: Series,
    /// Renewable share, 0 to 1.
    pub renewable_share: Series,
    /// On-site power, W.
    pub onsite_w: Series,
    /// What the admin should know although it worked: a part that the service's plan does not include.
    pub remarks: Vec<String>,
}

/// A request that the intensity does not depend on: its failure is a remark, and the reading goes on without it.
pub fn optional<T>(result: Result<T, Fault>, what: &str, remarks: &mut Vec<String>) -> Option<T> {
    result.map_err(|fault| remarks.push(format!("{what}: {fault}"))).ok()
}

/// Puts observations and forecast of the intensity into a series: one of the two is enough.
///
/// # Errors
/// Both failed: the fault of the observations.
pub fn either(
    series: &mut Series,
    observed: Result<Vec<Point>, Fault>,
    forecast: Result<Vec<Point>, Fault>,
    remarks: &mut Vec<String>,
) -> Result<(), Fault> {
    if let (Err(fault), Err(_)) = (&observed, &forecast) {
        return Err(fault.clone());
    }
    series.observed = optional(observed, "no history", remarks).unwrap_or_default();
    series.forecast = optional(forecast, "no forecast", remarks).unwrap_or_default();
    Ok(())
}

/// Requests the history from `ask.since` to `ask.now` in parts, the newest first: `newest` long, then `older` each. The newest
/// part decides. An older part that is refused ends the history, with a remark: services and plans differ in how far back
/// they go.
///
/// # Errors
/// The newest part failed.
pub fn history<T>(
    ask: &Ask,
    newest: TimeDelta,
    older: TimeDelta,
    remarks: &mut Vec<String>,
    mut part: impl FnMut(DateTime<Utc>, DateTime<Utc>, &mut Vec<String>) -> Result<Vec<T>, Fault>,
) -> Result<Vec<T>, Fault> {
    let from = ask.since.max(ask.now - newest);
    let mut parts = vec![part(from, ask.now, remarks)?];
    let mut to = from;
    while to > ask.since {
        let from = ask.since.max(to - older);
        let result = part(from, to, remarks);
        let Some(points) = optional(result, &format!("no history before {}", format_instant(to)), remarks) else { break };
        parts.push(points);
        to = from;
    }
    let mut all = parts.pop().unwrap_or_default();
    while let Some(mut part) = parts.pop() {
        all.append(&mut part);
    }
    Ok(all)
}

/// An area that a service knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// What `area` says.
    pub key: String,
    /// What people call it.
    pub name: String,
}

/// A service, as CARM asks it.
pub trait Source: Sync {
    /// Where it answers unless `base_url` says otherwise; none where every site has its own.
    fn base_url(&self) -> Option<&'static str>;

    /// Asks for history, present and forecast.
    ///
    /// # Errors
    /// The service did not answer, or with something else than was asked.
    fn ask(&self, http: &Http, ask: &Ask) -> Result<Reading, Fault>;

    /// The areas that it knows; where it has no request for that, those that it documents.
    ///
    /// # Errors
    /// As [`Source::ask`].
    fn areas(&self, http: &Http, ask: &Ask) -> Result<Vec<Area>, Fault>;
}

/// The source of a service.
pub fn of(service: Service) -> Option<&'static dyn Source> {
    Some(match service {
        Service::ElectricityMaps => &electricity_maps::ElectricityMaps,
        Service::WattTime => &watttime::WattTime,
        Service::CarbonIntensityGb => &carbon_intensity_gb::CarbonIntensityGb,
        Service::EnergyCharts => &energy_charts::EnergyCharts,
        Service::Entsoe => &entsoe::Entsoe,
        Service::Eia => &eia::Eia,
        Service::CarbonAwareSdk => &carbon_aware_sdk::CarbonAwareSdk,
        Service::Prometheus => &prometheus::Prometheus,
        Service::Command => &command::Command,
    })
}
