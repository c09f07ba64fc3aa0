//! carm-submit in front of a real sbatch, on two releases: the option table held to getopt's own answers, a job that
//! starts where and when the plan says, as wide as it says, or as soon as there is room, and failures that are sbatch's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are no #[test] of their own

mod common;

#[path = "submit_slurm/after.rs"]
mod after;
#[path = "submit_slurm/busy.rs"]
mod busy;
#[path = "submit_slurm/facts.rs"]
mod facts;
#[path = "submit_slurm/limits.rs"]
mod limits;
#[path = "submit_slurm/widths.rs"]
mod widths;

use std::path::Path;

use carm::slurm::argv;
use carm::slurm::grammar::{Arity, Grammar, Named};
use chrono::{DateTime, TimeDelta, Utc};
use common::{Cluster, Ran, Setup, SlurmRelease, built};

fn start(setup: Setup) -> Cluster {
    let submit = Path::new(env!("CARGO_BIN_EXE_carm-submit"));
    setup.bind(submit.parent().expect("a folder")).node("n1:4:gpu-north").node("s1:4:gpu-south:2:00:00").start()
}

/// A cluster with a site that is clean from `clean_s` on and one that never is.
fn sites(cluster: &Cluster, clean_s: i64) -> DateTime<Utc> {
    let now = Utc::now();
    let row = |at: i64, g: f64| format!("{},{g}\n", (now + TimeDelta::seconds(at)).format("%Y-%m-%dT%H:%M:%S%.3fZ"));
    let trace = |g: &dyn Fn(i64) -> f64| -> String {
        let rows = (-12..720).map(|step| row(step * 5, g(step * 5)));
        std::iter::once("time,carbon_g_per_kwh\n".to_owned()).chain(rows).collect()
    };
    let folder = cluster.folder().join("jobs");
    std::fs::write(folder.join("north.csv"), trace(&|_| 500.0)).expect("a trace");
    std::fs::write(folder.join("south.csv"), trace(&|at| if at < clean_s { 900.0 } else { 20.0 })).expect("a trace");
    let site = |name: &str| {
        format!(
            "[[zone]]\nname = \"{name}\"\nsource = \"trace\"\npath = \"{name}.csv\"\n\
             [[site]]\nname = \"{name}\"\nzone = \"{name}\"\npartition = \"gpu-{name}\"\ngpus = 4\n"
        )
    };
    std::fs::write(folder.join("carm.toml"), site("north") + &site("south")).expect("a configuration");
    now
}

fn submit(cluster: &Cluster, words: &[&str]) -> Ran {
    let config = cluster.folder().join("jobs/carm.toml");
    let client = cluster.with_env("CARM_CONFIG", &config.display().to_string());
    client.run(env!("CARGO_BIN_EXE_carm-submit"), words)
}

fn seconds(text: &str) -> i64 {
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").unwrap_or_else(|error| panic!("{text}: {error}"));
    time.and_local_timezone(chrono::Local).earliest().expect("a local time").timestamp()
}

fn a_job_starts_where_and_when_the_plan_says(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    let now = sites(&cluster, 15);
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:2 -t 2 --carbon-runtime=0:30\nsleep 1\n");
    let ran = submit(&cluster, &["--parsable", "--carbon-deadline=now+90s", &script, "--epochs", "90"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let job: u32 = ran.stdout.trim().parse().unwrap_or_else(|_| panic!("--parsable prints the job alone: {ran:?}"));
    let shown = cluster.job(job);
    assert_eq!(shown.get("Partition").map(String::as_str), Some("gpu-south"), "{shown:?}");
    let begin = seconds(&shown["EligibleTime"]) - now.timestamp();
    assert!((14..=20).contains(&begin), "begins after {begin} s: {ran:?}");
    let prolog = cluster.prolog_environment(job);
    for (name, value) in [("SPANK_CARM_WORK_S", "30"), ("SPANK_CARM_NAME", "train.sh"), ("SPANK_CARM_RUNTIME", "00:00:30")] {
        assert_eq!(prolog.get(name).map(String::as_str), Some(value), "{prolog:?}");
    }
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    cluster.assert_no_node_was_lost();

    // sbatch's own refusals, by its own words and code.
    for words in [&["-p", "nowhere", script.as_str()][..], &["--bogus", &script], &["none.sh"], &["-t", "2h", &script]] {
        let plain = cluster.sbatch(words);
        let ran = submit(&cluster, words);
        assert_eq!((ran.code, ran.stdout.as_str()), (plain.code, plain.stdout.as_str()), "{words:?}: {ran:?}");
        for line in plain.stderr.lines() {
            assert!(ran.stderr.contains(line), "{words:?}: {line:?} in {}", ran.stderr);
        }
    }
}

/// sbatch reads `<(...)`, /dev/stdin and /proc/self/fd/0 once; so does carm-submit, and hands over what it read.
fn a_piped_script_is_submitted(release: SlurmRelease) {
    let cluster = start(Setup::on(release));
    sites(&cluster, 0);
    let submit = env!("CARGO_BIN_EXE_carm-submit");
    let config = cluster.folder().join("jobs/carm.toml").display().to_string();
    for (gpus, plan) in [("--gres=gpu:1", "--carbon-max-delay=0s"), ("", ""), ("--gres=gpu:1", "--carbon-off")] {
        let script = format!("printf '#!/bin/sh\\n#SBATCH {gpus} -t 2\\necho \"$0 $1\"\\n'");
        for (line, name) in [
            (format!("{submit} {plan} <({script}) argument"), None),
            (format!("{script} | {submit} {plan} /dev/stdin argument"), Some("stdin")),
            (format!("{script} | {submit} {plan} /proc/self/fd/0 argument"), Some("0")),
            (format!("{script} | {submit} {plan}"), Some("sbatch")),
        ] {
            let ran = cluster.with_env("CARM_CONFIG", &config).run("bash", &["-c", &line]);
            let job = ran.job();
            if let Some(name) = name {
                assert_eq!(cluster.job(job).get("JobName").map(String::as_str), Some(name), "{line}: {ran:?}");
            }
            assert_eq!(cluster.wait_for_job(job), "COMPLETED", "{line}: {ran:?}");
            let expected = if name == Some("sbatch") { "slurm_script" } else { "argument" };
            assert!(cluster.output_of(job).trim_end().ends_with(expected), "{line}: {}", cluster.output_of(job));
        }
    }
}

#[test]
fn piped_scripts_are_submitted() {
    a_piped_script_is_submitted(SlurmRelease::Installed);
}

fn without_the_plugin_a_script_with_carbon_lines_is_accepted(release: SlurmRelease) {
    let cluster = start(Setup::on(release).without_plugin());
    sites(&cluster, 0);
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:1 -t 2\n#SBATCH --carbon-budget=1kg\necho \"$1\"\n");
    assert_ne!(cluster.sbatch(&[&script]).code, 0, "sbatch alone refuses it");
    let ran = submit(&cluster, &["--carbon-max-delay", "0s", &script, "argument"]);
    let job = ran.job();
    assert_eq!(cluster.job(job).get("JobName").map(String::as_str), Some("train.sh"));
    assert_eq!(cluster.wait_for_job(job), "COMPLETED");
    assert_eq!(cluster.output_of(job), "argument\n");
    assert!(ran.stderr.contains("spank_carm.so is not in this Slurm's plugstack.conf"), "{ran:?}");
}

/// Every option that this sbatch's getopt knows, by its own list of possibilities for a first letter.
fn options_of(cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<String> = ('a'..='z')
        .flat_map(|letter| {
            let said = cluster.sbatch(&[&format!("--{letter}")]).stderr;
            said.split('\'')
                .filter(|word| word.starts_with("--") && word.len() > 3)
                .map(|w| w[2..].to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn the_option_table_agrees_with_getopt(release: SlurmRelease) {
    let cluster = start(Setup::on(release).without_plugin());
    let grammar = Grammar::built_in(&[]);
    let names = options_of(&cluster);
    assert!(names.len() > 90, "{names:?}");
    for name in names {
        let alone = cluster.sbatch(&[&format!("--{name}")]).stderr;
        let with = cluster.sbatch(&[&format!("--{name}=?")]).stderr;
        let arity = if alone.contains("requires an argument") {
            Arity::Required
        } else if with.contains("doesn't allow an argument") {
            Arity::None
        } else {
            Arity::Optional
        };
        // 26.05 added `--requeue=expedite` and took the argument from `--get-user-env`; the table has one for every release.
        let arity = if matches!(&*name, "requeue" | "get-user-env") { Arity::Optional } else { arity };
        match grammar.long(&name) {
            Named::One(known) => assert_eq!((known.long.as_str(), known.arity), (name.as_str(), arity)),
            other => panic!("--{name}: {other:?}"),
        }
    }
    for letter in ('a'..='z').chain('A'..='Z') {
        let said = cluster.sbatch(&[&format!("-{letter}")]).stderr;
        let known = grammar.short(letter as u8);
        assert_eq!(known.is_none(), said.contains("invalid option"), "-{letter}: {said}");
        let required = known.is_some_and(|option| option.arity == Arity::Required);
        assert_eq!(required, said.contains("requires an argument"), "-{letter}: {said}");
    }
    // The script stands where sbatch itself finds it: it complains of that one.
    for words in
        [&["-kx", "none.sh"][..], &["--nice", "none.sh"], &["-HsN1", "none.sh"], &["--", "none.sh"], &["-J", "x", "none.sh"]]
    {
        let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        assert_eq!(argv::divide(&grammar, &words).script, ["none.sh"], "{words:?}");
        let words: Vec<&str> = words.iter().filter_map(|w| w.to_str()).collect();
        let said = cluster.sbatch(&words).stderr;
        assert!(said.contains("none.sh") || said.contains("--no-kill"), "{words:?}: {said}");
    }
}

#[test]
fn a_job_starts_where_and_when_the_plan_says_on_the_installed_slurm() {
    a_job_starts_where_and_when_the_plan_says(SlurmRelease::Installed);
}

#[test]
fn a_job_starts_where_and_when_the_plan_says_on_debian_13() {
    SlurmRelease::Debian13.run(a_job_starts_where_and_when_the_plan_says);
}

#[test]
fn a_job_starts_where_and_when_the_plan_says_on_debian_sid() {
    SlurmRelease::DebianSid.run(a_job_starts_where_and_when_the_plan_says);
}

#[test]
fn without_the_plugin_a_script_with_carbon_lines_is_accepted_on_the_installed_slurm() {
    assert!(built("carm-submit").exists());
    without_the_plugin_a_script_with_carbon_lines_is_accepted(SlurmRelease::Installed);
}

#[test]
fn the_option_table_agrees_with_getopt_of_the_installed_slurm() {
    the_option_table_agrees_with_getopt(SlurmRelease::Installed);
}

#[test]
fn the_option_table_agrees_with_getopt_of_debian_13() {
    SlurmRelease::Debian13.run(the_option_table_agrees_with_getopt);
}

#[test]
fn the_option_table_agrees_with_getopt_of_debian_sid() {
    SlurmRelease::DebianSid.run(the_option_table_agrees_with_getopt);
}

/// The ways in which sites put carm-submit in front of sbatch.
fn shims(submit: &str) -> [(&'static str, String); 4] {
    [
        ("link", String::new()),
        ("exec wrapper", format!("#!/bin/sh\nexec {submit} \"$@\"\n")),
        ("forking wrapper", format!("#!/bin/bash\nunset LD_PRELOAD\n{submit} \"$@\"\nexit $?\n")),
        ("two processes deep", format!("#!/bin/bash\nbash -c '{submit} \"$@\"; exit $?' sbatch \"$@\"\nexit $?\n")),
    ]
}

#[test]
fn carm_submit_serves_as_sbatch() {
    let cluster = start(Setup::on(SlurmRelease::Installed));
    sites(&cluster, 0);
    let submit = env!("CARGO_BIN_EXE_carm-submit");
    let config = cluster.folder().join("jobs/carm.toml").display().to_string();
    let script = cluster.script("train.sh", "#!/bin/sh\n#SBATCH --gres=gpu:1 -t 2\nenv | grep CARM_SUBMIT\nexit 0\n");
    for (kind, text) in shims(submit) {
        let folder = cluster.folder().join("shims").join(kind);
        std::fs::create_dir_all(&folder).expect("a folder");
        let shim = folder.join("sbatch");
        if text.is_empty() {
            std::os::unix::fs::symlink(submit, &shim).expect("a link");
        } else {
            std::fs::write(&shim, text).expect("a script");
            std::process::Command::new("chmod").arg("755").arg(&shim).status().expect("chmod");
        }
        let call = |arguments: &str| {
            let line = format!("PATH='{}':$PATH timeout 60 sbatch {arguments}", folder.display());
            cluster.with_env("CARM_CONFIG", &config).run("bash", &["-c", &line])
        };
        let ran = call(&format!("--carbon-max-delay=0s {script}"));
        assert_eq!(ran.stderr.matches("carm-submit: train.sh:").count(), 1, "{kind}: one plan: {ran:?}");
        let job = ran.job();
        assert_eq!(cluster.wait_for_job(job), "COMPLETED", "{kind}");
        assert_eq!(cluster.output_of(job), "", "{kind}: no mark reaches the job");
        let refused = call("-p nowhere --wrap true");
        assert_eq!(refused.code, cluster.sbatch(&["-p", "nowhere", "--wrap", "true"]).code, "{kind}: {refused:?}");
        if kind == "link" {
            assert_eq!(call("--version").stdout, cluster.sbatch(&["--version"]).stdout);
        }
    }
}
