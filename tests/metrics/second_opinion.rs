//! The page and the dashboard's expressions through parsers of other people: Prometheus' own Python client, and promql-parser, a
//! port of Prometheus' grammar. They come from PyPI, once, into target/.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::dashboard::expressions;
use super::families::{FAMILIES, Kind};
use super::job::green;
use super::node::Node;
use super::repository;

/// A virtual environment under target/ with the parsers, made once.
fn python() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let venv = target.join("metrics-second-opinion");
    let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
    let packages = ["prometheus_client==0.26.0", "promql-parser==0.12.0"];
    // Tests of this program run beside each other.
    let lock = std::fs::File::create(target.join("metrics-second-opinion.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    if std::fs::read_to_string(&ready).unwrap_or_default() != packages.join("\n") {
        let run = |command: &mut Command, way_out: &str| {
            let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {way_out}"));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}; {way_out}");
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "install the package python3-venv");
        let way_out = "PyPI must be within reach once, for the parsers";
        run(Command::new(&python).args(["-m", "pip", "-q", "install"]).args(packages), way_out);
        std::fs::write(&ready, packages.join("\n")).unwrap();
    }
    python
}

fn opinion(what: &str, file: &Path) -> Value {
    let mut command = Command::new(python());
    command.arg(repository().join("tests/metrics_second_opinion.py")).arg(what).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn prometheus_own_client_reads_every_metric_of_the_example_with_its_type() {
    let page = &opinion("metrics", &repository().join("tests/metrics/example.prom"))[0];
    for family in FAMILIES {
        // The client keeps a counter's name without its suffix.
        let name = if family.kind == Kind::Counter { family.name.strip_suffix("_total").unwrap() } else { family.name };
        let read = &page[name];
        assert_eq!((&read["type"], &read["help"]), (&family.kind.name().into(), &family.help.into()), "{name}");
        for sample in read["samples"].as_array().unwrap() {
            let labels: Vec<&String> = sample[1].as_object().unwrap().keys().collect();
            assert!(!labels.is_empty() && labels.iter().all(|label| family.labels.contains(&label.as_str())), "{sample}");
        }
    }
    assert_eq!(page.as_object().unwrap().len(), FAMILIES.len());
    let roof = &page["carm_site_onsite_power_watts"]["samples"][1];
    assert_eq!(roof[1], json!({"node": "n1", "site": "roof \"B\"", "zone": "DE"}));
    assert_eq!(roof[2].as_f64(), Some(1200.0));
    let spent = &page["carm_job_carbon_grams"]["samples"][0];
    assert_eq!(spent[1]["intensity"], "average");
    assert_eq!(spent[2], 12.25);
}

#[test]
fn a_running_nodes_own_page_is_read_as_well() {
    let node = Node::new();
    node.prolog(&green(7).set("SLURM_JOB_USER", "a\\d\"a"));
    let file = node.path("carm.prom");
    std::fs::write(&file, node.by_hand(&["status", "--prometheus"]).stdout).unwrap();
    let page = &opinion("metrics", &file)[0];
    assert_eq!(page["carm_gpu_power_watts"]["samples"].as_array().unwrap().len(), 8);
    assert_eq!(page["carm_job_energy_joules"]["samples"][0][1]["user"], "a\\d\"a");
}

#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("expressions.json");
    let expressions: Vec<String> = expressions().into_iter().map(|(_, expression)| expression).collect();
    std::fs::write(&file, serde_json::to_string(&expressions).unwrap()).unwrap();
    assert_eq!(opinion("promql", &file), json!([]));
    std::fs::write(&file, r#"["sum(carm_gpu_power_watts"]"#).unwrap();
    assert_eq!(opinion("promql", &file).as_array().unwrap().len(), 1, "the parser does complain");
}
