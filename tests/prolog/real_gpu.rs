//! The checks for real cards (tests/real_gpu), on the stand-in: that they pass on a card that works, fail on one that does not,
//! and leave nothing locked. No figure here is a real card's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::node::Node;

/// Every GPU of the node.
const ALL: [u32; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn start(node: &Node, arguments: &[&str]) -> Child {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    // `cargo test --test prolog` builds no examples, and would find an old one.
    let program = BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--workspace", "--example", "real_gpu"]);
        assert!(cargo.status().unwrap().success());
        Path::new(env!("CARGO_BIN_EXE_carm-prolog")).parent().unwrap().join("examples/real_gpu")
    });
    let mut command = Command::new(program);
    command.arg("--library").arg(node.path("gpus/libnvidia-ml.so.1")).args(["--seconds=2"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(node: &Node, arguments: &[&str]) -> (Output, String) {
    let output = start(node, arguments).wait_with_output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, table)
}

#[test]
fn reading_checks_change_nothing() {
    let node = Node::new();
    let _load = node.busy(&ALL);
    let (output, table) = run(&node, &["--load=sleep 60", "--settle=0.3"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(table.matches("| energy counter under load |").count(), 8, "{table}");
    assert_eq!(table.matches("| ok |").count(), 8, "{table}");
    assert!(!table.contains("clock lock"), "{table}");
    let calls = std::fs::read_to_string(node.path("gpus/calls.log")).unwrap();
    assert!(calls.contains("nvmlInit") && !calls.contains("nvmlDeviceSet"), "{calls}");
}

#[test]
fn locks_are_checked_and_taken_off() {
    let node = Node::new();
    let _load = node.busy(&ALL);
    let (output, table) = run(&node, &["--load=sleep 60", "--settle=0.3", "--lock"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(table.matches("| clock lock |").count(), 8, "{table}");
    assert!(node.locked().is_empty());
}

#[test]
fn a_clock_that_stays_low_fails() {
    // Nothing keeps these cards busy, whatever --load says.
    let node = Node::new();
    let (output, table) = run(&node, &["--load=sleep 60", "--settle=0.3", "--lock"]);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("**FAILED**"), "{table}");
}

#[test]
fn an_interrupt_leaves_no_lock() {
    let node = Node::new();
    let _load = node.busy(&ALL);
    let mut run = start(&node, &["--load=sleep 60", "--lock", "--settle=3"]);
    while node.locked().is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "it ended before it locked");
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(node.locked().is_empty());
}

#[test]
fn a_load_that_ends_early_is_refused() {
    let (output, _) = run(&Node::new(), &["--load=true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--load: the command ended"), "{output:?}");
}
