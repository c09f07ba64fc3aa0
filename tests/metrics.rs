//! What monitoring is shown: that Prometheus' own client can read it, that the page of the documentation and the dashboard speak
//! of the metrics that there are, and what `carm-prolog status --prometheus` shows of a real node's journal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are no #[test] of their own

#[path = "../carm-prolog/src/metrics/families.rs"]
mod families;
#[path = "prolog/job.rs"]
#[allow(dead_code, reason = "the vocabulary of the prolog's tests")]
mod job;
#[path = "prolog/node.rs"]
#[allow(dead_code, reason = "as job")]
mod node;

#[path = "metrics/alerts.rs"]
mod alerts;
#[path = "metrics/dashboard.rs"]
mod dashboard;
#[path = "metrics/page.rs"]
mod page;
#[path = "metrics/second_opinion.rs"]
mod second_opinion;
#[path = "metrics/status.rs"]
mod status;

use std::path::PathBuf;

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
