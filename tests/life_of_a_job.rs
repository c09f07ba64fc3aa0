//! The life of a job, across all programs, on a real Slurm: options taken by the plugin in sbatch, carried to the prolog,
//! clocks seen on the (simulated) GPUs while the job runs, put back after, energy and carbon booked.
//!
//! Figures are held against the test's own integration of the stand-in's power log over the trace.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

#[path = "common/mod.rs"]
mod common;
#[path = "life_of_a_job/detected.rs"]
mod detected;
#[path = "life_of_a_job/site.rs"]
mod site;

use carm::ledger::{Exit, Mark};
use carm::quantity::parse_instant;
use common::{SlurmRelease, built};
use site::Site;

fn within_one_percent(what: &str, booked: f64, summed: f64) {
    assert!((booked - summed).abs() <= 0.01 * summed, "{what}: booked {booked}, summed here {summed}");
}

/// Submits with a deadline far enough for a slow clock, and holds every promise to what happened.
fn a_whole_life(release: SlurmRelease) {
    let site = Site::on(release, "");
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --carbon-runtime=0:20", 20.0);
    let job = site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED", "{}", site.cluster.output_of(job));
    let line = site.ledger_line(job);
    let (start, end) = (line.start.as_deref().expect("a start"), &line.end);
    let (start, end) = (parse_instant(start).expect("a start"), parse_instant(end).expect("an end"));

    // The clock: one below the top, seen on the job's two GPUs while it ran.
    let clock = line.clock_mhz.expect("a clock below full clock");
    assert!((1000..2500).contains(&clock), "{clock} MHz");
    assert_eq!(line.decision, "least carbon by the deadline");
    assert_eq!(line.gpus.len(), 2);
    for gpu in &line.gpus {
        let clocks = site.busy_clocks(&gpu.uuid, start, end);
        assert!(!clocks.is_empty() && clocks.iter().all(|&mhz| mhz == clock), "{} ran at {clocks:?}", gpu.uuid);
    }

    // The clocks are back: each lock was taken back, and nothing is left behind.
    let calls = site.driver_calls();
    let count = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
    assert_eq!((count("nvmlDeviceSetGpuLockedClocks"), count("nvmlDeviceResetGpuLockedClocks")), (2, 2), "{calls:#?}");
    assert_eq!(std::fs::read_dir(site.path("state/solar1")).expect("state").count(), 0);

    // The statement: what the power log says, within a hundredth.
    let uuids: Vec<String> = line.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
    let (energy_j, carbon_g) = site.integrate(&uuids, start, end);
    within_one_percent("GPU energy in J", line.gpu_energy_j, energy_j);
    within_one_percent("carbon in g", line.carbon_g, carbon_g);
    assert_eq!(line.marks, []);
    assert_eq!(line.site.as_deref(), Some("solar"));
    site.cluster.assert_no_node_was_lost();
}

#[test]
fn a_job_with_a_deadline_runs_slower_is_put_back_and_booked() {
    a_whole_life(SlurmRelease::Installed);
}

#[test]
fn the_same_holds_on_debian_13() {
    SlurmRelease::Debian13.run(a_whole_life);
}

#[test]
fn the_same_holds_on_debian_sid() {
    SlurmRelease::DebianSid.run(a_whole_life);
}

/// Submits the same named job twice, the second time without a word on its run time; and one that is cancelled, which must
/// not teach anything.
fn the_second_run_is_planned_with_the_firsts_time(release: SlurmRelease) {
    let site = Site::on(release, "");
    let config = site.path("carm.toml").display().to_string();
    let submit = |words: &[&str]| {
        let client = site.cluster.with_env("CARM_CONFIG", &config);
        let ran = client.run(&built("carm-submit").display().to_string(), words);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    let now = ["--partition=solar", "--carbon-max-delay=0s", "--carbon-deadline=now+3minutes", "-J", "train"];
    let directives = "#SBATCH --gpus=2 --time=5";
    let long = site.training_script(directives, 100.0);
    let cancelled = submit(&[&now[..], &["--carbon-runtime=0:02", &long]].concat()).job();
    site.cluster.prolog_environment(cancelled);
    // Past its prolog: the script is at work.
    std::thread::sleep(std::time::Duration::from_secs(3));
    site.cluster.run("scancel", &[&cancelled.to_string()]);
    // slurmd tells its epilog 0:0 all the same.
    assert_eq!(site.cluster.epilog_environment(cancelled)["SLURM_JOB_EXIT_CODE2"], "0:0");
    let exit = site.ledger_line(cancelled).exit;
    assert!(!exit.is_some_and(Exit::is_success), "{exit:?}");

    let script = site.training_script(directives, 12.0);
    let first = submit(&[&now[..], &["--carbon-runtime=0:20", &script]].concat()).job();
    let line = site.ledger_line(first);
    assert_eq!((line.exit, line.name.as_deref()), (Some(Exit { code: 0, signal: 0 }), Some("train")));
    let done_s = line.work_done_s.expect("its work");
    assert!((11.0..16.0).contains(&done_s) && line.clock_mhz.is_some(), "12 s of work at a slow clock: {line:?}");

    let ran = submit(&[&now[..], &[&script]].concat());
    assert!(ran.stderr.contains("at full clock (as your one run of this name)"), "{}", ran.stderr);
    let line = site.ledger_line(ran.job());
    assert_eq!((line.work_s, line.exit), (Some(done_s.ceil() as u64), Some(Exit { code: 0, signal: 0 })));
    site.cluster.assert_no_node_was_lost();
}

#[test]
fn the_second_run_of_a_name_is_planned_with_the_firsts_time() {
    the_second_run_is_planned_with_the_firsts_time(SlurmRelease::Installed);
}

#[test]
fn the_same_is_learned_on_debian_13() {
    SlurmRelease::Debian13.run(the_second_run_is_planned_with_the_firsts_time);
}

/// A job that waits for its begin may get another time limit from its user, and the node goes by that.
fn a_changed_limit_holds(release: SlurmRelease) {
    let site = Site::on(release, "");
    let config = site.path("carm.toml").display().to_string();
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --carbon-runtime=0:45", 45.0);
    let words = ["--partition=solar", "--begin=now+8", "--carbon-max-delay=0s", "--carbon-deadline=now+4minutes", &script];
    let ran = site.cluster.with_env("CARM_CONFIG", &config).run(&built("carm-submit").display().to_string(), &words);
    let job = ran.job();
    let changed = site.cluster.run("scontrol", &["update", &format!("JobId={job}"), "TimeLimit=1"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED", "{ran:?}\n{}", site.log());
    let line = site.ledger_line(job);
    let start = parse_instant(line.start.as_deref().expect("a start")).expect("a start");
    let run_s = (parse_instant(&line.end).expect("an end") - start).as_seconds_f64();
    // Slurm itself looks at limits twice a minute, and might not have ended it.
    assert!(run_s < 60.0, "{run_s} s: {line:#?}");
    site.cluster.assert_no_node_was_lost();
}

#[test]
fn a_changed_limit_holds_on_the_installed_slurm() {
    a_changed_limit_holds(SlurmRelease::Installed);
}

#[test]
fn a_changed_limit_holds_on_debian_13() {
    SlurmRelease::Debian13.run(a_changed_limit_holds);
}

#[test]
fn a_job_without_carbon_options_meets_nothing_of_carm() {
    let site = Site::start();
    let script = site.training_script("#SBATCH --gpus=1 --time=5", 1.0);
    let job = site.cluster.sbatch(&["--partition=wind", &script]).job();
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED", "{}", site.cluster.output_of(job));
    assert!(!site.path("ledger").exists() && !site.path("state").exists());
    assert_eq!(site.log(), "");
    let touched = site.driver_calls().into_iter().filter(|call| call.contains("LockedClocks")).collect::<Vec<_>>();
    assert_eq!(touched, Vec::<String>::new());
}

#[test]
fn every_job_is_booked_where_the_admin_says_so() {
    let site = Site::on(SlurmRelease::Installed, "account = \"all\"");
    let script = site.training_script("#SBATCH --gpus=1 --time=5", 3.0);
    let job = site.cluster.sbatch(&["--partition=wind", &script]).job();
    let line = site.ledger_line(job);
    assert_eq!((line.clock_mhz, &line.marks[..]), (None, &[][..]));
    assert!(line.gpu_energy_j > 3.0 * 300.0, "{} J", line.gpu_energy_j);
}

#[test]
fn a_job_whose_run_time_nobody_knows_keeps_full_clock_and_says_why() {
    let site = Site::start();
    let script = site.training_script("#SBATCH --gpus=1 --time=5", 2.0);
    let job = site.cluster.sbatch(&["--partition=wind", "--carbon-deadline=now+1hour", &script]).job();
    let line = site.ledger_line(job);
    assert_eq!((line.clock_mhz, &line.marks[..]), (None, &[Mark::WorkUnknown][..]));
    assert_eq!(line.decision, "its run time is not known; --carbon-runtime tells it");
}
