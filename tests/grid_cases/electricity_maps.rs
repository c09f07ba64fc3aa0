//! Electricity Maps, from its answers to the cache.

use carm::grid::Intensity;

use super::desk::{Desk, agrees, at};

#[test]
fn intensity_and_share_are_cached_as_the_service_gives_them_in_both_versions() {
    for keys in ["TOKEN", "TOKEN\napi = \"v3\""] {
        let desk = Desk::new().zone("DE", "electricity-maps", keys);
        desk.fetches();
        let (world, data) = (desk.server.world(), desk.cached("DE"));
        assert_eq!((data.source.as_str(), data.intensity), ("electricity-maps", Intensity::Average));
        agrees(&data.carbon_g_per_kwh, at("2026-04-30T13:00:00Z"), at("2026-05-04T12:00:00Z"), |t| world.intensity("DE", t));
        agrees(&data.renewable_share, at("2026-04-30T13:00:00Z"), at("2026-05-04T12:00:00Z"), |t| world.share("DE", t));
    }
}
