//! The same jobs in carm-sim: the program itself, on files as a user would write them.

use std::process::Command;

use chrono::DateTime;

use crate::booked::Booked;
use crate::common::built;
use crate::site::{HOST_WATTS, PUE, Site};

/// A value of the scenario's `[scheduler] backfill`.
#[derive(Debug, Clone, Copy)]
pub enum Backfill {
    Easy,
    Slurm,
}

/// What became of one job there.
#[derive(Debug)]
pub struct Job {
    /// Seconds since 1970.
    pub start_s: f64,
    pub energy_kwh: f64,
    pub carbon_g: f64,
}

/// All jobs, in the order of [`Booked`].
pub struct Simulated {
    pub jobs: Vec<Job>,
}

impl Simulated {
    /// Runs them first come, first served, at full clock.
    pub fn at_full_clock(site: &Site, booked: &Booked, backfill: Backfill) -> Self {
        Self::of(site, booked, backfill, "fcfs", "")
    }

    /// Runs them under CARM's governor, each with so much time beyond its work.
    pub fn governed(site: &Site, booked: &Booked, slack_s: u32) -> Self {
        let more = format!("deadline_slack = \"{slack_s}s\"\n[governor]\ninterval = \"1s\"\ndwell = \"1s\"\n");
        Self::of(site, booked, Backfill::Slurm, "carm-performance-clocks", &more)
    }

    fn of(site: &Site, booked: &Booked, backfill: Backfill, policy: &str, more: &str) -> Self {
        let program = built("carm-sim");
        assert!(program.exists(), "carm-sim is not built; cargo build --workspace");
        std::fs::write(site.path("jobs.sacct"), booked.as_sacct()).expect("a job trace");
        std::fs::write(site.path("scenario.toml"), scenario(booked.begin_s(), backfill) + more).expect("a scenario");
        let (scenario, records) = (site.path("scenario.toml"), site.path("records.csv"));
        let mut command = Command::new(program);
        command.arg("run").arg(scenario).args(["--policy", policy, "--quiet", "--records"]).arg(&records);
        let ran = command.output().expect("carm-sim");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let mut reader = csv::Reader::from_path(records).expect("records");
        let columns = reader.headers().expect("a header").clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        let column = |name: &str| columns.iter().position(|column| column == name).unwrap_or_else(|| panic!("no column {name}"));
        let job = |name: &str| {
            let row = rows.iter().find(|row| &row[column("job")] == name).unwrap_or_else(|| panic!("{name}: not simulated"));
            let value = |name: &str| row[column(name)].parse::<f64>().unwrap_or_else(|error| panic!("{name}: {error}"));
            Job {
                start_s: booked.begin_s() as f64 + value("start_h") * 3600.0,
                energy_kwh: value("grid_kwh"),
                carbon_g: value("carbon_g"),
            }
        };
        Self { jobs: booked.jobs.iter().map(|booked| job(&booked.name)).collect() }
    }
}

/// What the real cluster has, as a scenario.
fn scenario(begin_s: i64, backfill: Backfill) -> String {
    let begin = DateTime::from_timestamp(begin_s, 0).expect("a time").format("%Y-%m-%dT%H:%M:%SZ");
    let backfill = format!("{backfill:?}").to_lowercase();
    format!(
        r#"
profiles = "profiles"
[time]
start = "{begin}"
length = "1h"
[planner]
host_watts = {HOST_WATTS}
pue = {PUE}
[scheduler]
backfill = "{backfill}"
[[zone]]
name = "test"
path = "grid.csv"
[[site]]
name = "all"
zone = "test"
gpus = 8
gpus_per_node = 8
max_time = "1h"
gpu = "sim"
profile = "train"
[jobs]
source = "sacct"
path = "jobs.sacct"
"#
    )
}
