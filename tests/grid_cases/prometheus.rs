//! Prometheus, from its answers to the cache.

use super::desk::{Desk, agrees, at};

#[test]
fn a_roofs_power_comes_as_watts_up_to_now() {
    let desk = Desk::new().zone("roof", "prometheus", "query = \"sum(roof_power_watts)\"\nquantity = \"onsite_w\"");
    desk.fetches();
    let (world, data) = (desk.server.world(), desk.cached("roof"));
    agrees(&data.onsite_w, at("2026-05-01T00:00:00Z"), at("2026-05-01T12:10:00Z"), |t| world.onsite_w("X", t));
    assert_eq!((data.carbon_g_per_kwh, data.renewable_share), (None, None));
    let tomorrow = data.onsite_w.and_then(|signal| signal.at(at("2026-05-02T12:00:00Z"))).expect("CARM's forecast");
    assert!(tomorrow.estimated && tomorrow.value > 0.0, "{tomorrow:?}");
}

#[test]
fn a_query_of_several_series_is_told_with_the_way_out() {
    let desk = Desk::new().zone("roof", "prometheus", "query = \"roof_power_watts\"\nquantity = \"onsite_w\"");
    let said = desk.fetch();
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.err.contains("query: answers 2 series, such as {") && said.err.contains("such as by sum(...)"), "{}", said.err);
}
