//! Many jobs: side by side, on one GPU, one after the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use carm::ledger::{self, Mark, Record};

use crate::common::{Setup, SlurmRelease, wait_for};
use crate::governor::Governor;
use crate::site::Site;
use crate::{QUICK, assert_true_statement, now, site, span};

/// The ledger's lines, once there are so many.
fn lines(site: &Site, count: usize, patience: Duration) -> Vec<Record> {
    let since = Instant::now();
    loop {
        let records = ledger::read_dir(&site.path("ledger")).map(|reading| reading.records).unwrap_or_default();
        if records.len() >= count {
            return records;
        }
        assert!(since.elapsed() < patience, "{} of {count} lines: {:?}", records.len(), site.cluster.queue());
        std::thread::sleep(Duration::from_millis(200));
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_tasks_of_an_array_are_governed_each_by_itself() {
    let site = site();
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=1 --time=5 --array=1-4 --carbon-runtime=0:10", 10.0);
    site.cluster.sbatch(&["--partition=solar", "--carbon-deadline=now+4minutes", &script]).job();
    let lines = lines(&site, 4, MINUTE);
    let jobs: BTreeSet<u32> = lines.iter().map(|line| line.job).collect();
    let gpus: BTreeSet<&str> = lines.iter().map(|line| line.gpus[0].uuid.as_str()).collect();
    assert_eq!((jobs.len(), gpus.len()), (4, 4), "{lines:#?}");
    for line in &lines {
        assert_eq!((line.decision.as_str(), &line.marks[..]), ("least carbon in time", &[][..]), "{}", site.log());
        assert!(line.clock_mhz.is_some(), "{line:#?}");
        assert_true_statement(&site, line, 0.0);
    }
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

#[test]
fn eight_jobs_at_once_on_eight_gpus() {
    let site = site();
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=1 --time=5 --carbon-runtime=0:15", 15.0);
    for _ in 0..8 {
        site.cluster.sbatch(&["--partition=all", "--carbon-deadline=now+4minutes", &script]).job();
    }
    let lines = lines(&site, 8, MINUTE);
    let gpus: BTreeSet<&str> = lines.iter().map(|line| line.gpus[0].uuid.as_str()).collect();
    assert_eq!(gpus.len(), 8, "{lines:#?}");
    let last_start = lines.iter().map(|line| span(line).0).max();
    assert!(lines.iter().all(|line| Some(span(line).1) > last_start), "not at once");
    for line in &lines {
        assert_eq!(&line.marks[..], &[], "{}", site.log());
        assert!(line.clock_mhz.is_some(), "{line:#?}");
        assert_true_statement(&site, line, 0.0);
    }
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

#[test]
fn two_jobs_on_one_gpu_share_its_energy_and_the_faster_wish_holds() {
    let setup = Setup::on(SlurmRelease::Installed).shards(2).node("wind1:1:wind:01:00:00").node("solar1:1:solar:01:00:00");
    let site = Site::of(setup, QUICK, "");
    site.flatten_grid(400.0);
    let governor = Governor::start(&site);
    let before = now();
    let directives = "#SBATCH --gres=shard:1 --time=5";
    // The second has its time used up at once: it wishes full clock for as long as it runs.
    let slow = site.training_script(&format!("{directives} --carbon-runtime=1:00"), 20.0);
    let slow = site.cluster.sbatch(&["--partition=wind", "--carbon-deadline=now+4minutes", &slow]).job();
    let clock = site.slowed("wind1", slow);
    let fast = site.training_script(&format!("{directives} --carbon-runtime=0:10"), 5.0);
    let fast = site.cluster.sbatch(&["--partition=wind", "--carbon-deadline=now+10seconds", &fast]).job();
    let (fast, slow) = (site.ledger_line(fast), site.ledger_line(slow));
    let uuid = slow.gpus[0].uuid.clone();
    assert_eq!(fast.gpus[0].uuid, uuid);
    for line in [&fast, &slow] {
        assert_eq!(&line.marks[..], &[Mark::SharedGpu], "{}", site.log());
    }
    let both = site.busy_clocks(&uuid, span(&fast).0 + chrono::TimeDelta::seconds(1), span(&fast).1);
    assert!(!both.is_empty() && both.iter().all(|&mhz| mhz == 2520), "{both:?}\n{}", site.log());
    let after = site.busy_clocks(&uuid, span(&fast).1 + chrono::TimeDelta::seconds(1), span(&slow).1);
    assert!(after.iter().all(|&mhz| u64::from(mhz) < 2520) && clock < 2520, "{after:?}\n{}", site.log());
    let (energy_j, _) = site.integrate(&[uuid], span(&slow).0.max(before), span(&slow).1);
    crate::within_one_percent("both jobs' energy in J", fast.gpu_energy_j + slow.gpu_energy_j, energy_j);
    site.assert_nothing_is_left();
    governor.stop();
}

/// A user's plain job and another user's job with a deadline far off, on one GPU by shards.
fn plain_job_is_not_slowed(release: SlurmRelease, plain_first: bool) {
    let setup = Setup::on(release).shards(2).node("wind1:1:wind:01:00:00").node("solar1:1:solar:01:00:00");
    let site = Site::of(setup, QUICK, "");
    site.flatten_grid(400.0);
    let governor = Governor::start(&site);
    let directives = "#SBATCH --gres=shard:1 --time=5";
    let script = |work_s| site.training_script(directives, work_s);
    let plain = || site.cluster.sbatch(&["--partition=wind", &script(4.0)]).job();
    let carbon = || {
        let options = ["--partition=wind", "--carbon-deadline=now+4minutes", "--carbon-runtime=1:00"];
        site.cluster.sbatch(&[&options[..], &[&script(12.0)]].concat()).job()
    };
    let (plain, carbon) = if plain_first {
        let plain = plain();
        wait_for("the plain job to be on the card", || (!site.cluster.environments(plain, "prolog").is_empty()).then_some(()));
        (plain, carbon())
    } else {
        let carbon = carbon();
        site.slowed("wind1", carbon);
        (plain(), carbon)
    };
    // Both prologs have begun; a second later they are over.
    let began = |job: u32| (!site.cluster.environments(job, "prolog").is_empty()).then_some(());
    wait_for("both prologs", || began(plain).and(began(carbon)));
    let from = now() + chrono::TimeDelta::seconds(1);
    assert_eq!(site.cluster.wait_for_job(plain), "COMPLETED", "{}", site.cluster.output_of(plain));
    let line = site.ledger_line(carbon);
    // Two on a card take eight seconds for what one does in four.
    let clocks = site.busy_clocks(&line.gpus[0].uuid, from, from + chrono::TimeDelta::seconds(2));
    assert!(!clocks.is_empty() && clocks.iter().all(|&mhz| mhz == 2520), "{clocks:?}\n{}", site.log());
    assert_eq!(&line.marks[..], &[Mark::SharedGpu], "{}", site.log());
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

#[test]
fn earlier_plain_job_on_shards_is_not_slowed() {
    plain_job_is_not_slowed(SlurmRelease::Installed, true);
}

#[test]
fn later_plain_job_on_shards_is_not_slowed() {
    plain_job_is_not_slowed(SlurmRelease::Installed, false);
}

#[test]
fn earlier_plain_job_is_not_slowed_on_debian_13() {
    SlurmRelease::Debian13.run(|release| plain_job_is_not_slowed(release, true));
}

#[test]
fn two_hundred_short_jobs_leave_nothing_behind() {
    let site = site();
    let governor = Governor::start(&site);
    let script = site.cluster.script("short.sh", "#!/bin/sh\nexec true\n");
    let array = |tasks: &str| {
        let options = ["--partition=all", "--gpus=1", "--time=5", "--output=/dev/null", "--carbon-runtime=0:05"];
        let ran = site.cluster.sbatch(&[&options[..], &["--carbon-deadline=now+10minutes", tasks, &script]].concat());
        ran.job();
    };
    array("--array=1-20");
    assert_eq!(lines(&site, 20, MINUTE).len(), 20);
    std::thread::sleep(Duration::from_secs(2));
    let (files, memory_kib) = (governor.open_files(), governor.resident_kib());
    array("--array=1-180");
    lines(&site, 200, 4 * MINUTE);
    std::thread::sleep(Duration::from_secs(2));
    let lines = lines(&site, 200, MINUTE);
    let jobs: BTreeSet<u32> = lines.iter().map(|line| line.job).collect();
    assert_eq!((lines.len(), jobs.len()), (200, 200));
    // The shortest end before the governor has looked at them, and so before anyone has asked for their time limit.
    let is_odd = |line: &&Record| line.marks.iter().any(|&mark| mark != Mark::LimitUnknown) || !line.closed;
    let odd: Vec<_> = lines.iter().filter(is_odd).collect();
    assert!(odd.is_empty(), "{odd:#?}\n{}", site.log());
    site.assert_nothing_is_left();
    assert_eq!(governor.open_files(), files);
    let grown_kib = governor.resident_kib().saturating_sub(memory_kib);
    assert!(grown_kib <= 1024, "from {memory_kib} KiB by {grown_kib} KiB");
    governor.stop().cluster.assert_no_node_was_lost();
}
