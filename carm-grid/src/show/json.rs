//! What is shown, as one JSON object: times in RFC 3339 UTC with milliseconds, figures unrounded.

use carm::quantity::format_instant;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::look::Look;
use super::windows;
use crate::exit::Refusal;

#[derive(Serialize)]
struct Object {
    version: u32,
    zones: Vec<Zone>,
}

#[derive(Serialize)]
struct Zone {
    zone: String,
    source: String,
    intensity: &'static str,
    intensity_unit: &'static str,
    intensity_from_share: bool,
    now: String,
    until: String,
    fetched: Option<String>,
    observed_until: Option<String>,
    age_s: Option<f64>,
    past_max_age: bool,
    steps: Vec<StepForm>,
    windows: Vec<WindowForm>,
}

#[derive(Serialize)]
struct StepForm {
    from: String,
    to: String,
    carbon_g_per_kwh: Option<f64>,
    carbon_low_g_per_kwh: Option<f64>,
    carbon_high_g_per_kwh: Option<f64>,
    renewable_share: Option<f64>,
    onsite_w: Option<f64>,
    estimated: Vec<&'static str>,
    provisional: Vec<&'static str>,
}

#[derive(Serialize)]
struct WindowForm {
    hours: i64,
    from: String,
    to: String,
    mean_g_per_kwh: f64,
    at_once_g_per_kwh: f64,
    estimated_share: f64,
}

/// The object.
pub fn text(looks: &[Look]) -> Result<String, Refusal> {
    let object = Object { version: 1, zones: looks.iter().map(zone).collect() };
    let text = serde_json::to_string_pretty(&object).map_err(|error| Refusal::new(format!("writing JSON: {error}")))?;
    Ok(carm::text::json(&text) + "\n")
}

fn zone(look: &Look) -> Zone {
    let instants = look.instants();
    let ends = instants.iter().skip(1).copied().chain([look.until]);
    let step = |(&from, to): (&DateTime<Utc>, DateTime<Utc>)| {
        let at = look.at(from);
        let [carbon, share, onsite] = at;
        StepForm {
            from: format_instant(from),
            to: format_instant(to),
            carbon_g_per_kwh: carbon.map(|step| step.value),
            carbon_low_g_per_kwh: carbon.map(|step| step.low),
            carbon_high_g_per_kwh: carbon.map(|step| step.high),
            renewable_share: share.map(|step| step.value),
            onsite_w: onsite.map(|step| step.value),
            estimated: Look::marked(&at, |step| step.estimated),
            provisional: Look::marked(&at, |step| step.provisional),
        }
    };
    let window = |window: windows::Window| WindowForm {
        hours: window.hours,
        from: format_instant(window.from),
        to: format_instant(window.to),
        mean_g_per_kwh: window.mean_g_per_kwh,
        at_once_g_per_kwh: window.at_once_g_per_kwh,
        estimated_share: window.estimated_share,
    };
    Zone {
        zone: look.zone.clone(),
        source: look.source.clone(),
        intensity: look.intensity.word(),
        intensity_unit: look.unit,
        intensity_from_share: look.from_share,
        now: format_instant(look.now),
        until: format_instant(look.until),
        fetched: look.fetched.map(format_instant),
        observed_until: look.observed_until.map(format_instant),
        age_s: look.age_s(),
        past_max_age: look.old,
        steps: instants.iter().zip(ends).map(step).collect(),
        windows: look.carbon_g_per_kwh.iter().flat_map(windows::best).map(window).collect(),
    }
}
