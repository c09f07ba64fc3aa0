//! docs/evaluation.md: its tables are those of etc/evaluate, with the commands that make them, and the small run still gives what it shows.

use std::path::Path;
use std::process::{Command, Output};

const PAGE: &str = include_str!("../../docs/evaluation.md");

fn evaluate(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("etc/evaluate"));
    command.args(arguments).args(["--program", env!("CARGO_BIN_EXE_carm-sim")]).env_remove("CARM_DATA");
    command.output().expect("running etc/evaluate: is python3 installed?")
}

/// What the page has between a table's markers.
fn block<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("<!-- evaluate {name} -->\n");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("docs/evaluation.md has no '{begin}'"));
    rest.split_once(&format!("<!-- end {name} -->")).unwrap_or_else(|| panic!("{name} has no end")).0
}

#[test]
fn every_table_of_the_page_names_the_commands_that_made_it() {
    let listed = evaluate(&["--list"]);
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut tables: Vec<&str> = Vec::new();
    for line in listed.lines() {
        let (name, command) = line.split_once('\t').expect("a table and its command");
        assert!(
            block(PAGE, name).contains(&format!("`{command}`")),
            "{name}: not in docs/evaluation.md: {command}; run etc/evaluate"
        );
        tables.push(name);
    }
    tables.dedup();
    let marked: Vec<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("<!-- evaluate ")?.strip_suffix(" -->")).collect();
    let (mut one, mut other) = (tables.clone(), marked.clone());
    one.sort_unstable();
    other.sort_unstable();
    assert_eq!(one, other, "the script's tables and the page's markers");
}

#[test]
fn the_small_run_needs_no_data_and_gives_the_table_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("evaluation.md");
    let emptied = PAGE.replace(block(PAGE, "built-in"), "");
    std::fs::write(&page, &emptied).unwrap();
    let ran = evaluate(&["--page", page.to_str().unwrap()]);
    assert!(ran.status.success(), "{ran:?}");
    let written = std::fs::read_to_string(&page).unwrap();
    assert_eq!(block(&written, "built-in"), block(PAGE, "built-in"), "run etc/evaluate anew");
    assert_eq!(written, PAGE, "what stands outside of the table is untouched");
}

#[test]
fn a_table_that_needs_the_traces_says_so() {
    let ran = evaluate(&["--only", "grid-only"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(
        said.contains("evaluate: grid-only: needs the traces; set CARM_DATA to their folder, or give --only=built-in"),
        "{said}"
    );
}

#[test]
fn every_shipped_scenario_is_read_without_the_traces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etc/scenarios");
    let scenarios = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for scenario in scenarios.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carm-sim"));
        command.arg("run").arg(&scenario).args([
            "--policy=fcfs,carm-performance",
            "--set",
            "time.count=1",
            "--set",
            "time.length=6h",
            "--json",
        ]);
        let ran = command.args(["--quiet"]).env_remove("CARM_DATA").output().unwrap();
        assert!(ran.status.success(), "{}: {ran:?}", scenario.display());
        let result: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(result["scenario"].as_str(), scenario.file_stem().unwrap().to_str(), "named as its file");
        assert!(!result["made_up"].as_array().unwrap().is_empty(), "{}: says what is made up", scenario.display());
        seen += 1;
    }
    assert_eq!(seen, 6);
}
