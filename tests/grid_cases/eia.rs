//! EIA, from its answers to the cache.

use chrono::TimeDelta;

use super::desk::{Desk, at};

#[test]
fn what_is_a_day_late_is_continued_to_the_present_and_marked() {
    let desk = Desk::new().zone("ERCO", "eia", "TOKEN");
    desk.fetches();
    let (world, data) = (desk.server.world(), desk.cached("ERCO"));
    let carbon = data.carbon_g_per_kwh.expect("a signal");
    // Named by the hours' ends: the last that is told begins a day and an hour ago.
    let last = carbon.steps().iter().rfind(|step| !step.estimated).expect("a step").from;
    assert!(last <= desk.now - TimeDelta::hours(23) && last > desk.now - TimeDelta::hours(26), "{last}");
    assert!(carbon.at(desk.now).is_some_and(|step| step.estimated), "now is CARM's own");
    let share = data.renewable_share.expect("a signal");
    for hour in 0..24 {
        let t = at("2026-04-29T00:00:00Z") + TimeDelta::hours(hour);
        // Biomass has no code of its own: it is in OTH.
        let biomass = world.generation_mw("ERCO", grid_standin::Fuel::Biomass, t) / world.total_mw("ERCO", t);
        let (told, expected) = (share.at(t).expect("a step"), world.share("ERCO", t) - biomass);
        assert!(!told.estimated && (told.value - expected).abs() < 1e-3, "{t}: {told:?} is not {expected}");
    }
}

#[test]
fn a_refused_key_is_told_and_never_shown() {
    let desk = Desk::new();
    desk.file("other", "not-the-key", 0o600);
    let said = desk.zone("ERCO", "eia", "token_file = \"other\"").fetch();
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.err.contains("answered 403 ('An invalid api_key was supplied.')"), "{}", said.err);
    assert!(!said.err.contains("not-the-key"), "{}", said.err);
}
