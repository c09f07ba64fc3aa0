//! A command, from its output to the cache.

use std::fmt::Write as _;

use chrono::TimeDelta;

use super::desk::{Desk, agrees, at};

/// Whom a command of these tests runs as.
fn somebody() -> String {
    let id = |flag: &str| {
        let output = std::process::Command::new("id").arg(flag).output().expect("id");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    if id("-u") == "0" { "nobody".to_owned() } else { id("-un") }
}

fn zone(desk: Desk, words: &[&str]) -> Desk {
    desk.plain_zone("roof", "command", &format!("command = {words:?}\nuser = \"{}\"", somebody()))
}

#[test]
fn what_it_prints_is_past_and_forecast() {
    let (desk, world) = (Desk::new(), grid_standin::World::at(at(Desk::NOW)));
    let mut text = "time,carbon_g_per_kwh,onsite_w".to_owned();
    for half_hours in 0..96 {
        let t = at("2026-05-01T00:00:00Z") + TimeDelta::minutes(30 * half_hours);
        write!(text, "\\n{},{},{}", t.to_rfc3339(), world.intensity("X", t), world.onsite_w("X", t)).expect("text");
    }
    let desk = zone(desk, &["/usr/bin/printf", &text.replace("\\n", "\n")]);
    desk.fetches();
    let data = desk.cached("roof");
    let (from, to) = (at("2026-05-01T00:00:00Z"), at("2026-05-03T00:00:00Z"));
    agrees(&data.carbon_g_per_kwh, from, to, |t| world.intensity("X", t));
    agrees(&data.onsite_w, from, to, |t| world.onsite_w("X", t));
    assert_eq!(data.observed_until, desk.now);
}

#[test]
fn a_command_that_fails_is_told_with_its_first_words_and_the_last_good_data_stay() {
    let good = "time,onsite_w\n2026-05-01T11:00:00Z,1\n2026-05-01T12:00:00Z,2\n";
    let desk = zone(Desk::new(), &["/usr/bin/printf", good]);
    desk.fetches();
    let before = desk.cached("roof");
    let text = std::fs::read_to_string(desk.folder().join("carm.toml")).expect("the configuration");
    let failing = "command = [\"/bin/sh\", \"-c\", \"echo no meter >&2; exit 4\"]";
    let line = text.lines().find(|line| line.starts_with("command")).expect("the command");
    desk.file("carm.toml", &text.replace(line, failing), 0o644);
    let said = desk.fetch();
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.err.contains("command '/bin/sh': ended with status 4: 'no meter'"), "{}", said.err);
    assert_eq!(desk.cached("roof").onsite_w, before.onsite_w);
}

#[test]
fn energy_charts_co2eq_comes_by_a_command() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: this host has no python3");
        return;
    }
    // /co2eq has measured values, then a forecast, by quarters of an hour.
    let program = include_str!("recorded/energy-charts-co2eq.py");
    let mut desk = zone(Desk::new(), &["/usr/bin/python3", "-c", program]);
    desk.now = at("2026-10-04T04:10:00Z");
    desk.fetches();
    let data = desk.cached("roof");
    assert_eq!(data.observed_until, desk.now);
    let carbon = data.carbon_g_per_kwh.expect("an intensity");
    for (time, value) in [
        ("2026-10-03T22:00:00Z", 64.8),
        ("2026-10-04T03:45:00Z", 59.6),
        ("2026-10-04T04:15:00Z", 49.4),
        ("2026-10-04T09:00:00Z", 47.9),
    ] {
        let step = carbon.at(at(time)).expect(time);
        assert!(step.value == value && !step.estimated, "{time}: {step:?}");
    }
}
