//! Results as one JSON object: the same bytes for the same scenario, seed and version, on any number of threads.

use serde::Serialize;

use crate::account::summary::PolicySummary;
use crate::capacity::Engine;
use crate::run::{Episode, Results};

#[derive(Serialize)]
struct Object<'a> {
    /// Of this format.
    version: u32,
    /// Of the program.
    program: &'static str,
    scenario: &'a str,
    seed: u64,
    forecast: &'a str,
    length_h: f64,
    remarks: &'a [String],
    made_up: &'a [String],
    /// How episodes' `capacity_bound_g` was worked out.
    capacity_bound_by: Option<&'static str>,
    episodes: &'a [Episode],
    policies: &'a [PolicySummary],
}

/// The text, with a line break at its end.
///
/// # Errors
/// A figure is no number that JSON knows.
pub fn text(results: &Results) -> serde_json::Result<String> {
    let Results { scenario, seed, forecast, length_h, remarks, made_up, capacity, episodes, policies, .. } = results;
    let program = concat!("carm-sim ", env!("CARGO_PKG_VERSION"));
    let object = Object {
        version: 1,
        program,
        scenario,
        seed: *seed,
        forecast,
        length_h: *length_h,
        remarks,
        made_up,
        capacity_bound_by: capacity.map(Engine::name),
        episodes,
        policies,
    };
    Ok(carm::text::json(&serde_json::to_string_pretty(&object)?) + "\n")
}
