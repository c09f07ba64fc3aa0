//! Other hands on the clocks: an admin's, a driver reset's, the card's own.

use carm::ledger::Mark;

use crate::govern::{Governor, node, roof, sleep_s, sum, until};
use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, Node};

/// What nvidia-smi does to the first card.
fn set_by_hand(node: &Node, lock: Option<(u32, u32)>) {
    let card = Node::card(0);
    node.bench().look(|now| now.card(card).1.lock = lock).expect("the stand-in");
}

/// The governor's record of job 7.
fn known(node: &Node) -> serde_json::Value {
    let read = || serde_json::from_slice(&std::fs::read(node.path("state/wind1/job-7.json")).ok()?).ok();
    let mut state = None;
    until("the job's record", || read().is_some());
    while state.is_none() {
        state = read();
    }
    state.expect("a record")
}

/// How often the governor looks at job 7 until it says that another hand is on the clocks.
fn looks_until_said(node: &Node) -> usize {
    let until_when = || known(node)["counted"]["until"].clone();
    let (mut last, mut looks) = (until_when(), 0);
    let since = std::time::Instant::now();
    loop {
        let said = known(node)["governed"]["hands_off"] == true;
        let now = until_when();
        if now != last {
            (last, looks) = (now, looks + 1);
        }
        if said {
            return looks;
        }
        assert!(since.elapsed().as_secs() < 30, "it is never said: {}", node.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The work of job 7 that is counted, in seconds at full clock.
fn done_s(node: &Node) -> f64 {
    known(node)["counted"]["tally"]["work_done_s"].as_f64().expect("seconds")
}

#[test]
fn a_hand_is_not_undone_while_it_is_only_suspected() {
    let node = node();
    // A roof that comes and goes every second: a clock for the shade is followed by full clock at the next look.
    let flicker: Vec<(i64, f64)> = (0..40).map(|second| (1, if second % 2 == 0 { 8.0 * 600.0 } else { 0.0 })).collect();
    roof(&node, &flicker);
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    let short = job(7).work("20s").deadline_in("5m");
    node.prolog(&short);
    until("a clock for the shade", || node.log().lines().last().is_some_and(|line| line.contains("full clock -> ")));
    // Said before it is kept.
    until("it is kept", || known(&node)["clock_mhz"].is_u64());
    set_by_hand(&node, Some((210, 900)));
    let looks = looks_until_said(&node);
    assert!(looks <= 2, "{looks} looks: {}", node.log());
    sleep_s(2.5);
    assert_eq!(node.lock(0), Some((210, 900)), "{}", node.log());
    node.epilog(&short);
    assert_eq!(node.line().marks, [Mark::OtherHand]);
}

#[test]
fn another_hand_on_the_clocks_is_seen_said_once_and_let_be() {
    let node = node();
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    node.prolog(&green(7));
    until("it is governed", || known(&node)["clock_mhz"].is_u64());
    // nvidia-smi -lgc 210,900, as an admin would.
    set_by_hand(&node, Some((210, 900)));
    let looks = looks_until_said(&node);
    assert!(looks <= 2, "{looks} looks: {}", node.log());
    let before = done_s(&node);
    sleep_s(3.5);
    let done = done_s(&node) - before;
    assert_eq!(node.lock(0), Some((210, 900)), "{}", node.log());
    assert_eq!(node.log().matches("another hand").count(), 1);
    // 900 of 2520 MHz: some two fifths of full clock, where 1890 MHz would make it four fifths.
    assert!(done > 0.0 && done < 0.6 * 3.5, "{done} s of work in 3.5 s");
    node.epilog(&green(7));
    assert_eq!(node.line().marks, [Mark::OtherHand]);
}

#[test]
fn a_hand_on_one_card_of_a_job_leaves_no_lock_on_its_others() {
    let node = node();
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0, 1]);
    node.prolog(&green(7).gpus("0,1"));
    until("it is governed", || known(&node)["clock_mhz"].is_u64());
    assert_eq!(node.locked(), [0, 1]);
    // nvidia-smi -i 0 -rgc, or a driver reset: this card alone runs at full clock again.
    set_by_hand(&node, None);
    let looks = looks_until_said(&node);
    assert!(looks <= 2, "{looks} looks: {}", node.log());
    sleep_s(1.5);
    // The other would slow the job for good, with nobody to speed it up when time runs out.
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    node.epilog(&green(7).gpus("0,1")).assert_clean();
    assert_eq!(node.line().marks, [Mark::OtherHand]);
}

#[test]
fn a_card_that_slows_itself_down_is_no_other_hand_and_its_work_counts_as_it_ran() {
    // 200 W are too few for 1890 MHz, which draws 239 W.
    let node = node().cards(|text| text.replace("power_limit_watts = 450.0", "power_limit_watts = 200.0"));
    let _governor = Governor::start(&node);
    let load = node.busy(&[0]);
    node.prolog(&green(7));
    sleep_s(3.5);
    drop(load);
    node.epilog(&green(7)).assert_clean();
    let line = node.line();
    assert_eq!(line.marks, [Mark::Throttled], "{}", node.log());
    assert!(!node.log().contains("another hand"), "{}", node.log());
    assert_eq!(node.log().matches("its GPUs slow themselves down at ").count(), 1, "{}", node.log());
    let seen = line.steps.iter().filter_map(|step| step.clock_mhz).max();
    assert!(seen.is_some_and(|mhz| mhz < GREENEST_MHZ - 100), "{line:#?}");
    let (work_s, run_s) = (line.work_done_s.expect("work"), sum(&line, |step| step.seconds));
    assert!(work_s < 0.79 * run_s, "{work_s} s of work in {run_s} s");
}

#[test]
fn a_job_that_joins_and_wishes_a_faster_clock_is_no_other_hand() {
    let node = node().node("shared_gpus = true");
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    node.prolog(&green(7));
    until("it is governed", || node.lock(0).is_some());
    node.prolog(&job(8));
    sleep_s(3.5);
    assert!(node.locked().is_empty() && !node.log().contains("another hand"), "{}", node.log());
    node.epilog(&job(8));
    assert_eq!(node.lock(0).map(|(_, high)| high), Some(GREENEST_MHZ), "{}", node.log());
    node.epilog(&green(7)).assert_clean();
    assert_eq!(node.line().marks, [Mark::SharedGpu]);
}

#[test]
fn a_lock_that_the_driver_may_have_set_is_no_other_hand_and_is_taken_off() {
    let node = node().faulty("[[fault]]\ncall = \"nvmlDeviceSetGpuLockedClocks\"\ncode = 15\n");
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    // As if the call had been done all the same.
    set_by_hand(&node, Some((210, 900)));
    node.prolog(&green(7));
    until("it is taken off", || node.locked().is_empty());
    sleep_s(2.5);
    node.epilog(&green(7)).assert_clean();
    assert_eq!(node.line().marks, [Mark::ClocksUntouched], "{}", node.log());
}
