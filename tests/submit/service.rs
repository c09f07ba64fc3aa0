//! Services: planned for their whole limit, at no clock below their latency.

use serde_json::Value;

use crate::fake::moldable;

#[test]
fn a_service_starts_at_once_for_its_whole_limit_at_no_clock_below_its_latency() {
    let login = moldable();
    for (latency, lowest) in [("50ms", 900), ("30ms", 1500)] {
        let options = format!("--carbon-latency={latency} --carbon-profile=mold -p gpu-north");
        let ended = login.submit(&format!("--dry-run --json {options} train.sh"));
        let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!((&json["objective"], &json["frontier"]), (&Value::from("performance"), &Value::from(Vec::<Value>::new())));
        let plan = &json["plan"];
        assert_eq!((&plan["start"], &plan["end"]), (&json["now"], &Value::from("2026-05-01T09:00:00.000Z")));
        let speed = if lowest == 900 { 0.5 } else { 1.0 };
        assert!(plan["work_gpu_h"].as_f64().is_some_and(|work| (work - 6.0 * speed).abs() < 1e-9), "{plan}");
        assert!(plan["segments"].as_array().expect("segments").iter().all(|s| s["clock_mhz"] == lowest), "{plan}");
    }
    let ended = login.submit("--carbon-latency=50ms --carbon-profile=mold -p gpu-north train.sh");
    assert!(!ended.given().iter().any(|w| w.starts_with("--begin") || w.starts_with("--time")), "{:?}", ended.given());
    login
        .submit("--carbon-latency=5ms --carbon-profile=mold -p gpu-north train.sh")
        .refused(3, "no clock of the profile answers");
    let ended = login.submit("--carbon-latency=50ms -p gpu-north train.sh");
    ended.says("profile 'generic' tells no latency");
    assert_eq!(ended.code, 0);
}

#[test]
fn a_service_that_nothing_suits_is_submitted_all_the_same_with_best_effort() {
    let login = moldable();
    // Three hours of two GPUs at 900 MHz and 300 g/kWh are 216 g.
    for (limits, line, clock) in [
        ("--carbon-latency=5ms", "no clock of the profile answers within it", "at full clock (1500 MHz)"),
        (
            "--carbon-latency=50ms --carbon-budget=100g",
            "--carbon-budget: '100 g' is less than any plan emits",
            "at 900 of 1500 MHz",
        ),
    ] {
        let words = format!("{limits} --carbon-profile=mold -p gpu-north train.sh");
        login.submit(&words).refused(3, line);
        let ended = login.submit(&format!("--best-effort {words}"));
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
        ended.says(line);
        ended.says("--best-effort: submitted with the plan that comes closest");
        ended.says(clock);
        assert!(!ended.given().iter().any(|w| w.starts_with("--begin") || w.starts_with("--time")), "{:?}", ended.given());
    }
}
