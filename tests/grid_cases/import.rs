//! `carm-grid import`: the worked examples of its page, local times on the two days on which clocks change, and where it writes.

use std::fs;
use std::path::Path;
use std::process::Output;

use carm::grid::{Signal, load};
use chrono::TimeDelta;

use crate::desk::{Desk, Said, at};

const PAGE: &str = include_str!("../../docs/grid/import.md");

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The page's examples: each a file's name and text, the command, and what it says and writes.
fn examples() -> Vec<(String, String, String, String)> {
    let fenced: Vec<(&str, &str)> = PAGE
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.split_once('\n'))
        .filter_map(|(head, text)| Some((head.strip_prefix("text ").or(head.strip_prefix("console"))?, text)))
        .collect();
    fenced
        .chunks(2)
        .map(|pair| {
            let ((name, text), (_, session)) = (pair[0], pair[1]);
            let (command, output) = session.split_once('\n').expect("a command and its output");
            let command = command.strip_prefix("$ ").expect("a prompt").to_owned();
            (name.trim().to_owned(), text.to_owned(), command, output.to_owned())
        })
        .collect()
}

#[test]
fn the_pages_examples_are_what_really_happens() {
    let examples = examples();
    assert!(examples.len() >= 4, "{}", examples.len());
    for (name, text, command, expected) in examples {
        let desk = Desk::new();
        desk.file(&name, &text, 0o644);
        // A shell's quotes around a name with a blank.
        let quoted = command.split('\'').enumerate();
        let mut words: Vec<&str> = quoted
            .flat_map(|(index, part)| if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
            .collect();
        let zone = words[0].strip_prefix("TZ=");
        if zone.is_some() {
            words.remove(0);
        }
        assert_eq!(words[0], "carm-grid", "{command}");
        let mut run = desk.command(&words[1..]);
        run.env("TZ", zone.unwrap_or("UTC"));
        let said = said(run.output().expect("running carm-grid"));
        assert_eq!(format!("{}{}", said.err, said.out), expected, "{command}");
    }
}

/// The times of an import of these rows by Berlin's clock.
fn berlin(rows: &[&str]) -> (Said, Option<Signal>) {
    let desk = Desk::new();
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    desk.file("meter.csv", &text, 0o644);
    let mut run = desk.command(&["import", "meter.csv", "--unit=W", "--time-zone=local", "--out=roof.csv"]);
    run.env("TZ", "Europe/Berlin");
    let said = said(run.output().expect("running carm-grid"));
    let trace = desk.folder().join("roof.csv");
    let signal = trace.exists().then(|| load::trace(&trace).expect("a trace").onsite_w.expect("power"));
    (said, signal)
}

#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    if !Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        eprintln!("skipped: this host has no time zones (tzdata)");
        return;
    }
    let rows = ["2026-10-25 01:00,1", "2026-10-25 02:00,2", "2026-10-25 02:00,3", "2026-10-25 03:00,4"];
    let (said, signal) = berlin(&rows);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let steps: Vec<_> = signal.expect("written").steps().iter().map(|step| (step.from, step.value)).collect();
    let first = at("2026-10-24T23:00:00Z");
    assert_eq!(steps, [1, 2, 3, 4].map(|i| (first + TimeDelta::hours(i - 1), i as f64)));
}

#[test]
fn the_hour_that_is_skipped_is_no_gap_and_no_time() {
    if !Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        eprintln!("skipped: this host has no time zones (tzdata)");
        return;
    }
    let (said, signal) = berlin(&["2026-03-29 00:00,1", "2026-03-29 01:00,2", "2026-03-29 03:00,3", "2026-03-29 04:00,4"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(signal.expect("written").start(), at("2026-03-28T23:00:00Z"));
    let (said, signal) = berlin(&["2026-03-29 01:00,2", "2026-03-29 02:00,3"]);
    assert_eq!((said.code, signal), (1, None));
    assert!(said.err.contains("line 2: time '2026-03-29 02:00': there is no such time: clocks go forward there"), "{}", said.err);
    assert!(said.err.contains("give its offset, such as +01:00"), "{}", said.err);
}

#[test]
fn a_file_that_cannot_be_imported_leaves_what_was_there() {
    let desk = Desk::new();
    desk.file("in.csv", "2026-05-01T00:00Z,450\n2026-05-01T01:00Z,-3\n", 0o644);
    let out = desk.file("out.csv", "precious", 0o644);
    let said = desk.run(&["import", "in.csv", "--unit=g/kWh", "--out=out.csv"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.starts_with("carm-grid: import: in.csv: ") && said.err.contains("line 2: carbon_g_per_kwh '-3'"),
        "{}",
        said.err
    );
    assert_eq!(fs::read_to_string(out).expect("still there"), "precious");
    assert!(desk.run(&["import", "nothing.csv"]).err.contains("import: nothing.csv: No such file"));
    let said = desk.run(&["import", "in.csv", "--unit=gramme"]);
    assert!(said.err.contains("give one of g/kWh, kg/MWh") && said.code == 1, "{}", said.err);
}

/// As the recorded traces went in: what comes out is what they are.
#[test]
fn a_years_export_is_the_trace_that_was_made_of_it() {
    let Some(data) = std::env::var_os("CARM_DATA") else {
        eprintln!("skipped: CARM_DATA is not set");
        return;
    };
    let trace = load::trace(&Path::new(&data).join("carbon/ES_2022.csv")).expect("a trace");
    let (carbon, share) = (trace.carbon_g_per_kwh.expect("carbon"), trace.renewable_share.expect("share"));
    let mut text = String::from("Datetime (UTC),Zone Id,Carbon Intensity gCO₂eq/kWh (LCA),Renewable Percentage,Data Estimated\n");
    for (carbon, share) in carbon.steps().iter().zip(share.steps()) {
        let time = carbon.from.format("%Y-%m-%d %H:%M:%S");
        text += &format!("{time},ES,{},{:.2},false\n", carbon.value, share.value * 100.0);
    }
    let desk = Desk::new();
    desk.file("ES_2022_hourly.csv", &text, 0o644);
    let said = desk.run(&["import", "ES_2022_hourly.csv", "--out=es.csv"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let again = load::trace(&desk.folder().join("es.csv")).expect("a trace");
    assert_eq!(again.carbon_g_per_kwh.expect("carbon"), carbon);
    for (a, b) in again.renewable_share.expect("share").steps().iter().zip(share.steps()) {
        assert!((a.value - b.value).abs() <= 5.1e-5, "{a:?} {b:?}");
    }
}
