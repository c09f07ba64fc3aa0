//! Signals of all steps, in all weathers: clock changes, gaps, repetitions, short forecasts.

use chrono::TimeDelta;
use grid_standin::Trouble;

use crate::desk::{Desk, at};

/// The steps that the source gave are those of the world, an hour each, through a change of clocks.
fn follows_the_world(now: &str) {
    let mut desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.now = at(now);
    desk.server.set_now(desk.now);
    desk.server.trouble("electricity-maps", Trouble::LocalTimes);
    desk.fetches();
    let signal = desk.cached("DE").carbon_g_per_kwh.expect("an intensity");
    let world = desk.server.world();
    let given: Vec<_> = signal.steps().iter().filter(|step| !step.estimated).collect();
    assert!(given.len() > 24, "{}", given.len());
    for pair in given.windows(2) {
        assert_eq!(pair[1].from - pair[0].from, TimeDelta::hours(1), "{}", pair[0].from);
    }
    for step in given {
        assert!((step.value - world.intensity("DE", step.from)).abs() <= 0.5, "{step:?}");
    }
}

#[test]
fn the_hour_that_clocks_skip_is_no_gap() {
    follows_the_world("2026-03-29T08:10:00Z");
}

#[test]
fn the_hour_that_clocks_repeat_is_two() {
    follows_the_world("2026-10-25T08:10:00Z");
}

#[test]
fn order_repetitions_and_a_missing_step_are_put_right() {
    for trouble in [Trouble::Backwards, Trouble::Duplicates, Trouble::Gap] {
        let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
        desk.server.trouble("carbon-intensity", trouble);
        let said = desk.fetch();
        assert_eq!(said.code, 0, "{trouble}: {}", said.err);
        let signal = desk.cached("DE").carbon_g_per_kwh.expect("an intensity");
        let world = desk.server.world();
        let past: Vec<_> = signal.steps().iter().filter(|step| step.from < desk.now).collect();
        assert!(past.len() >= 12, "{trouble}: {}", past.len());
        for step in past.iter().filter(|step| !step.estimated) {
            assert!((step.value - world.intensity("DE", step.from)).abs() <= 0.5, "{trouble}: {step:?}");
        }
    }
}

#[test]
fn what_lies_before_a_gap_that_nothing_fills_is_left_out_and_a_line_says_so() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.server.trouble("carbon-intensity", Trouble::LongGap);
    let said = desk.fetch();
    assert_eq!(said.code, 0, "{}", said.err);
    let line = "zone 'DE': electricity-maps: carbon_g_per_kwh: no data from 2026-04-30T20:00:00.000Z to 2026-05-01T06:00:00.000Z; \
                what was before is left out";
    assert!(said.err.contains(line), "{}", said.err);
    assert_eq!(desk.cached("DE").carbon_g_per_kwh.expect("an intensity").start(), at("2026-05-01T06:00:00Z"));
}

#[test]
fn two_values_for_one_time_are_told() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.server.trouble("carbon-intensity", Trouble::Contradiction);
    let said = desk.fetch();
    assert_eq!(said.code, 0);
    assert!(said.err.contains("two values for 1 time") && said.err.contains("the later in the answer counts"), "{}", said.err);
    assert_eq!(desk.fetch().err, "", "once");
}

#[test]
fn a_forecast_shorter_than_asked_is_continued_and_marked() {
    for (trouble, given_until) in
        [(Trouble::ShortForecast, "2026-05-01T15:30:00Z"), (Trouble::NoForecast, "2026-05-01T12:30:00Z")]
    {
        let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
        desk.server.trouble("carbon-intensity-gb", trouble);
        desk.fetches();
        let signal = desk.cached("GB").carbon_g_per_kwh.expect("an intensity");
        let first_guess = signal.steps().iter().filter(|step| step.from > desk.now).find(|step| step.estimated).expect("a guess");
        assert_eq!(first_guess.from, at(given_until), "{trouble}");
        assert!(signal.end() >= desk.now + TimeDelta::days(7), "{trouble}");
    }
}
