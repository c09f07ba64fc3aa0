//! A profile as the file has it, and the checks that make it a [`Profile`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Level, Profile};
use crate::located::{Located, TomlError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    name: String,
    gpu: Option<String>,
    model: Option<String>,
    source: String,
    #[serde(default = "one")]
    default_workers: u32,
    #[serde(default)]
    measured: bool,
    throughput: Option<f64>,
    #[serde(default)]
    level: Vec<RawLevel>,
    #[serde(default)]
    scaling: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLevel {
    clock_mhz: u32,
    watts: f64,
    speed: f64,
    latency_ms: Option<f64>,
}

fn one() -> u32 {
    1
}

pub(super) fn check(raw: RawProfile, at: &Located) -> Result<Profile, TomlError> {
    let name = raw.name.parse().map_err(|e| at.refuse("name", &raw.name, e))?;
    if raw.level.is_empty() {
        return Err(at.refuse_absent("level", "no level; give one [[level]] at least"));
    }
    let mut levels: Vec<Level> = Vec::with_capacity(raw.level.len());
    let top_mhz = raw.level.iter().map(|level| level.clock_mhz).max().unwrap_or_default();
    for (index, level) in raw.level.iter().enumerate() {
        let key = |field: &str| format!("level[{index}].{field}");
        if !(1..=10_000).contains(&level.clock_mhz) {
            return Err(at.refuse(&key("clock_mhz"), level.clock_mhz, "not a clock; give MHz from 1 to 10000"));
        }
        if levels.iter().any(|seen| seen.clock_mhz == level.clock_mhz) {
            return Err(at.refuse(&key("clock_mhz"), level.clock_mhz, "stands twice; each clock once"));
        }
        if !(f64::MIN_POSITIVE..=10_000.0).contains(&level.watts) {
            return Err(at.refuse(&key("watts"), level.watts, "not a power; give watts above 0, up to 10000"));
        }
        if level.speed > 1.0 {
            return Err(at.refuse(&key("speed"), level.speed, "over 1; speed is relative to the highest clock, which has 1"));
        }
        if !(f64::MIN_POSITIVE..=1.0).contains(&level.speed) {
            return Err(at.refuse(&key("speed"), level.speed, "not a speed; give more than 0, up to 1"));
        }
        if level.clock_mhz == top_mhz && level.speed != 1.0 {
            return Err(at.refuse(&key("speed"), level.speed, "the highest clock's; it must be 1"));
        }
        if let Some(latency) = level.latency_ms
            && !(latency > 0.0 && latency.is_finite())
        {
            return Err(at.refuse(&key("latency_ms"), latency, "not a latency; give milliseconds above 0"));
        }
        let RawLevel { clock_mhz, watts, speed, latency_ms } = *level;
        levels.push(Level { clock_mhz, watts, speed, latency_ms });
    }
    levels.sort_by_key(|level| level.clock_mhz);
    if !(1..=1024).contains(&raw.default_workers) {
        return Err(at.refuse("default_workers", raw.default_workers, "not a GPU count; give 1 to 1024"));
    }
    if let Some(throughput) = raw.throughput
        && !(throughput > 0.0 && throughput.is_finite())
    {
        return Err(at.refuse("throughput", throughput, "not a throughput; give a number above 0"));
    }
    let mut scaling = BTreeMap::new();
    for (count, &throughput) in &raw.scaling {
        let key = format!("scaling.{count}");
        let workers: u32 = count
            .parse()
            .ok()
            .filter(|n| (1..=1024).contains(n))
            .ok_or_else(|| at.refuse(&key, count, "not a GPU count; give 1 to 1024"))?;
        if !(throughput > 0.0 && throughput.is_finite()) {
            return Err(at.refuse(&key, throughput, "not a throughput; give a number above 0"));
        }
        scaling.insert(workers, throughput);
    }
    Ok(Profile {
        name,
        gpu: raw.gpu,
        model: raw.model,
        source: raw.source,
        measured: raw.measured,
        default_workers: raw.default_workers,
        throughput: raw.throughput,
        levels,
        scaling,
    })
}
