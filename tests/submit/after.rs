//! Jobs that wait for others.

use serde_json::Value;

use crate::fake::{BY_EVENING, BY_NOON, Login};

const WAITED: &str = "7|2026-05-01T05:00:00|2026-05-01T07:30:00|2:30:00|(null)|";

#[test]
fn a_plan_starts_when_the_job_before_it_must_have_ended_and_the_job_as_soon_as_it_has() {
    let login = Login::new();
    login.waited(WAITED);
    let words = "-p gpu-north --carbon-objective=ppc --dependency=afterok:7 train.sh";
    let json: Value = serde_json::from_str(&login.submit(&format!("--dry-run --json {words}")).stdout).expect("JSON");
    assert_eq!(json["plan"]["start"], "2026-05-01T07:30:00.000Z", "{json}");
    let ended = login.submit(words);
    let given = ended.given();
    assert!(given.contains(&"--dependency=afterok:7") && !given.iter().any(|word| word.starts_with("--begin")), "{given:?}");
    ended.says("as soon as it need not wait, expected in 1 h 30 min (2026-05-01 07:30)");
    ended.says("  after   the jobs that it depends on are done by 2026-05-01 07:30 at the latest, by their time limits");
    assert!(!ended.stderr.contains("expects room"), "{}", ended.stderr);
}

#[test]
fn a_green_hour_after_the_job_before_it_is_waited_for() {
    let login = Login::new();
    login.waited(WAITED);
    let ended = login.submit(&format!("-p gpu-south {BY_EVENING} -d afterany:7 train.sh"));
    assert!(ended.given().contains(&"--begin=now+21600"), "{:?}\n{}", ended.given(), ended.stderr);
}

#[test]
fn one_whose_jobs_have_ended_is_planned_like_any_other() {
    let login = Login::new();
    login.waited("");
    let ended = login.submit(&format!("-p gpu-north {BY_NOON} -d afterok:5 train.sh"));
    assert!(!ended.stderr.contains("after "), "{}", ended.stderr);
    ended.says("plan    at north at once");
    assert!(ended.queued[0].contains("--jobs=5,5 "), "{:?}", ended.queued);
}

#[test]
fn a_chain_is_asked_about_link_by_link() {
    let login = Login::new();
    login.waited(&format!("{WAITED}\n9|N/A|N/A|1:00:00|afterok:7(unfulfilled)|"));
    let ended = login.submit("-p gpu-north --carbon-objective=ppc -d afterok:9 train.sh");
    ended.says("the jobs that it depends on are done by 2026-05-01 08:30 at the latest");
    let asked: Vec<_> = ended.queued.iter().filter(|words| words.contains("--jobs=")).collect();
    assert!(asked.len() == 2 && asked[1].contains("--jobs=7,7 "), "{asked:?}");
}

#[test]
fn a_job_whose_start_nobody_knows_is_left_to_slurm_and_no_deadline_is_refused_for_an_estimate() {
    let login = Login::new();
    login.waited("7|N/A|N/A|UNLIMITED|(null)|");
    login.submit("-p gpu-north -d afterok:7 train.sh").says("--dependency decides when the job starts: submitted as written");
    login.waited(WAITED);
    let ended = login.submit("-p gpu-north --carbon-deadline=2026-05-01T10:00Z -d afterok:7 train.sh");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    ended.says(
        "the jobs that it depends on may take until 2026-05-01 07:30, too late for the request: planned as if they were done",
    );
}
