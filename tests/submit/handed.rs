//! What sbatch is given: the user's words in their order, then what a plan adds; and how sbatch's own failures reach the user.

use crate::fake::{self, BY_EVENING, Login};

#[test]
fn a_job_is_sent_where_and_when_its_power_is_greenest() {
    let ended = Login::new().submit(&format!("{BY_EVENING} train.sh --epochs 90"));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    let given = ended.given();
    // South is clean from 12:00 to 15:00; it takes three hours at full clock.
    assert!(given.contains(&"--begin=now+21600") && given.contains(&"--partition=gpu-south"), "{given:?}");
    assert_eq!(given[given.len() - 3..], ["train.sh", "--epochs", "90"]);
    assert!(given.contains(&"--carbon-deadline=2026-05-01T18:00:00.000Z"), "{given:?}");
}

#[test]
fn what_the_user_wrote_passes_through_in_its_order_before_what_carm_adds() {
    let login = Login::new();
    let words = ["-J", "my job", "--carbon-budget", "2kg", "-HvN1", "--mem=4G", "--", "train.sh", "-t9", ":", ""];
    let ended = login.submit_words(&words, "");
    assert_eq!(ended.given()[..4], ["-J", "my job", "-HvN1", "--mem=4G"]);
    let last: Vec<_> = ended.given.as_ref().expect("given").iter().rev().take(5).rev().collect();
    assert_eq!(last, ["--", "train.sh", "-t9", ":", ""]);
}

#[test]
fn a_slower_plan_raises_the_time_limit_within_max_time() {
    let login = Login::new();
    login.write("north.csv", &fake::trace(|_| 300.0));
    let ended = login.submit("--carbon-deadline=now+5h --partition=gpu-north train.sh");
    let time = ended.given().iter().find_map(|w| w.strip_prefix("--time=")).map(|m| m.parse::<u32>().expect("whole minutes"));
    assert!(time.is_some_and(|minutes| (190..=300).contains(&minutes)), "{:?}", ended.given());
    ended.says("time limit 0");
    ended.says("extra GPU-hours");

    login.write("bin/partitions", "PartitionName=gpu-north MaxTime=03:20:00 State=UP\nPartitionName=gpu-south State=UP\n");
    let ended = login.submit("--carbon-deadline=now+5h --partition=gpu-north train.sh");
    let given = ended.given();
    let time = given.iter().find_map(|w| w.strip_prefix("--time=")).map_or(180, |m| m.parse::<u32>().expect("whole minutes"));
    assert!(time <= 200, "{given:?}");
}

#[test]
fn a_job_that_asks_for_no_limit_gets_none() {
    let login = Login::new();
    login.write("north.csv", &fake::trace(|_| 300.0));
    login.script("#SBATCH --gpus=2 --carbon-runtime=5:00:00\n");
    let own = "PartitionName=gpu-north Default=YES DefaultTime=01:00:00 MaxTime=";
    for (time, max) in [("UNLIMITED", "UNLIMITED"), ("0", "UNLIMITED"), ("UNLIMITED", "2-00:00:00")] {
        login.write("bin/partitions", &format!("{own}{max} Nodes=n[1-2] State=UP\n"));
        let ended = login.submit(&format!("--carbon-deadline=now+8h --partition=gpu-north --time={time} train.sh"));
        ended.says("extra GPU-hours");
        let given = ended.given();
        let times: Vec<_> = given.iter().filter(|w| w.starts_with("--time=")).collect();
        assert_eq!(times, [&format!("--time={time}")], "{given:?}");
        assert!(!given.iter().any(|w| w.starts_with("--carm-limit-s")), "{given:?}");
    }
    // Whoever says nothing has the partition's default, which is too short for the run.
    let ended = login.submit("--carbon-deadline=now+8h --partition=gpu-north train.sh");
    assert!(ended.given().iter().any(|w| w.starts_with("--time=")), "{:?}", ended.given());

    // MaxTime bounds the run all the same.
    login.write("bin/partitions", &format!("{own}05:20:00 Nodes=n[1-2] State=UP\n"));
    let ended = login.submit("--carbon-deadline=now+20h --partition=gpu-north --time=UNLIMITED --dry-run --json train.sh");
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let length_s = answer["plan"]["turnaround_s"].as_f64().expect("a plan that starts at once");
    assert!((18_000.0..=19_200.0).contains(&length_s), "{length_s} s");
}

#[test]
fn another_clusters_max_time_bounds_the_stretched_limit() {
    let login = Login::new();
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config.replace("partition = \"gpu-north\"", "partition = \"gpu-north\"\ncluster = \"far\""))
        .expect("written");
    login.write("north.csv", &fake::trace(|_| 300.0));
    let words = "--carbon-deadline=now+9h --clusters=far train.sh";
    let minutes = || {
        let ended = login.submit(words);
        assert!(ended.given().contains(&"--partition=gpu-north"), "{:?}", ended.given());
        ended.given().iter().find_map(|w| w.strip_prefix("--time=")).map(|m| m.parse::<u32>().expect("whole minutes"))
    };
    let silent = login.submit(words);
    silent.says("cluster far: no answer; the job is submitted as written, without a plan");
    assert_eq!(silent.given()[0], "--clusters=far");
    login.write("bin/partitions-far", "PartitionName=gpu-north MaxTime=2-00:00:00 State=UP\n");
    assert!(minutes().is_some_and(|m| m > 200), "{:?}", minutes());
    login.write("bin/partitions-far", "PartitionName=gpu-north MaxTime=03:20:00 State=UP\n");
    assert!(minutes().is_none_or(|m| m <= 200), "{:?}", minutes());
}

#[test]
fn the_prolog_is_told_what_only_carm_submit_knows() {
    let ended = Login::new().submit("--carbon-runtime=2:00:00 --carbon-objective=ppc --carbon-max-delay=0s -J resnet train.sh");
    let carbon = ended.carbon();
    assert!(carbon.contains(&"--carm-work-s=7200") && carbon.contains(&"--carm-name=resnet"), "{carbon:?}");
    assert!(!ended.given().iter().any(|word| word.contains("limit")), "a limit may change before the job starts: {carbon:?}");
}

#[test]
fn a_script_may_stand_in_wrap_or_come_from_standard_input() {
    let login = Login::new();
    let ended = login.submit_words(&["--gpus=2", "-t60", BY_EVENING, "--wrap", "python train.py"], "");
    assert!(ended.given().contains(&"python train.py") && ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());

    let script = format!("#!/bin/sh\n#SBATCH --gpus=2 -t60 {BY_EVENING}\necho\n");
    let ended = login.submit_words(&["-J", "x"], &script);
    assert_eq!(ended.script.as_deref(), Some(script.as_str()));
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_script() {
    let directives = format!("#SBATCH --gpus=2 -t 3:00:00 {BY_EVENING} --carbon-max-delay=1h --carbon-budget=9kg -p gpu-south\n");
    let login =
        Login::new().with("CARM_DEADLINE", "2026-05-01T13:00Z").with("CARM_MAX_DELAY", "2h").with("SBATCH_TIMELIMIT", "60");
    login.script(&directives);
    let ended = login.submit("--carbon-max-delay=3h train.sh");
    let carbon = ended.carbon();
    for expected in
        ["--carbon-deadline=2026-05-01T13:00:00.000Z", "--carbon-max-delay=10800s", "--carbon-budget=9000", "--carm-work-s=3600"]
    {
        assert!(carbon.contains(&expected), "{expected} in {carbon:?}");
    }
    assert!(!ended.given().iter().any(|w| w.starts_with("--partition")), "the script's own holds: {:?}", ended.given());
}

#[test]
fn a_begin_time_of_the_users_is_the_earliest_start() {
    let ended = Login::new().submit(&format!("--begin=2026-05-01T11:00 {BY_EVENING} -p gpu-north --time=2:00:00 train.sh"));
    let begin = ended.given().iter().rev().find_map(|w| w.strip_prefix("--begin=now+")).and_then(|s| s.parse::<u32>().ok());
    assert!(begin.is_some_and(|s| s >= 5 * 3600), "{:?}", ended.given());
}

#[test]
fn a_job_with_a_deadline_of_slurms_own_is_never_planned_past_it() {
    // The least carbon is as late as possible; Slurm would cancel a job whose limit ends past the deadline.
    let ended =
        Login::new().submit("-p gpu-south --deadline=2026-05-01T14:30 --carbon-objective=performance --time=3:00:00 train.sh");
    let given = ended.given();
    let number = |name: &str| given.iter().find_map(|w| w.strip_prefix(name)).and_then(|n| n.parse::<f64>().ok());
    let (begin_s, limit_s) =
        (number("--begin=now+").unwrap_or(0.0), number("--time=").map_or(10_800.0, |minutes| minutes * 60.0));
    assert!(begin_s >= 5.0 * 3600.0 && begin_s + limit_s + 60.0 < 8.5 * 3600.0, "{given:?}");
}

#[test]
fn without_the_plugin_carbon_options_are_dropped_everywhere_with_one_warning() {
    let login = Login::new().without_plugin();
    login.script(&format!("#SBATCH --gpus=2 --carbon-budget=9kg --time=3:00:00\n#SBATCH {BY_EVENING}\n"));
    let ended = login.submit("--carbon-max-delay 12h train.sh arg");
    assert_eq!(ended.stdout, "Submitted batch job 42\n");
    assert!(!ended.given().iter().any(|w| w.contains("carbon") || w.contains("carm-")), "{:?}", ended.given());
    let script = ended.script.as_deref().expect("a script");
    assert!(!script.contains("carbon") && script.contains("--gpus=2"), "{script}");
    assert!(ended.given().iter().any(|w| w.ends_with("/train.sh")) && ended.given().last() == Some(&"arg"));
    assert_eq!(ended.stderr.matches("spank_carm.so").count(), 1, "{}", ended.stderr);
    // Nobody would move the clocks: the plan does without.
    assert!(!ended.given().iter().any(|w| w.starts_with("--time=")), "{:?}", ended.given());
    ended.says("at full clock");
}

#[test]
fn measure_only_plans_full_clock() {
    let login = Login::new();
    login.write("north.csv", &fake::trace(|_| 300.0));
    let config = std::fs::read_to_string(login.home.path().join("carm.toml")).expect("a configuration");
    for (clocks, is_longer) in [("on", true), ("off", false)] {
        login.write("carm.toml", &config.replace("[node]", &format!("[node]\nclocks = \"{clocks}\"")));
        let ended = login.submit("--carbon-deadline=now+5h --partition=gpu-north train.sh");
        let given = ended.given();
        assert_eq!(given.iter().any(|word| word.starts_with("--time=")), is_longer, "{clocks}: {given:?}");
        assert_eq!(ended.stderr.contains("extra GPU-hours"), is_longer, "{}", ended.stderr);
    }
}

#[test]
fn a_site_plugins_option_with_a_separate_value_is_learned_from_sbatchs_help() {
    let login = Login::new();
    let help = include_str!("../slurm-help/22.05.txt");
    login.write(
        "bin/help",
        &format!("{help}      --carbon-budget=MASS  [carm] x\n      --container-image=IMAGE  [pyxis] the image\n"),
    );
    let ended = login.submit(&format!("--container-image ubuntu {BY_EVENING} train.sh"));
    assert_eq!(ended.given()[..2], ["--container-image", "ubuntu"]);
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());
}

#[test]
fn a_run_keeps_out_of_the_hours_in_which_a_site_is_closed() {
    let login = Login::new();
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config + "closed = [\"12:00-13:00\"]\n").expect("written");
    // South's clean hours are 12:00 to 15:00; it opens at 13:00, and three hours from then on are cleanest.
    let ended = login.submit(&format!("-p gpu-south {BY_EVENING} train.sh"));
    assert!(ended.given().contains(&"--begin=now+25200"), "{:?}\n{}", ended.given(), ended.stderr);
    std::fs::write(
        &path,
        "[[zone]]\nname = \"N\"\nsource = \"typical-day\"\n[[site]]\nname = \"a\"\nzone = \"N\"\nclosed = [\"noon\"]\n",
    )
    .expect("written");
    login.submit("--strict train.sh").refused(1, "'noon': not a window; give ");
}

#[test]
fn sbatchs_message_and_code_reach_the_user_unchanged() {
    let login = Login::new();
    login.write("bin/answer", "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 7");
    let ended = login.submit("train.sh");
    assert_eq!((ended.code, ended.stdout.as_str()), (7, ""));
    assert_eq!(ended.stderr, "sbatch: error: Batch job submission failed: Invalid account\n", "no plan of a job that is none");

    let login = Login::new().without_plugin();
    login.write("bin/answer", "echo 'sbatch: error: no' >&2; kill -TERM $$");
    login.script("#SBATCH --gpus=2 --time=3:00:00 --carbon-max-delay=1h\n");
    assert_eq!(login.submit("train.sh").code, 128 + 15);
}

#[test]
fn a_script_that_is_not_there_is_sbatchs_to_refuse() {
    let login = Login::new();
    login.write("bin/answer", "echo 'sbatch: error: Unable to open file none.sh' >&2; exit 1");
    let ended = login.submit("none.sh");
    assert_eq!((ended.code, ended.given()), (1, vec!["none.sh"]));
    ended.says("sbatch: error: Unable to open file none.sh");
}

#[test]
fn without_sbatch_the_line_says_so_and_a_dry_run_works() {
    let login = Login::new().without_slurm();
    let ended = login.submit("train.sh");
    assert_eq!(ended.code, 127);
    ended.says("carm-submit: sbatch: not found in PATH; install Slurm's client commands, or give --dry-run");
    let ended = login.submit("--dry-run train.sh");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
}
