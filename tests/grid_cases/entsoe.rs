//! ENTSO-E, from its answers to the cache.

use grid_standin::TOKEN;

use super::desk::{Desk, agrees, at};

const EIC: &str = "10Y1001A1001A83F";

#[test]
fn intensity_and_share_are_reckoned_from_generation_by_type() {
    let desk = Desk::new().zone("DE", "entsoe", "TOKEN");
    desk.fetches();
    let (world, data) = (desk.server.world(), desk.cached("DE"));
    // It is told an hour late.
    agrees(&data.carbon_g_per_kwh, at("2026-05-01T00:00:00Z"), at("2026-05-01T11:00:00Z"), |t| world.intensity(EIC, t));
    agrees(&data.renewable_share, at("2026-05-01T00:00:00Z"), at("2026-05-01T11:00:00Z"), |t| world.share(EIC, t));
    let tomorrow = at("2026-05-02T12:00:00Z");
    let carbon = data.carbon_g_per_kwh.and_then(|signal| signal.at(tomorrow)).expect("CARM's forecast");
    assert!(carbon.estimated, "the platform has no forecast of the other fuels: {carbon:?}");
    let share = data.renewable_share.and_then(|signal| signal.at(tomorrow)).expect("the forecast");
    assert!(!share.estimated && (share.value - world.share(EIC, tomorrow)).abs() < 1e-3, "{share:?}");
    assert!(desk.server.seen().iter().all(|seen| seen.target.contains(TOKEN)), "the token is in the query");
}

#[test]
fn a_refused_token_a_mistyped_area_and_an_area_without_data_are_told_and_no_token_is() {
    let desk = Desk::new();
    desk.file("other", "not-the-token", 0o600);
    let desk = desk.zone("refused", "entsoe", "area = \"DE\"\ntoken_file = \"other\"").zone(
        "mistyped",
        "entsoe",
        "area = \"10Y1001A1001A84F\"\nTOKEN",
    );
    let said = desk.fetch();
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.err.contains("answered 401 ('Unauthorized. Missing or invalid security token.')"), "{}", said.err);
    assert!(said.err.contains("area: '10Y1001A1001A84F' is a mistyped EIC code"), "{}", said.err);
    assert!(!said.err.contains("not-the-token") && !said.err.contains(TOKEN), "{}", said.err);
}
