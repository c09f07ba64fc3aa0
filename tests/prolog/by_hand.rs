//! What an admin does by hand: reset, status, and how slurmd's own ways to call the program end.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use crate::job::green;
use crate::node::{GREENEST_MHZ, LOWEST_MHZ, Node, quiet};

fn text(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn reset_puts_back_what_the_journal_names_and_no_more() {
    let node = Node::new();
    node.prolog(&green(7)).prolog(&green(8).gpus("1").set("SLURMD_NODENAME", "wind2"));
    node.bench().look(|now| now.card(Node::card(5)).1.lock = Some((300, 900))).unwrap();
    let (code, said, complained) = text(&node.by_hand(&["reset"]));
    assert_eq!((code, complained.as_str()), (0, ""));
    let lines = format!("gpu {}: clocks put back\ngpu {}: clocks put back\n", Node::uuid(0), Node::uuid(1));
    assert_eq!(said, lines);
    assert_eq!(node.locked(), [5], "the lock of GRES 5 is not CARM's");
    assert_eq!(text(&node.by_hand(&["reset"])), (0, String::new(), String::new()));

    let (code, said, _) = text(&node.by_hand(&["reset", "--all"]));
    assert_eq!((code, said.lines().count()), (0, 8));
    assert_eq!(node.locked(), [0; 0]);
}

#[test]
fn a_reset_that_fails_for_one_gpu_says_so_and_resets_the_others() {
    let node = Node::new();
    node.prolog(&green(7).gpus("0-2"));
    node.faults(&format!("[[fault]]\ngpu = {}\ncall = \"nvmlDeviceResetGpuLockedClocks\"\ncode = 4\n", Node::card(1)));
    let (code, said, complained) = text(&node.by_hand(&["reset"]));
    assert_eq!((code, said.lines().count()), (1, 2));
    assert!(complained.contains(&format!("gpu {}: resetting clocks: not permitted", Node::uuid(1))), "{complained}");
    assert_eq!(node.locked(), [1]);
    node.faults("");
    assert_eq!(text(&node.by_hand(&["reset"])).0, 0);
    assert_eq!(node.locked(), [0; 0]);
}

#[test]
fn a_job_that_was_reset_by_hand_is_still_booked() {
    let node = Node::new();
    node.prolog(&green(7));
    node.by_hand(&["reset"]);
    node.epilog(&green(7)).assert_clean();
    assert!(node.line().gpu_energy_j > 0.0);
}

#[test]
fn status_shows_every_gpu_and_who_holds_it() {
    let node = Node::new();
    node.prolog(&green(7).gpus("2"));
    let (code, said, complained) = text(&node.by_hand(&["status"]));
    assert_eq!((code, complained.as_str()), (0, ""));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 9, "{said}");
    let held = lines.iter().find(|line| line.contains(&Node::uuid(2))).unwrap();
    assert!(held.contains(&format!("{LOWEST_MHZ}-{GREENEST_MHZ}")) && held.ends_with(" 7"), "{held}");

    let (code, said, _) = text(&node.by_hand(&["status", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["version"], json["gpus"].as_array().unwrap().len()), (0, &1.into(), 8));
    let held = json["gpus"].as_array().unwrap().iter().find(|gpu| gpu["uuid"] == Node::uuid(2)).unwrap();
    assert_eq!((&held["node"], &held["minor"], &held["index"]), (&"wind1".into(), &6.into(), &Node::card(2).into()));
    assert_eq!((&held["locked_mhz"], &held["jobs"][0]["job"]), (&serde_json::json!([LOWEST_MHZ, GREENEST_MHZ]), &7.into()));
}

#[test]
fn status_of_unreadable_state_is_not_known() {
    let node = Node::new();
    node.prolog(&green(7).gpus("2"));
    // An ordinary user; the folder of the test is its owner's alone, the stand-in's files are for all.
    Command::new("chmod").args(["-R", "a+rwX"]).arg(node.path("gpus")).status().unwrap();
    Command::new("chmod").args(["a+rx"]).arg(node.path("")).status().unwrap();
    let user = |verb: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_carm-prolog"), "--config"]);
        text(&command.arg(node.path("carm.toml")).args(verb).output().unwrap())
    };
    let (code, said, complained) = user(&["status"]);
    let held = said.lines().find(|line| line.contains(&Node::uuid(2))).unwrap_or_else(|| panic!("{said}{complained}"));
    assert!(code == 1 && held.trim_end().ends_with("not known  not known"), "{held}");
    assert!(complained.contains("state: Permission denied") && complained.contains("run it as root"), "{complained}");
    let (code, said, _) = user(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(code == 1 && json["unreadable"].as_str().unwrap().ends_with("state: Permission denied (os error 13)"), "{said}");
}

#[test]
fn by_hand_a_broken_configuration_and_a_missing_driver_are_errors_with_their_cause() {
    let node = Node::new();
    node.config("[node]\ncolour = 1\n");
    let (code, _, complained) = text(&node.by_hand(&["status"]));
    assert!(code == 1 && complained.contains("carm.toml:2:") && complained.contains("colour"), "{complained}");
    node.config("[node]\nnvml_library = \"./none.so\"\n");
    let (code, _, complained) = text(&node.by_hand(&["reset"]));
    assert!(code == 1 && complained.contains("loading") && complained.contains("none.so: not loaded"), "{complained}");
    let (code, _, complained) = text(&node.by_hand(&[]));
    assert!(code == 2 && complained.contains("name a verb"), "{complained}");
}

#[test]
fn called_as_50_carm_slurmds_own_context_says_which_side_of_the_job_it_is() {
    let node = Node::new();
    let called = node.path("50-carm");
    symlink(env!("CARGO_BIN_EXE_carm-prolog"), &called).unwrap();
    let run = |context: &str| {
        let mut command = Command::new(&called);
        command.env_clear().arg("--config").arg(node.path("carm.toml"));
        command.envs(green(7).variables).env("SLURM_SCRIPT_CONTEXT", context).env("SLURM_CONF", node.path("slurm.conf"));
        quiet(&mut command);
    };
    run("prolog_slurmd");
    assert_eq!(node.locked(), [0], "{}", node.log());
    run("epilog_slurmd");
    node.assert_clean();
    for context in ["prolog_slurmctld", "", "prolog_task", "\u{1b}[2J"] {
        run(context);
    }
    assert_eq!(node.ledger().len(), 1);
}

#[test]
fn under_slurmd_wrong_arguments_fail_nothing_and_say_nothing() {
    for arguments in
        [&["prologue"][..], &["--colour"], &["prolog", "--help"], &["--version"], &["status"], &["reset"], &["--config"]]
    {
        let node = Node::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_carm-prolog"));
        quiet(command.env_clear().env("SLURM_SCRIPT_CONTEXT", "prolog_slurmd").envs(green(7).variables).args(arguments));
        assert_eq!(node.locked(), [0; 0]);
    }
}

#[test]
fn an_environment_without_a_job_is_no_prolog() {
    let node = Node::new();
    node.prolog(&green(7).without("SLURM_JOB_ID")).epilog(&green(7).set("SLURM_JOB_ID", "-1"));
    assert!(node.log().contains("prolog: SLURM_JOB_ID is not set") && !node.path("state/wind1").exists(), "{}", node.log());
}
