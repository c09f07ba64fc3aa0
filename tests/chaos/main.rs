//! Chaos: a real Slurm with two nodes and eight GPUs of the stand-in under load, while storage stalls, disks fill up, driver
//! calls hang and processes are killed; then everything is repaired, and invariants are checked.
//!
//!     cargo test --test chaos -- [--minutes=N] [--seed=N] [--faults=LIST]
//!
//! Two minutes by default. The seed decides the load and the faults; how they meet depends on the machine.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;
mod disk;
mod draw;
mod faults;
mod invariants;
mod load;
mod machine;
mod options;
mod power;
mod runs;
mod service;
#[path = "../life_of_a_job/site.rs"]
mod site;
mod watch;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use machine::Machine;
use options::Options;
use watch::Watch;

fn main() -> ExitCode {
    let Some(options) = Options::of(std::env::args().skip(1)) else { return ExitCode::SUCCESS };
    if let Err(cause) = disk::permitted() {
        println!("\nchaos: SKIPPED, NOTHING WAS TESTED: {cause}; run it as root where loop devices and fsfreeze are permitted\n");
        return ExitCode::SUCCESS;
    }
    println!("chaos: {options}");
    let machine = Machine::start();
    let watch = Watch::default();
    let jobs = run(&options, &machine, &watch);
    let repaired = machine.wait_until_repaired();
    let restarts = machine.stop_governor();
    let report = invariants::check(&machine, &watch, &jobs, repaired);
    println!("{}\n{report}\ngovernor: {restarts}", options);
    if report.holds() {
        return ExitCode::SUCCESS;
    }
    let folder = machine.keep();
    println!("chaos: an invariant does not hold; logs and ledger remain in {}", folder.display());
    ExitCode::FAILURE
}

/// Load and faults for the time of the options; the jobs that were submitted, all of which have ended.
fn run(options: &Options, machine: &Machine, watch: &Watch) -> load::Jobs {
    let until = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch.run(machine, &over));
        let noise = scope.spawn(|| watch.measure_noise(&over));
        let faults = scope.spawn(|| faults::run(options, machine, watch, until));
        let mut jobs = load::run(options.seed, machine, until);
        faults.join().expect("the faults");
        jobs.stuck = machine.wait_for_jobs();
        over.store(true, Ordering::Relaxed);
        watching.join().expect("the watch");
        noise.join().expect("the noise");
        jobs
    })
}
