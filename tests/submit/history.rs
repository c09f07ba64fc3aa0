//! The run time that earlier runs tell: whose, when it counts, and what is said of it.

use carm::ledger::{Exit, Record, append};
use carm::quantity::{format_instant, parse_instant};
use chrono::TimeDelta;

use super::fake::{BY_EVENING, Login, NOW};

/// So many successful runs of `train.sh` on two GPUs, each of its own length, by whoever runs the test.
fn after(times_s: &[f64], change: impl Fn(&mut Record)) -> Login {
    let login = Login::new();
    let line: Record = serde_json::from_str(include_str!("../fixtures/ledger-v2.jsonl")).expect("a line");
    for (job, &work_s) in (1..).zip(times_s) {
        let end = parse_instant(NOW).expect("a time") - TimeDelta::days(i64::from(job));
        let mut record = Record {
            job,
            uid: std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("this process")).into(),
            name: Some("train.sh".into()),
            site: Some("north".into()),
            since: None,
            end: format_instant(end),
            exit: Some(Exit { code: 0, signal: 0 }),
            work_done_s: Some(work_s),
            gpus: vec![line.gpus[0].clone(), line.gpus[0].clone()],
            ..line.clone()
        };
        change(&mut record);
        append(&login.home.path().join("ledger"), &record, end).expect("a line");
    }
    login
}

fn work_s(login: &Login, words: &str) -> Option<u64> {
    let ended = login.submit(&format!("--carbon-max-delay=0s --carbon-objective=ppc {words} train.sh"));
    let word = ended.carbon().into_iter().find_map(|word| word.strip_prefix("--carm-work-s="))?.parse();
    word.ok()
}

#[test]
fn earlier_runs_tell_more_than_the_time_limit_and_less_than_the_user() {
    let login = after(&[3600.0, 5400.0, 4000.0], |_| ());
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    ended.says("carm-submit: train.sh: 2 GPUs, 1 h 30 min at full clock (longest of your 3 runs of this name), objective");
    assert!(ended.carbon().contains(&"--carm-work-s=5400"), "{:?}", ended.given());
    assert_eq!(work_s(&login, "--carbon-runtime=2:00:00"), Some(7200));
    assert_eq!(work_s(&login, "--carbon-runtime=30"), Some(1800));
}

#[test]
fn fifo_in_the_ledger_delays_no_submission() {
    let login = after(&[3600.0], |_| ());
    // In the months that are read, and written last.
    let month = NOW.get(..7).expect("a month");
    let fifo = login.home.path().join(format!("ledger/fifo.{month}.jsonl"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo of coreutils").success());
    let since = std::time::Instant::now();
    assert_eq!(work_s(&login, ""), Some(3600));
    assert!(since.elapsed() < std::time::Duration::from_secs(15), "{:?}", since.elapsed());
}

#[test]
fn a_job_of_which_only_its_history_is_known_is_planned() {
    let login = after(&[3600.0], |_| ());
    login.script("#SBATCH --gpus=2\n");
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    ended.says("1 h at full clock (as your one run of this name)");
    assert!(ended.carbon().contains(&"--carm-work-s=3600"), "{:?}", ended.given());

    let without = Login::new();
    without.script("#SBATCH --gpus=2\n");
    let ended = without.submit(&format!("{BY_EVENING} train.sh"));
    ended.says("no run time is known: submitted as written; give --carbon-runtime, or --time, to have it planned");
}

#[test]
fn of_many_runs_the_slowest_few_are_left_out() {
    let times: Vec<f64> = (1..=30).map(|n| if n % 10 == 0 { 10_000.0 } else { f64::from(n) * 60.0 }).collect();
    let login = after(&times, |_| ());
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    // Of the newest twenty two took long; the longest of the others is the 19th.
    ended.says("19 min at full clock (90th percentile of your newest 20 runs of this name)");
}

#[test]
fn runs_that_are_not_this_job_again_tell_nothing() {
    type Change = fn(&mut Record);
    let changes: [Change; 5] = [
        |record| record.uid = Some(4_000_000),
        |record| record.name = Some("train.py".into()),
        |record| record.gpus.truncate(1),
        |record| record.exit = Some(Exit { code: 1, signal: 0 }),
        |record| record.exit = None,
    ];
    for change in changes {
        assert_eq!(work_s(&after(&[3600.0], change), ""), Some(10_800), "the time limit");
    }
    assert_eq!(work_s(&after(&[3600.0], |_| ()), ""), Some(3600));
    assert_eq!(work_s(&after(&[50_000.0], |_| ()), ""), Some(10_800), "this run ends at its limit");
    assert_eq!(work_s(&after(&[3600.0], |_| ()), "--uid=4000000"), Some(10_800), "another user's job");
}

#[test]
fn the_name_is_the_one_that_slurm_gives_the_job() {
    let named = |name: &'static str| after(&[3600.0], move |record| record.name = Some(name.into()));
    assert_eq!(work_s(&named("mine"), "-J mine"), Some(3600));
    assert_eq!(work_s(&named("mine").with("SBATCH_JOB_NAME", "mine"), ""), Some(3600));
    for name in ["训练", "100%"] {
        assert_eq!(work_s(&named(name), &format!("-J {name}")), Some(3600), "{name}");
    }
    assert_eq!(work_s(&named("训练"), "-J 测试"), Some(10_800), "another job's");
}

#[test]
fn job_names_of_every_script_reach_the_node() {
    let login = Login::new();
    let ended = login.submit(&format!("{BY_EVENING} -J 训练 train.sh"));
    ended.says("carm-submit: 训练: 2 GPUs");
    assert!(ended.carbon().contains(&"--carm-name=%E8%AE%AD%E7%BB%83"), "{:?}", ended.given());
}

#[test]
fn jobs_of_default_names_share_no_history() {
    for (name, words) in
        [("wrap", &["--gpus=2", "-t99", BY_EVENING, "--wrap=true"][..]), ("sbatch", &["--gpus=2", "-t99", BY_EVENING])]
    {
        let login = after(&[3600.0], move |record| record.name = Some(name.into()));
        let ended = login.submit_words(words, "#!/bin/sh\n");
        assert!(ended.carbon().contains(&"--carm-work-s=5940"), "{name}: {:?}", ended.given());
    }
}

#[test]
fn one_run_defers_no_further_than_the_time_limit_fits() {
    let begin = |runs: &[f64], words: &str| -> u64 {
        let ended = after(runs, |_| ()).submit(&format!("{BY_EVENING} -p gpu-south {words} train.sh"));
        ended.given().iter().find_map(|word| word.strip_prefix("--begin=now+")).map_or(0, |s| s.parse().expect("seconds"))
    };
    // South is clean from noon on, in six hours. By the evening, in twelve hours, a run of an hour fits then in any case, and
    // a limit of five hours does; one of eight does not, unless several runs tell.
    assert_eq!(begin(&[3600.0], "-t 5:00:00"), 6 * 3600);
    assert!(begin(&[3600.0], "-t 8:00:00") < 4 * 3600);
    assert_eq!(begin(&[3600.0, 3500.0], "-t 8:00:00"), 6 * 3600);
}

#[test]
fn a_ledger_that_cannot_be_read_is_no_history_and_no_word() {
    let login = Login::new();
    login.write("ledger", "a file where a folder should be");
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    ended.says("3 h at full clock (from --time)");
    assert!(!ended.stderr.contains("ledger"), "{}", ended.stderr);
}

#[test]
fn a_card_twice_as_fast_halves_what_its_runs_tell() {
    let login = after(&[1800.0], |_| ());
    let config = std::fs::read_to_string(login.home.path().join("carm.toml")).expect("a configuration");
    login.write("carm.toml", &config.replace("gpus = 8\n", "gpus = 8\ngpu = \"fast\"\nprofile = \"p\"\n"));
    let profile = "name = \"p\"\ngpu = \"fast\"\nsource = \"a test\"\nthroughput = 2.0\n\
                   [[level]]\nclock_mhz = 1500\nwatts = 300.0\nspeed = 1.0\n";
    login.write("profiles/p.toml", profile);
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    ended.says("1 h at full clock (as your one run of this name)");
}

#[test]
fn a_deferred_job_tells_when_it_could_have_started() {
    let asked = |words: &str| {
        let ended = Login::new().submit(&format!("{words} train.sh"));
        let given = ended.given.expect("given");
        given.iter().find_map(|word| word.strip_prefix("--carm-asked=").map(str::to_owned))
    };
    assert_eq!(asked(BY_EVENING).as_deref(), Some("2026-05-01T06:00:00.000Z"));
    assert_eq!(asked(&format!("{BY_EVENING} --carbon-max-delay=0s")), None);
    let begin = format!("{BY_EVENING} --begin=2026-05-01T08:00");
    assert_eq!(asked(&begin).as_deref(), Some("2026-05-01T08:00:00.000Z"));
    assert_eq!(asked("--begin=2026-05-01T12:00 -p gpu-south --carbon-objective=ppc"), None, "its user's own wait");
}

#[test]
fn a_job_that_is_left_alone_keeps_its_name_for_the_node_where_it_has_a_wish() {
    let ended = Login::new().submit(&format!("{BY_EVENING} -d afterok:1 train.sh"));
    assert!(ended.carbon().contains(&"--carm-name=train.sh"), "{:?}", ended.given());
    for words in ["-d afterok:1", "-d afterok:1 --carbon-off", "--carbon-off"] {
        let ended = Login::new().submit(&format!("{words} train.sh"));
        assert!(!ended.carbon().iter().any(|word| word.starts_with("--carm-name")), "{words}: {:?}", ended.given());
    }
}
