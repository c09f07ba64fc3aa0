//! carm-grid against the stand-in services on loopback: what it fetches, what it does when services fail, and what it says.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // clippy exempts test functions, not what they are written with

#[path = "grid_cases/desk.rs"]
#[allow(dead_code)]
mod desk;

// What carm-grid does, whatever the source.
#[path = "grid_cases/check.rs"]
mod check;
#[path = "grid_cases/failures.rs"]
mod failures;
#[path = "grid_cases/fetch.rs"]
mod fetch;
#[path = "grid_cases/import.rs"]
mod import;
#[path = "grid_cases/score.rs"]
mod score;
#[path = "grid_cases/show.rs"]
mod show;
#[path = "grid_cases/steps.rs"]
mod steps;
#[path = "grid_cases/tokens.rs"]
mod tokens;
#[path = "grid_cases/zones.rs"]
mod zones;

// What each source gives.
#[path = "grid_cases/carbon_aware_sdk.rs"]
mod carbon_aware_sdk;
#[path = "grid_cases/carbon_intensity_gb.rs"]
mod carbon_intensity_gb;
#[path = "grid_cases/command.rs"]
mod command;
#[path = "grid_cases/eia.rs"]
mod eia;
#[path = "grid_cases/electricity_maps.rs"]
mod electricity_maps;
#[path = "grid_cases/energy_charts.rs"]
mod energy_charts;
#[path = "grid_cases/entsoe.rs"]
mod entsoe;
#[path = "grid_cases/prometheus.rs"]
mod prometheus;
#[path = "grid_cases/watttime.rs"]
mod watttime;
