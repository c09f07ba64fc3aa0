//! What the user reads: the explanation, the chart, the help.

use serde_json::Value;

use crate::fake::{BY_EVENING, BY_NOON, Login, shown};

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
    assert_eq!(words(&shown), words(&format!("Submitted batch job 42 {piped}")));
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
    let widest = ended.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|columns| columns <= 80), "{widest:?} columns");
    assert!(ended.stdout.contains("By default, without carbon options:"), "{}", ended.stdout);
    let shown = carm::request::OPTIONS.iter().filter(|spec| !spec.hidden);
    assert!(shown.clone().count() >= 10 && shown.clone().all(|spec| ended.stdout.contains(&format!("--{}", spec.flag))));
    assert_eq!(Login::new().submit("-V").stdout, format!("carm-submit {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_budget_in_per_cent_is_shown_in_grams() {
    let login = Login::new();
    let ended = login.submit("-p gpu-north --carbon-runtime=2:00:00 --carbon-budget=80% train.sh");
    let line = ended.stderr.lines().find(|line| line.contains("--carbon-budget: 80 % of ")).expect("the grams").to_owned();
    let grams: f64 =
        ended.carbon().iter().find_map(|w| w.strip_prefix("--carbon-budget=")).expect("grams").parse().expect("a number");
    assert!(line.ends_with(&carm::quantity::format_mass(grams)), "{line}: {grams} g");
    let json = login.submit("-p gpu-north --carbon-runtime=2:00:00 --carbon-budget=80% --dry-run --json train.sh").stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let now_g = json["now_full_clock"]["carbon_g"].as_f64().expect("a number");
    assert!((grams / now_g - 0.8).abs() < 1e-6, "{grams} of {now_g} g");
    assert!(!ended.carbon().iter().any(|word| word.contains("share")), "{:?}", ended.carbon());

    login.submit("-p gpu-north --carbon-budget=1% train.sh").refused(3, "is less than any plan");
    login.submit("--carbon-budget=0% train.sh").refused(1, "--carbon-budget: '0%': not a share; give a share such as 80%");
}
