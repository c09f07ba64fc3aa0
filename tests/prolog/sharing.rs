//! Several jobs on one GPU: the fastest wish wins, energy is shared out, and the clocks are given back by the last.

use std::time::Duration;

use carm::ledger::Mark;

use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, LOWEST_MHZ, Node, assert_marks};

/// A node whose GPUs may have several jobs.
fn shared() -> Node {
    Node::new().node("shared_gpus = true")
}

/// A job that may take its time: the least carbon within this budget is at 1260 MHz only where nothing faster fits.
fn slow(node: &Node, id: u32) -> crate::job::Job {
    // One level: a profile that knows only slow clocks besides the top.
    let text = std::fs::read_to_string(node.path("profiles/train.toml")).unwrap();
    let slow = text.replace("\"train\"", "\"slow\"").replace("    { clock_mhz = 1890, watts = 239.4, speed = 0.8 },\n", "");
    std::fs::write(node.path("profiles/slow.toml"), slow).unwrap();
    green(id).carbon("PROFILE", "slow")
}

#[test]
fn the_fastest_wish_wins_and_the_last_to_leave_puts_the_clocks_back() {
    let node = shared();
    let (slow, fast) = (slow(&node, 7), green(8));
    node.prolog(&slow);
    assert_eq!(node.lock(0), Some((LOWEST_MHZ, 1260)), "{}", node.log());
    node.prolog(&fast);
    assert_eq!(node.lock(0), Some((LOWEST_MHZ, GREENEST_MHZ)));
    node.epilog(&fast);
    assert_eq!(node.lock(0), Some((LOWEST_MHZ, 1260)), "the one that stays has its own wish again");
    node.epilog(&slow).assert_clean();
    assert!(node.ledger().iter().all(|line| line.marks == [Mark::SharedGpu]), "{:?}", node.ledger());
}

#[test]
fn a_job_without_carbon_options_on_a_shared_gpu_has_full_clock_while_it_is_there() {
    let node = shared();
    node.prolog(&green(7).gpus("0,1")).prolog(&job(8));
    assert_eq!(node.locked(), [1], "{}", node.log());
    node.epilog(&job(8));
    assert_eq!(node.locked(), [0, 1], "{}", node.log());
    node.epilog(&green(7).gpus("0,1")).assert_clean();
    let line = node.line();
    assert_marks(&line, &[Mark::SharedGpu]);
    assert!(line.gpus[0].share < 1.0 && line.gpus[1].share == 1.0, "{line:?}");
}

#[test]
fn the_energy_of_a_shared_gpu_is_booked_once_in_all() {
    let node = shared();
    let pause = || std::thread::sleep(Duration::from_millis(1000));
    let before = node.energy_j(0);
    node.prolog(&green(7));
    // Busy between the first prolog and the last epilog: what is used while those run is not to be told apart.
    let load = node.busy(&[0]);
    pause();
    node.prolog(&green(8));
    pause();
    node.epilog(&green(7));
    pause();
    drop(load);
    node.epilog(&green(8)).assert_clean();
    let used = node.energy_j(0) - before;
    let booked: f64 = node.ledger().iter().map(|line| line.gpu_energy_j).sum();
    assert!((booked / used - 1.0).abs() < 0.1, "{booked} J booked of {used} J used");
    // A second alone and half of a second: three quarters of the time that each was there.
    for line in node.ledger() {
        assert!((line.gpus[0].share - 0.75).abs() < 0.08, "{line:?}");
    }
}

#[test]
fn jobs_on_gpus_of_their_own_do_not_meet() {
    let node = Node::new();
    let jobs: Vec<_> = (0..8).map(|gres| green(10 + gres).gpus(&gres.to_string())).collect();
    std::thread::scope(|all| jobs.iter().for_each(|job| _ = all.spawn(|| node.prolog(job).epilog(job))));
    node.assert_clean();
    assert_eq!(node.ledger().len(), 8, "{}", node.log());
    assert!(
        node.ledger().iter().all(|line| line.marks.is_empty() && line.clock_mhz == Some(GREENEST_MHZ)),
        "{:?}",
        node.ledger()
    );
}

#[test]
fn jobs_that_come_and_go_on_one_gpu_at_the_same_moment_leave_it_clean() {
    let node = Node::new();
    let jobs: Vec<_> = (0..6).map(|k| if k % 2 == 0 { green(10 + k) } else { job(10 + k) }).collect();
    std::thread::scope(|all| jobs.iter().for_each(|job| _ = all.spawn(|| node.prolog(job).epilog(job))));
    node.assert_clean();
    assert_eq!(node.ledger().len(), 3, "{}", node.log());
}
