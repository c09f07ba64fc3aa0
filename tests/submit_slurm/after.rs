//! Jobs that wait for others, on a real Slurm: what its squeue tells of them.

use super::{seconds, sites, start, submit};
use crate::common::{Cluster, Ran, Setup, SlurmRelease, wait_for};

/// How long after the other's start a dry run's plan begins, and the line that says what it waits for.
fn planned(cluster: &Cluster, script: &str, dependency: &str) -> (i64, Ran) {
    let words = ["--dry-run", "--json", "--carbon-objective=ppc", "-d", dependency, script];
    let ran = submit(cluster, &words);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let start = json["plan"]["start"].as_str().unwrap_or_else(|| panic!("no plan: {ran:?}"));
    (chrono::DateTime::parse_from_rfc3339(start).expect("a time").timestamp(), ran)
}

fn a_plan_starts_after_the_jobs_that_it_waits_for(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    sites(&cluster, 0);
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:2 -t 2 -p gpu-north\nsleep 1\n");
    let first = cluster.sbatch(&["-p", "gpu-north", "--gres=gpu:1", "-t", "10", "--wrap=sleep 20"]).job();
    wait_for("a job that runs", || (cluster.job(first).get("JobState")? == "RUNNING").then_some(()));
    let begun = seconds(&cluster.job(first)["StartTime"]);
    let chained = format!("--dependency=afterok:{first}");
    let second = cluster.sbatch(&["-p", "gpu-north", "--gres=gpu:1", "-t", "5", &chained, "--wrap=true"]).job();
    for (dependency, after_s) in [
        (format!("afterok:{first}"), 600),
        (format!("after:{first}+3"), 180),
        (format!("afterany:{second}"), 900),
        (format!("afterany:{second}?afterany:{first}"), 600),
    ] {
        let (starts, ran) = planned(&cluster, &script, &dependency);
        assert!((starts - begun - after_s).abs() <= 2, "{dependency}: after {} s: {ran:?}", starts - begun);
    }

    let after = format!("--dependency=afterany:{first}");
    let ran = submit(&cluster, &["--carbon-objective=ppc", &after, &script]);
    assert!(ran.stderr.contains("as soon as it need not wait, expected in"), "{ran:?}");
    assert_eq!(cluster.wait_for_job(ran.job()), "COMPLETED");
    let waited = seconds(&cluster.job(ran.job())["StartTime"]) - begun;
    assert!((20..200).contains(&waited), "it starts when the other ends, not when its limit does: {waited} s");
    // One that has ended is waited for no longer.
    let (starts, ran) = planned(&cluster, &script, &format!("afterok:{first}"));
    assert!(starts - begun < 600 && !ran.stderr.contains("decides when"), "{ran:?}");
    cluster.assert_no_node_was_lost();
}

#[test]
fn a_plan_starts_after_the_jobs_that_it_waits_for_on_the_installed_slurm() {
    a_plan_starts_after_the_jobs_that_it_waits_for(SlurmRelease::Installed);
}

#[test]
fn a_plan_starts_after_the_jobs_that_it_waits_for_on_debian_13() {
    SlurmRelease::Debian13.run(a_plan_starts_after_the_jobs_that_it_waits_for);
}
