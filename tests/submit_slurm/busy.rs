//! A partition without room, on a real Slurm: its estimate is heeded, its queue counted, and the job starts as soon as it can.

use chrono::Utc;

use super::{seconds, sites, start, submit};
use crate::common::{Cluster, Setup, SlurmRelease, wait_for};

/// Takes every GPU of the partition for so long, with a limit of its own.
fn fill(cluster: &Cluster, words: &[&str], sleep_s: u32) -> u32 {
    let wrap = format!("--wrap=sleep {sleep_s}");
    let common = ["-p", "gpu-north", "--gres=gpu:4", wrap.as_str()];
    let job = cluster.sbatch(&[&common[..], words].concat()).job();
    wait_for("a job that fills the partition", || (cluster.job(job).get("JobState")? == "RUNNING").then_some(()));
    job
}

fn a_job_waits_for_room_and_not_for_slurms_estimate(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    sites(&cluster, 0);
    // Slurm has to expect it to run to its limit of ten minutes; it ends long before.
    let blocker = fill(&cluster, &["-t", "10"], 12);
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:2 -t 2 -p gpu-north\nsleep 1\n");
    let submitted = Utc::now().timestamp();
    let ran = submit(&cluster, &["--carbon-objective=ppc", &script]);
    assert!(ran.stderr.contains("at north as soon as there is room, expected in "), "{ran:?}");
    assert!(ran.stderr.contains("Slurm expects room at north from "), "{ran:?}");
    let job = ran.job();
    assert_eq!(cluster.wait_for_job(blocker), "COMPLETED");
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    let started = seconds(&cluster.job(job)["StartTime"]) - submitted;
    assert!((1..60).contains(&started), "started after {started} s");

    // Nothing is in its way any more.
    let ran = submit(&cluster, &["--carbon-objective=ppc", "--carbon-max-delay=0s", &script]);
    assert!(ran.stderr.contains("at north at once") && !ran.stderr.contains("room"), "{ran:?}");
    assert_eq!(cluster.wait_for_job(ran.job()), "COMPLETED");
    cluster.assert_no_node_was_lost();
}

fn the_queue_is_counted_in_gpu_hours(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    let config = "[planner]\nmax_delay = \"24h\"\n[[zone]]\nname = \"z\"\nsource = \"typical-day\"\n\
                  [[site]]\nname = \"north\"\nzone = \"z\"\npartition = \"gpu-north\"\n";
    std::fs::write(cluster.folder().join("jobs/carm.toml"), config).expect("a configuration");
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:2 -t 60 -p gpu-north\nsleep 1\n");
    let words = ["--dry-run", "--carbon-objective=ppc", &script];
    assert!(!submit(&cluster, &words).stderr.contains("  load"));

    // 4 GPUs x 4 h running; waiting 3 x 4 x 5 h, 2 x 5 h, 5 h and, held, nothing: 95 % of what 4 GPUs do in 24 h.
    fill(&cluster, &["-t", "4:00:00"], 60);
    for words in
        [&["--gres=gpu:4", "--array=1-5:2"][..], &["--gpus=2"], &["--gres=gpu:4", "--hold"], &["--ntasks=1", "--gpus-per-task=1"]]
    {
        let ran = cluster.sbatch(&[&["-p", "gpu-north", "-t", "5:00:00", "--wrap=sleep 1"], words].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let ran = submit(&cluster, &words);
    let told = "gpu-north has 91 GPU-hours of work for 4 GPUs: no clock below 1620 MHz";
    assert!(ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{ran:?}");
}

fn a_plan_keeps_clear_of_jobs_that_are_put_off(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    sites(&cluster, 600);
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:2 -t 2 -p gpu-south\nsleep 1\n");
    let begins = || -> i64 {
        let ran = submit(&cluster, &["--dry-run", "--json", "--carbon-deadline=now+50m", &script]);
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let time = |value: &serde_json::Value| -> i64 {
            let time = chrono::DateTime::parse_from_rfc3339(value.as_str().expect("a time"));
            time.expect("RFC 3339").timestamp()
        };
        time(&json["plan"]["start"]) - time(&json["now"])
    };
    let free = begins();
    assert!((590..=605).contains(&free), "begins after {free} s, when the grid is clean");
    for gpus in ["--gres=gpu:2", "--gres=gpu:1"] {
        let beside = begins();
        assert!(beside <= free, "after {beside} s: two GPUs are left");
        let put_off = cluster.sbatch(&["-p", "gpu-south", gpus, "-t", "10", "--begin=now+600", "--wrap=sleep 1"]);
        assert_eq!(put_off.code, 0, "{put_off:?}");
    }
    let clear = begins();
    assert!((1_180..=1_500).contains(&clear), "begins after {clear} s, when their ten minutes are over");
}

#[test]
fn a_job_waits_for_room_and_not_for_slurms_estimate_on_the_installed_slurm() {
    a_job_waits_for_room_and_not_for_slurms_estimate(SlurmRelease::Installed);
}

#[test]
fn a_job_waits_for_room_and_not_for_slurms_estimate_on_debian_13() {
    SlurmRelease::Debian13.run(a_job_waits_for_room_and_not_for_slurms_estimate);
}

#[test]
fn the_queue_is_counted_in_gpu_hours_on_the_installed_slurm() {
    the_queue_is_counted_in_gpu_hours(SlurmRelease::Installed);
}

#[test]
fn the_queue_is_counted_in_gpu_hours_on_debian_13() {
    SlurmRelease::Debian13.run(the_queue_is_counted_in_gpu_hours);
}

#[test]
fn a_plan_keeps_clear_of_jobs_that_are_put_off_on_the_installed_slurm() {
    a_plan_keeps_clear_of_jobs_that_are_put_off(SlurmRelease::Installed);
}

#[test]
fn a_plan_keeps_clear_of_jobs_that_are_put_off_on_debian_13() {
    SlurmRelease::Debian13.run(a_plan_keeps_clear_of_jobs_that_are_put_off);
}
