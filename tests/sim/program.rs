//! The program: what it prints, and that it prints the same each time.

use std::path::Path;
use std::process::{Command, Output};

use super::setup::Case;

pub fn carm_sim(folder: &Path, words: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_carm-sim"));
    program.current_dir(folder).env_remove("CARM_DATA").args(words).output().unwrap()
}

pub fn told(folder: &Path, words: &[&str]) -> String {
    let output = carm_sim(folder, words);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two days, three episodes, chance in limits and run times.
fn case() -> Case {
    let grid: Vec<f64> = (0..240).map(|hour| 250.0 + 150.0 * (f64::from(hour) * 0.26).sin()).collect();
    let jobs = (0..60).map(|i| (2.3 * f64::from(i), 0.3 + f64::from(i * 7 % 11), 1 + i as u32 % 3));
    let case = Case::grid(&grid).rules("deadline_factor = 3.0\nruntime_error = 0.3\nlimit_like_users = true\nsample = 0.9");
    let case = case.from("2022-01-01T00:00:00Z", "2d\"\ncount = 3\nevery = \"2d");
    jobs.fold(case, |case, (submit_h, hours, gpus)| case.job(submit_h, hours, gpus))
        .more("[forecast]\nkind = \"noisy\"\nerror = 0.2")
}

#[test]
fn the_same_bytes_on_a_rerun_and_on_any_number_of_threads() {
    let folder = case().folder();
    let one = told(folder.path(), &["run", "scenario.toml", "--json", "--threads=1"]);
    assert_eq!(one, told(folder.path(), &["run", "scenario.toml", "--json", "--threads=1"]));
    assert_eq!(one, told(folder.path(), &["run", "scenario.toml", "--json", "--threads=4"]));
    assert_ne!(one, told(folder.path(), &["run", "scenario.toml", "--json", "--seed=6"]));
}

#[test]
fn the_json_object_has_what_scripts_look_for() {
    let folder = case().folder();
    let text = told(folder.path(), &["run", "scenario.toml", "--json", "--policy=carm-performance,fcfs"]);
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (object["version"].as_u64(), object["scenario"].as_str(), object["seed"].as_u64()),
        (Some(1), Some("scenario"), Some(5))
    );
    let policies = object["policies"].as_array().unwrap();
    let names: Vec<&str> = policies.iter().map(|policy| policy["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["carm-performance", "fcfs"], "in the order asked for, and the other reference is not shown");
    for policy in policies {
        for key in [
            "carbon_g",
            "energy_kwh",
            "grid_kwh",
            "onsite_kwh",
            "turnaround_h_mean",
            "waiting_h_mean",
            "bounded_slowdown_mean",
            "bounded_slowdown_p95",
            "bounded_slowdown_p99",
            "deadline_misses",
            "latency_misses",
            "budget_overruns",
            "clock_changes",
            "killed_by_limit",
            "ppc",
            "saved_vs_fcfs",
            "saved_vs_static_clock",
            "share_of_bound",
        ] {
            assert!(policy[key].is_number(), "{key}: {}", policy[key]);
        }
        assert_eq!(policy["episodes"].as_array().map(Vec::len), Some(3));
        assert_eq!(policy["saved_vs_fcfs_ci"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(policies[1]["saved_vs_fcfs"].as_f64(), Some(0.0));
    let carbon: f64 = policies[0]["episodes"].as_array().unwrap().iter().map(|e| e["carbon_g"].as_f64().unwrap()).sum();
    assert!((carbon - policies[0]["carbon_g"].as_f64().unwrap()).abs() < 1e-6);
}

#[test]
fn csv_has_a_field_for_each_head() {
    let folder = case().folder();
    let text = told(folder.path(), &["run", "scenario.toml", "--csv", "--policy=fcfs,threshold"]);
    let fields: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(fields.len(), 3);
    assert!(fields.iter().all(|&count| count == fields[0]), "{fields:?}");
}

#[test]
fn a_setting_changes_one_key() {
    let folder = case().folder();
    let energy = |set: &[&str]| {
        let words = [&["run", "scenario.toml", "--json", "--policy=fcfs"], set].concat();
        let object: serde_json::Value = serde_json::from_str(&told(folder.path(), &words)).unwrap();
        object["policies"][0]["energy_kwh"].as_f64().unwrap()
    };
    let (bare, hosted) = (energy(&[]), energy(&["--set", "planner.host_watts=300"]));
    assert!((hosted - 2.0 * bare).abs() < 1e-6 * bare, "{bare} {hosted}");
}

#[test]
fn the_table_names_every_policy_and_what_was_left_out() {
    let folder = case().job(1.0, 1.0, 99).folder();
    let text = told(folder.path(), &["run", "scenario.toml"]);
    assert!(text.contains("left out"), "{text}");
    for name in carm_sim::policy::names() {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    assert_eq!(told(folder.path(), &["policies"]).lines().count(), carm_sim::policy::names().len());
}

#[test]
fn refusals_are_one_line_and_say_the_way_out() {
    let folder = case().folder();
    for (words, expected) in [
        (&["run", "no.toml"][..], "carm-sim: no.toml: cannot be read: "),
        (&["run", "scenario.toml", "--policy=luck"], "carm-sim: --policy: 'luck': no such policy; give some of fcfs, "),
        (&["run", "scenario.toml", "--set=pue"], "carm-sim: --set: 'pue': no '='; give KEY=VALUE"),
        (&["run", "scenario.toml", "--set=planner.pue=0.5"], "carm-sim: scenario.toml:"),
        (&["run"], "carm-sim: "),
    ] {
        let output = carm_sim(folder.path(), words);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with(expected) && errors.lines().count() == 1, "{errors}");
    }
}

#[test]
fn records_have_a_row_for_each_job_and_policy() {
    let folder = case().folder();
    told(folder.path(), &["run", "scenario.toml", "--policy=fcfs,carm-ppc", "--records=fate.csv"]);
    let text = std::fs::read_to_string(folder.path().join("fate.csv")).unwrap();
    let object = told(folder.path(), &["run", "scenario.toml", "--policy=fcfs", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    let jobs = object["episodes"][0]["jobs"].as_u64().unwrap() as usize;
    assert_eq!(text.lines().count(), 1 + 2 * jobs);
    let carbon: f64 = text
        .lines()
        .filter(|line| line.starts_with("fcfs,"))
        .map(|line| line.split(',').nth(12).unwrap().parse::<f64>().unwrap())
        .sum();
    assert!((carbon - object["policies"][0]["episodes"][0]["carbon_g"].as_f64().unwrap()).abs() < 1e-6);
}

#[test]
fn the_bound_that_knows_the_gpus_is_shown_where_it_is_asked_for() {
    let folder = case().folder();
    let of = |words: &[&str]| told(folder.path(), &[&["run", "scenario.toml", "--policy=fcfs,carm-performance"], words].concat());
    assert!(!of(&[]).contains("together") && of(&["--bounds"]).contains("  together  "));
    let object: serde_json::Value = serde_json::from_str(&of(&["--bounds", "--json"])).unwrap();
    assert_eq!(object["capacity_bound_by"].as_str(), Some("prices"));
    let share = |policy: usize| object["policies"][policy]["share_of_capacity_bound"].as_f64().unwrap();
    assert!(share(0) == 0.0 && share(1) > 0.0, "{} {}", share(0), share(1));
    for episode in object["episodes"].as_array().unwrap() {
        let (alone_g, together_g) = (episode["bound_g"].as_f64().unwrap(), episode["capacity_bound_g"].as_f64().unwrap());
        assert!(together_g > alone_g, "{together_g} {alone_g}");
    }
}

#[cfg(not(feature = "bounds"))]
#[test]
fn without_highs_the_program_says_how_to_get_it() {
    let folder = case().folder();
    let output = carm_sim(folder.path(), &["run", "scenario.toml", "--bounds=highs"]);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "carm-sim: --bounds: 'highs': this carm-sim has no HiGHS; build it with cargo build -p carm-sim --features bounds, or give --bounds=prices\n"
    );
    assert_eq!(output.status.code(), Some(1));
}
