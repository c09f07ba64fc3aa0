//! The state between prolog and epilog: epilogs without a prolog, twice, with little told; state that cannot be read; names
//! that try to leave the folder.

use carm::ledger::Mark;

use crate::job::{green, job};
use crate::node::{Node, assert_marks, files};

#[test]
fn an_epilog_without_a_prolog_books_a_line_that_claims_nothing() {
    let node = Node::new();
    node.epilog(&green(7)).assert_clean();
    let line = node.line();
    assert_marks(&line, &[Mark::NoProlog, Mark::EnergyLost]);
    assert_eq!((line.start, line.gpu_energy_j, line.carbon_g), (None, 0.0, 0.0));
    assert_eq!(line.request["CARM_WORK_S"], "3600");
}

#[test]
fn a_second_epilog_adds_nothing() {
    let node = Node::new();
    node.prolog(&green(7)).epilog(&green(7)).epilog(&green(7)).assert_clean();
    assert_marks(&node.line(), &[]);
    // Of a requeued run, whose epilog counts the next run already.
    node.prolog(&green(8)).epilog(&green(8).restarted(1)).epilog(&green(8).restarted(1));
    assert_eq!(node.ledger().iter().map(|line| (line.job, line.run)).collect::<Vec<_>>(), [(7, 0), (8, 0)]);
    // The next run's line is its own, even where its prolog never ran.
    node.epilog(&green(8).restarted(2));
    assert_eq!(node.ledger().len(), 3);
}

#[test]
fn an_epilog_that_is_told_only_the_jobs_id_knows_the_rest_from_the_prolog() {
    let node = Node::new();
    node.prolog(&green(7).carbon("NAME", "train"));
    let forgetful = ["SLURM_JOB_ID", "SLURMD_NODENAME"];
    let mut told = green(7);
    told.variables.retain(|(name, _)| forgetful.contains(&name.as_str()));
    node.epilog(&told).assert_clean();
    let line = node.line();
    assert_marks(&line, &[]);
    assert_eq!((line.user.as_deref(), line.uid, line.partition.as_deref()), (Some("ada"), Some(1000), Some("gpu")));
    assert_eq!((line.cluster.as_str(), line.name.as_deref(), line.site.as_deref()), ("lab", Some("train"), Some("north")));
    assert_eq!(line.request["CARM_WORK_S"], "3600");
}

#[test]
fn a_gpus_state_that_cannot_be_read_means_a_reset_by_whoever_comes_next() {
    for text in ["", "{\"version\":1,\"uuid\":\"GP", "\0\0\0\0", "{\"version\":99,\"uuid\":7}", "[]"] {
        for next in [green(7), job(8).gpus("5")] {
            let node = Node::new();
            node.prolog(&green(7));
            assert_eq!(node.locked(), [0]);
            std::fs::write(node.path(&format!("state/wind1/gpu-{}.json", Node::uuid(0))), text).unwrap();
            node.epilog(&next);
            assert_eq!(node.locked(), [0; 0], "{text:?}: {}", node.log());
            assert!(node.log().contains("cannot be read"), "{text:?}: {}", node.log());
        }
    }
}

#[test]
fn a_jobs_state_that_cannot_be_read_costs_its_energy_and_nothing_more() {
    for text in ["", "{\"version\":1,\"job\":7", "{\"version\":2}"] {
        let node = Node::new();
        node.prolog(&green(7));
        std::fs::write(node.path("state/wind1/job-7.json"), text).unwrap();
        node.epilog(&green(7)).assert_clean();
        assert_marks(&node.line(), &[Mark::NoProlog, Mark::EnergyLost]);
    }
}

#[test]
fn no_name_leaves_its_folder() {
    let node = Node::new();
    let before = files(&node.path("")).len();
    for name in ["../../../escaped", "..", ".locks", "/etc/escaped", ""] {
        let job = green(7).set("SLURMD_NODENAME", name);
        node.prolog(&job);
        assert_eq!(node.locked().len(), 1, "{name}: {}", node.log());
        node.epilog(&job);
        assert_eq!(node.locked(), [0; 0], "{name}: {}", node.log());
    }
    // state, ledger and the log; every one of the five nodes has its line within.
    assert_eq!(files(&node.path("")).len(), before + 3, "{:?}", files(&node.path("")));
    assert_eq!(node.ledger().len(), 5);
    assert!(files(&node.path("ledger")).iter().all(|name| !name.starts_with('.')), "{:?}", files(&node.path("ledger")));
}

#[test]
fn two_nodes_on_one_host_keep_their_states_apart() {
    let node = Node::new();
    let (one, two) = (green(7).gpus("0"), green(7).gpus("1").set("SLURMD_NODENAME", "wind2"));
    node.prolog(&one).prolog(&two);
    assert_eq!(node.locked(), [0, 1]);
    node.epilog(&one);
    assert_eq!(node.locked(), [1]);
    node.epilog(&two).assert_clean();
    assert_eq!(files(&node.path("ledger")).len(), 2);
}
