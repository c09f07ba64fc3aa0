//! The signals that show and score speak of: a zone of the configuration, from its trace or from the cache, or a trace file.

use std::path::Path;

use carm::config::{Config, Source, Zone};
use carm::grid::{Intensity, Signal, TYPICAL_DAY_SOURCE, Trace, cache, load, typical_day};
use carm::quantity::rough_duration;
use chrono::{DateTime, TimeDelta, Utc};

use crate::exit::Refusal;
use crate::source;

/// A zone's signals as they were given: nothing is added to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The zone, or the file.
    pub name: String,
    /// Where they come from, for people.
    pub source: String,
    /// Which intensity it is.
    pub intensity: Intensity,
    /// The unit of the intensity, with its gases.
    pub unit: &'static str,
    /// When the source last answered; none where nothing is fetched.
    pub fetched: Option<DateTime<Utc>>,
    /// Up to when the data are observations, where that is known.
    pub observed_until: Option<DateTime<Utc>>,
    /// Whether CARM's forecast continues them in plans.
    pub extend: bool,
    /// Carbon intensity of the grid, g/kWh.
    pub carbon_g_per_kwh: Option<Signal>,
    /// Renewable share of the grid's power, 0 to 1.
    pub renewable_share: Option<Signal>,
    /// On-site power, W.
    pub onsite_w: Option<Signal>,
}

/// The signals of a zone of the configuration.
///
/// # Errors
/// Its trace or its cache cannot be read.
pub fn of_zone(config: &Config, zone: &Zone, now: DateTime<Utc>) -> Result<Given, Refusal> {
    let named = |cause: &dyn std::fmt::Display| Refusal::new(format!("zone '{}': {cause}", zone.name));
    match &zone.source {
        Source::Trace { path, extend } => {
            let trace = load::trace(path).map_err(|error| named(&error))?;
            Ok(Given { extend: *extend, intensity: zone.intensity, ..of_trace(&zone.name, path, trace) })
        }
        Source::TypicalDay { utc_offset_s } => Ok(Given {
            name: zone.name.clone(),
            source: TYPICAL_DAY_SOURCE.to_owned(),
            intensity: zone.intensity,
            unit: source::CO2E,
            fetched: None,
            observed_until: None,
            extend: false,
            carbon_g_per_kwh: typical_day(now - TimeDelta::days(1), now + TimeDelta::days(7), *utc_offset_s),
            renewable_share: None,
            onsite_w: None,
        }),
        Source::Live(live) => {
            let data = cache::read(&config.grid.cache_dir, &zone.name).map_err(|error| named(&error))?;
            Ok(Given {
                name: data.zone,
                source: live.service.name().to_owned(),
                intensity: data.intensity,
                unit: source::unit(live.service),
                fetched: Some(data.fetched),
                observed_until: Some(data.observed_until),
                extend: live.extend,
                carbon_g_per_kwh: data.carbon_g_per_kwh,
                renewable_share: data.renewable_share,
                onsite_w: data.onsite_w,
            })
        }
    }
}

/// The signals of a trace file.
///
/// # Errors
/// It cannot be read, or a line of it is wrong.
pub fn of_file(path: &Path) -> Result<Given, Refusal> {
    let trace = load::trace(path).map_err(Refusal::new)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Given { extend: true, ..of_trace(&name, path, trace) })
}

fn of_trace(name: &str, path: &Path, trace: Trace) -> Given {
    Given {
        name: name.to_owned(),
        source: path.display().to_string(),
        intensity: Intensity::Average,
        unit: source::CO2E,
        fetched: None,
        observed_until: None,
        extend: false,
        carbon_g_per_kwh: trace.carbon_g_per_kwh,
        renewable_share: trace.renewable_share,
        onsite_w: trace.onsite_w,
    }
}

/// The ages of fetched data: of the last request and of the last observed value.
pub fn ages(fetched: DateTime<Utc>, observed_until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let ago = |time: DateTime<Utc>| rough_duration((now - time).as_seconds_f64().max(0.0));
    format!("fetched {} ago, observed up to {} ago", ago(fetched), ago(observed_until))
}

/// Whether a word names a file rather than a zone.
pub fn is_file(word: &str) -> bool {
    word.contains('/') || Path::new(word).extension().is_some_and(|kind| kind.eq_ignore_ascii_case("csv"))
}
