//! Data files of the Green Software Foundation's carbon-aware-sdk: JSON, `{"Emissions": [{"Location", "Time", "Rating", "Duration"}]}`, often
//! with a byte order mark, ratings as numbers or as text, in gCO2/kWh.

use std::collections::BTreeSet;

use carm::request::printable;
use chrono::TimeDelta;
use serde::Deserialize;

use super::Said;
use super::clock::Times;
use super::rows::{Column, Rows, number};
use crate::source::value::time_span;

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Wrapped {
        #[serde(alias = "Emissions")]
        emissions: Vec<Emission>,
    },
    Bare(Vec<Emission>),
}

#[derive(Deserialize)]
struct Emission {
    #[serde(alias = "Location")]
    location: String,
    #[serde(alias = "Time")]
    time: String,
    #[serde(alias = "Rating")]
    rating: Option<Rating>,
    #[serde(alias = "Duration", default)]
    duration: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rating {
    Number(f64),
    Text(String),
}

/// Reads a data file.
pub fn read(text: &str, said: &Said, remarks: &mut Vec<String>) -> Result<Rows, String> {
    let shape = "{\"Emissions\": [{\"Location\", \"Time\", \"Rating\", \"Duration\"}]}";
    let file: File = serde_json::from_str(text).map_err(|error| format!("not a carbon-aware-sdk data file, {shape}: {error}"))?;
    let (File::Wrapped { mut emissions } | File::Bare(mut emissions)) = file;
    let location = location(&emissions, said)?;
    emissions.retain(|emission| emission.location == location);
    let mut rows = Rows::about(format!("carbon-aware-sdk data file, location {}", printable(&location)), said.clamp);
    let mut times = Times::by(said.clock);
    let mut durations: BTreeSet<TimeDelta> = BTreeSet::new();
    for (index, emission) in emissions.iter().enumerate() {
        let here = |cause: String| format!("emission {} of {}: {cause}", index + 1, printable(&location));
        let at = times.read(&emission.time).map_err(here)?;
        let rating = match &emission.rating {
            Some(Rating::Number(rating)) => Some(*rating),
            Some(Rating::Text(text)) => number(text).map_err(|cause| here(format!("rating {cause}")))?,
            None => None,
        };
        rows.take(Column::Carbon, at, rating).map_err(here)?;
        if let Some(text) = &emission.duration {
            durations
                .insert(time_span(text).ok_or_else(|| here(format!("duration '{}': not hh:mm:ss or hh:mm", printable(text))))?);
        }
    }
    // Of some that differ, the times themselves tell the step.
    if let (Some(&one), 1) = (durations.first(), durations.len()) {
        if one > TimeDelta::zero() {
            rows.step = Some(one);
        }
    } else if durations.len() > 1 {
        remarks.push(format!("{} durations; the step is the usual distance of two times", durations.len()));
    }
    Ok(rows)
}

fn location(emissions: &[Emission], said: &Said) -> Result<String, String> {
    let known: BTreeSet<&str> = emissions.iter().map(|emission| emission.location.as_str()).collect();
    let list = || known.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ");
    match (&said.location, known.len()) {
        (_, 0) => Err("no emissions in it".to_owned()),
        (Some(name), _) if known.contains(name.as_str()) => Ok(name.clone()),
        (Some(name), _) => Err(format!("no location '{}'; it has {}", printable(name), list())),
        (None, 1) => Ok(known.iter().copied().collect()),
        (None, _) => Err(format!("several locations; say which: --location, one of {}", list())),
    }
}
