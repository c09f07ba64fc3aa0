//! Who is refused, and what would have done; what `--best-effort` submits instead.

use crate::fake::Login;

#[test]
fn a_malformed_value_is_refused_with_option_value_and_way_out() {
    let login = Login::new();
    for (words, message) in [
        ("--carbon-budget=lots train.sh", "carm-submit: --carbon-budget: 'lots': not a mass; give a mass such as 500g"),
        ("--carbon-budget", "--carbon-budget: '': a value is missing"),
        ("--carbon-objective=carbon train.sh", "--carbon-objective: 'carbon' needs a budget; give --carbon-budget"),
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

#[test]
fn a_run_that_closed_hours_leave_no_room_for_is_refused_with_their_site_and_end() {
    let closed = |windows: &str| {
        let login = Login::new();
        let config = std::fs::read_to_string(login.home.path().join("carm.toml")).expect("a configuration");
        login.write("carm.toml", &(config + &format!("closed = [{windows}]\n")));
        login
    };
    let weekend = closed("\"2026-05-01T00:00Z/2026-05-02T08:30Z\"");
    let refused = weekend.submit("-p gpu-south train.sh");
    refused.refused(3, "closed hours of south leave no room for the run before 2026-05-02 08:30; give 1590m at least");
    // What the line tells the user to give is enough, and no more than is needed.
    assert_eq!(weekend.submit("-p gpu-south --carbon-max-delay=1590m train.sh").code, 0);
    weekend.submit("-p gpu-south --carbon-max-delay=1589m train.sh").refused(3, "give 1590m at least");
    let ended = weekend.submit("-p gpu-south --best-effort train.sh");
    assert!(ended.given().contains(&"--begin=now+95400"), "{:?}", ended.given());
    // Open again too late for the deadline: what comes closest is the run that starts then.
    let morning = closed("\"00:00-10:00\"");
    morning.submit("-p gpu-south --carbon-deadline=now+5h train.sh").refused(3, "give 2026-05-01 13:00 at the earliest");
    let ended = morning.submit("-p gpu-south --carbon-deadline=now+5h --best-effort train.sh");
    assert!(ended.given().contains(&"--begin=now+14400"), "{:?}", ended.given());
    // Where waiting does not help, nobody is told to.
    closed("\"00:00-10:00\", \"12:00-24:00\"").submit("-p gpu-south train.sh").refused(
        3,
        "carm-submit: closed hours leave no room for the run at south in time; --carbon-off submits it without a plan",
    );
    weekend.submit("-p gpu-south --carbon-deadline=now+12h train.sh").refused(3, "closed hours leave no room");
}
