//! Daemons that are killed, epilogs that never come, jobs that are requeued.

use std::time::{Duration, Instant};

use carm::ledger::{self, Mark, Record};

use crate::common::{Setup, SlurmRelease, wait_for, wait_for_long};
use crate::governor::Governor;
use crate::site::Site;
use crate::{assert_true_statement, site, site_with};

fn lines_of(site: &Site, job: u32) -> Vec<Record> {
    let reading = ledger::read_dir(&site.path("ledger")).map(|reading| reading.records).unwrap_or_default();
    reading.into_iter().filter(|record| record.job == job).collect()
}

#[test]
fn a_job_outlives_the_death_of_slurmd_and_governor() {
    let site = site();
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --carbon-runtime=0:15", 15.0);
    let job = site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    site.slowed("solar1", job);
    std::thread::sleep(Duration::from_secs(3));
    site.cluster.kill_slurmd("solar1");
    governor.kill();
    std::thread::sleep(Duration::from_secs(2));
    site.cluster.start_slurmd("solar1");
    let governor = Governor::start(&site);
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED", "{}", site.cluster.output_of(job));
    let line = site.ledger_line(job);
    assert_true_statement(&site, &line, 0.0);
    assert_eq!(&line.marks[..], &[], "{}", site.log());
    assert_eq!((line.partition.as_deref(), line.closed), (Some("solar"), true));
    // The governor sees it gone and books nothing more.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lines_of(&site, job).len(), 1);
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

#[test]
fn a_job_whose_epilog_never_comes_is_closed_within_an_interval() {
    let site = site();
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --no-requeue --carbon-runtime=1:00", 60.0);
    let job = site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    site.slowed("solar1", job);
    std::thread::sleep(Duration::from_secs(2));
    governor.kill();
    site.cluster.kill_slurmd("solar1");
    site.cluster.kill_steps_of(job);
    let down = ["update", "nodename=solar1", "state=down", "reason=crashed"];
    assert_eq!(site.cluster.run("scontrol", &down).code, 0);
    wait_for("slurmctld to give the job up", || (site.cluster.job(job).get("JobState")? == "NODE_FAIL").then_some(()));
    assert!(site.known_of("solar1", job).is_some() && lines_of(&site, job).is_empty());

    let governor = Governor::start(&site);
    let since = Instant::now();
    let line = site.ledger_line(job);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!((&line.marks[..], line.exit), (&[Mark::NoEpilog][..], None), "{}", site.log());
    assert_true_statement(&site, &line, 0.0);
    site.assert_nothing_is_left();

    // The node comes back; an epilog that slurmd runs late finds nothing, and the next job is as any other.
    site.cluster.start_slurmd("solar1");
    site.cluster.run("scontrol", &["update", "nodename=solar1", "state=resume"]);
    let script = site.training_script("#SBATCH --gpus=4 --time=5 --carbon-runtime=0:05", 4.0);
    let next = site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    assert_eq!(site.cluster.wait_for_job(next), "COMPLETED", "{}", site.cluster.output_of(next));
    assert_eq!(&site.ledger_line(next).marks[..], &[], "{}", site.log());
    assert_eq!(lines_of(&site, job).len(), 1);
    site.assert_nothing_is_left();
    governor.stop();
}

#[test]
fn a_requeued_job_has_what_its_first_run_left_of_the_budget() {
    // slurmctld starts it again when the first run's credential has expired, by default after two minutes. Sooner (by a StartTime of
    // its user's) slurmd 22.05 takes it for known and runs no prolog.
    let site = site_with(Setup::on(SlurmRelease::Installed).extra("AuthInfo=cred_expire=12"));
    site.flatten_grid(400.0);
    let governor = Governor::start(&site);
    // 20 s at full clock emit 2.56 g on its two GPUs, and 2.25 g at the most economical one.
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --requeue --carbon-runtime=0:20 --carbon-budget=2.9g", 20.0);
    let job = site.cluster.sbatch(&["--partition=solar", &script]).job();
    wait_for("the first run to be governed", || site.known_of("solar1", job)?["governed"]["taken_up"].as_bool().filter(|&is| is));
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(site.cluster.run("scontrol", &["requeue", &job.to_string()]).code, 0);
    let first = site.ledger_line(job);
    assert_eq!((first.run, first.clock_mhz, &first.marks[..]), (0, None, &[][..]), "{}", site.log());
    wait_for_long("the second run", Duration::from_secs(240), || (lines_of(&site, job).len() == 2).then_some(()));
    let second = lines_of(&site, job).into_iter().find(|line| line.run == 1).expect("the second run");
    assert!(first.carbon_g > 0.65, "{first:#?}");
    assert_eq!(&second.marks[..], &[Mark::OverBudget], "{}", site.log());
    assert!(second.clock_mhz.is_some() && second.decision.starts_with("the budget cannot be kept"), "{second:#?}");
    assert_eq!(site.cluster.wait_for_job(job), "COMPLETED");
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}
