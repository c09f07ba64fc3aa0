//! Prologs that hang or are killed and epilogs that never come, one after the other: no run is lost, and a governor finishes what it
//! can.

use carm::ledger::{Mark, Record};

use crate::govern::{Governor, until};
use crate::job::{Job, green, job};
use crate::node::{Node, assert_marks};

const HUNG_START: &str = "[[fault]]\ncall = \"nvmlInit\"\nhang = true\n";

/// No jobs of a Slurm that may run on this machine meanwhile.
const FIRST: u32 = 4_200_007;
const SECOND: u32 = 4_200_008;

fn run_of(node: &Node, run: u32) -> Record {
    let ledger = node.ledger();
    let found: Vec<&Record> = ledger.iter().filter(|line| line.run == run).collect();
    assert_eq!(found.len(), 1, "run {run}: {ledger:#?}");
    found[0].clone()
}

fn prolog_hangs(node: &Node, job: &Job) {
    node.faults(HUNG_START);
    node.prolog(job);
    node.faults("");
}

#[test]
fn requeued_run_with_hung_prolog_keeps_both_lines() {
    let node = Node::new();
    let load = node.busy(&[0]);
    node.prolog(&green(7));
    drop(load);
    prolog_hangs(&node, &green(7).restarted(1));
    node.epilog(&green(7).restarted(1)).assert_clean();
    let first = run_of(&node, 0);
    assert_marks(&first, &[Mark::EnergyLost, Mark::NoEpilog]);
    assert_marks(&run_of(&node, 1), &[Mark::EnergyLost, Mark::CutShort]);
}

#[test]
fn earlier_run_outlives_two_lost_prologs() {
    let node = Node::new();
    node.prolog(&green(7));
    // Killed in the driver's start, with its parent: not even that it was cut short is known.
    node.faults(HUNG_START);
    crate::killed::kill_prolog(&node, &green(7).restarted(1));
    node.faults("");
    node.prolog(&green(7).restarted(2)).epilog(&green(7).restarted(2)).assert_clean();
    assert_eq!(node.ledger().len(), 2, "{:#?}", node.ledger());
    assert_marks(&run_of(&node, 0), &[Mark::NoEpilog]);
    assert_marks(&run_of(&node, 2), &[]);
}

#[test]
fn earlier_run_frees_gpus_of_its_own() {
    let node = Node::new();
    node.prolog(&green(7).gpus("0,2"));
    let again = green(7).gpus("0").restarted(1);
    node.prolog(&again);
    assert_eq!(node.locked(), [0], "{}", node.log());
    node.epilog(&again).assert_clean();
    assert_eq!(run_of(&node, 0).gpus.len(), 2);
}

#[test]
fn governor_finishes_a_hung_prolog() {
    let node = Node::new().node("interval = \"1s\"\ndwell = \"1s\"");
    prolog_hangs(&node, &green(7));
    assert_eq!(node.locked(), [0; 0]);
    let governor = Governor::start(&node);
    until("a clock", || node.lock(0).is_some());
    let load = node.busy(&[0]);
    crate::govern::sleep_s(1.0);
    let used_j = node.energy_j(0);
    drop(load);
    node.epilog(&green(7));
    until("its line", || !node.ledger().is_empty());
    governor.stop();
    node.assert_clean();
    let line = node.line();
    assert_marks(&line, &[Mark::EnergyLost, Mark::CutShort]);
    assert!(line.gpu_energy_j > 0.0 && line.gpu_energy_j <= used_j + 100.0, "{used_j} J: {line:#?}");
}

#[test]
fn governor_finishes_a_killed_prolog() {
    let node = Node::new().node("interval = \"1s\"\ndwell = \"1s\"");
    node.faults(HUNG_START);
    crate::killed::kill_prolog(&node, &green(7));
    node.faults("");
    let governor = Governor::start(&node);
    until("a clock", || node.lock(0).is_some());
    node.epilog(&green(7));
    until("its line", || !node.ledger().is_empty());
    governor.stop();
    node.assert_clean();
    assert_marks(&node.line(), &[Mark::EnergyLost, Mark::CutShort]);
}

#[test]
fn killed_epilog_shares_no_later_jobs_energy() {
    let node = Node::new();
    std::fs::write(node.path("queue"), format!("{FIRST}|N/A|R|wind1|a\n{SECOND}|N/A|R|wind1|b\n")).unwrap();
    let governor = Governor::start_with_squeue(&node, &format!("cat {}", node.path("queue").display()));
    node.prolog(&green(FIRST));
    until("a clock", || node.lock(0).is_some());
    // Its epilog is killed before it begins; Slurm gives the GPU to the next job.
    std::fs::write(node.path("queue"), format!("{SECOND}|N/A|R|wind1|b\n")).unwrap();
    node.prolog(&job(SECOND).carbon("OFF", ""));
    let since = std::time::Instant::now();
    until("the first job's line", || !node.ledger().is_empty());
    assert!(since.elapsed().as_secs() < 10, "at the second job's coming, and not minutes later");
    governor.stop();
    assert_eq!((node.line().job, node.locked()), (FIRST, vec![]));
    assert_marks(&node.line(), &[Mark::NoEpilog]);
}

#[test]
fn killed_epilog_leaves_energy_to_the_next_job() {
    let node = Node::new();
    let load = node.busy(&[0]);
    node.prolog(&green(FIRST));
    crate::govern::sleep_s(1.0);
    // No governor sees that its epilog is killed; Slurm gives the GPU to the next job.
    let before_j = node.energy_j(0);
    node.prolog(&green(SECOND));
    crate::govern::sleep_s(1.0);
    node.epilog(&green(SECOND));
    let used_j = node.energy_j(0) - before_j;
    drop(load);
    let second = node.line();
    assert_marks(&second, &[]);
    assert!((second.gpu_energy_j - used_j).abs() < 0.2 * used_j, "{} J of {used_j} J", second.gpu_energy_j);
    let governor = Governor::start_with_squeue(&node, "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    until("the first job's line", || node.ledger().len() == 2);
    governor.stop();
    let ledger = node.ledger();
    let first = ledger.iter().find(|line| line.job == FIRST).unwrap();
    assert_marks(first, &[Mark::NoEpilog]);
    assert!(first.gpu_energy_j <= before_j + 0.2 * used_j, "{} J of {before_j} J", first.gpu_energy_j);
}

/// A busy card of a job with a governor that looks every second, and what the card has used by then.
fn governed() -> (Node, Governor, f64) {
    let node = Node::new().node("interval = \"1s\"\ndwell = \"1s\"");
    std::fs::write(node.path("queue"), format!("{FIRST}|N/A|R|wind1|a\n")).unwrap();
    let governor = Governor::start_with_squeue(&node, &format!("cat {}", node.path("queue").display()));
    let idle = node.path(&format!("state/.locks/idle-{}.json", Node::uuid(0)));
    until("the idle counter", || idle.exists());
    let before_j = node.energy_j(0);
    (node, governor, before_j)
}

#[track_caller]
fn assert_energy(line: &Record, used_j: f64) {
    assert!((line.gpu_energy_j - used_j).abs() < 0.1 * used_j, "{} J of {used_j} J: {line:#?}", line.gpu_energy_j);
}

#[test]
fn energy_survives_a_hung_prolog() {
    let (node, governor, before_j) = governed();
    let load = node.busy(&[0]);
    prolog_hangs(&node, &green(FIRST));
    until("a clock", || node.lock(0).is_some());
    drop(load);
    let used_j = node.energy_j(0) - before_j;
    node.epilog(&green(FIRST));
    until("its line", || !node.ledger().is_empty());
    governor.stop();
    assert_energy(&node.line(), used_j);
}

#[test]
fn energy_survives_a_job_that_no_prolog_found() {
    let (node, governor, before_j) = governed();
    let load = node.busy(&[0]);
    // The governor hangs, too, and for longer than the job runs.
    node.faults("[[fault]]\ncall = \"*\"\nsleep_ms = 7000\n");
    node.prolog(&green(FIRST));
    // slurmctld forgets it before the governor looks.
    std::fs::write(node.path("queue"), "").unwrap();
    node.epilog(&green(FIRST));
    node.faults("");
    drop(load);
    let used_j = node.energy_j(0) - before_j;
    until("its line", || !node.ledger().is_empty());
    governor.stop();
    node.assert_clean();
    assert!(node.line().marks.contains(&Mark::CutShort), "{:?}", node.line());
    assert_energy(&node.line(), used_j);
}

#[test]
fn energy_survives_a_hung_epilog() {
    let (node, governor, before_j) = governed();
    let load = node.busy(&[0]);
    node.prolog(&green(FIRST));
    until("a clock", || node.lock(0).is_some());
    node.faults(HUNG_START);
    node.epilog(&green(FIRST));
    node.faults("");
    drop(load);
    let used_j = node.energy_j(0) - before_j;
    until("its line", || !node.ledger().is_empty());
    governor.stop();
    node.assert_clean();
    assert_marks(&node.line(), &[Mark::CutShort]);
    assert_energy(&node.line(), used_j);
}
