//! `carm-grid score`: its figures on grids that are made up, where they are known beforehand, and on recorded ones.

use std::fmt::Write as _;
use std::path::Path;

use chrono::TimeDelta;
use serde_json::Value;

use crate::desk::{Desk, at};

/// A trace of so many days.
fn trace(desk: &Desk, days: i64, value: impl Fn(i64) -> f64) {
    let start = at("2026-01-05T00:00:00Z");
    let mut text = String::from("time,carbon_g_per_kwh\n");
    for hour in 0..days * 24 {
        let time = start + TimeDelta::hours(hour);
        writeln!(text, "{},{}", time.format("%Y-%m-%dT%H:%MZ"), value(hour)).expect("text");
    }
    desk.file("made.csv", &text, 0o644);
}

fn day(hour: i64) -> f64 {
    300.0 + 100.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin()
}

fn scores(desk: &Desk, zone: &str) -> Value {
    let said = desk.run(&["score", "--json", "--zone", zone]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    serde_json::from_str::<Value>(&said.out).expect("JSON")["zones"][0].clone()
}

fn errors(score: &Value, forecast: &str) -> Vec<f64> {
    let rows = score["misses"]["mape_percent"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["forecast"] == forecast).expect(forecast);
    row["by_lead"].as_array().expect("errors").iter().map(|error| error.as_f64().expect("a figure")).collect()
}

fn kept(saving: &Value, forecast: &str, rule: bool) -> f64 {
    let rows = saving["kept"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["forecast"] == forecast && row["rule"] == rule).expect(forecast);
    row["kept_percent"].as_f64().expect("a figure")
}

#[test]
fn where_every_day_is_the_same_all_of_the_saving_is_kept() {
    let desk = Desk::new().plain_zone("made", "trace", "path = \"made.csv\"");
    trace(&desk, 60, day);
    let score = scores(&desk, "made");
    assert!(errors(&score, "carm").iter().all(|&error| error < 0.1), "{score}");
    assert!(errors(&score, "perfect").iter().all(|&error| error == 0.0), "{score}");
    // The last value is right a whole day later, and half a day later as wrong as the day is deep.
    let last = errors(&score, "last_value");
    assert!(last[3] < 10.0 && last[2] > 30.0, "{last:?}");
    // A run of 24 hours meets the same hours whenever it starts.
    let savings = score["savings"].as_array().expect("savings");
    assert!(
        savings[2]["perfect_percent"].as_f64().expect("a figure").abs() < 0.01 && savings[2]["kept"][1]["kept_percent"].is_null()
    );
    for saving in [&savings[0], &savings[1], &savings[3]] {
        assert!((kept(saving, "perfect", false) - 100.0).abs() < 1e-9);
        assert!(kept(saving, "carm", false) > 99.0 && kept(saving, "carm", true) > 95.0, "{saving}");
    }
    // Without waiting and without clocks, nothing is saved.
    assert_eq!(kept(&score["savings"][0], "last_value", false), 0.0);
}

#[test]
fn the_table_and_the_json_say_the_same() {
    let desk = Desk::new();
    trace(&desk, 40, |hour| day(hour) * (1.0 + 0.2 * ((hour / 24 * 7919 % 13) as f64 / 13.0)));
    let score = scores(&desk, "./made.csv");
    let said = desk.run(&["score", "--zone", "./made.csv"]);
    let forecasts = score["misses"]["forecasts"].as_u64().expect("a count");
    assert!(said.out.starts_with(&format!("zone made (./made.csv): {forecasts} forecasts from ")), "{}", said.out);
    let row = said.out.lines().find(|line| line.starts_with("    CARM's forecast  ")).expect("a row");
    let shown: Vec<f64> = row.split_whitespace().skip(2).map(|figure| figure.parse().expect("a figure")).collect();
    for (shown, exact) in shown.iter().zip(errors(&score, "carm")) {
        assert!((shown - exact).abs() <= 0.051, "{row}");
    }
}

#[test]
fn too_little_is_not_scored() {
    let desk = Desk::new().plain_zone("made", "trace", "path = \"made.csv\"");
    trace(&desk, 10, day);
    let said = desk.run(&["score"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert_eq!(said.err, "carm-grid: zone 'made': 10.0 days of observations; scoring takes 14 at least\n");
    let said = desk.run(&["score", "--zone", "nowhere"]);
    assert!(said.err.contains("--zone: 'nowhere': no such [[zone]] in the configuration; give one of made"), "{}", said.err);
}

#[test]
fn on_a_recorded_grid_the_forecast_beats_the_mean_of_seven_days_at_all_lead_times() {
    let Some(data) = std::env::var_os("CARM_DATA") else {
        eprintln!("skipped: CARM_DATA is not set");
        return;
    };
    let desk = Desk::new();
    let score = scores(&desk, Path::new(&data).join("carbon/ES_2021.csv").to_str().expect("UTF-8"));
    for (own, mean) in errors(&score, "carm").iter().zip(errors(&score, "seven_days")) {
        assert!(*own < mean, "{own} and {mean}: {score}");
    }
    for saving in score["savings"].as_array().expect("savings") {
        assert!(kept(saving, "carm", false) > kept(saving, "seven_days", false), "{saving}");
    }
}
