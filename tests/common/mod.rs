//! The vocabulary of tests that drive a real Slurm: `Cluster::start().sbatch(&["--carbon-budget=2kg", "job.sh"])`.
//!
//! A cluster is started by `tests/slurm/throwaway`, is the test's own, and ends with it. What a test asks of it is in
//! `cluster.rs` (commands, jobs, what prolog and epilog saw), how it is set up in `setup.rs`, what goes wrong with it in
//! `crash.rs`. A test file includes this folder with `mod common;`.

#![allow(dead_code, unused_imports)] // each test file uses its own part of the vocabulary
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // nor does clippy know that these are tests

mod cluster;
mod crash;
mod setup;

pub use cluster::{Client, Cluster, Environment, Ran, wait_for, wait_for_long};
pub use crash::{kill, processes_with};
pub use setup::{Setup, SlurmRelease, built, has_accounting, plugin_for, repository, skipped, target};
