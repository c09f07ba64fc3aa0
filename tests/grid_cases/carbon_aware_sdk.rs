//! A carbon-aware-sdk WebApi, from its answers to the cache.

use carm::grid::Intensity;

use super::desk::{Desk, agrees, at};

#[test]
fn the_zone_says_which_intensity_stands_behind_the_webapi() {
    let desk =
        Desk::new().zone("eastus", "carbon-aware-sdk", "").zone("marginal-west", "carbon-aware-sdk", "signal = \"marginal\"");
    desk.fetches();
    let world = desk.server.world();
    let (from, to) = (at("2026-05-01T00:00:00Z"), at("2026-05-02T12:00:00Z"));
    let east = desk.cached("eastus");
    assert_eq!((east.intensity, east.renewable_share), (Intensity::Average, None));
    agrees(&east.carbon_g_per_kwh, from, to, |t| world.intensity("eastus", t));
    let west = desk.cached("marginal-west");
    assert_eq!(west.intensity, Intensity::Marginal);
    agrees(&west.carbon_g_per_kwh, from, to, |t| world.marginal("marginal-west", t));
}

#[test]
fn a_source_without_a_forecast_is_continued_with_a_remark() {
    let desk = Desk::new().zone("no-forecast", "carbon-aware-sdk", "");
    let said = desk.fetch();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("no forecast: the source behind the WebApi has none"), "{}", said.err);
    let carbon = desk.cached("no-forecast").carbon_g_per_kwh.expect("a signal");
    assert!(carbon.at(at("2026-05-02T12:00:00Z")).is_some_and(|step| step.estimated));
}
