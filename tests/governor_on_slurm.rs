//! The governor on a real Slurm: that it finds out what the prolog was not told, moves the clocks as the planner would, and
//! loses nothing when daemons are killed, jobs requeued, arrays, GPUs and nodes shared.
//!
//! Figures are held against the test's own integration of the stand-in's power log over the trace.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

#[path = "common/mod.rs"]
mod common;
#[path = "governor_on_slurm/crashes.rs"]
mod crashes;
#[path = "chaos/disk.rs"]
mod disk;
#[path = "governor_on_slurm/governor.rs"]
mod governor;
#[path = "governor_on_slurm/many.rs"]
mod many;
#[path = "life_of_a_job/site.rs"]
mod site;
#[path = "governor_on_slurm/stalled.rs"]
mod stalled;
#[path = "governor_on_slurm/sun.rs"]
mod sun;

use carm::ledger::{Record, Step};
use carm::quantity::parse_instant;
use chrono::{DateTime, Utc};
use common::{Setup, SlurmRelease};
use governor::Governor;
use site::{ALL, Site};

/// Governed every second; clocks move as soon as they may.
const QUICK: &str = "interval = \"1s\"\ndwell = \"1s\"";

/// The same eight GPUs under a roof.
const ROOF: &str = r#"
[[site]]
name = "roof"
zone = "test"
partition = "roof"
gpu = "sim"
profile = "train"
gpus = 8
onsite = "roof.csv"
onsite_g_per_kwh = 0
"#;

/// A site with the partitions `all` and `roof`.
fn site_with(setup: Setup) -> Site {
    let partition = |name: &str| format!("PartitionName={name} Nodes=wind1,solar1 MaxTime=01:00:00 State=UP");
    let setup = setup.node("wind1:4:wind:01:00:00").node("solar1:4:solar:01:00:00");
    let setup = setup.extra(&site::job_numbers()).extra(&partition("all")).extra(&partition("roof"));
    Site::of(setup, QUICK, &format!("{ALL}{ROOF}"))
}

fn site() -> Site {
    site_with(Setup::on(SlurmRelease::Installed))
}

impl Site {
    /// What the node knows of a running job: its state file.
    fn known_of(&self, node: &str, job: u32) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(self.path(&format!("state/{node}/job-{job}.json"))).ok()?).ok()
    }

    /// Waits until the governor has brought a job's clocks below full clock; the clock.
    fn slowed(&self, node: &str, job: u32) -> u64 {
        common::wait_for(&format!("a clock below full clock for job {job}"), || self.known_of(node, job)?["clock_mhz"].as_u64())
    }

    /// No GPU is locked or held, and no job is known any more.
    fn assert_nothing_is_left(&self) {
        let files = |node: &str| -> Vec<_> {
            let entries = std::fs::read_dir(self.path("state").join(node)).into_iter().flatten();
            entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
        };
        for node in ["wind1", "solar1"] {
            // A line stands in the ledger a moment before its job is forgotten.
            let since = std::time::Instant::now();
            while !files(node).is_empty() && since.elapsed().as_secs() < 2 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            assert!(files(node).is_empty(), "{node}: {:?}\n{}", files(node), self.log());
        }
        let (mut locked, calls) = (std::collections::BTreeSet::new(), self.driver_calls());
        for call in calls.iter().filter(|call| call.ends_with(",0")) {
            let gpu = call.split(['=', ',', ')']).nth(1).expect("a GPU").to_owned();
            if call.starts_with("nvmlDeviceSetGpuLockedClocks") {
                locked.insert(gpu);
            } else if call.starts_with("nvmlDeviceResetGpuLockedClocks") {
                locked.remove(&gpu);
            }
        }
        assert!(locked.is_empty(), "locked: {locked:?}");
    }
}

fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

/// From prolog to epilog.
fn span(line: &Record) -> (DateTime<Utc>, DateTime<Utc>) {
    let start = line.start.as_deref().expect("a start");
    (parse_instant(start).expect("a start"), parse_instant(&line.end).expect("an end"))
}

fn within_one_percent(what: &str, booked: f64, summed: f64) {
    assert!((booked - summed).abs() <= 0.01 * summed, "{what}: booked {booked}, summed here {summed}");
}

/// A line's figures are those of the power log, and its steps add up to them.
fn assert_true_statement(site: &Site, line: &Record, roof_share: f64) {
    let (start, end) = span(line);
    let uuids: Vec<String> = line.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
    let (energy_j, carbon_g) = site.integrate_with_roof(&uuids, (start, end), roof_share);
    within_one_percent("GPU energy in J", line.gpu_energy_j, energy_j);
    within_one_percent("carbon in g", line.carbon_g, carbon_g);
    let sum = |of: fn(&Step) -> f64| line.steps.iter().map(of).sum::<f64>();
    assert!((sum(|step| step.gpu_energy_j) - line.gpu_energy_j).abs() < 1e-6 * line.gpu_energy_j, "{line:#?}");
    assert!((sum(|step| step.carbon_g) - line.carbon_g).abs() < 1e-6 * line.carbon_g, "{line:#?}");
    assert!((sum(|step| step.seconds) - (end - start).as_seconds_f64()).abs() < 0.05, "{line:#?}");
}

/// How often slurmctld was asked about one job.
fn questions(site: &Site) -> usize {
    let log = site.cluster.log("slurmctld");
    log.lines().filter(|line| line.contains("Processing RPC") && line.contains("REQUEST_JOB_INFO_SINGLE")).count()
}

/// Plain sbatch tells the prolog neither a name nor, before Slurm 23.02, a limit; the governor finds out with one question.
fn a_job_of_plain_sbatch_is_governed(release: SlurmRelease) {
    let site = site_with(Setup::on(release).extra("SlurmctldDebug=debug2"));
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --job-name=night --carbon-runtime=0:15", 15.0);
    let job = site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    let clock = site.slowed("solar1", job);
    assert!((1000..2500).contains(&clock), "{clock} MHz");
    std::thread::sleep(std::time::Duration::from_secs(4));
    // For the end and the name at once; from 23.02 on slurmd tells the end, and the name is asked for at the next look.
    assert_eq!(questions(&site), 1, "{}", site.log());
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED", "{}", site.cluster.output_of(job));
    let line = site.ledger_line(job);
    assert_eq!((&line.marks[..], line.closed), (&[][..], true), "{}", site.log());
    assert_eq!(line.name.as_deref(), Some("night"), "{line:#?}");
    match release {
        SlurmRelease::Installed => {
            assert_eq!(line.decision, "least carbon in time", "{line:#?}");
            assert!(line.clock_changes >= 1, "{line:#?}");
        }
        // The prolog's clock is good enough to be kept.
        SlurmRelease::Debian13 | SlurmRelease::DebianSid => assert!(line.decision.starts_with("least carbon"), "{line:#?}"),
    }
    assert_true_statement(&site, &line, 0.0);
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

/// Slurm's own wish for clocks. Debian's packages have no gpu/nvml: their Slurm takes the option and sets nothing, so the job is CARM's.
fn a_job_with_gpu_freq_is_governed(release: SlurmRelease) {
    let site = site_with(Setup::on(release));
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --gpu-freq=medium --carbon-runtime=0:10", 10.0);
    let job = site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    site.slowed("solar1", job);
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED", "{}", site.cluster.output_of(job));
    let line = site.ledger_line(job);
    assert_eq!(&line.marks[..], &[][..], "no other hand: {}", site.log());
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

#[test]
fn a_job_with_gpu_freq_is_governed_on_the_installed_slurm() {
    a_job_with_gpu_freq_is_governed(SlurmRelease::Installed);
}

#[test]
fn a_job_with_gpu_freq_is_governed_on_debian_13() {
    SlurmRelease::Debian13.run(a_job_with_gpu_freq_is_governed);
}

#[test]
fn a_job_of_plain_sbatch_is_governed_by_one_question() {
    a_job_of_plain_sbatch_is_governed(SlurmRelease::Installed);
}

#[test]
fn on_debian_13_by_one_too() {
    SlurmRelease::Debian13.run(a_job_of_plain_sbatch_is_governed);
}
