//! Services: jobs with a latency limit run until their time limit, at a clock that answers in time.

use carm::ledger::{Mark, Record};

use crate::job::{Job, job};
use crate::node::{LOWEST_MHZ, Node, assert_marks};

/// The node's own card, with what a request takes at full clock; below it the speed tells: 25 ms at 1890 MHz, 35 ms at 1260.
const PROFILE: &str = r#"
name = "serve"
gpu = "rtx4090"
model = "NVIDIA GeForce RTX 4090"
source = "the stand-in's own figures"
measured = true
level = [
    { clock_mhz = 1260, watts = 162.2, speed = 0.5714 },
    { clock_mhz = 1890, watts = 239.4, speed = 0.8 },
    { clock_mhz = 2520, watts = 380.0, speed = 1.0, latency_ms = 20.0 },
]
"#;

fn node(change: impl Fn(&str) -> String) -> Node {
    let node = Node::new();
    std::fs::write(node.path("profiles/serve.toml"), change(PROFILE)).unwrap();
    node
}

fn service(latency: &str) -> Job {
    job(7).carbon("LATENCY", latency).carbon("PROFILE", "serve")
}

/// The clock and the ledger line of a job that ran through, whose epilog put everything back.
fn served(node: &Node, job: &Job) -> (Option<u32>, Record) {
    node.prolog(job);
    let locked = node.lock(0);
    node.epilog(job).assert_clean();
    let line = node.line();
    assert_eq!(locked, line.clock_mhz.map(|mhz| (LOWEST_MHZ, mhz)), "{}", node.log());
    (line.clock_mhz, line)
}

#[test]
fn a_service_gets_the_clock_of_least_carbon_that_answers_in_time_and_none_below() {
    for (latency, expected) in [("50ms", Some(1260)), ("35ms", Some(1890)), ("30ms", Some(1890)), ("24ms", None), ("20ms", None)]
    {
        let (clock_mhz, line) = served(&node(str::to_owned), &service(latency));
        assert_eq!(clock_mhz, expected, "{latency}");
        assert_marks(&line, &[]);
        assert_eq!((line.decision.as_str(), line.work_s), ("least carbon that answers in time", None), "{latency}");
    }
}

#[test]
fn a_profile_that_nobody_measured_is_believed_no_faster_than_its_clock() {
    // By the clock a request takes 26.7 ms at 1890 MHz and 40 ms at 1260.
    for (latency, expected) in [("40ms", Some(1260)), ("39ms", Some(1890)), ("26ms", None)] {
        let unmeasured = node(|profile| profile.replace("measured = true", "measured = false"));
        assert_eq!(served(&unmeasured, &service(latency)).0, expected, "{latency}");
    }
}

#[test]
fn a_budget_is_kept_to_the_time_limit_by_the_fastest_clock_and_the_floor_stands_even_where_it_cannot_be() {
    // To the limit, a day away, at the facility: 5.5 kg at full clock, 3.9 kg at 1890 MHz, 3.0 kg at 1260.
    for (grams, latency, expected, marks) in [
        ("6000", "50ms", None, vec![]),
        ("4100", "50ms", Some(1890), vec![]),
        ("3200", "50ms", Some(1260), vec![]),
        ("1000", "50ms", Some(1260), vec![Mark::OverBudget]),
        ("1000", "30ms", Some(1890), vec![Mark::OverBudget]),
    ] {
        let (clock_mhz, line) = served(&node(str::to_owned), &service(latency).carbon("BUDGET", grams));
        assert_eq!(clock_mhz, expected, "{grams} g, {latency}");
        assert_marks(&line, &marks);
    }
}

#[test]
fn ppc_serves_at_the_most_speed_per_carbon() {
    let (clock_mhz, line) = served(&node(str::to_owned), &service("50ms").carbon("OBJECTIVE", "ppc"));
    assert_eq!((clock_mhz, line.decision.as_str()), (Some(1890), "best performance per carbon"));
}

#[test]
fn a_run_time_that_carm_submit_hands_over_changes_nothing_for_a_service() {
    let (clock_mhz, line) = served(&node(str::to_owned), &service("30ms").work("24h"));
    assert_eq!((clock_mhz, line.work_s), (Some(1890), None));
}

#[test]
fn a_latency_limit_that_no_clock_meets_leaves_full_clock_and_says_so() {
    let (clock_mhz, line) = served(&node(str::to_owned), &service("19ms"));
    assert_eq!((clock_mhz, line.decision.as_str()), (None, "no clock answers within its latency limit"));
}

#[test]
fn without_a_latency_of_this_card_at_full_clock_a_service_keeps_full_clock_and_a_mark() {
    let silent = |profile: &str| profile.replace(", latency_ms = 20.0", "");
    let other = |profile: &str| profile.replace("RTX 4090\"", "RTX 3090\"");
    for change in [&silent as &dyn Fn(&str) -> String, &other] {
        let (clock_mhz, line) = served(&node(change), &service("50ms"));
        assert_eq!(clock_mhz, None);
        assert_marks(&line, &[Mark::LatencyUnknown]);
        let expected = "profile 'serve' tells no latency of this card at full clock; give latency_ms of its highest clock";
        assert_eq!(line.decision, expected);
    }
    // Under the site's lock full clock is another than the profile's.
    let locked = node(str::to_owned).node("restore_mhz = [210, 1260]");
    let line = locked.whole_job(&service("50ms"));
    assert_eq!(line.clock_mhz, None, "{line:?}");
    assert_marks(&line, &[Mark::LatencyUnknown]);
}

#[test]
fn without_a_time_limit_a_service_keeps_full_clock_and_a_mark() {
    let node = node(str::to_owned);
    let (clock_mhz, line) = served(&node, &service("50ms").without("SLURM_JOB_END_TIME"));
    assert_eq!(clock_mhz, None);
    assert_marks(&line, &[Mark::LimitUnknown]);
    assert!(line.decision.contains("its time limit is not known"), "{}", line.decision);
}
