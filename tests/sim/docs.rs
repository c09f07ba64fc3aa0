//! docs/simulator.md says what there is.

use std::path::Path;

use carm_sim::scenario::Scenario;

use super::setup::Case;

const PAGE: &str = include_str!("../../docs/simulator.md");

#[test]
fn the_scenario_on_the_page_is_one() {
    let text = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a sample");
    let (scenario, remarks) = Scenario::parse(text, Path::new("two-sites.toml"), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((scenario.starts.len(), remarks.len()), (6, 2));
}

#[test]
fn every_key_of_a_scenario_is_on_the_page() {
    let raw = include_str!("../../carm-sim/src/scenario/raw.rs");
    let keys = raw.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": ").map(|(key, _)| key));
    let tables =
        ["time", "planner", "governor", "scheduler", "forecast", "zone", "site", "vary", "jobs", "service", "policies", "bounds"];
    let mut seen = 0;
    for key in keys.filter(|key| !key.contains('(')) {
        let told =
            PAGE.contains(&format!("`{key}`")) || PAGE.contains(&format!("`[{key}]`")) || PAGE.contains(&format!("`[[{key}]]`"));
        let told = told || key == "solar" || key == "city" && PAGE.contains("{ path, city }");
        assert!(told, "{key}");
        seen += 1;
    }
    assert!(seen > 60 && tables.iter().all(|table| raw.contains(table)), "{seen}");
}

#[test]
fn every_policy_is_on_the_page() {
    for name in carm_sim::policy::names() {
        let levers = ["-deferral", "-clocks", "-placement", "-width"];
        let base = levers.iter().fold(name, |name, lever| name.strip_suffix(lever).unwrap_or(name));
        assert!(PAGE.contains(&format!("`{base}`")), "{base}");
    }
}

#[test]
fn every_field_of_a_policys_result_is_on_the_page() {
    let (_folder, scenario) = Case::grid(&[100.0; 48]).job(0.0, 1.0, 1).scenario();
    let options = carm_sim::run::Options { threads: 1, keep_first: false, capacity: None, progress: None };
    let results = carm_sim::run::simulate(&scenario, &["fcfs".to_owned()], &options).unwrap();
    let text = carm_sim::output::json::text(&results).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in object["policies"][0].as_object().unwrap().keys() {
        let known = PAGE.contains(&format!("`{key}`")) || key.ends_with("_p95") || key.ends_with("_p99") || key == "name";
        assert!(known, "{key}");
    }
}
