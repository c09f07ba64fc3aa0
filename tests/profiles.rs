//! The shipped profiles: what etc/profiles/build writes, no more and no less; and each of them possible as physics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use carm::profile::{Fit, Profile, Profiles};

/// The word for each card, how NVML names it, and its power limit in watts, by NVIDIA's data sheets.
const CARDS: [(&str, &str, f64); 6] = [
    ("a100", "NVIDIA A100-SXM4-80GB", 400.0),
    ("h100", "NVIDIA H100 80GB HBM3", 700.0),
    ("l40s", "NVIDIA L40S", 350.0),
    ("rtx4090", "NVIDIA GeForce RTX 4090", 450.0),
    ("rtx8000", "Quadro RTX 8000", 260.0),
    ("v100", "Tesla V100-PCIE-32GB", 250.0),
];
const WORKLOADS: [&str; 4] = ["bert-train", "llm-27b-decode", "llm-27b-prefill", "resnet50-train"];

/// The clock of least energy as a share of the top one, where sweeps found it: 0.41 to 0.82 by kernel on a Quadro RTX 8000, 0.68 on
/// a V100 (Wang and Chu, ICPADS 2018), 0.69 on a RTX 5090, 0.68 to 0.82 on a RTX 3090 (club-3090). And what it saves: 7 to
/// 40 % there and in Tang et al., e-Energy 2019.
const BEST_CLOCK: std::ops::RangeInclusive<f64> = 0.41..=0.84;
const SAVING: std::ops::RangeInclusive<f64> = 0.07..=0.40;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/profiles")
}

fn build(arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.arg("-B").arg(folder().join("build")).args(arguments);
    command.output().expect("python3; tests/install-needs tests")
}

/// The files of a folder by name, the script aside.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let profiles = paths.filter(|path| !path.ends_with("build"));
    profiles.map(|path| (path.file_name().unwrap().to_string_lossy().into(), fs::read_to_string(&path).expect("text"))).collect()
}

fn shipped() -> Vec<Profile> {
    files(&folder()).iter().map(|(name, text)| Profile::parse(text, Path::new(name)).expect(name)).collect()
}

fn called(profile: &Profile) -> String {
    format!("{} on {}", profile.name, profile.gpu.as_deref().unwrap_or("any card"))
}

#[test]
fn the_files_are_what_the_script_writes() {
    let written = tempfile::tempdir().expect("a folder");
    let output = build(&[written.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(written.path()), files(&folder()), "etc/profiles/build, then commit what it changed");
}

#[test]
fn every_card_has_every_workload_and_all_load() {
    let (profiles, errors) = Profiles::load(&folder());
    assert!(errors.is_empty(), "{errors:?}");
    let of = |profile: &Profile| (profile.gpu.clone().expect("a card"), profile.name.to_string());
    let found: Vec<_> = shipped().iter().map(of).collect();
    let every = CARDS.iter().flat_map(|(gpu, ..)| WORKLOADS.map(|name| ((*gpu).to_owned(), name.to_owned())));
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), every.collect::<BTreeSet<_>>());
    assert_eq!(found.len(), CARDS.len() * WORKLOADS.len(), "a name and card stand in one file alone");
    for ((gpu, name), file) in found.iter().zip(files(&folder()).keys()) {
        assert_eq!(*file, format!("{gpu}-{name}.toml"));
        let profile = profiles.find(&name.parse().expect("a name"), Some(gpu)).expect("it is there");
        assert_eq!(of(profile), (gpu.clone(), name.clone()));
    }
}

#[test]
fn no_file_passes_for_a_measurement_and_each_figure_has_its_origin() {
    for (name, text) in files(&folder()) {
        let profile = Profile::parse(&text, Path::new(&name)).expect(&name);
        assert!(!profile.measured && profile.source.starts_with("modelled: "), "{name}");
        assert!(text.starts_with("# MODELLED"), "{name}");
        // A run time would be taken for that of another card, and deadlines with it: the site's admin decides that.
        assert_eq!(profile.throughput, None, "{name}");
        let mut about = vec!["clocks", "watts at the top clock", "time in proportion", "throughput", "least GPU energy"];
        about.extend(profile.levels[0].latency_ms.map(|_| "latency"));
        about.extend((!profile.scaling.is_empty()).then_some("scaling"));
        for figure in about {
            let line = text.lines().find(|line| line.starts_with(&format!("# {figure}"))).expect(figure);
            assert!(line.len() > figure.len() + 10, "{name}: {line}");
        }
    }
}

#[test]
fn power_and_speed_rise_with_the_clock_within_the_cards_limit() {
    for profile in shipped() {
        let called = called(&profile);
        let (_, model, limit_w) = CARDS.iter().find(|(gpu, ..)| profile.gpu.as_deref() == Some(gpu)).expect("a card");
        assert_eq!(profile.model.as_deref(), Some(*model));
        assert!((8..=20).contains(&profile.levels.len()), "{called}");
        for pair in profile.levels.windows(2) {
            let (slow, fast) = (pair[0], pair[1]);
            assert!(slow.watts < fast.watts && slow.speed < fast.speed, "{called}: {slow:?} {fast:?}");
            // No work gains more than the clock does.
            let clocks = f64::from(slow.clock_mhz) / f64::from(fast.clock_mhz);
            assert!(slow.speed / fast.speed >= clocks - 1e-3, "{called}: {slow:?} {fast:?}");
            assert!(slow.latency_ms.is_some() == fast.latency_ms.is_some(), "{called}");
            if let (Some(slow_ms), Some(fast_ms)) = (slow.latency_ms, fast.latency_ms) {
                assert!(slow_ms > fast_ms, "{called}: {slow:?} {fast:?}");
                assert!((slow_ms * slow.speed - fast_ms * fast.speed).abs() < 0.02, "{called}: {slow:?} {fast:?}");
            }
        }
        assert!(profile.levels.last().is_some_and(|top| top.watts <= *limit_w), "{called}");
        assert_eq!(profile.levels[0].latency_ms.is_some(), profile.name.as_str() == "llm-27b-decode", "{called}");
    }
}

#[test]
fn clocks_are_steps_that_the_card_has() {
    for profile in shipped() {
        // A V100's steps are 7.5 MHz, cut to whole ones; the others' are 15 MHz.
        let is_step = |mhz: u32| {
            if profile.gpu.as_deref() == Some("v100") { mhz.is_multiple_of(15) || mhz % 15 == 7 } else { mhz.is_multiple_of(15) }
        };
        assert!(profile.levels.iter().all(|level| is_step(level.clock_mhz)), "{}", called(&profile));
    }
}

#[test]
fn energy_per_work_has_one_minimum_where_sweeps_found_it() {
    for profile in shipped() {
        let called = called(&profile);
        let per_work: Vec<f64> = profile.levels.iter().map(|level| level.watts / level.speed).collect();
        let best = (0..per_work.len()).min_by(|&a, &b| per_work[a].total_cmp(&per_work[b])).expect("levels");
        assert!(best > 0 && best + 1 < per_work.len(), "{called}: the least energy is at an end: {per_work:?}");
        assert!(per_work[..=best].windows(2).all(|pair| pair[0] > pair[1]), "{called}: {per_work:?}");
        assert!(per_work[best..].windows(2).all(|pair| pair[0] < pair[1]), "{called}: {per_work:?}");
        let clock = f64::from(profile.levels[best].clock_mhz) / f64::from(profile.top_clock_mhz());
        let saving = 1.0 - per_work[best] / per_work[per_work.len() - 1];
        assert!(BEST_CLOCK.contains(&clock), "{called}: {clock}");
        assert!(SAVING.contains(&saving), "{called}: {saving}");
    }
}

#[test]
fn the_documentation_shows_the_table_that_the_script_prints() {
    let output = build(&["--table"]);
    let page = fs::read_to_string(folder().join("../../docs/profiles.md")).expect("the page");
    let shown = format!("$ etc/profiles/build --table\n{}```\n", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success() && page.contains(&shown), "docs/profiles.md has another table than this:\n{shown}");
}

#[test]
fn the_levels_lie_on_the_curve_that_measurements_are_fitted_to() {
    for profile in shipped() {
        let fit = Fit::of(&profile.levels).expect("levels");
        assert!(fit.power_error < 0.005 && fit.time_error < 0.001, "{}: {fit}", called(&profile));
    }
}

#[test]
fn more_gpus_do_more_but_never_more_than_their_number() {
    for profile in shipped() {
        let called = called(&profile);
        assert_eq!(!profile.scaling.is_empty(), profile.name.as_str().ends_with("-train"), "{called}");
        let table: Vec<(f64, f64)> = profile.scaling.iter().map(|(&gpus, &throughput)| (f64::from(gpus), throughput)).collect();
        assert!(table.first().is_none_or(|&first| first == (1.0, 1.0)), "{called}");
        assert!(table.windows(2).all(|pair| pair[0].1 < pair[1].1), "{called}: {table:?}");
        // Each further GPU gives no more than the ones before it.
        assert!(table.windows(2).all(|pair| pair[1].1 / pair[1].0 < pair[0].1 / pair[0].0), "{called}: {table:?}");
    }
}

#[test]
fn throughput_is_written_where_it_is_asked_for_and_published() {
    let written = tempfile::tempdir().expect("a folder");
    let to = written.path().to_str().unwrap();
    assert!(build(&["--relative-to", "a100", to]).status.success());
    let (profiles, errors) = Profiles::load(written.path());
    assert!(errors.is_empty(), "{errors:?}");
    let throughput = |name: &str, gpu| profiles.find(&name.parse().unwrap(), Some(gpu)).unwrap().throughput;
    assert_eq!(throughput("resnet50-train", "a100"), Some(1.0));
    assert_eq!(throughput("resnet50-train", "h100"), Some(1.654)); // 2616 and 1582 samples a second
    assert_eq!((throughput("resnet50-train", "l40s"), throughput("llm-27b-decode", "h100")), (None, None));
    let refused = build(&["--relative-to", "l40s", to]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("'l40s': no throughput of such a card; give one of rtx8000, v100, rtx4090"), "{said}");
}

#[test]
fn the_constants_come_out_of_the_raw_data_again() {
    if std::env::var_os("CARM_DATA").is_none() {
        eprintln!("skipped: CARM_DATA names no folder of raw data");
        let output = build(&["--check"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("CARM_DATA is not set"));
        return;
    }
    let output = build(&["--check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("WRONG"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 16, "{said}");
}
