//! Driver calls that never return, and locks that are never let go: prolog and epilog end in time, and what was begun is put
//! right by whoever comes next.

use std::fs::OpenOptions;

use carm::ledger::Mark;
use rustix::fs::{FlockOperation, flock};

use crate::job::{green, job};
use crate::node::{Node, assert_marks};

fn hang(call: &str) -> String {
    format!("[[fault]]\ncall = \"{call}\"\nhang = true\n")
}

#[test]
fn a_prolog_hung_in_the_drivers_start_lets_the_job_run_at_full_clock() {
    let node = Node::new().faulty(&hang("nvmlInit"));
    node.prolog(&green(7));
    assert!(node.log().contains("job 7: prolog: the driver did not answer within 4.5 s"), "{}", node.log());
    node.faults("");
    assert_eq!(node.locked(), [0; 0]);
    node.epilog(&green(7)).assert_clean();
    assert_marks(&node.line(), &[Mark::EnergyLost, Mark::CutShort]);
}

#[test]
fn a_prolog_hung_while_it_locks_is_put_right_by_the_jobs_epilog() {
    // The first card is locked when the call for the second hangs.
    let node = Node::new().faulty(&format!("{}after = 1\n", hang("nvmlDeviceSetGpuLockedClocks")));
    let two = green(7).gpus("0,1");
    node.prolog(&two);
    assert_eq!(node.locked(), [0]);
    node.faults("");
    node.epilog(&two).assert_clean();
    let line = node.line();
    assert_marks(&line, &[Mark::CutShort]);
    assert!(line.decision.contains("the driver did not answer") && line.gpu_energy_j > 0.0, "{line:?}");
}

#[test]
fn the_next_prolog_puts_back_what_a_hung_epilog_left() {
    let node = Node::new();
    node.prolog(&green(7));
    node.faults(&hang("nvmlDeviceResetGpuLockedClocks"));
    node.epilog(&green(7));
    // The counters were read before the call that hangs.
    assert_marks(&node.line(), &[Mark::CutShort]);
    assert!(node.line().gpu_energy_j > 0.0);
    assert_eq!(node.locked(), [0]);
    node.faults("");
    // Even one that asks for nothing: it may not pay for what another left.
    node.prolog(&job(8)).assert_clean();
    node.epilog(&job(8));
    assert_eq!(node.ledger().len(), 1);
}

#[test]
fn a_gpu_whose_lock_another_process_never_lets_go_is_left_alone_in_time() {
    let node = Node::new();
    std::fs::create_dir_all(node.path("state/.locks")).unwrap();
    let stuck: Vec<_> = [0, 2, 4]
        .map(|gres| {
            let path = node.path(&format!("state/.locks/{}.lock", Node::uuid(gres)));
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
            flock(&file, FlockOperation::LockExclusive).unwrap();
            file
        })
        .into();
    let all = green(7).gpus("0-7");
    node.prolog(&all);
    assert_eq!(node.locked(), [1, 3, 5, 6, 7], "{}", node.log());
    assert_eq!(node.complaints().len(), 1, "{}", node.log());
    drop(stuck);
    node.epilog(&all).assert_clean();
    assert_marks(&node.line(), &[Mark::ClocksUntouched]);
}

#[test]
fn an_epilog_that_cannot_have_a_gpus_lock_leaves_it_to_the_next() {
    let node = Node::new();
    node.prolog(&green(7));
    let stuck = OpenOptions::new().write(true).open(node.path(&format!("state/.locks/{}.lock", Node::uuid(0)))).unwrap();
    flock(&stuck, FlockOperation::LockExclusive).unwrap();
    node.epilog(&green(7));
    assert_eq!(node.locked(), [0], "{}", node.log());
    // The GPU may have been another job's as well: its journal could not be read.
    assert_marks(&node.line(), &[Mark::EnergyLost]);
    assert!(node.line().gpu_energy_j > 0.0);
    drop(stuck);
    node.epilog(&job(8).gpus("3")).assert_clean();
}
