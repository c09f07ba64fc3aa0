//! WattTime, from its answers to the cache.

use carm::grid::Intensity;
use grid_standin::{PASSWORD, USER};

use super::desk::{Desk, agrees, at};

const KEYS: &str = "area = \"PJM_DC\"\ntoken_file = \"account\"";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("account", &format!("{USER}:{PASSWORD}"), 0o640);
    desk
}

#[test]
fn marginal_and_average_are_two_zones_of_one_account_and_never_mixed() {
    let desk = desk();
    let desk = desk.zone("east", "watttime", KEYS).zone("mean", "watttime", &format!("{KEYS}\nsignal = \"average\""));
    desk.fetches();
    let world = desk.server.world();
    let (from, to) = (at("2026-05-01T00:00:00Z"), at("2026-05-04T12:00:00Z"));
    let east = desk.cached("east");
    assert_eq!((east.intensity, east.renewable_share), (Intensity::Marginal, None));
    agrees(&east.carbon_g_per_kwh, from, to, |t| world.marginal("PJM_DC", t));
    let mean = desk.cached("mean");
    assert_eq!(mean.intensity, Intensity::Average);
    agrees(&mean.carbon_g_per_kwh, from, to, |t| world.intensity("PJM_DC", t));
    assert_eq!(desk.server.count("/login"), 1, "one login for the account");
}

#[test]
fn a_wrong_password_is_told_with_the_way_out_and_never_shown() {
    let desk = desk();
    desk.file("account", "carm:not-the-password", 0o640);
    let said = desk.zone("east", "watttime", KEYS).fetch();
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.err.contains("east"), "{}", said.err);
    assert!(said.err.contains("look at the user:password of token_file"), "{}", said.err);
    assert!(!said.err.contains("not-the-password") && !said.out.contains("not-the-password"), "{said:?}");
}
