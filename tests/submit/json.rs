//! The JSON object: the contract's keys, and figures that add up.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::fake::{self, BY_EVENING, Login};

fn instant(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().expect("a time");
    assert!(text.ends_with('Z') && text.len() == "2026-05-01T00:00:00.000Z".len(), "{text}");
    text.parse().expect("RFC 3339")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_json_object_has_the_contracts_keys_and_its_figures_add_up() {
    let login = Login::new();
    let trace = |hour: u32| 200.0 + 150.0 * f64::from((hour * 7) % 5);
    login.write("north.csv", &fake::trace(trace));
    for options in ["--carbon-max-delay=9h", BY_EVENING, "--carbon-budget=450g", "--carbon-objective=ppc --carbon-max-delay=9h"] {
        let ended = login.submit(&format!("--dry-run --json -p gpu-north {options} train.sh"));
        assert_eq!((ended.code, ended.stderr.as_str(), &ended.given), (0, "", &None), "{options}");
        let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let mut top = ["version", "feasible", "objective", "now", "plan", "now_full_clock", "frontier", "infeasible", "warnings"];
        top.sort_unstable();
        assert_eq!(keys(&json), top);
        let plan = &json["plan"];
        let mut of_plan = [
            "site",
            "partition",
            "cluster",
            "workers",
            "start",
            "end",
            "turnaround_s",
            "work_gpu_h",
            "energy_kwh",
            "carbon_g",
            "carbon_low_g",
            "carbon_high_g",
            "ppc",
            "estimated_share",
            "grid_source",
            "grid_intensity",
            "grid_age_s",
            "segments",
        ];
        of_plan.sort_unstable();
        assert_eq!(keys(plan), of_plan);
        assert_eq!(keys(&json["now_full_clock"]), ["carbon_g", "end", "energy_kwh", "ppc", "site", "start"]);

        let number = |value: &Value| value.as_f64().expect("a number");
        let segments = plan["segments"].as_array().expect("segments");
        assert_eq!(instant(&segments[0]["from"]), instant(&plan["start"]));
        assert_eq!(instant(&segments[segments.len() - 1]["to"]), instant(&plan["end"]));
        assert_eq!(instant(&plan["start"]).timestamp_subsec_nanos(), 0, "a whole second");
        for pair in segments.windows(2) {
            assert_eq!(pair[0]["to"], pair[1]["from"]);
        }
        let mut integrated = 0.0;
        for segment in segments {
            assert_eq!(keys(segment), ["carbon_g", "clock_mhz", "from", "power_w", "to"]);
            // By hand from the trace: a segment may not cross an hour's end.
            let (from, to) = (instant(&segment["from"]), instant(&segment["to"]));
            let hour = (from - instant(&Value::from("2026-05-01T00:00:00.000Z"))).num_hours() as u32;
            let hours = (to - from).num_milliseconds() as f64 / 3.6e6;
            let by_hand = number(&segment["power_w"]) / 1000.0 * hours * trace(hour);
            assert!((by_hand - number(&segment["carbon_g"])).abs() < 1e-3, "{segment}");
            integrated += number(&segment["carbon_g"]);
        }
        let carbon = number(&plan["carbon_g"]);
        assert!((integrated - carbon).abs() < 1e-6, "{integrated} {carbon}");
        assert_eq!((&plan["carbon_low_g"], &plan["carbon_high_g"]), (&Value::Null, &Value::Null), "a trace without a band");
        let turnaround_h = (instant(&plan["end"]) - instant(&json["now"])).num_milliseconds() as f64 / 3.6e6;
        assert!((number(&plan["turnaround_s"]) / 3600.0 - turnaround_h).abs() < 1e-6);
        assert!((number(&plan["ppc"]) - number(&plan["work_gpu_h"]) / turnaround_h / carbon).abs() < 1e-6 * number(&plan["ppc"]));
        assert_eq!(number(&plan["work_gpu_h"]), 6.0);
        assert!(
            carbon <= number(&json["now_full_clock"]["carbon_g"]) * (1.0 + 1e-9) || options.contains("ppc") || options.is_empty()
        );

        let frontier = json["frontier"].as_array().expect("a frontier");
        assert!(!frontier.is_empty());
        for pair in frontier.windows(2) {
            assert_eq!(keys(&pair[0]), ["carbon_g", "end", "site", "workers"]);
            assert!(instant(&pair[0]["end"]) < instant(&pair[1]["end"]));
            assert!(number(&pair[0]["carbon_g"]) > number(&pair[1]["carbon_g"]));
        }
    }
}

#[test]
fn the_json_object_of_a_miss_says_what_would_do() {
    let ended = Login::new().submit("--dry-run --json --carbon-budget=10g train.sh");
    assert_eq!(ended.code, 3);
    let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&json["feasible"], &json["plan"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(keys(&json["infeasible"]), ["earliest_end", "least_carbon_g", "reason"]);
    assert!(json["infeasible"]["least_carbon_g"].as_f64().is_some_and(|g| g > 10.0));
    assert_eq!(json["infeasible"]["earliest_end"], Value::Null);
}
