//! What CARM reads of a job is what Slurm makes of it: GPUs, whole nodes, time limits, lines of other batch systems.

use std::ffi::OsString;
use std::path::Path;

use carm::quantity::{Moment, format_slurm_time};
use carm::slurm::argv;
use carm::slurm::array::Tasks;
use carm::slurm::grammar::Grammar;
use carm::slurm::hostlist;
use carm::slurm::job::{Fact, Job, Options};

use super::{start, submit};
use crate::common::{Cluster, Setup, SlurmRelease, wait_for};

fn read(words: &[&str]) -> Job {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    let mut options = Options::default();
    options.lay_over(&argv::divide(&Grammar::built_in(&[]), &words).options);
    Job::read(&options, &Moment { now: chrono::DateTime::UNIX_EPOCH, local: &|wall| Some(wall.and_utc()) })
}

/// Submits a job that sleeps, waits until it runs, and gives its GPUs by Slurm's own account.
fn allocated(cluster: &Cluster, words: &[&str]) -> Option<u32> {
    let words: Vec<&str> = ["--parsable", "-o", "/dev/null"].iter().chain(words).copied().chain(["--wrap", "sleep 60"]).collect();
    let ran = cluster.sbatch(&words);
    let job: u32 = ran.stdout.trim().parse().ok()?;
    let detail = || cluster.run("scontrol", &["--details", "--oneliner", "show", "job", &job.to_string()]).stdout;
    let shown = wait_for("the job to run", || Some(detail()).filter(|shown| shown.contains("JobState=RUNNING")));
    assert_eq!(cluster.run("scancel", &[&job.to_string()]).code, 0);
    wait_for("its nodes to be free", || cluster.node_states().iter().all(|state| state == "idle").then_some(()));
    // `Nodes=n[1-2] CPU_IDs=0 Mem=0 GRES=gpu:2080ti:2(IDX:0-1)`
    let of_nodes = shown.split(" Nodes=").skip(1).filter_map(|text| {
        let nodes = hostlist::expand(text.split(' ').next()?)?.len();
        let gres = text.split(" GRES=").nth(1)?.split(['(', ' ']).next()?;
        Some(nodes * gres.rsplit(':').next()?.parse::<usize>().unwrap_or(0))
    });
    u32::try_from(of_nodes.sum::<usize>()).ok()
}

fn typed(release: SlurmRelease) -> Cluster {
    Setup::on(release)
        .without_plugin()
        .bind(Path::new(env!("CARGO_BIN_EXE_carm-submit")).parent().expect("a folder"))
        .node("n1:2080ti=4:main")
        .node("n2:2080ti=4:main")
        .node("m1:a100_1g.5gb=2:mig")
        .extra("PartitionName=whole Nodes=n[1-2] OverSubscribe=EXCLUSIVE State=UP")
        .start()
}

fn gpus_are_those_that_slurm_allocates(release: SlurmRelease) {
    let cluster = typed(release);
    for words in [
        &["--ntasks-per-gpu=2", "-n", "4"][..],
        &["--ntasks-per-gpu=2", "-N", "1"],
        &["--ntasks-per-gpu=2", "-N", "2"],
        &["--ntasks-per-gpu=2", "--gpus=2"],
        &["--gres=gpu:2080ti:1"],
        &["--gpus=2080ti:3"],
        &["--gpus-per-node=2080ti:2", "-N2"],
        &["-w", "n1", "--gpus-per-node=2"],
        &["-w", "n[1-2]", "--gpus-per-node=2"],
        &["-w", "n1", "-n", "1", "--gres=gpu:2"],
    ] {
        let gpus = read(words).gpus.known().map(|gpus| gpus.count);
        assert!(gpus.is_some() && gpus == allocated(&cluster, words), "{words:?}: {gpus:?}");
    }
    // Without a number 22.05 refuses such a type.
    if let Some(gpus) = allocated(&cluster, &["--gpus=2080ti"]) {
        assert_eq!(read(&["--gpus=2080ti"]).gpus.known().map(|read| read.count), Some(gpus));
    }
    assert_eq!(allocated(&cluster, &["--ntasks-per-gpu=2", "-n", "5"]), None, "sbatch refuses it");
    assert_eq!(allocated(&cluster, &["--ntasks-per-gpu=2"]), None, "sbatch refuses it");
    let mig = ["-p", "mig", "--gpus=a100_1g.5gb:1"];
    assert_eq!(allocated(&cluster, &mig), Some(1));
    assert!(matches!(read(&mig).gpus, Fact::Unclear(why) if why.contains("MIG instances share a GPU and its clock")));
}

fn whole_nodes_are_planned_whole(release: SlurmRelease) {
    let cluster = typed(release);
    let planned = |words: &[&str], environment: Option<&str>| -> (u32, String) {
        let client = cluster.with_env("SBATCH_EXCLUSIVE", environment.unwrap_or("oversubscribe"));
        let words =
            [&["--carbon-runtime=10", "--carbon-objective=ppc", "--dry-run", "-t", "20"], words, &["--wrap", "true"]].concat();
        let ran = client.run(env!("CARGO_BIN_EXE_carm-submit"), &words);
        let gpus =
            ran.stderr.lines().find_map(|line| line.strip_prefix("carm-submit: wrap: ")?.split_once(" GPU")?.0.parse().ok());
        (gpus.unwrap_or(0), ran.stderr)
    };
    for (words, gpus) in [
        (&["--exclusive", "--gres=gpu:1"][..], 4),
        (&["--exclusive"], 4),
        (&["--exclusive=user", "--gres=gpu:1"], 1),
        (&["--exclusive=mcs", "--gres=gpu:1"], 1),
        (&["--exclusive", "-s", "--gres=gpu:1"], 1),
        (&["--exclusive", "--gres=gpu:1", "-N2"], 8),
        (&["--exclusive", "--gpus=5"], 8),
        (&["-p", "whole", "--gres=gpu:1"], 4),
        (&["-p", "whole"], 4),
    ] {
        match allocated(&cluster, words) {
            Some(allocated) => assert_eq!(allocated, gpus, "{words:?}: Slurm"),
            None => assert!(words.contains(&"-s"), "{words:?}: 26.05 refuses both options alone"),
        }
        let (planned, text) = planned(words, None);
        assert_eq!(planned, gpus, "{words:?}: {text}");
        assert_eq!(text.contains(&format!("the job gets whole nodes: planned for all of their {gpus} GPUs")), gpus > 1, "{text}");
    }
    assert_eq!(planned(&["--gres=gpu:1"], Some("")).0, 4, "SBATCH_EXCLUSIVE= is --exclusive");
    assert_eq!(planned(&["--gres=gpu:1"], Some("user")).0, 1);
    let (_, text) = planned(&["--exclusive", "--gres=gpu:1", "-N1-2"], None);
    assert!(text.contains("the number of nodes is open: submitted as written"), "{text}");
}

fn limits_are_those_that_slurm_sets(release: SlurmRelease) {
    let cluster = start(Setup::on(release).without_plugin());
    for limit in ["1-", "1-12", "1-12:30", "90", "90:30", "1:30:00", "0-1"] {
        let job = cluster.sbatch(&["-H", "-t", limit, "--wrap", "true"]).job();
        let read = read(&["-t", limit]).time_limit.known().and_then(|limit| limit.seconds()).expect(limit);
        assert_eq!(cluster.job(job)["TimeLimit"], format_slurm_time(read.div_ceil(60) * 60), "{limit}");
    }
}

/// Submits a script that prints the deadline that it finds, as it stands.
fn deadline_found(cluster: &Cluster, program: &str, deadline: &str) -> String {
    let config = cluster.folder().join("jobs/carm.toml").display().to_string();
    let client = cluster.with_env("CARM_CONFIG", &config).with_env("TZ", "Europe/Berlin");
    let script = cluster.script("deadline.sh", "#!/bin/sh\n#SBATCH --gres=gpu:1 -t 2\necho \"$CARM_JOB_DEADLINE\"\n");
    let words = [&format!("--carbon-deadline={deadline}"), "--carbon-max-delay=0s", "--carbon-runtime=1", &script];
    let job = client.run(program, &words).job();
    assert_eq!(cluster.wait_for_job(job), "COMPLETED", "{deadline}");
    cluster.output_of(job).trim().to_owned()
}

fn times_mean_the_same_everywhere(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    super::sites(&cluster, 0);
    let submit = env!("CARGO_BIN_EXE_carm-submit");
    for text in ["tomorrow", "tomorrow 23:59", "12/31/30-09:00", "2030-10-27T02:30", "fika tomorrow"] {
        let berlin = cluster.with_env("TZ", "Europe/Berlin").with_env("SLURM_TIME_FORMAT", "%s");
        let job = berlin.sbatch(&["-o", "/dev/null", &format!("--begin={text}"), "--wrap", "true"]).job();
        let shown = berlin.run("scontrol", &["--oneliner", "show", "job", &job.to_string()]).stdout;
        let eligible: i64 = shown.split("EligibleTime=").nth(1).and_then(|s| s.split(' ').next()?.parse().ok()).expect("a time");
        let (plugin, planned) = (deadline_found(&cluster, "sbatch", text), deadline_found(&cluster, submit, text));
        assert_eq!(plugin, planned, "{text}");
        let read = carm::quantity::parse_instant(&plugin).expect(text).timestamp();
        // Slurm may take the second of two readings.
        assert!(read == eligible || text.contains("10-27") && eligible - read == 3600, "{text}: {read}, Slurm {eligible}");
    }
    for text in ["soon", "24:00", "Tomorrow", "13/01"] {
        assert_ne!(cluster.sbatch(&[&format!("--begin={text}"), "--wrap", "true"]).code, 0, "{text}");
        let refused = cluster.sbatch(&[&format!("--carbon-deadline={text}"), "--wrap", "true"]);
        assert!(refused.code != 0 && refused.stderr.contains("not a time; give a time such as 18:00, tomorrow"), "{refused:?}");
    }
}

#[test]
fn times_mean_the_same_everywhere_on_the_installed_slurm() {
    times_mean_the_same_everywhere(SlurmRelease::Installed);
}

#[test]
fn times_mean_the_same_everywhere_on_debian_13() {
    SlurmRelease::Debian13.run(times_mean_the_same_everywhere);
}

fn arrays_have_the_tasks_that_slurm_makes(release: SlurmRelease) {
    let cluster = start(Setup::on(release).without_plugin());
    for spec in ["0-9%1", "7", "1,3,5-9:2%2", "0-15:4", "0-9%0", "0-3%9"] {
        let job = cluster.sbatch(&["-H", &format!("--array={spec}"), "-o", "/dev/null", "--wrap", "true"]).job();
        let tasks = cluster.run("squeue", &["--noheader", "--array", "--format=%i", "--jobs", &job.to_string()]);
        let throttle = cluster.job(job).get("ArrayTaskThrottle").and_then(|most| most.parse().ok());
        let read = Tasks::parse(spec);
        assert_eq!((read.count, read.throttle), (tasks.stdout.lines().count() as u64, throttle), "{spec}: {tasks:?}");
    }
}

fn foreign_lines_are_left_to_sbatch(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    super::sites(&cluster, 30);
    let deadline = "--carbon-deadline=now+5min";
    for (line, limit, planned) in [
        ("#PBS -l walltime=1:00:00", "01:00:00", false),
        ("true\n#PBS -l walltime=1:00:00", "01:00:00", false),
        ("#BSUB -W 7", "00:07:00", false),
        ("#PBS -N name -j oe", "00:02:00", true),
    ] {
        let head = "#!/bin/sh\n#SBATCH --gres=gpu:1 -t 2 -o /dev/null --carbon-runtime=0:30\n";
        let script = cluster.script("train.sh", &format!("{head}{line}\nsleep 1\n"));
        let plain = cluster.job(cluster.sbatch(&["-H", &script]).job());
        assert_eq!(plain["TimeLimit"], limit, "{line}: sbatch");
        let ran = submit(&cluster, &["--carbon-runtime=0:30", deadline, &script]);
        let shown = cluster.job(ran.job());
        let says =
            "lines set a time or resources, which sbatch takes and CARM does not read: submitted as written, without a plan";
        assert_eq!(ran.stderr.contains(says), !planned, "{line}: {ran:?}");
        assert_eq!(ran.stderr.contains("  plan "), planned, "{line}: {ran:?}");
        if !planned {
            assert_eq!((&*shown["TimeLimit"], &shown["Partition"]), (limit, &plain["Partition"]), "{line}: {ran:?}");
        }
        let ran = submit(&cluster, &["--ignore-pbs", deadline, &script]);
        assert!(ran.stderr.contains("  plan "), "{line}: {ran:?}");
    }
}

#[test]
fn gpus_are_those_that_slurm_allocates_on_the_installed_slurm() {
    gpus_are_those_that_slurm_allocates(SlurmRelease::Installed);
}

#[test]
fn gpus_are_those_that_slurm_allocates_on_debian_sid() {
    SlurmRelease::DebianSid.run(gpus_are_those_that_slurm_allocates);
}

#[test]
fn whole_nodes_are_planned_whole_on_the_installed_slurm() {
    whole_nodes_are_planned_whole(SlurmRelease::Installed);
}

#[test]
fn whole_nodes_are_planned_whole_on_debian_sid() {
    SlurmRelease::DebianSid.run(whole_nodes_are_planned_whole);
}

#[test]
fn limits_are_those_that_slurm_sets_on_the_installed_slurm() {
    limits_are_those_that_slurm_sets(SlurmRelease::Installed);
}

#[test]
fn arrays_have_the_tasks_that_slurm_makes_on_the_installed_slurm() {
    arrays_have_the_tasks_that_slurm_makes(SlurmRelease::Installed);
}

#[test]
fn foreign_lines_are_left_to_sbatch_on_the_installed_slurm() {
    foreign_lines_are_left_to_sbatch(SlurmRelease::Installed);
}
