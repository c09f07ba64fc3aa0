//! Prologs killed half-way, with SIGKILL, parent and child: the epilog, or the next prolog, puts state and clocks right.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::job::{Job, green, job};
use crate::node::Node;

/// Holds the prolog in a driver call of one card (or in one of no card), and kills it there.
fn kill_in(node: &Node, job: &Job, call: &str, more: &str) {
    node.faults(&format!("[[fault]]\ncall = \"{call}\"\nsleep_ms = 60000\n{more}\n"));
    kill_prolog(node, job);
    node.faults("");
}

/// Starts a prolog, and kills parent and child where the driver holds them up.
pub fn kill_prolog(node: &Node, job: &Job) {
    let mut parent = node.start_prolog(job);
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let since = Instant::now();
    let child = loop {
        assert!(since.elapsed() < Duration::from_secs(3), "no child: {}", node.log());
        let text = std::fs::read_to_string(&children).unwrap_or_default();
        if let Some(pid) = text.split_whitespace().next() {
            break Pid::from_raw(pid.parse().unwrap()).unwrap();
        }
    };
    // The call that it sleeps in is the first that waits; all before it take a few milliseconds.
    std::thread::sleep(Duration::from_millis(700));
    parent.kill().unwrap();
    kill_process(child, Signal::KILL).unwrap();
    assert!(!parent.wait().unwrap().success(), "killed, not ended");
}

fn points() -> Vec<(&'static str, String)> {
    let second = format!("gpu = {}", Node::card(2));
    vec![
        ("nvmlInit", String::new()),
        ("nvmlDeviceGetTotalEnergyConsumption", String::new()),
        ("nvmlDeviceGetSupportedGraphicsClocks", String::new()),
        ("nvmlDeviceGetPersistenceMode", second.clone()),
        ("nvmlDeviceSetGpuLockedClocks", String::new()),
        ("nvmlDeviceSetGpuLockedClocks", second),
    ]
}

#[test]
fn the_epilog_puts_right_what_a_killed_prolog_left_at_any_point() {
    for (call, more) in points() {
        let node = Node::new();
        let two = green(7).gpus("0,2");
        kill_in(&node, &two, call, &more);
        node.epilog(&two).assert_clean();
        let line = node.line();
        assert_eq!((line.job, line.run), (7, 0), "{call}");
        assert!(line.start.is_some(), "{call}: the job was known before the driver was asked: {line:?}");
    }
}

#[test]
fn the_same_job_started_anew_is_as_if_its_first_prolog_had_never_been() {
    for (call, more) in points() {
        let node = Node::new();
        let two = green(7).gpus("0,2");
        kill_in(&node, &two, call, &more);
        let again = two.restarted(1);
        node.prolog(&again);
        assert_eq!(node.locked(), [0, 2], "{call}: {}", node.log());
        node.epilog(&again).assert_clean();
        assert_eq!((node.line().run, node.line().marks.len()), (1, 0), "{call}: {:?}", node.line());
    }
}

#[test]
fn persistence_mode_of_a_killed_prolog_is_switched_off_again() {
    for call in ["nvmlDeviceSetPersistenceMode", "nvmlDeviceSetGpuLockedClocks"] {
        let node = Node::new().cards(|cards| cards.replace("persistence = true", "persistence = false"));
        kill_in(&node, &green(7), call, "");
        node.epilog(&green(7)).assert_clean();
        assert!(!node.persistence(0), "{call}: {}", node.log());
    }
}

#[test]
fn a_job_whose_state_is_gone_holds_nothing_against_those_who_come_after() {
    let node = Node::new();
    node.prolog(&green(7).gpus("0,1"));
    std::fs::remove_file(node.path("state/wind1/job-7.json")).unwrap();
    node.prolog(&green(8).gpus("1"));
    assert_eq!(node.locked(), [1], "what job 7 held elsewhere is free: {}", node.log());
    node.epilog(&green(8).gpus("1")).assert_clean();
    assert!(node.line().marks.is_empty(), "it shared with nobody: {:?}", node.line());
    node.prolog(&job(9)).epilog(&job(9)).assert_clean();
}

#[test]
fn a_child_killed_alone_leaves_a_parent_that_succeeds_and_says_so() {
    let node = Node::new().faulty("[[fault]]\ncall = \"nvmlDeviceSetGpuLockedClocks\"\nsleep_ms = 60000\n");
    let parent = node.start_prolog(&green(7));
    std::thread::sleep(Duration::from_millis(700));
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", parent.id())).unwrap();
    kill_process(Pid::from_raw(children.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    let output = parent.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    node.faults("");
    node.epilog(&green(7)).assert_clean();
    assert_eq!(node.line().marks, [carm::ledger::Mark::CutShort]);
    assert!(node.line().decision.contains("its work ended early"), "{:?}", node.line());
}

#[test]
fn a_parent_killed_before_its_child_is_marked() {
    let node = Node::new().faulty("[[fault]]\ncall = \"nvmlInit\"\nsleep_ms = 1000\ntimes = 1\n");
    let mut parent = node.start_prolog(&green(7));
    std::thread::sleep(Duration::from_millis(400));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let state = || std::fs::read_to_string(node.path("state/wind1/job-7.json")).unwrap_or_default();
    crate::govern::until("the child's end", || state().contains("\"ready\":true"));
    node.epilog(&green(7)).assert_clean();
    // The child met the job late: what its GPU used before is not in the line.
    assert_eq!(node.line().marks, [carm::ledger::Mark::CutShort]);
}

#[test]
fn epilog_that_outlives_its_parent_is_marked() {
    let node = Node::new();
    node.prolog(&green(7));
    node.faults("[[fault]]\ncall = \"nvmlInit\"\nsleep_ms = 1000\ntimes = 1\n");
    let mut parent = node.command(&green(7), "epilog_slurmd").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    parent.kill().unwrap();
    parent.wait().unwrap();
    crate::govern::until("its line", || !node.ledger().is_empty());
    // The counter was read late, when the GPU may have been another job's.
    assert_eq!(node.line().marks, [carm::ledger::Mark::CutShort]);
    node.assert_clean();
}
