//! `spank_carm.so` in a real Slurm, the installed release and those of tests/slurm/releases: what users give, what prolog, epilog and job
//! get, and that nothing happens to anybody else. The finished file itself is looked at in `spank_plugin/file.rs`, wrong
//! values and wrong set-ups are tried in `spank_plugin/refusals.rs` and `spank_plugin/setups.rs`.

#![allow(clippy::expect_used, clippy::panic)] // in tests; clippy knows only functions marked #[test] for such

mod common;
#[path = "spank_plugin/file.rs"]
mod file;
#[path = "spank_plugin/nesting.rs"]
mod nesting;
#[path = "spank_plugin/refusals.rs"]
mod refusals;
#[path = "spank_plugin/setups.rs"]
mod setups;

use common::{Cluster, Environment, SlurmRelease};

/// Makes each function a test on every release.
macro_rules! on_every_release {
    ($($test:ident),+ $(,)?) => {
        mod installed { $(#[test] fn $test() { super::$test(super::SlurmRelease::Installed); })+ }
        mod debian_13 { $(#[test] fn $test() { super::SlurmRelease::Debian13.run(super::$test); })+ }
        mod debian_sid { $(#[test] fn $test() { super::SlurmRelease::DebianSid.run(super::$test); })+ }
    };
}
pub(crate) use on_every_release;

on_every_release!(
    every_command_lists_the_options_and_hides_what_only_carm_submit_writes,
    every_way_to_give_an_option_reaches_the_prolog,
    prolog_and_epilog_get_every_value_normalised,
    a_local_deadline_arrives_in_utc_by_the_submitters_time_zone,
    the_command_line_overrides_the_script,
    abbreviations_work_beside_carm_submits_own_options,
    a_job_name_arrives_as_text_whatever_it_says,
    off_travels_alone,
    the_job_learns_its_budget_objective_and_deadline,
    export_none_keeps_the_request_and_drops_the_jobs_copy,
    array_tasks_each_carry_the_request,
    a_requeued_job_keeps_its_request,
    a_job_without_carbon_options_is_the_same_as_without_the_plugin,
);

/// The carbon part of what a prolog or epilog saw, without Slurm's prefix: `BUDGET=2000`, sorted.
fn carbon(environment: &Environment) -> Vec<String> {
    let ours = environment.iter().filter_map(|(name, value)| Some(format!("{}={value}", name.strip_prefix("SPANK_CARM_")?)));
    ours.collect()
}

/// Whatever in an environment is CARM's, in any of Slurm's spellings.
fn anything_of_carm(environment: &Environment) -> Vec<String> {
    let ours = environment.iter().filter(|(name, _)| name.contains("CARM") || name.contains("carm_"));
    ours.map(|(name, value)| format!("{name}={value}")).collect()
}

/// What env(1) printed.
fn printed(text: &str) -> Environment {
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn every_command_lists_the_options_and_hides_what_only_carm_submit_writes(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    for program in ["sbatch", "srun", "salloc"] {
        let help = cluster.run(program, &["--help"]).stdout;
        let ours: Vec<&str> = help.lines().filter(|line| line.contains("--carbon-") || line.contains("--carm-")).collect();
        let names: Vec<&str> = ours.iter().filter_map(|line| line.split_whitespace().next()).collect();
        let expected = [
            "--carbon-budget=MASS",
            "--carbon-objective=NAME",
            "--carbon-deadline=TIME",
            "--carbon-latency=DURATION",
            "--carbon-runtime=TIME",
            "--carbon-profile=NAME",
            "--carbon-workers=COUNTS",
            "--carbon-suspend=COST",
            "--carbon-max-delay=DURATION",
            "--carbon-off",
        ];
        assert_eq!(names, expected, "{program} --help");
        assert_eq!(help.matches("[carm]").count(), expected.len(), "{program}: every option is tagged");
        assert!(!help.contains("(null)"), "{program} --help");
    }
}

fn every_way_to_give_an_option_reaches_the_prolog(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let flag = cluster.sbatch(&["--carbon-budget=1.2kg", "--wrap=true"]).job();
    let apart = cluster.sbatch(&["--carbon-budget", "1.2kg", "--wrap=true"]).job();
    let script = cluster.sbatch_script(&[], "#!/bin/sh\n#SBATCH --carbon-budget=1.2kg\ntrue\n").job();
    let path = cluster.script("job.sh", "#!/bin/sh\n#SBATCH --carbon-budget=1.2kg\ntrue\n");
    let file = cluster.sbatch(&[&path, "--carbon-budget=not-mine"]).job();
    for job in [flag, apart, script, file] {
        assert_eq!(carbon(&cluster.prolog_environment(job)), ["BUDGET=1200", "V=1"], "job {job}");
        assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    }
    for program in ["srun", "salloc"] {
        let ran = cluster.run(program, &["--carbon-budget=1.2kg", "--jobid-is-no-option"]);
        assert_ne!(ran.code, 0, "{program} still knows its own options: {ran:?}");
        let ran = cluster.run(program, &["--carbon-budget=1.2kg", "printenv", "SLURM_JOB_ID"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let job = ran.stdout.trim().parse().expect("a job id");
        assert_eq!(carbon(&cluster.prolog_environment(job)), ["BUDGET=1200", "V=1"], "{program}");
    }
    let user = cluster.as_user(65534).sbatch(&["--carbon-budget=1.2kg", "--wrap=true"]).job();
    assert_eq!(carbon(&cluster.prolog_environment(user)), ["BUDGET=1200", "V=1"], "another user");
    cluster.assert_no_node_was_lost();
}

fn prolog_and_epilog_get_every_value_normalised(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let job = cluster
        .sbatch(&[
            "--carbon-budget=0.0015t",
            "--carbon-objective=performance",
            "--carbon-deadline=2036-05-01T18:00+02:00",
            "--carbon-latency=50ms",
            "--carbon-runtime=1-2",
            "--carbon-profile=resnet50-train",
            "--carbon-workers=4,1,2,3",
            "--carbon-suspend=5m",
            "--carbon-max-delay=1.5h",
            "--carm-later-s=7200",
            "--carm-work-s=3600",
            "--carm-name=train",
            "--carm-asked=2026-05-01T06:00:00Z",
            "--wrap=true",
        ])
        .job();
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    let expected = [
        "ASKED=2026-05-01T06:00:00.000Z",
        "BUDGET=1500",
        "DEADLINE=2036-05-01T16:00:00.000Z",
        "LATENCY=0.05s",
        "LATER_S=7200",
        "MAX_DELAY=5400s",
        "NAME=train",
        "OBJECTIVE=performance",
        "PROFILE=resnet50-train",
        "RUNTIME=1-02:00:00",
        "SUSPEND=300s",
        "V=1",
        "WORKERS=1-4",
        "WORK_S=3600",
    ];
    assert_eq!(carbon(&cluster.prolog_environment(job)), expected, "prolog");
    assert_eq!(carbon(&cluster.epilog_environment(job)), expected, "epilog");
    assert!(!cluster.log("slurmd-n1").contains("SPANK"), "slurmstepd knows the options: {}", cluster.log("slurmd-n1"));
    cluster.assert_no_node_was_lost();
}

fn a_local_deadline_arrives_in_utc_by_the_submitters_time_zone(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let client = cluster.with_env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    for (local, utc) in [
        ("2036-01-15T18:00", "2036-01-15T17:00:00.000Z"),
        ("2036-07-15T18:00:30", "2036-07-15T16:00:30.000Z"),
        // Twice on that night: the first counts.
        ("2036-10-26T02:30", "2036-10-26T00:30:00.000Z"),
    ] {
        let job = client.sbatch(&[&format!("--carbon-deadline={local}"), "--wrap=true"]).job();
        let deadline = cluster.prolog_environment(job).remove("SPANK_CARM_DEADLINE");
        assert_eq!(deadline.as_deref(), Some(utc), "{local}");
    }
    let skipped = client.sbatch(&["--carbon-deadline=2036-03-30T02:30", "--wrap=true"]);
    assert!(skipped.code != 0 && skipped.stderr.contains("the change to summer time skips"), "{skipped:?}");

    let before = chrono::Utc::now();
    let job = client.sbatch(&["--carbon-deadline=now+8hours", "--wrap=true"]).job();
    let text = cluster.prolog_environment(job).remove("SPANK_CARM_DEADLINE").expect("a deadline");
    let from_now = text.parse::<chrono::DateTime<chrono::Utc>>().expect("RFC 3339") - before;
    assert!((0..60_000).contains(&(from_now.num_milliseconds() - 8 * 3_600_000)), "{text}");
}

fn the_command_line_overrides_the_script(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let script = "#!/bin/sh\n#SBATCH --carbon-budget=5kg\n#SBATCH --carbon-runtime=30\ntrue\n";
    let job = cluster.sbatch_script(&["--carbon-budget=1kg", "--carbon-budget=2kg"], script).job();
    assert_eq!(carbon(&cluster.prolog_environment(job)), ["BUDGET=2000", "RUNTIME=00:30:00", "V=1"]);
}

fn abbreviations_work_beside_carm_submits_own_options(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let script = "#!/bin/sh\n#SBATCH --carbon-l=50ms\n#SBATCH --carbon-p=bert\ntrue\n";
    let job = cluster.sbatch_script(&["--carbon-b=7", "--carm-later-s=60", "--carm-work-s=30", "--carm-name=x"], script).job();
    let expected = ["BUDGET=7", "LATENCY=0.05s", "LATER_S=60", "NAME=x", "PROFILE=bert", "V=1", "WORK_S=30"];
    assert_eq!(carbon(&cluster.prolog_environment(job)), expected);
    let ambiguous = cluster.sbatch(&["--carbon-=5", "--wrap=true"]);
    assert!(ambiguous.code != 0 && ambiguous.stderr.contains("ambiguous"), "{ambiguous:?}");
}

fn a_job_name_arrives_as_text_whatever_it_says(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    for (name, expected) in [
        ("a b;$(touch /tmp/x)\"q'`id`\\", "a b;$(touch /tmp/x)\"q'`id`\\"),
        ("two\nlines\tSPANK_CARM_BUDGET=1", r"two\nlines\tSPANK_CARM_BUDGET=1"),
        ("%s%n%d", "%25s%25n%25d"),
        ("Übung", "%C3%9Cbung"),
        ("%E8%AE%AD%E7%BB%83", "%E8%AE%AD%E7%BB%83"),
    ] {
        let job = cluster.sbatch(&[&format!("--carm-name={name}"), "--wrap=true"]).job();
        assert_eq!(carbon(&cluster.prolog_environment(job)), [&format!("NAME={expected}"), "V=1"]);
        assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    }
    cluster.assert_no_node_was_lost();
}

fn off_travels_alone(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let job = cluster.sbatch(&["--carbon-budget=1kg", "--carbon-suspend", "--carbon-off", "--wrap=env"]).job();
    assert_eq!(carbon(&cluster.prolog_environment(job)), ["OFF=1", "V=1"]);
    cluster.wait_for_job(job);
    assert!(!cluster.output_of(job).contains("CARM_JOB_"), "{}", cluster.output_of(job));
}

fn the_job_learns_its_budget_objective_and_deadline(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let options = ["--carbon-budget=1.2kg", "--carbon-objective=carbon", "--carbon-deadline=2036-05-01T18:00Z"];
    let job = cluster.sbatch(&[&options[..], &["--wrap=env"]].concat()).job();
    cluster.wait_for_job(job);
    let by_srun = cluster.srun(&[&options[..], &["env"]].concat()).stdout;
    let by_salloc = cluster.salloc(&[&options[..], &["srun", "env"]].concat()).stdout;
    for text in [cluster.output_of(job), by_srun, by_salloc] {
        let told: Vec<String> = text.lines().filter(|line| line.starts_with("CARM_")).map(str::to_owned).collect();
        let mut told = told;
        told.sort();
        let expected = ["CARM_JOB_BUDGET_G=1200", "CARM_JOB_DEADLINE=2036-05-01T18:00:00.000Z", "CARM_JOB_OBJECTIVE=carbon"];
        assert_eq!(told, expected);
    }
}

fn export_none_keeps_the_request_and_drops_the_jobs_copy(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let job = cluster.sbatch(&["--export=NONE", "--carbon-budget=1kg", "--wrap=/usr/bin/env"]).job();
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    assert_eq!(carbon(&cluster.prolog_environment(job)), ["BUDGET=1000", "V=1"]);
    assert!(!cluster.output_of(job).contains("CARM_JOB_"), "{}", cluster.output_of(job));
}

fn array_tasks_each_carry_the_request(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let job = cluster.sbatch(&["--array=1-3", "--carbon-budget=9", "--carbon-suspend", "--wrap=true"]).job();
    // Each task runs under a job id of its own.
    for task in [job, job + 1, job + 2] {
        assert_eq!(carbon(&cluster.prolog_environment(task)), ["BUDGET=9", "SUSPEND=0s", "V=1"]);
        assert_eq!(carbon(&cluster.epilog_environment(task)), ["BUDGET=9", "SUSPEND=0s", "V=1"]);
    }
    cluster.assert_no_node_was_lost();
}

fn a_requeued_job_keeps_its_request(release: SlurmRelease) {
    let cluster = Cluster::on(release);
    let script = "#!/bin/sh\n[ \"$SLURM_RESTART_COUNT\" = 1 ] || sleep 60\n";
    let job = cluster.sbatch_script(&["--carbon-budget=9", "--requeue"], script).job();
    cluster.prolog_environment(job);
    common::wait_for("the job to run", || (cluster.job(job).get("JobState")? == "RUNNING").then_some(()));
    let requeued = cluster.run("scontrol", &["requeue", &job.to_string()]);
    assert_eq!(requeued.code, 0, "{requeued:?}");
    common::wait_for("the job to be back in the queue", || (cluster.job(job).get("Reason")? == "BeginTime").then_some(()));
    // Slurm lets a requeued job wait two minutes; its owner need not. (Started again within a second, 22.05's slurmd still
    // knows the first run and calls no prolog.)
    assert_eq!(cluster.run("scontrol", &["update", &format!("jobid={job}"), "StartTime=now+3"]).code, 0);
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    for script in ["prolog", "epilog"] {
        let runs = cluster.environments(job, script);
        assert_eq!(runs.iter().map(carbon).collect::<Vec<_>>(), [["BUDGET=9", "V=1"], ["BUDGET=9", "V=1"]], "{script}");
    }
    cluster.assert_no_node_was_lost();
}

fn a_job_without_carbon_options_is_the_same_as_without_the_plugin(release: SlurmRelease) {
    let with = Cluster::on(release);
    let without = common::Setup::on(release).without_plugin().start();
    for arguments in [&["--wrap=env"][..], &["--parsable", "--wrap=env"], &["--no-such-option"], &["--version"]] {
        assert_eq!(with.sbatch(arguments), without.sbatch(arguments), "sbatch {arguments:?}");
    }
    assert_eq!(with.salloc(&["--quiet", "echo", "x"]), without.salloc(&["--quiet", "echo", "x"]));
    for job in [1, 2] {
        assert_eq!(with.wait_for_job(job), "COMPLETED");
        assert_eq!(anything_of_carm(&with.prolog_environment(job)), [""; 0], "prolog");
        assert_eq!(anything_of_carm(&with.epilog_environment(job)), [""; 0], "epilog");
        assert_eq!(anything_of_carm(&printed(&with.output_of(job))), [""; 0], "the job");
    }
    assert_eq!(anything_of_carm(&printed(&with.srun(&["env"]).stdout)), [""; 0], "srun");
    for log in ["slurmctld", "slurmd-n1"] {
        assert!(!with.log(log).contains("spank_carm:"), "{}", with.log(log));
    }
    with.assert_no_node_was_lost();
}
