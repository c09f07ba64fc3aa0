//! Files and folders that another user may write: CARM leaves the GPUs alone, or the file, and the job runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use carm::ledger::{Mark, append, file_name};
use chrono::Utc;

use crate::govern::{Governor, until};
use crate::job::green;
use crate::node::{GREENEST_MHZ, Node};

/// Any other user than root.
const STRANGER: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn folder(node: &Node, name: &str, mode: u32) -> PathBuf {
    let path = node.path(name);
    fs::create_dir_all(&path).unwrap();
    set_mode(&path, mode);
    path
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Prolog and epilog leave the GPUs alone, with one line each.
fn assert_left_alone(node: &Node, fault: &str) {
    node.prolog(&green(7));
    assert_eq!(node.locked(), [0; 0]);
    node.epilog(&green(7));
    let complaints = node.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    for (complaint, side) in complaints.iter().zip(["prolog", "epilog"]) {
        assert!(complaint.contains(&format!("job 7: {side}: ")) && complaint.contains(fault), "{complaint}");
        assert!(complaint.contains("set strict_modes = false under [node]; GPUs are left alone"), "{complaint}");
    }
    assert_eq!(node.ledger(), []);
}

#[test]
fn state_folder_of_everybody_stops_carm() {
    let node = Node::new();
    folder(&node, "state", 0o777);
    assert_left_alone(&node, "state' (mode 777)");
}

#[test]
fn strict_modes_are_the_admins_choice() {
    let node = Node::new().node("strict_modes = false");
    folder(&node, "state", 0o777);
    node.prolog(&green(7));
    assert_eq!(node.lock(0).map(|(_, most)| most), Some(GREENEST_MHZ), "{}", node.log());
}

#[test]
fn state_folder_of_a_stranger_stops_carm() {
    let node = Node::new();
    chown(folder(&node, "state", 0o755), Some(STRANGER), None).unwrap();
    assert_left_alone(&node, "state' belongs to uid 65534");
}

#[test]
fn library_that_others_write_is_not_loaded() {
    let node = Node::new();
    set_mode(&node.path("gpus/libnvidia-ml.so.1"), 0o757);
    assert_left_alone(&node, "libnvidia-ml.so.1' (mode 757)");
    let node = Node::new();
    set_mode(&node.path("gpus"), 0o777);
    assert_left_alone(&node, "gpus' (mode 777)");
}

#[test]
fn profile_that_others_write_stops_carm() {
    let node = Node::new();
    set_mode(&node.path("profiles/train.toml"), 0o666);
    assert_left_alone(&node, "profiles/train.toml' (mode 666)");
}

#[test]
fn configuration_of_others_chooses_no_log() {
    let node = Node::new();
    set_mode(&node.path("carm.toml"), 0o666);
    node.prolog(&green(7)).epilog(&green(7));
    assert_eq!((node.locked(), node.log().as_str()), (vec![], ""));
    let output = node.by_hand(&["reset"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("carm.toml' (mode 666); let root own it"), "{message}");
}

#[test]
fn governor_stops_where_modes_are_loosened() {
    let node = Node::new().node("interval = \"1s\"");
    let governor = Governor::start(&node);
    set_mode(&node.path("state"), 0o777);
    until("it leaves the GPUs alone", || node.log().contains("state' (mode 777)"));
    set_mode(&node.path("state"), 0o700);
    node.prolog(&green(7));
    crate::govern::until("it governs", || node.lock(0).map(|(_, most)| most) == Some(GREENEST_MHZ));
    governor.stop();
    set_mode(&node.path("state"), 0o777);
    let output = node.by_hand(&["govern"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn symlinked_ledger_file_is_not_written() {
    let node = Node::new();
    let target = node.path("cron");
    fs::write(&target, "").unwrap();
    symlink(&target, folder(&node, "ledger", 0o1777).join(file_name("wind1", Utc::now()))).unwrap();
    chown_link(&node.path("ledger").join(file_name("wind1", Utc::now())));
    node.prolog(&green(7)).epilog(&green(7));
    assert_eq!(fs::read(&target).unwrap(), b"");
    assert!(node.complaints().iter().any(|line| line.contains("is a symbolic link of uid 65534")), "{}", node.log());
}

fn chown_link(path: &Path) {
    std::os::unix::fs::lchown(path, Some(STRANGER), None).unwrap();
}

#[test]
fn ledger_file_of_a_stranger_is_not_written() {
    let node = Node::new();
    let path = folder(&node, "ledger", 0o1777).join(file_name("wind1", Utc::now()));
    fs::write(&path, "").unwrap();
    chown(&path, Some(STRANGER), None).unwrap();
    node.prolog(&green(7)).epilog(&green(7));
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert!(node.complaints().iter().any(|line| line.contains("belongs to uid 65534")), "{}", node.log());
}

#[test]
fn hostile_ledger_delays_no_requeued_job() {
    let node = Node::new();
    let spent = node.whole_job(&green(7).carbon("BUDGET", "500"));
    append(&node.path("ledger"), &spent, Utc::now()).unwrap();
    set_mode(&node.path("ledger"), 0o777);
    let named = |name: &str| node.path("ledger").join(file_name(name, Utc::now()));
    fifo(&named("fifo"));
    symlink("/dev/zero", named("zero")).unwrap();
    // Sparse: a line of 6 GB that takes no room on disk.
    fs::File::create(named("line")).and_then(|file| file.set_len(6 << 30)).unwrap();
    // Within 5 s, by `quiet`.
    let again = green(7).carbon("BUDGET", "500").restarted(1);
    node.prolog(&again);
    assert!(!node.log().contains("within 4.5 s"), "{}", node.log());
    assert!(node.complaints().iter().any(|line| line.contains("earlier runs of job 7 may be missing")), "{}", node.log());
}

#[test]
fn trace_and_profile_of_pipes_delay_no_job() {
    let node = Node::new();
    fs::remove_file(node.path("de.csv")).unwrap();
    fifo(&node.path("de.csv"));
    node.prolog(&green(7));
    assert!(node.log().contains("de.csv: cannot be read: not a regular file"), "{}", node.log());
    node.epilog(&green(7)).assert_clean();
    assert!(node.line().marks.contains(&Mark::NoGrid), "{:?}", node.line().marks);

    let node = Node::new();
    fs::remove_file(node.path("profiles/train.toml")).unwrap();
    fifo(&node.path("profiles/train.toml"));
    node.prolog(&green(7));
    assert!(!node.log().contains("within 4.5 s"), "{}", node.log());
    assert_eq!(node.locked(), [0; 0]);
}
