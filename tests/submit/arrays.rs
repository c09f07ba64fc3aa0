//! Throttled arrays: their rounds bound the start.

use crate::fake::{BY_EVENING, Login};

fn begin_s(words: &str) -> (u64, String) {
    let ended = Login::new().submit(&format!("-p gpu-south {BY_EVENING} {words} train.sh"));
    assert_eq!(ended.code, 0, "{words}: {}", ended.stderr);
    let begin =
        ended.given().iter().find_map(|word| word.strip_prefix("--begin=now+")).map_or(0, |s| s.parse().expect("seconds"));
    (begin, ended.stderr.clone() + &ended.given().join(" "))
}

#[test]
fn rounds_of_a_throttled_array_bound_its_start() {
    // South is clean from noon on, in six hours; the deadline is in twelve.
    assert_eq!(begin_s("-t 1:00:00").0, 6 * 3600);
    assert_eq!(begin_s("-t 1:00:00 --array=0-9").0, 6 * 3600, "all at once");
    let (begin, said) = begin_s("-t 1:00:00 --array=0-9%1");
    assert!(begin <= 2 * 3600, "{begin} s: {said}");
    assert!(said.contains("--array: 10 rounds of 1 h: planned so that the last one ends by 2026-05-01 18:00"), "{said}");
    assert!(said.contains("--carm-later-s=33480"), "nine hours, and two minutes between any two: {said}");
    assert!(said.contains("--carbon-deadline=2026-05-01T18:00:00.000Z"), "{said}");
}

#[test]
fn rounds_that_do_not_fit_start_at_once_at_full_clock() {
    let (begin, said) = begin_s("-t 1:00:00 --array=0-19%1");
    assert_eq!(begin, 0, "{said}");
    let line = "--array: 20 rounds of 1 h do not fit before 2026-05-01 18:00: the array starts at once, at full clock";
    assert!(said.contains(line) && said.contains("at once, ends") && said.contains("at full clock ("), "{said}");
    assert!(said.contains("--carm-later-s=70680"), "its tasks hurry on the node: {said}");
}

#[test]
fn rounds_bound_slurms_deadline_by_the_time_limit() {
    let ended = Login::new().submit(
        "-p gpu-south --carbon-objective=ppc --carbon-runtime=10 -t 1:00:00 --deadline=2026-05-01T18:00 --array=0-9%1 train.sh",
    );
    ended.says("--array: 10 rounds of 1 h: planned so that the last one ends by 2026-05-01 18:00");
    let begin =
        ended.given().iter().find_map(|word| word.strip_prefix("--begin=now+")).map_or(0, |s| s.parse().expect("seconds"));
    assert!(begin <= 2 * 3600, "{:?}", ended.given());
}

#[test]
fn a_deadline_that_no_task_meets_is_refused() {
    Login::new()
        .submit("--carbon-deadline=now+30min -t 1:00:00 --array=0-9%1 train.sh")
        .refused(3, "is before the job could end");
}
