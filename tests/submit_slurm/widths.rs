//! Moldable width on a real Slurm: the job gets the GPUs that the plan chose, in whatever words its script asked for them.

use super::{sites, start, submit};
use crate::common::{Setup, SlurmRelease};

fn the_job_gets_the_width_that_the_plan_chose(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    sites(&cluster, 0);
    let profiles = cluster.folder().join("jobs/profiles");
    std::fs::create_dir_all(&profiles).expect("a folder");
    let profile = "name = \"mold\"\nsource = \"made up for this test\"\n[[level]]\nclock_mhz = 1500\nwatts = 300.0\nspeed = 1.0\n\
                   [scaling]\n1 = 1.0\n2 = 1.8\n4 = 3.0\n";
    std::fs::write(profiles.join("mold.toml"), profile).expect("a profile");
    // A minute on one GPU, or 34 s on two, or 20 s on four.
    for (asks, counts, within_s, gpus) in [
        ("--gpus=1", "1-2", 50, 2),
        ("--gres=gpu:1", "1,2,4", 28, 4),
        ("--ntasks=1 --gpus-per-task=1", "1-2", 50, 2),
        // Time enough: one scales best.
        ("--gres=gpu:1", "1-2", 600, 1),
    ] {
        let head = format!("#!/bin/sh\n#SBATCH {asks} -t 2 --carbon-runtime=1:00 --carbon-profile=mold\n");
        let script = cluster.script("train.sh", &(head + "echo \"$CUDA_VISIBLE_DEVICES\"\n"));
        let (workers, deadline) = (format!("--carbon-workers={counts}"), format!("--carbon-deadline=now+{within_s}s"));
        let ran = submit(&cluster, &["--carbon-max-delay=0s", &workers, &deadline, &script]);
        let job = ran.job();
        assert_eq!(cluster.wait_for_job(job), "COMPLETED", "{asks}: {ran:?}");
        let given = cluster.output_of(job);
        assert_eq!(given.trim().split(',').count(), gpus, "{asks}: {given:?}: {ran:?}");
        assert_eq!(ran.stderr.contains("GPUs instead of 1"), gpus > 1, "{asks}: {ran:?}");
    }
    cluster.assert_no_node_was_lost();
}

#[test]
fn the_job_gets_the_width_that_the_plan_chose_on_the_installed_slurm() {
    the_job_gets_the_width_that_the_plan_chose(SlurmRelease::Installed);
}

#[test]
fn the_job_gets_the_width_that_the_plan_chose_on_debian_13() {
    SlurmRelease::Debian13.run(the_job_gets_the_width_that_the_plan_chose);
}
