//! How far a forecast may be off, and what that does to a plan.

use serde_json::Value;

use crate::fake::{BY_EVENING, Login};

/// South's clean hours as a forecast with so much above and below them.
fn forecast(up: f64) -> Login {
    let login = Login::new();
    let row = |hour: u32| {
        let clean = (12..15).contains(&hour);
        let (value, error) = if clean { (100.0, up) } else { (500.0, 0.0) };
        format!("2026-05-{:02}T{:02}:00:00Z,{value},{},{}\n", 1 + hour / 24, hour % 24, value - error.min(50.0), value + error)
    };
    let head = "time,carbon_g_per_kwh,carbon_low_g_per_kwh,carbon_high_g_per_kwh\n".to_owned();
    login.write("south.csv", &std::iter::once(head).chain((0..72).map(row)).collect::<String>());
    login
}

#[test]
fn a_plan_tells_the_range_that_its_forecast_leaves() {
    let ended = forecast(60.0).submit(&format!("-p gpu-south {BY_EVENING} train.sh"));
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());
    ended.says("within the forecast's error");

    // 50 to 160 g/kWh around 100: the same run, integrated against either edge.
    let ended = forecast(60.0).submit(&format!("--dry-run --json -p gpu-south {BY_EVENING} train.sh"));
    let plan = &serde_json::from_str::<Value>(&ended.stdout).expect("JSON")["plan"];
    let number = |key: &str| plan[key].as_f64().unwrap_or_else(|| panic!("{key}: {plan}"));
    assert!((number("carbon_low_g") - 0.5 * number("carbon_g")).abs() < 1e-6, "{plan}");
    assert!((number("carbon_high_g") - 1.6 * number("carbon_g")).abs() < 1e-6, "{plan}");
}

#[test]
fn a_wait_that_the_forecasts_error_may_undo_is_not_planned() {
    let ended = forecast(600.0).submit(&format!("-p gpu-south {BY_EVENING} train.sh"));
    assert!(!ended.given().iter().any(|word| word.starts_with("--begin=")), "{:?}", ended.given());
    ended.says("within the forecast's error: planned at once");
}
