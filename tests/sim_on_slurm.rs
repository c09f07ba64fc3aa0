//! A real Slurm and carm-sim on the same jobs: who starts when, and what all of it emits.
//!
//! Fifty jobs that must queue run on a Slurm of one node with eight stand-in GPUs. What Slurm booked of them (submission, GPUs, limit,
//! run time) is written as sacct would export it, and carm-sim runs it as a scenario on the same grid: it is told when jobs came and how long
//! they ran, and has to find out when each started and what it emitted.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

#[path = "sim_on_slurm/booked.rs"]
mod booked;
#[path = "common/mod.rs"]
mod common;
#[path = "governor_on_slurm/governor.rs"]
#[allow(dead_code)] // other tests ask more of it
mod governor;
#[path = "sim_on_slurm/load.rs"]
mod load;
#[path = "sim_on_slurm/simulated.rs"]
mod simulated;
#[path = "life_of_a_job/site.rs"]
mod site;

use std::sync::{Mutex, MutexGuard, PoisonError};

use booked::Booked;
use common::{Setup, SlurmRelease};
use governor::Governor;
use load::{FIFTY, GOVERNED, Load};
use simulated::{Backfill, Simulated};
use site::{ALL, Site};

/// Slurm looks past a job that waits so often (`bf_interval`), and at its queue as a whole (`sched_interval`), s.
const CYCLE_S: u32 = 1;

/// A start may be off by one cycle, and by one second because Slurm books submissions, starts and ends in whole seconds.
const START_S: f64 = CYCLE_S as f64 + 1.0;

/// Part by which sums of carbon and energy may differ.
const SUM: f64 = 0.03;

/// One node with eight GPUs, whose Slurm looks at its queue every second and plans by the second. It takes running jobs together that are to end within
/// half a minute; by default, ever more of them (`bf_window_linear`).
fn site(node_lines: &str) -> Site {
    let every = format!("sched_interval={CYCLE_S},bf_interval={CYCLE_S},batch_sched_delay=0");
    let setup = Setup::on(SlurmRelease::Installed).node("wind1:8:all:01:00:00").extra(&site::job_numbers());
    let setup = setup.extra(&format!("SchedulerParameters={every},bf_resolution=1,bf_window_linear=1"));
    Site::of(setup, node_lines, ALL)
}

/// How far the simulator is from what happened.
struct Gap {
    /// The simulator's start less Slurm's, by job, s.
    starts_s: Vec<f64>,
    /// The simulator's sums over the ledger's.
    carbon: f64,
    energy: f64,
}

impl Gap {
    fn between(booked: &Booked, simulated: &Simulated) -> Self {
        let pairs = || booked.jobs.iter().zip(&simulated.jobs);
        let (mut carbon, mut energy) = ((0.0, 0.0), (0.0, 0.0));
        for (real, model) in pairs() {
            carbon = (carbon.0 + model.carbon_g, carbon.1 + real.carbon_g);
            energy = (energy.0 + model.energy_kwh, energy.1 + real.energy_kwh);
        }
        Self {
            starts_s: pairs().map(|(real, model)| model.start_s - real.start_s as f64).collect(),
            carbon: carbon.0 / carbon.1,
            energy: energy.0 / energy.1,
        }
    }

    fn worst_s(&self) -> f64 {
        self.starts_s.iter().fold(0.0, |worst, gap_s| gap_s.abs().max(worst))
    }

    /// The first job whose start is off by more than [`START_S`] and by more than that further than any that started before it. Who waits for
    /// one that is late is late with it: on a machine that is busy with other things Slurm takes over a second here and there, and the simulator
    /// nowhere, so that seconds add up along the queue; but at no job may there be more of them than that.
    fn astray(&self, simulated: &Simulated) -> Option<usize> {
        let starts = || simulated.jobs.iter().map(|job| job.start_s).zip(&self.starts_s).enumerate();
        let is_astray = |&(_, (start_s, &gap_s)): &(usize, (f64, &f64))| {
            let before = || starts().filter(|(_, (earlier_s, _))| *earlier_s < start_s).map(|(_, (_, &gap_s))| gap_s);
            let (low_s, high_s) = (before().fold(0.0, f64::min), before().fold(0.0, f64::max));
            gap_s < low_s - START_S || gap_s > high_s + START_S
        };
        starts().find(is_astray).map(|(job, _)| job)
    }

    /// For people: `--nocapture` shows it.
    fn told(&self, of: &str) -> String {
        let same = self.starts_s.iter().filter(|gap_s| gap_s.abs() < 0.5).count();
        format!(
            "{of}: {same} of {} starts in the same second, the farthest {:.0} s off; carbon x {:.4}, energy x {:.4}",
            self.starts_s.len(),
            self.worst_s(),
            self.carbon,
            self.energy
        )
    }
}

/// One Slurm at a time: a second one on the same cores would make both late.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn fifty_jobs_start_when_the_simulator_says_and_emit_what_it_says() {
    let _alone = alone();
    let site = site("account = \"all\"");
    let booked = Booked::of(&site, &Load::of(FIFTY).run(&site));
    let (waited, passed) = (booked.waited(START_S as i64), booked.passed());
    assert!(waited >= 30 && passed >= 5, "{waited} jobs had to wait and {passed} passed another: that tells nothing\n{booked}");

    let simulated = Simulated::at_full_clock(&site, &booked, Backfill::Slurm);
    let gap = Gap::between(&booked, &simulated);
    let told = gap.told("as Slurm plans");
    println!("{waited} of 50 jobs waited, {passed} passed another; {told}");
    assert_eq!(gap.astray(&simulated), None, "{told}\n{:?}\n{booked}", gap.starts_s);
    assert!((gap.carbon - 1.0).abs() <= SUM && (gap.energy - 1.0).abs() <= SUM, "{told}\n{booked}");

    // That this agrees is no matter of course: by EASY others of these jobs pass.
    let simulated = Simulated::at_full_clock(&site, &booked, Backfill::Easy);
    let easy = Gap::between(&booked, &simulated);
    println!("{}", easy.told("as EASY plans"));
    assert!(easy.astray(&simulated).is_some() && easy.worst_s() > gap.worst_s() + 5.0 * START_S, "{}", easy.told("EASY"));
    site.cluster.assert_no_node_was_lost();
}

/// Time between submission and deadline beyond the work at full clock, s: enough for the slowest clock of the profile after any wait here.
const SLACK_S: u32 = 240;

/// Of these jobs the simulator is told the work alone: how long they run at which clock it has to find out too.
#[test]
fn jobs_with_deadlines_are_slowed_as_the_simulator_says() {
    let _alone = alone();
    let site = site("interval = \"1s\"\ndwell = \"1s\"");
    let governor = Governor::start(&site);
    let booked = Booked::of(&site, &Load::of(GOVERNED).with_slack(SLACK_S).run(&site)).of_work(GOVERNED);
    let (slow_s, full_s) = (booked.run_s(), GOVERNED.iter().map(|row| i64::from(row.3)).sum::<i64>());
    assert!(4 * slow_s > 5 * full_s, "{full_s} s of work took {slow_s} s: not slowed\n{booked}");

    let simulated = Simulated::governed(&site, &booked, SLACK_S);
    let gap = Gap::between(&booked, &simulated);
    let told = gap.told("slowed");
    println!("{full_s} s of work took {slow_s} s; {told}");
    assert_eq!(gap.astray(&simulated), None, "{told}\n{:?}\n{booked}", gap.starts_s);
    assert!((gap.carbon - 1.0).abs() <= SUM && (gap.energy - 1.0).abs() <= SUM, "{told}\n{booked}");
    governor.stop().cluster.assert_no_node_was_lost();
}
