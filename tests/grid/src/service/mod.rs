//! The services: one file each, in the shape that the service documents.

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::World;

pub mod carbon_aware_sdk;
pub mod carbon_intensity_gb;
pub mod eia;
pub mod electricity_maps;
pub mod energy_charts;
pub mod entsoe;
pub mod plain;
pub mod prometheus;
pub mod watttime;

/// What the service that a request names answers about a world.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    let answer = match asked.service.as_str() {
        "carbon-aware-sdk" => carbon_aware_sdk::answer,
        "carbon-intensity-gb" => carbon_intensity_gb::answer,
        "eia" => eia::answer,
        "electricity-maps" => electricity_maps::answer,
        "energy-charts" => energy_charts::answer,
        "entsoe" => entsoe::answer,
        "plain" => plain::answer,
        "prometheus" => prometheus::answer,
        "watttime" => watttime::answer,
        _ => return Reply::not_found(),
    };
    answer(asked, world)
}
