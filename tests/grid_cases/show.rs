//! `carm-grid show`: what plans see of a zone, as a chart, JSON and CSV.

use std::process::Output;

use chrono::TimeDelta;
use serde_json::Value;

use crate::desk::{Desk, Said, at};

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn shown(desk: &Desk, variables: &[(&str, &str)], words: &[&str]) -> Said {
    let words: Vec<&str> = std::iter::once("show").chain(words.iter().copied()).collect();
    said(desk.command(&words).envs(variables.iter().copied()).output().expect("running carm-grid"))
}

fn fetched() -> Desk {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.fetches();
    desk
}

#[test]
fn a_chart_keeps_to_its_terminal_and_says_what_it_shows() {
    let desk = fetched();
    for (width, utf8) in [(60, true), (80, false), (100, true), (200, false)] {
        let columns = width.to_string();
        let locale = if utf8 { "C.UTF-8" } else { "C" };
        let said = shown(&desk, &[("COLUMNS", &columns), ("LANG", locale)], &[]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.lines().all(|line| line.chars().count() <= width), "{}", said.out);
        assert_eq!(said.out.is_ascii(), !utf8, "{}", said.out);
        assert!(!said.out.contains('\u{1b}'), "a file has no colours");
        for wanted in [
            "zone GB: carbon-intensity-gb, fetched 0 s ago",
            "average intensity, gCO2/kWh of operation",
            "  now       ",
            "  best 12 h ",
        ] {
            assert!(said.out.contains(wanted), "{wanted}: {}", said.out);
        }
        assert!(said.out.contains("shaded: estimated"), "the service's forecast ends within three days: {}", said.out);
    }
}

#[test]
fn words_below_a_chart_wrap_whole() {
    let mut desk = fetched();
    desk.now += TimeDelta::hours(5);
    let wide = shown(&desk, &[("COLUMNS", "200")], &[]).out;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let of = |text: &str| {
        [words(&text[..text.find("  average").expect("a chart")]), words(&text[text.find("  now ").expect("words")..])]
    };
    for columns in ["60", "80"] {
        let narrow = shown(&desk, &[("COLUMNS", columns)], &[]).out;
        assert_eq!(of(&narrow), of(&wide), "{narrow}");
        assert!(narrow.contains("\n    "), "a hanging indent: {narrow}");
    }
}

#[test]
fn a_chart_names_its_one_time_zone() {
    if !std::path::Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        eprintln!("skipped: this host has no time zones (tzdata)");
        return;
    }
    let mut desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    let line = |desk: &Desk, zone: &str| {
        let out = shown(desk, &[("TZ", zone)], &[]).out;
        out.lines().find_map(|line| line.strip_prefix("  times     ").map(str::to_owned)).unwrap_or(out)
    };
    desk.fetches();
    assert_eq!(line(&desk, "Europe/Berlin"), "local time, UTC+02:00");
    assert_eq!(line(&desk, "UTC"), "UTC");
    desk.now = at("2026-10-23T12:10:00Z");
    desk.server.set_now(desk.now);
    desk.fetches();
    assert_eq!(line(&desk, "Europe/Berlin"), "local time, UTC+02:00, later UTC+01:00");
    desk.now = at("2026-01-23T12:10:00Z");
    let past = shown(&desk, &[("TZ", "Europe/Berlin")], &[]).err;
    assert!(past.contains("no data for 2026-01-23 13:10+01:00: they run from 2026-"), "{past}");
}

#[test]
fn json_has_the_caches_own_figures_and_windows_that_are_the_least() {
    let desk = fetched();
    let said = shown(&desk, &[], &["--json", "--for=2d"]);
    let json: Value = serde_json::from_str(&said.out).expect("JSON");
    let zone = &json["zones"][0];
    assert_eq!(
        (zone["zone"].as_str(), zone["intensity"].as_str(), zone["past_max_age"].as_bool()),
        (Some("GB"), Some("average"), Some(false))
    );
    assert_eq!((&zone["age_s"], &zone["intensity_unit"]), (&Value::from(0.0), &Value::from("gCO2/kWh of operation")));
    let cached = desk.cached("GB").carbon_g_per_kwh.expect("an intensity");
    let steps = zone["steps"].as_array().expect("steps");
    assert_eq!(at(steps[0]["from"].as_str().expect("a time")), desk.now);
    assert_eq!(at(zone["until"].as_str().expect("a time")), desk.now + TimeDelta::days(2));
    for step in steps {
        let from = at(step["from"].as_str().expect("a time"));
        let known = cached.at(from).expect("cached");
        assert_eq!(step["carbon_g_per_kwh"].as_f64(), Some(known.value), "{from}");
        let marked = step["estimated"].as_array().expect("names").contains(&Value::from("carbon_g_per_kwh"));
        assert_eq!(marked, known.estimated, "{from}");
    }
    for window in zone["windows"].as_array().expect("windows") {
        let hours = window["hours"].as_i64().expect("hours");
        let (mean, from) = (window["mean_g_per_kwh"].as_f64().expect("g"), at(window["from"].as_str().expect("a time")));
        let of = |from| cached.integrate(from, from + TimeDelta::hours(hours)).expect("inside") / hours as f64;
        assert!((of(from) - mean).abs() < 1e-6);
        // Nothing that begins at any five minutes is better.
        let last = (2 * 24 - hours) * 12;
        let least = (0..=last).map(|i| of(desk.now + TimeDelta::minutes(5 * i))).fold(f64::INFINITY, f64::min);
        assert!(mean <= least + 1e-6, "{hours} h: {mean} and {least}");
    }
}

#[test]
fn csv_has_a_line_a_step() {
    let desk = fetched();
    let json: Value = serde_json::from_str(&shown(&desk, &[], &["--json"]).out).expect("JSON");
    let csv = shown(&desk, &[], &["--csv"]).out;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "zone,time,carbon_g_per_kwh,carbon_low_g_per_kwh,carbon_high_g_per_kwh,renewable_share,onsite_w,estimated"
    );
    let steps = json["zones"][0]["steps"].as_array().expect("steps");
    assert_eq!(lines.len(), 1 + steps.len());
    assert!(lines[1].starts_with(&format!("GB,{},{}", steps[0]["from"].as_str().expect("a time"), steps[0]["carbon_g_per_kwh"])));
}

#[test]
fn a_zone_without_data_is_told_and_hides_no_other() {
    let desk = fetched().zone("DE", "electricity-maps", "TOKEN");
    let said = shown(&desk, &[], &[]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("zone 'DE': ") && said.err.contains("run carm-grid fetch"), "{}", said.err);
    assert!(said.out.contains("zone GB: "), "{}", said.out);
    let said = shown(&desk, &[], &["FR"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("show: 'FR': no such [[zone]] in the configuration; give one of GB, DE"), "{}", said.err);
}

#[test]
fn data_past_their_age_are_estimates_from_where_they_were_observed_on() {
    let mut desk = fetched();
    desk.now += TimeDelta::hours(5);
    let said = shown(&desk, &[("COLUMNS", "200")], &[]);
    let expected = "fetched 5 h ago, observed up to 6 h ago; past max_age: all of it is estimated; carm-grid check says why";
    assert!(said.out.contains(expected), "{}", said.out);
    let json: Value = serde_json::from_str(&shown(&desk, &[], &["--json"]).out).expect("JSON");
    assert!(json["zones"][0]["steps"].as_array().expect("steps").iter().all(|step| step["estimated"][0] == "carbon_g_per_kwh"));
}

#[test]
fn a_trace_file_needs_no_configuration_and_a_share_alone_is_computed_as_plans_do() {
    let desk = Desk::new().plain_zone("sun", "trace", "path = \"share.csv\"");
    let hours: String =
        (0..48).map(|h| format!("2026-05-0{}T{:02}:00Z,{}\n", 1 + h / 24, h % 24, if h == 30 { 1.0 } else { 0.5 })).collect();
    desk.file("share.csv", &format!("time,renewable_share\n{hours}"), 0o644);
    let zone = |words: &[&str]| -> Value {
        let said = shown(&desk, &[], words);
        assert_eq!(said.code, 0, "{}", said.err);
        serde_json::from_str::<Value>(&said.out).expect("JSON")["zones"][0].clone()
    };
    let sun = zone(&["sun", "--json"]);
    // Half at 30 g/kWh and half at 650: [grid] says so where it says nothing else.
    assert_eq!((&sun["steps"][0]["carbon_g_per_kwh"], &sun["intensity_from_share"]), (&Value::from(340.0), &Value::from(true)));
    assert_eq!(
        (&sun["windows"][0]["from"], &sun["windows"][0]["mean_g_per_kwh"]),
        (&Value::from("2026-05-02T06:00:00.000Z"), &Value::from(30.0))
    );
    let output = desk.command(&["show", "./share.csv", "--json"]).arg("--for=1d").output().expect("running carm-grid");
    assert_eq!(said(output).code, 0);
}
