//! `[node] clocks = "off"`: energy and carbon are booked, and the driver is only read.

use std::time::Duration;

use carm::ledger::{Mark, Meter};

use crate::govern::{Governor, until};
use crate::job::green;
use crate::node::{Node, assert_marks};

const OFF: &str = "clocks = \"off\"\ninterval = \"1s\"";

/// Cards whose energy counter restarts when their last client ends.
fn without_persistence(cards: &str) -> String {
    let cards = cards.replace("persistence = true", "persistence = false");
    cards.replace("log_calls", "unload_resets_energy = true\nlog_calls")
}

/// Driver calls that change a card; the log has these, and each start and end of a client.
fn changes(node: &Node) -> Vec<String> {
    let calls = std::fs::read_to_string(node.path("gpus/calls.log")).unwrap();
    assert!(calls.contains("nvmlInit"), "{calls}");
    let is_change = |line: &&str| !line.contains("nvmlInit") && !line.contains("nvmlShutdown");
    calls.lines().filter(is_change).map(str::to_owned).collect()
}

#[test]
fn measure_only_changes_no_card() {
    let node = Node::new().node(OFF).cards(without_persistence);
    let governor = Governor::start(&node);
    let load = node.busy(&[0]);
    node.prolog(&green(7));
    std::thread::sleep(Duration::from_millis(2500));
    node.epilog(&green(7)).assert_clean();
    drop(load);
    governor.stop();
    node.by_hand(&["reset", "--all"]);
    assert_eq!(changes(&node), [] as [String; 0]);
    assert!(!node.persistence(0));
    let line = node.line();
    assert_marks(&line, &[Mark::ClocksOff]);
    assert_eq!((line.gpus[0].meter, line.clock_mhz), (Meter::Counter, None));
    assert!(line.gpu_energy_j > 300.0 && line.carbon_g > 0.0, "{line:?}");
    assert_eq!(node.complaints(), [] as [String; 0]);
}

#[test]
fn counter_that_may_restart_is_marked_lost() {
    let node = Node::new().node(OFF).cards(without_persistence);
    let line = node.whole_job(&green(7));
    assert_marks(&line, &[Mark::EnergyLost, Mark::ClocksOff]);
    assert_eq!(line.gpu_energy_j, 0.0);
    assert_eq!(changes(&node), [] as [String; 0]);
}

#[test]
fn governor_gives_locks_back_after_switch() {
    let node = Node::new().node("interval = \"1s\"").cards(|cards| cards.replace("persistence = true", "persistence = false"));
    let governor = Governor::start(&node);
    node.prolog(&green(7));
    until("the governor locks the clock", || node.locked() == [0]);
    let node = node.node("clocks = \"off\"");
    until("the lock is given back", || node.locked().is_empty());
    let state = || std::fs::read_to_string(node.path("state/wind1/job-7.json")).unwrap_or_default();
    until("its state is marked", || state().contains("clocks-off"));
    let before = changes(&node).len();
    node.epilog(&green(7)).assert_clean();
    governor.stop();
    // Persistence mode, which CARM switched on, is off again.
    assert_eq!((changes(&node).len(), node.persistence(0)), (before + 1, false), "{:?}", changes(&node));
    assert!(node.line().marks.contains(&Mark::ClocksOff), "{:?}", node.line().marks);
}

#[test]
fn switch_outlasts_clocks_from_before() {
    let node = Node::new();
    node.prolog(&green(7));
    assert_eq!(node.locked(), [0]);
    let node = node.node(OFF);
    node.prolog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    // Job 7 stays: its clock from before is not set again.
    node.epilog(&green(8));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    node.epilog(&green(7)).assert_clean();
}

#[test]
fn measure_only_is_visible_by_hand() {
    let node = Node::new().node(OFF);
    let status = node.by_hand(&["status"]);
    assert!(status.stdout.starts_with(b"clocks = off\n"), "{status:?}");
    for (node, switch) in [(&node, "off"), (&Node::new(), "on")] {
        let status = node.by_hand(&["status", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(json["clocks"], switch);
    }
    let profile = node.by_hand(&["profile", "--name", "mine", "--", "/bin/true"]);
    let message = String::from_utf8(profile.stderr).unwrap();
    assert!(!profile.status.success() && message.contains("[node] clocks: 'off': profile locks GPU clocks"), "{message}");
}
