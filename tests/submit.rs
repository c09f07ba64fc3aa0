//! carm-submit as its users see it: what it hands to sbatch, what it says, how it ends.

#![allow(clippy::expect_used, clippy::panic)] // clippy exempts test functions, not what they are written with

#[path = "submit/fake.rs"]
mod fake;

#[path = "submit/busy.rs"]
mod busy;

use chrono::{DateTime, Utc};
use fake::{Ended, Login, shown};
use serde_json::Value;

/// What a plan adds for a job that is told to finish by so many hours from now.
const BY_NOON: &str = "--carbon-deadline=2026-05-01T12:00Z";
const BY_EVENING: &str = "--carbon-deadline=2026-05-01T18:00Z";

fn carbon(ended: &Ended) -> Vec<&str> {
    ended.given().into_iter().filter(|w| w.starts_with("--carbon") || w.starts_with("--carm")).collect()
}

// What sbatch is given.

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
fn another_clusters_max_time_bounds_the_stretched_limit() {
    let login = Login::new();
    let path = login.home.path().join("carm.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config.replace("partition = \"gpu-north\"", "partition = \"gpu-north\"\ncluster = \"far\""))
        .expect("written");
    login.write("north.csv", &fake::trace(|_| 300.0));
    let minutes = || {
        let ended = login.submit("--carbon-deadline=now+9h --clusters=far train.sh");
        assert!(ended.given().contains(&"--partition=gpu-north"), "{:?}", ended.given());
        ended.given().iter().find_map(|w| w.strip_prefix("--time=")).map(|m| m.parse::<u32>().expect("whole minutes"))
    };
    // A cluster that does not tell: the user's own limit stands.
    assert_eq!(minutes(), None);
    login.write("bin/partitions-far", "PartitionName=gpu-north MaxTime=2-00:00:00 State=UP\n");
    assert!(minutes().is_some_and(|m| m > 200), "{:?}", minutes());
    login.write("bin/partitions-far", "PartitionName=gpu-north MaxTime=03:20:00 State=UP\n");
    assert!(minutes().is_none_or(|m| m <= 200), "{:?}", minutes());
}

#[test]
fn the_prolog_is_told_what_only_carm_submit_knows() {
    let ended = Login::new().submit("--carbon-runtime=2:00:00 --carbon-objective=ppc --carbon-max-delay=0s -J resnet train.sh");
    let carbon = carbon(&ended);
    assert!(carbon.contains(&"--carm-work-s=7200") && carbon.contains(&"--carm-name=resnet"), "{carbon:?}");
    let limit = carbon.iter().find_map(|w| w.strip_prefix("--carm-limit-s=")).expect("a limit");
    assert!(limit.parse::<u32>().is_ok_and(|s| (10_800..=18_000).contains(&s)), "{limit}");
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
    let carbon = carbon(&ended);
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
fn a_site_plugins_option_with_a_separate_value_is_learned_from_sbatchs_help() {
    let login = Login::new();
    let help = include_str!("slurm-help/22.05.txt");
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

// How far the forecast may be off.

/// South's clean hours as a forecast with so much above and below them.
fn forecast(up: f64) -> Login {
    let login = Login::new();
    let row = |hour: u32| {
        let clean = (12..15).contains(&hour);
        let (value, error) = if clean { (100.0, up) } else { (500.0, 0.0) };
        format!("2026-05-{:02}T{:02}:00:00Z,{value},{},{}\n", 1 + hour / 24, hour % 24, value - error.min(50.0), value + error)
    };
    let head = "time,carbon_g_per_kwh,carbon_low_g_per_kwh,carbon_high_g_per_kwh\n".to_owned();
    login.write("south.csv", &std::iter::once(head).chain((0..72).map(row)).collect::<String>());
    login
}

#[test]
fn a_plan_tells_the_range_that_its_forecast_leaves() {
    let ended = forecast(60.0).submit(&format!("-p gpu-south {BY_EVENING} train.sh"));
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());
    ended.says("within the forecast's error");

    // 50 to 160 g/kWh around 100: the same run, integrated against either edge.
    let ended = forecast(60.0).submit(&format!("--dry-run --json -p gpu-south {BY_EVENING} train.sh"));
    let plan = &serde_json::from_str::<Value>(&ended.stdout).expect("JSON")["plan"];
    let number = |key: &str| plan[key].as_f64().unwrap_or_else(|| panic!("{key}: {plan}"));
    assert!((number("carbon_low_g") - 0.5 * number("carbon_g")).abs() < 1e-6, "{plan}");
    assert!((number("carbon_high_g") - 1.6 * number("carbon_g")).abs() < 1e-6, "{plan}");
}

#[test]
fn a_wait_that_the_forecasts_error_may_undo_is_not_planned() {
    let ended = forecast(600.0).submit(&format!("-p gpu-south {BY_EVENING} train.sh"));
    assert!(!ended.given().iter().any(|word| word.starts_with("--begin=")), "{:?}", ended.given());
    ended.says("within the forecast's error: planned at once");
}

// How many GPUs.

/// A profile that scales sub-linearly to four GPUs, on a grid that never changes.
fn moldable() -> Login {
    let login = Login::new();
    login.write("north.csv", &fake::trace(|_| 300.0));
    login.write(
        "profiles/mold.toml",
        "name = \"mold\"\nsource = \"made up for this test\"\n[[level]]\nclock_mhz = 1500\nwatts = 300.0\nspeed = 1.0\nlatency_ms = 20.0\n\
         [[level]]\nclock_mhz = 900\nwatts = 120.0\nspeed = 0.5\n[scaling]\n1 = 1.0\n2 = 1.8\n4 = 3.0\n",
    );
    login
}

#[test]
fn a_moldable_job_gets_the_width_that_its_objective_wants_in_its_scripts_own_words() {
    let login = moldable();
    for (directives, options, expected, work_s) in [
        // 3 h on 2 GPUs are 1.8 h on 4: what a near deadline needs.
        ("--gpus=2", "--carbon-deadline=now+2h", "--gpus=4", 6480),
        ("--gres=gpu:2,nvme:1", "--carbon-deadline=now+2h", "--gres=gpu:4,nvme:1", 6480),
        ("--ntasks=2 --gpus-per-task=1", "--carbon-deadline=now+2h", "--ntasks=4", 6480),
        // One GPU scales best: 5.4 h of one emit less than 3 h of two.
        ("--gpus-per-node=2", "--carbon-deadline=now+2days", "--gpus-per-node=1", 19_440),
    ] {
        login.script(&format!("#SBATCH {directives} --time=3:00:00 --carbon-profile=mold --carbon-workers=1,2,4\n"));
        let ended = login.submit(&format!("-p gpu-north {options} train.sh"));
        assert!(ended.given().contains(&expected), "{directives}: {:?}\n{}", ended.given(), ended.stderr);
        assert!(carbon(&ended).contains(&format!("--carm-work-s={work_s}").as_str()), "{directives}: {:?}", carbon(&ended));
        ended.says(&format!("GPUs instead of 2: {expected}"));
    }
    // Fewer GPUs take longer, at full clock already: the limit has to hold that.
    let given = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh").given.expect("given");
    let minutes = given.iter().find_map(|w| w.strip_prefix("--time=")).and_then(|m| m.parse::<u32>().ok());
    assert!(minutes.is_some_and(|m| m >= 324), "{given:?}");
}

#[test]
fn a_width_that_would_outlast_max_time_is_not_chosen() {
    let login = moldable();
    login.write("bin/partitions", "PartitionName=gpu-north MaxTime=05:00:00 State=UP\nPartitionName=gpu-south State=UP\n");
    login.script("#SBATCH --gpus=2 --time=3:00:00 --carbon-profile=mold --carbon-workers=1,2\n");
    let ended = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh");
    assert!(!ended.given().iter().any(|w| w.starts_with("--gpus")), "{:?}", ended.given());
}

#[test]
fn a_job_whose_width_cannot_be_changed_safely_keeps_its_own_and_is_told_why() {
    let login = moldable();
    for (directives, counts, line) in [
        ("--gpus=2 --nodes=1-2", "1,4", "planned at the 2 GPUs that it requests: the number of nodes is open"),
        ("--gpus=2 --gpus-per-task=1", "1,4", "--gpus and --gpus-per-task both speak of its GPUs"),
        ("--gpus=2", "3", "3 left out: the [scaling] of profile 'mold' lacks it"),
    ] {
        login.script(&format!("#SBATCH {directives} --time=3:00:00 --carbon-profile=mold --carbon-workers={counts}\n"));
        let ended = login.submit("-p gpu-north --carbon-deadline=now+2days train.sh");
        ended.says(line);
        assert!(!ended.given().iter().any(|w| w.starts_with("--gpus") || w.starts_with("--ntasks")), "{:?}", ended.given());
        assert!(ended.stderr.contains("2 GPUs, 3 h at full clock"), "{}", ended.stderr);
    }
}

#[test]
fn a_dry_run_of_work_that_may_pause_tells_what_pauses_would_save() {
    let login = Login::new();
    // Every other hour is clean: a run without a pause gets at most two of them.
    login.write("north.csv", &fake::trace(|hour| if hour % 2 == 0 { 100.0 } else { 500.0 }));
    let words = format!("-p gpu-north --carbon-suspend {BY_EVENING} train.sh");
    let ended = login.submit(&format!("--dry-run {words}"));
    ended.says("--carbon-suspend: with ");
    ended.says("the plan submitted has no pause");
    login.submit(&words).says("--carbon-suspend: the job is planned as one run without a pause");
}

// Services.

#[test]
fn a_service_starts_at_once_for_its_whole_limit_at_no_clock_below_its_latency() {
    let login = moldable();
    for (latency, lowest) in [("50ms", 900), ("30ms", 1500)] {
        let options = format!("--carbon-latency={latency} --carbon-profile=mold -p gpu-north");
        let ended = login.submit(&format!("--dry-run --json {options} train.sh"));
        let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!((&json["objective"], &json["frontier"]), (&Value::from("performance"), &Value::from(Vec::<Value>::new())));
        let plan = &json["plan"];
        assert_eq!((&plan["start"], &plan["end"]), (&json["now"], &Value::from("2026-05-01T09:00:00.000Z")));
        let speed = if lowest == 900 { 0.5 } else { 1.0 };
        assert!(plan["work_gpu_h"].as_f64().is_some_and(|work| (work - 6.0 * speed).abs() < 1e-9), "{plan}");
        assert!(plan["segments"].as_array().expect("segments").iter().all(|s| s["clock_mhz"] == lowest), "{plan}");
    }
    let ended = login.submit("--carbon-latency=50ms --carbon-profile=mold -p gpu-north train.sh");
    assert!(!ended.given().iter().any(|w| w.starts_with("--begin") || w.starts_with("--time")), "{:?}", ended.given());
    login
        .submit("--carbon-latency=5ms --carbon-profile=mold -p gpu-north train.sh")
        .refused(3, "no clock of the profile answers");
    let ended = login.submit("--carbon-latency=50ms -p gpu-north train.sh");
    ended.says("profile 'generic' tells no latency");
    assert_eq!(ended.code, 0);
}

// Who is left alone.

#[test]
fn jobs_that_are_not_to_be_planned_are_submitted_as_written_with_one_line() {
    let login = Login::new();
    for (words, line) in [
        ("--carbon-off train.sh", "--carbon-off: submitted as written"),
        ("--gpus=0 train.sh", "the job asks for no GPUs"),
        ("-J x --test-only train.sh", "--test-only: passed to sbatch without a plan"),
        ("-d afterok:1 train.sh", "--dependency decides when the job starts"),
        ("--gpus-per-node=2 -N1-4 train.sh", "the number of nodes is open"),
        ("--gpus 2 -t 3:00:00 : --gpus 1 train.sh", "a heterogeneous job"),
        ("-t UNLIMITED train.sh", "give --carbon-runtime"),
        ("--begin=teatime train.sh", "--begin=teatime: not a time that CARM reads"),
    ] {
        let ended = login.submit(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{words}");
        ended.says(line);
        assert_eq!(ended.stderr.lines().count(), 1, "{words}: {}", ended.stderr);
        let written: Vec<_> = words.split_whitespace().filter(|w| !w.starts_with("--carbon-latency")).collect();
        let given = ended.given();
        assert!(written.iter().all(|word| given.contains(word)), "{words}: {given:?}");
        assert!(!given.iter().any(|w| w.starts_with("--begin=now") || w.starts_with("--partition")), "{words}: {given:?}");
    }
}

#[test]
fn a_fault_of_carms_own_never_costs_a_submission() {
    for (file, text, line) in [
        ("carm.toml", "[planer]\n", "carm.toml:1: unknown field `planer`"),
        (
            "carm.toml",
            "[[zone]]\nname = \"x\"\nsource = \"trace\"\npath = \"none.csv\"\n[[site]]\nname = \"a\"\nzone = \"x\"\npartition = \"gpu-north\"\ngpus = 8\n",
            "none.csv",
        ),
        ("north.csv", "time,carbon_g_per_kwh\n2020-01-01T00:00:00Z,5\n2020-01-01T01:00:00Z,5\n", "no grid data for"),
    ] {
        let login = Login::new();
        login.write(file, text);
        let words = format!("-p gpu-north {BY_EVENING} train.sh");
        let ended = login.submit(&words);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
        ended.says(line);
        ended.says("the job is submitted as written, without a plan");
        assert_eq!(ended.given(), words.split_whitespace().collect::<Vec<_>>());

        let login = Login::new();
        login.write(file, text);
        login.submit(&format!("--strict {words}")).refused(1, line);
    }
}

#[test]
fn a_job_that_no_site_takes_is_submitted_with_each_sites_reason() {
    let ended = Login::new().submit("-p other train.sh");
    ended.says(
        "no configured site takes this job (north: the job asks for partition other; south: the job asks for partition other)",
    );
    assert_eq!(ended.given(), ["-p", "other", "train.sh"]);
    // A site that the user did not ask for is no matter for a warning; one that Slurm does not offer is.
    assert!(!Login::new().submit("-p gpu-north train.sh").stderr.contains("left out"));
    let login = Login::new();
    login.write("bin/partitions", "PartitionName=gpu-north State=UP\nPartitionName=gpu-south State=DRAIN\n");
    login.submit("train.sh").says("site 'south' is left out: partition 'gpu-south' is not up");
}

// Who is refused.

#[test]
fn a_malformed_value_is_refused_with_option_value_and_way_out() {
    let login = Login::new();
    for (words, message) in [
        ("--carbon-budget=lots train.sh", "carm-submit: --carbon-budget: 'lots': not a mass; give a mass such as 500g"),
        ("--carbon-budget", "--carbon-budget: '': a value is missing"),
        ("--carbon-objective=carbon train.sh", "--carbon-objective: 'carbon' needs a budget; give --carbon-budget"),
        ("--carbon-objective=performance train.sh", "'performance' needs a deadline or a latency limit"),
        ("--carbon-profile=nobody train.sh", "--carbon-profile: 'nobody': no such profile; give one of generic"),
        ("--json train.sh", "--json: a plan is printed instead of a submission; give --dry-run, too"),
        ("--config", "a value is required for '--config <FILE>'"),
    ] {
        login.submit(words).refused(1, message);
    }
    let login = Login::new().with("CARM_BUDGET", "-5");
    login.submit("train.sh").refused(
        1,
        "--carbon-budget: '-5': not a mass; give a mass such as 500g, 1.2kg or 0.3t (a bare number is grams) (in CARM_BUDGET)",
    );
    let login = Login::new();
    login.script("#SBATCH --gpus=2 --carbon-workers=none\n");
    login.submit("train.sh").refused(1, "(in the script)");
}

#[test]
fn a_request_that_cannot_be_met_says_by_how_much_it_misses() {
    let login = Login::new();
    login
        .submit("--carbon-deadline=2026-05-01T05:00Z train.sh")
        .refused(3, "--carbon-deadline: '2026-05-01 05:00' is in the past; give a time after 2026-05-01 06:00");
    login
        .submit("--carbon-deadline=now+2h train.sh")
        .refused(3, "'2026-05-01 08:00' is before the job could end at full clock; give 2026-05-01 09:00 at the earliest");
    let ended = login.submit("--carbon-budget=10g train.sh");
    ended.refused(3, "--carbon-budget: '10.0 g' is less than any plan emits; give ");
    // What the line tells the user to give is enough.
    let least = ended.stderr.split("give ").nth(1).and_then(|t| t.split(" at least").next()).expect("a mass").replace(' ', "");
    assert_eq!(login.submit(&format!("--carbon-budget={least} train.sh")).code, 0);
    login.submit("--carbon-budget=10g --carbon-deadline=now+4h train.sh").refused(3, "less than any plan by the deadline emits");
    let ended = login.submit("--carbon-budget=90g --carbon-deadline=now+4h train.sh");
    ended.refused(3, "--carbon-budget: '90.0 g' cannot be kept by the deadline '2026-05-01 10:00'; give a budget of ");
    ended.says(", or a deadline of 2026-05-01 1");
}

#[test]
fn best_effort_submits_what_comes_closest() {
    let login = Login::new();
    let ended = login.submit("--best-effort --carbon-deadline=now+2h train.sh");
    ended.says("--best-effort: submitted with the plan that comes closest");
    assert!(ended.given().contains(&"--partition=gpu-north") && !ended.stderr.contains("at once instead"), "{}", ended.stderr);
    let ended = login.submit("--best-effort --carbon-budget=10g train.sh");
    assert!(ended.given().contains(&"--begin=now+21600"), "south's clean hours: {:?}", ended.given());
}

// How sbatch's own failures reach the user.

#[test]
fn sbatchs_message_and_code_reach_the_user_unchanged() {
    let login = Login::new();
    login.write("bin/answer", "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 7");
    let ended = login.submit("train.sh");
    assert_eq!((ended.code, ended.stdout.as_str()), (7, ""));
    ended.says("\nsbatch: error: Batch job submission failed: Invalid account\n");

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

// What the user reads.

#[test]
fn the_explanation_names_place_time_carbon_cost_and_data() {
    let login = Login::new();
    let ended = login.submit(&format!("--dry-run {BY_EVENING} --carbon-runtime=2:30:00 train.sh"));
    insta::assert_snapshot!("explanation", shown(&ended.stderr, login.home.path()));
    assert_eq!((ended.code, ended.given), (0, None));
}

#[test]
fn with_no_configuration_at_all_the_typical_day_is_named_as_such() {
    let login = Login::new().without_slurm().with("CARM_CONFIG", "");
    let ended = login.submit(&format!("--dry-run {BY_NOON} train.sh"));
    insta::assert_snapshot!("embedded", ended.stderr);
    assert_eq!(ended.code, 0);
}

#[test]
fn a_dry_run_draws_the_frontier_the_hours_and_the_run_at_every_width_in_either_character_set() {
    for width in ["60", "100", "200"] {
        for (charset, locale) in [("ascii", "C"), ("utf8", "C.UTF-8")] {
            let login = Login::new().with("COLUMNS", width).with("LC_ALL", locale);
            let ended = login.submit(&format!("--dry-run {BY_EVENING} --carbon-runtime=2:30:00 train.sh"));
            assert!(
                ended.stderr.lines().all(|line| line.chars().count() <= width.parse().expect("a number")),
                "{}",
                ended.stderr
            );
            insta::assert_snapshot!(format!("chart_{charset}_{width}"), shown(&ended.stderr, login.home.path()));
        }
    }
}

#[test]
fn a_dry_run_of_a_request_that_nothing_meets_draws_how_far_off_it_is() {
    let ended = Login::new().submit("--dry-run --carbon-budget=10g --carbon-deadline=now+9h train.sh");
    assert_eq!(ended.code, 3);
    insta::assert_snapshot!("chart_infeasible", ended.stderr);
}

#[test]
fn a_submission_keeps_to_a_few_lines() {
    let ended = Login::new().submit(&format!("{BY_EVENING} train.sh"));
    assert!(ended.stderr.lines().count() <= 8 && !ended.stderr.contains("frontier"), "{}", ended.stderr);
}

#[test]
fn on_a_terminal_every_line_keeps_to_its_width() {
    let login = Login::new().with("COLUMNS", "70");
    login.script("#SBATCH --gpus=2 --time=3:00:00 --array=1-3 --carbon-suspend\n");
    let words = format!("-p gpu-north --unheard-of {BY_EVENING} train.sh");
    let shown = login.submit_on_a_terminal(&words);
    assert!(shown.lines().all(|line| line.chars().count() <= 70), "{shown}");
    let piped = login.submit(&words).stderr;
    assert!(piped.lines().any(|line| line.chars().count() > 70), "{piped}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&shown), words(&format!("{piped}Submitted batch job 42")));
}

#[test]
fn why_names_what_now_would_emit_and_what_the_deadline_rules_out() {
    // South is clean from 12:00, which an end by 11:00 cannot wait for.
    let login = Login::new();
    let request = "-p gpu-south --carbon-deadline=2026-05-01T11:00Z train.sh";
    let text = login.submit(&format!("--dry-run --json {request}")).stdout;
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let number = |value: &Value| value["carbon_g"].as_f64().expect("a number");
    let percent = (number(&json["now_full_clock"]) / number(&json["plan"]) - 1.0) * 100.0;
    let ended = login.with("COLUMNS", "200").submit(&format!("--dry-run {request}"));
    ended.says(&format!("running now at full clock would emit {percent:.0} % more"));
    ended.says("more but miss the deadline by ");
}

#[test]
fn help_is_carms_own_and_names_every_option() {
    let ended = Login::new().submit("--help");
    insta::assert_snapshot!("help", ended.stdout);
    let shown = carm::request::OPTIONS.iter().filter(|spec| !spec.hidden);
    assert!(shown.clone().count() >= 10 && shown.clone().all(|spec| ended.stdout.contains(&format!("--{}", spec.flag))));
    assert_eq!(Login::new().submit("-V").stdout, format!("carm-submit {}\n", env!("CARGO_PKG_VERSION")));
}

// The JSON object.

fn instant(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().expect("a time");
    assert!(text.ends_with('Z') && text.len() == "2026-05-01T00:00:00.000Z".len(), "{text}");
    text.parse().expect("RFC 3339")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_json_object_has_the_contracts_keys_and_its_figures_add_up() {
    let login = Login::new();
    let trace = |hour: u32| 200.0 + 150.0 * f64::from((hour * 7) % 5);
    login.write("north.csv", &fake::trace(trace));
    for options in ["", BY_EVENING, "--carbon-budget=450g", "--carbon-objective=ppc --carbon-max-delay=9h"] {
        let ended = login.submit(&format!("--dry-run --json -p gpu-north {options} train.sh"));
        assert_eq!((ended.code, ended.stderr.as_str(), &ended.given), (0, "", &None), "{options}");
        let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let mut top = ["version", "feasible", "objective", "now", "plan", "now_full_clock", "frontier", "infeasible", "warnings"];
        top.sort_unstable();
        assert_eq!(keys(&json), top);
        let plan = &json["plan"];
        let mut of_plan = [
            "site",
            "partition",
            "cluster",
            "workers",
            "start",
            "end",
            "turnaround_s",
            "work_gpu_h",
            "energy_kwh",
            "carbon_g",
            "carbon_low_g",
            "carbon_high_g",
            "ppc",
            "estimated_share",
            "segments",
        ];
        of_plan.sort_unstable();
        assert_eq!(keys(plan), of_plan);
        assert_eq!(keys(&json["now_full_clock"]), ["carbon_g", "end", "energy_kwh", "ppc", "site", "start"]);

        let number = |value: &Value| value.as_f64().expect("a number");
        let segments = plan["segments"].as_array().expect("segments");
        assert_eq!(instant(&segments[0]["from"]), instant(&plan["start"]));
        assert_eq!(instant(&segments[segments.len() - 1]["to"]), instant(&plan["end"]));
        assert_eq!(instant(&plan["start"]).timestamp_subsec_nanos(), 0, "a whole second");
        for pair in segments.windows(2) {
            assert_eq!(pair[0]["to"], pair[1]["from"]);
        }
        let mut integrated = 0.0;
        for segment in segments {
            assert_eq!(keys(segment), ["carbon_g", "clock_mhz", "from", "power_w", "to"]);
            // By hand from the trace: a segment may not cross an hour's end.
            let (from, to) = (instant(&segment["from"]), instant(&segment["to"]));
            let hour = (from - instant(&Value::from("2026-05-01T00:00:00.000Z"))).num_hours() as u32;
            let hours = (to - from).num_milliseconds() as f64 / 3.6e6;
            let by_hand = number(&segment["power_w"]) / 1000.0 * hours * trace(hour);
            assert!((by_hand - number(&segment["carbon_g"])).abs() < 1e-3, "{segment}");
            integrated += number(&segment["carbon_g"]);
        }
        let carbon = number(&plan["carbon_g"]);
        assert!((integrated - carbon).abs() < 1e-6, "{integrated} {carbon}");
        assert_eq!((&plan["carbon_low_g"], &plan["carbon_high_g"]), (&Value::Null, &Value::Null), "a trace without a band");
        let turnaround_h = (instant(&plan["end"]) - instant(&json["now"])).num_milliseconds() as f64 / 3.6e6;
        assert!((number(&plan["turnaround_s"]) / 3600.0 - turnaround_h).abs() < 1e-6);
        assert!((number(&plan["ppc"]) - number(&plan["work_gpu_h"]) / turnaround_h / carbon).abs() < 1e-6 * number(&plan["ppc"]));
        assert_eq!(number(&plan["work_gpu_h"]), 6.0);
        assert!(
            carbon <= number(&json["now_full_clock"]["carbon_g"]) * (1.0 + 1e-9) || options.contains("ppc") || options.is_empty()
        );

        let frontier = json["frontier"].as_array().expect("a frontier");
        assert!(!frontier.is_empty());
        for pair in frontier.windows(2) {
            assert_eq!(keys(&pair[0]), ["carbon_g", "end", "site", "workers"]);
            assert!(instant(&pair[0]["end"]) < instant(&pair[1]["end"]));
            assert!(number(&pair[0]["carbon_g"]) > number(&pair[1]["carbon_g"]));
        }
    }
}

#[test]
fn the_json_object_of_a_miss_says_what_would_do() {
    let ended = Login::new().submit("--dry-run --json --carbon-budget=10g train.sh");
    assert_eq!(ended.code, 3);
    let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&json["feasible"], &json["plan"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(keys(&json["infeasible"]), ["earliest_end", "least_carbon_g", "reason"]);
    assert!(json["infeasible"]["least_carbon_g"].as_f64().is_some_and(|g| g > 10.0));
    assert_eq!(json["infeasible"]["earliest_end"], Value::Null);
}
