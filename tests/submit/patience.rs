//! Jobs without a deadline: how long they wait for greener power.

use crate::fake::{Ended, Login};

/// South is clean from 12:00 on; it is 06:00.
fn south(words: &str) -> Ended {
    let login = Login::new();
    login.planner("objective = \"performance\"");
    login.submit(&format!("-p gpu-south {words} train.sh"))
}

#[track_caller]
fn begins(ended: &Ended, begin: Option<&str>, text: &str) {
    let given = ended.given().into_iter().find(|word| word.starts_with("--begin"));
    assert_eq!(given, begin, "{}", ended.stderr);
    ended.says(text);
}

#[test]
fn predicted_run_waits_for_half_of_it() {
    let ended = south("--carbon-runtime=3:00:00");
    begins(&ended, None, "  until   2026-05-01 10:30: 1 h 30 min after its earliest end (max_delay_ratio of its run time)");
    assert!(ended.given().iter().any(|word| word.contains("2026-05-01T10:30:00")), "{:?}", ended.given());
}

#[test]
fn max_delay_of_the_user_replaces_the_ratio() {
    let ended = south("--carbon-runtime=3:00:00 --carbon-max-delay=7h");
    begins(&ended, Some("--begin=now+21600"), "  until   2026-05-01 16:00: 7 h after its earliest end (--carbon-max-delay)");
}

#[test]
fn ratio_of_the_site_counts() {
    let login = Login::new();
    login.planner("max_delay_ratio = 2.5");
    begins(
        &login.submit("-p gpu-south --carbon-runtime=3:00:00 train.sh"),
        Some("--begin=now+21600"),
        "  until   2026-05-01 16:30",
    );
    login.planner("max_delay = \"1h\"");
    begins(
        &login.submit("-p gpu-south --carbon-runtime=3:00:00 train.sh"),
        None,
        "  until   2026-05-01 10:00: 1 h after its earliest",
    );
}

#[test]
fn unpredicted_and_short_runs_start_at_once() {
    begins(&south(""), None, "without delay, since --time is all that is known of its run time; give --carbon-runtime");
    begins(&south("--carbon-runtime=20"), None, "without delay, since it runs for less than 30 min");
}

#[test]
fn workflow_steps_are_not_delayed() {
    let login = Login::new();
    login.waited("7|2026-05-01T05:00:00|2026-05-01T07:30:00|2:30:00|(null)|");
    let ended = login.submit("-p gpu-south --dependency=afterok:7 --carbon-runtime=3:00:00 train.sh");
    ended.says("without delay, since it depends on other jobs");
}

#[test]
fn tasks_of_an_array_count_from_their_starts() {
    let ended = south("--carbon-runtime=3:00:00 --array=1-3");
    assert!(!ended.given().iter().any(|word| word.contains("T10:30")), "{:?}", ended.given());
}

#[test]
fn budget_out_of_reach_names_the_delay() {
    let login = Login::new();
    let least = |delay: &str| login.submit(&format!("-p gpu-south --carbon-budget=100g --carbon-max-delay={delay} train.sh"));
    let ended = least("1h");
    ended.refused(3, "is less than any plan emits that starts soon enough; give --carbon-max-delay=6h (");
    assert_eq!(least("6h").code, 0, "what the line names is enough");
}
