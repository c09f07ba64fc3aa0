//! How busy Slurm says it is: asked once for each place, heeded by the plan, never at the cost of a job.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake::{BY_EVENING, Login, trace};

#[test]
fn each_place_that_is_full_is_asked_once_with_the_words_that_it_would_be_given() {
    let login = Login::new();
    login.full();
    let ended = login.submit("-J x --carbon-budget=9kg --begin=2026-05-01T07:00 train.sh 5");
    let expected =
        |site: &str| format!("--test-only -J x --begin=2026-05-01T07:00 --partition=gpu-{site} --carbon-budget=9000 train.sh 5");
    let mut asked = ended.asked.clone();
    asked.sort_unstable(); // they run beside each other
    assert_eq!(asked, [expected("north"), expected("south")]);

    let script = "#!/bin/sh\n#SBATCH --gpus=2 -t 60\necho\n";
    let ended = login.submit_words(&["-p", "gpu-north"], script);
    assert_eq!(ended.asked[0], "--test-only -p gpu-north");
    assert_eq!(ended.asked[1..], script.lines().collect::<Vec<_>>(), "a script on standard input is read by both");
    assert_eq!(ended.script.as_deref(), Some(script));

    // A script whose carbon lines this sbatch would refuse.
    let login = Login::new().without_plugin();
    login.full();
    login.script("#SBATCH --gpus=2 --carbon-budget=9kg --time=3:00:00\n");
    let ended = login.submit("--carbon-max-delay=1h -p gpu-north train.sh");
    assert!(ended.asked[0].ends_with("/train.sh") && !ended.asked[0].contains("carbon"), "{:?}", ended.asked);
}

#[test]
fn a_plan_starts_no_earlier_than_slurm_expects_room_and_the_job_as_soon_as_there_is() {
    let login = Login::new();
    login.room("gpu-north", "2026-05-01T14:20:00");
    let words = "-p gpu-north --carbon-objective=ppc train.sh";
    let ended = login.submit(&format!("--dry-run --json {words}"));
    let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(json["plan"]["start"], "2026-05-01T14:20:00.000Z", "{json}");
    assert_eq!(json["now_full_clock"]["start"], "2026-05-01T06:00:00.000Z");

    let ended = login.submit(words);
    assert!(!ended.given().iter().any(|word| word.starts_with("--begin")), "{:?}", ended.given());
    ended.says("at north as soon as there is room, expected in 8 h 20 min (2026-05-01 14:20)");
    ended.says("  room    Slurm expects room at north from 2026-05-01 14:20; an estimate\n");
    assert!(!ended.stderr.contains("at once instead"), "{}", ended.stderr);
}

#[test]
fn a_job_that_waits_for_green_power_may_begin_with_it_though_slurm_expects_room_later() {
    let login = Login::new();
    login.room("gpu-south", "2026-05-01T12:30:00");
    let ended = login.submit(&format!("-p gpu-south {BY_EVENING} --time=2:00:00 train.sh"));
    // Clean from 12:00 to 15:00: two hours fit either way, and none of them before noon.
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}\n{}", ended.given(), ended.stderr);
    ended.says("as soon as there is room from 2026-05-01 12:00 on, expected in 6 h 30 min (2026-05-01 12:30)");
}

#[test]
fn a_start_later_than_the_room_is_kept() {
    let login = Login::new();
    login.room("gpu-south", "2026-05-01T09:00:00");
    let ended = login.submit(&format!("-p gpu-south {BY_EVENING} train.sh"));
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());
    ended.says("at south in 6 h (2026-05-01 12:00)");
}

#[test]
fn a_busy_site_loses_against_one_with_room() {
    let login = Login::new();
    login.write("north.csv", &trace(|_| 100.0));
    login.write("south.csv", &trace(|_| 110.0));
    assert!(login.submit("--carbon-objective=ppc train.sh").given().contains(&"--partition=gpu-north"));
    login.room("gpu-north", "2026-05-02T03:00:00");
    let ended = login.submit("--carbon-objective=ppc train.sh");
    assert!(ended.given().contains(&"--partition=gpu-south"), "{:?}", ended.given());
    ended.says("Slurm expects room at north from 2026-05-02 03:00");
}

#[test]
fn an_estimate_never_costs_a_job() {
    let login = Login::new();
    for (room, words) in [
        ("2026-05-01T16:00:00", BY_EVENING),
        // Behind a job without a time limit Slurm names a year beyond any forecast.
        ("2537-04-12T15:23:18", BY_EVENING),
        ("2537-04-12T15:23:18", "--carbon-objective=ppc"),
    ] {
        login.room("gpu-south", room);
        let ended = login.submit(&format!("-p gpu-south {words} train.sh"));
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
        ended.says("too late for the request: planned as if there were room at once");
        assert!(!ended.stderr.contains("as soon as there is room"), "{}", ended.stderr);
    }
}

#[test]
fn what_slurm_does_not_tell_is_room_at_once() {
    let login = Login::new();
    login.full();
    let plan = |login: &Login| -> Value {
        let text = login.submit("--dry-run --json -p gpu-north --carbon-objective=ppc train.sh").stdout;
        serde_json::from_str(&text).expect("JSON")
    };
    let free = plan(&login);
    for answer in [
        "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1",
        "echo 'sbatch: Job 7 to start at 2026-05-01T06:00:30 using 2 processors on nodes n1 in partition gpu-north' >&2",
        "echo 'sbatch: Job 7 to start at 2026-05-01T14:20:00 using 2' >&2; exit 1",
        "echo 'sbatch: Job 7 to start at when there is room' >&2",
        "kill -KILL $$",
    ] {
        login.write("bin/room-gpu-north", answer);
        let planned = plan(&login);
        assert_eq!(planned["plan"], free["plan"], "{answer}");
        let unanswered = json!(["sbatch --test-only for site 'north': no answer; planned as if there were room at once"]);
        let ends_badly = answer.contains("exit 1") || answer.contains("kill");
        assert_eq!(planned["warnings"], if ends_badly { unanswered } else { json!([]) }, "{answer}");
    }
}

#[test]
fn an_answer_that_does_not_come_costs_no_more_than_its_bound() {
    let login = Login::new();
    login.full();
    for partition in ["gpu-north", "gpu-south"] {
        login.write(&format!("bin/room-{partition}"), "exec /bin/sleep 60");
    }
    let begin = Instant::now();
    let ended = login.submit(&format!("{BY_EVENING} train.sh"));
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}", ended.given());
    let took = begin.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

#[test]
fn a_site_that_wants_no_questions_gets_none() {
    let login = Login::new();
    login.planner("ask_slurm = false");
    login.room("gpu-north", "2026-05-01T14:20:00");
    let ended = login.submit("-p gpu-north --carbon-objective=ppc train.sh");
    assert_eq!((ended.asked.len(), ended.stderr.contains("room")), (0, false), "{}", ended.stderr);
}

#[test]
fn a_service_is_planned_for_the_hours_in_which_slurm_expects_to_run_it() {
    let login = Login::new();
    login.write(
        "profiles/serve.toml",
        "name = \"serve\"\nsource = \"made up for this test\"\n[[level]]\nclock_mhz = 1500\nwatts = 300.0\nspeed = 1.0\nlatency_ms = 20.0\n",
    );
    login.room("gpu-north", "2026-05-01T08:00:00");
    let words = "-p gpu-north --carbon-latency=50ms --carbon-profile=serve train.sh";
    let ended = login.submit(&format!("--dry-run --json {words}"));
    let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(json["plan"]["start"], "2026-05-01T08:00:00.000Z", "{json}");
    assert!(!login.submit(words).given().iter().any(|word| word.starts_with("--begin")));
}

/// The levels of a plan, as shares of full clock, and what is said of it.
fn clocks(login: &Login, words: &str) -> (Vec<u64>, String) {
    let ended = login.submit(&format!("--dry-run --json {words}"));
    let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
    let segments = json["plan"]["segments"].as_array().expect("segments").clone();
    let clocks = segments.iter().filter_map(|segment| segment["clock_mhz"].as_u64()).collect();
    (clocks, login.submit(&format!("--dry-run {words}")).stderr)
}

/// A job that half clock suits best, as far as carbon goes: two levels, 900 MHz at speed 0.5 and 1500 MHz.
fn slow() -> Login {
    let login = Login::new();
    login.planner("max_delay = \"24h\"");
    login.write("north.csv", &trace(|_| 300.0));
    login.write(
        "profiles/slow.toml",
        "name = \"slow\"\nsource = \"made up for this test\"\n[[level]]\nclock_mhz = 1500\nwatts = 300.0\nspeed = 1.0\n\
         [[level]]\nclock_mhz = 900\nwatts = 100.0\nspeed = 0.5\n",
    );
    login
}

const SLOW: &str = "-p gpu-north --carbon-profile=slow --carbon-deadline=now+9h train.sh";

#[test]
fn a_plan_leaves_out_the_clocks_at_which_the_queue_would_not_fit() {
    let login = slow();
    let told = |text: &str| text.lines().find(|line| line.starts_with("  load")).map(str::to_owned);
    // Eight GPUs for 24 hours do 96 GPU-hours at half speed, and no more.
    for (gpus, hours, expected) in [(8, 0, 900), (4, 24, 900), (8, 13, 1500), (80, 100, 1500)] {
        login.queue(gpus, hours);
        let (clocks, text) = clocks(&login, SLOW);
        assert!(clocks.iter().all(|&clock| clock == expected), "{gpus} x {hours} h: {clocks:?}");
        assert_eq!(told(&text).is_some(), expected == 1500, "{text}");
    }
    login.queue(8, 13);
    login
        .with("COLUMNS", "200")
        .submit(&format!("--dry-run {SLOW}"))
        .says("\n  load    gpu-north has 104 GPU-hours of work for 8 GPUs: no clock below 1500 MHz keeps up with that\n");
}

#[test]
fn each_partition_is_asked_once_for_its_whole_queue() {
    let login = Login::new().with("SQUEUE_USERS", "me");
    let queued = login.submit("train.sh").queued;
    let of = |line: &String| line.split(' ').find_map(|word| word.strip_prefix("--partition=").map(str::to_owned));
    let mut partitions: Vec<_> = queued.iter().filter_map(of).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, ["gpu-north", "gpu-south"]);
    login.queue(8, 24);
    assert!(login.submit("train.sh").stderr.contains("  load "), "the user's own filter does not hold");

    assert_eq!(login.submit("--carbon-off train.sh").queued.len(), 0);
    assert!(!login.submit("--carbon-latency=50ms train.sh").stderr.contains("  load "), "a service is as long at any clock");
    // Nobody would move the clocks.
    let login = Login::new().without_plugin();
    login.queue(8, 24);
    assert!(!login.submit("train.sh").stderr.contains("  load "));
}

#[test]
fn a_queue_never_costs_a_job() {
    let login = slow();
    login.queue(8, 24);
    // 2 GPUs x 100 W x 6 h x 300 g/kWh = 360 g, against 540 g at full clock.
    let ended = login.submit("-p gpu-north --carbon-profile=slow --carbon-budget=450g train.sh");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    ended.says("no clock that keeps up with the work that waits meets the request: planned at slower ones");
    assert!(!ended.stderr.contains("  load "), "{}", ended.stderr);
}

#[test]
fn a_queue_that_slurm_does_not_tell_is_empty() {
    let login = slow();
    let free = clocks(&login, SLOW).0;
    for answer in
        ["exit 1", "echo '24:00:00|1|1|gres/gpu=80'", "echo 'CLUSTER: far'", "echo '|||||||||||'", "echo \"\\377\\376\""]
    {
        login.write("bin/queue", answer);
        assert_eq!(clocks(&login, SLOW).0, free, "{answer}");
    }
}

#[test]
fn an_estimate_that_the_queue_does_not_bear_out_is_not_waited_for() {
    let login = Login::new();
    // Two of eight GPUs run a job, and this one wants two.
    login.queue(2, 1);
    login.room("gpu-north", "2026-05-01T14:20:00");
    let json = |login: &Login| -> Value {
        let ended = login.submit("--dry-run --json -p gpu-north --carbon-objective=ppc --carbon-max-delay=0s train.sh");
        serde_json::from_str(&ended.stdout).expect("JSON")
    };
    assert_eq!(json(&login)["plan"]["start"], "2026-05-01T06:00:00.000Z");
    assert_eq!(login.submit("-p gpu-north train.sh").asked.len(), 0, "nor asked for: each question takes a job id");
    login.queue(7, 1);
    assert_eq!(json(&login)["plan"]["start"], "2026-05-01T14:20:00.000Z", "one GPU is too few");
}

#[test]
fn a_plan_keeps_clear_of_the_hours_that_jobs_put_off_have_booked() {
    let login = Login::new();
    let words = format!("-p gpu-south {BY_EVENING} --time=2:00:00 train.sh");
    let begin = |login: &Login| {
        let ended = login.submit(&words);
        (ended.given().iter().find_map(|word| word.strip_prefix("--begin=now+").map(str::to_owned)), ended.stderr)
    };
    // Clean from 12:00 to 15:00, and two hours of it are enough; six of the eight GPUs leave room for two.
    login.put_off(6, "2026-05-01T12:00:00", 2);
    let (beside, text) = begin(&login);
    assert_eq!((beside.as_deref(), text.contains("  booked")), (Some("21600"), false), "{text}");

    login.put_off(7, "2026-05-01T12:00:00", 2);
    let (after, text) = begin(&login);
    assert_eq!(after.as_deref(), Some("28800"), "{text}");
    let told = "  booked  jobs that are put off leave too few GPUs at south from 2026-05-01 12:00 to 2026-05-01 14:00\n";
    assert!(text.contains(told), "{text}");
}

#[test]
fn others_plans_never_cost_a_job() {
    let login = Login::new();
    for words in [BY_EVENING, "--carbon-deadline=2026-05-01T09:00Z", "--carbon-latency=50ms"] {
        let free = login.submit(&format!("-p gpu-south {words} train.sh"));
        login.put_off(8, "2026-05-01T06:05:00", 200);
        let ended = login.submit(&format!("-p gpu-south {words} train.sh"));
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
        // How much work that is is told all the same.
        let told: Vec<&str> = ended.stderr.lines().filter(|line| !line.starts_with("  load")).collect();
        assert_eq!((ended.given(), told), (free.given(), free.stderr.lines().collect()), "as if nothing were booked");
        login.write("bin/queue", "");
    }
}
