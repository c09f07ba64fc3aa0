//! Energy-Charts, from its answers to the cache.

use super::desk::{Desk, agrees, at};

#[test]
fn intensity_is_reckoned_from_public_power_and_the_share_is_the_services() {
    let desk = Desk::new().zone("DE", "energy-charts", "");
    desk.fetches();
    let (world, data) = (desk.server.world(), desk.cached("DE"));
    // Wind is told an hour late, and with it the intensity; the share's forecast covers the day from its begin.
    agrees(&data.carbon_g_per_kwh, at("2026-05-01T00:00:00Z"), at("2026-05-01T11:15:00Z"), |t| world.intensity("DE", t));
    agrees(&data.renewable_share, at("2026-05-01T00:00:00Z"), at("2026-05-04T00:00:00Z"), |t| world.share("DE", t));
    let after = data.carbon_g_per_kwh.and_then(|signal| signal.at(at("2026-05-01T12:00:00Z"))).expect("CARM's forecast");
    assert!(after.estimated, "{after:?}");
}
