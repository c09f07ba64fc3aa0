//! The Carbon Intensity API of Great Britain, from its answers to the cache.

use super::desk::{Desk, agrees, at};

#[test]
fn the_nations_outturn_is_followed_by_its_forecast() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.fetches();
    let (world, data) = (desk.server.world(), desk.cached("GB"));
    // The outturn of the half hour from 11:30 is not there yet at 12:10.
    assert_eq!(data.observed_until, at("2026-05-01T11:30:00Z"));
    agrees(&data.carbon_g_per_kwh, at("2026-05-01T00:00:00Z"), at("2026-05-01T11:30:00Z"), |t| world.intensity("GB", t));
    let forecast = |t| world.intensity("GB", t) + 5.0;
    agrees(&data.carbon_g_per_kwh, at("2026-05-01T11:30:00Z"), at("2026-05-03T12:00:00Z"), forecast);
    agrees(&data.renewable_share, at("2026-05-01T00:00:00Z"), at("2026-05-01T12:00:00Z"), |t| world.share("GB", t));
}

#[test]
fn a_region_and_a_postcode_have_intensity_and_share() {
    let desk = Desk::new().zone("London", "carbon-intensity-gb", "area = \"13\"").zone("ox1", "carbon-intensity-gb", "");
    desk.fetches();
    let world = desk.server.world();
    for (zone, region) in [("London", "13"), ("ox1", "12")] {
        let data = desk.cached(zone);
        let (from, to) = (at("2026-05-01T00:00:00Z"), at("2026-05-03T12:00:00Z"));
        agrees(&data.carbon_g_per_kwh, from, to, |t| world.intensity(region, t));
        agrees(&data.renewable_share, from, to, |t| world.share(region, t));
    }
}
