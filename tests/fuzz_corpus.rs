//! The kept inputs of the fuzz targets, replayed: each corpus as it was minimised, and every input that ever broke a promise.
//!
//! The bodies are the fuzz targets' own (`fuzz/src`); how to fuzz further stands in docs/fuzzing.md.

// Helpers of tests are tests: clippy.toml's exceptions only see functions marked #[test].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod bodies;

/// Runs a body over every input that is kept for it; the last line printed before a failure names the input.
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}: holds no input", folder.display());
    for path in paths {
        println!("{}", path.display());
        body(&std::fs::read(&path).unwrap());
    }
}

#[test]
fn the_planner_keeps_its_promises_on_every_kept_problem() {
    replay("planner", bodies::planner::run);
}

#[test]
fn quantities_and_requests_are_read_or_refused_on_every_kept_text() {
    replay("quantities", bodies::quantities::run);
}

#[test]
fn slurms_text_is_read_or_refused_on_every_kept_input() {
    replay("slurm", bodies::slurm::run);
}

#[test]
fn files_are_read_or_refused_on_every_kept_input() {
    replay("files", bodies::files::run);
}

#[test]
fn what_the_simulator_reads_is_read_or_refused_on_every_kept_file() {
    replay("simulator", bodies::simulator::run);
}

#[test]
fn the_grids_cache_is_read_or_refused_on_every_kept_file() {
    replay("cache", bodies::cache::run);
}
