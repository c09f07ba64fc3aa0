//! Drivers, cards and disks that fail: the job runs, the epilog gives back what it can, and the ledger says what is not known.

use carm::ledger::Mark;

use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, LOWEST_MHZ, Node, assert_marks};

fn fault(call: &str, more: &str) -> String {
    format!("[[fault]]\ncall = \"{call}\"\n{more}\n")
}

#[test]
fn without_nvml_the_job_runs_and_its_line_says_what_is_not_known() {
    for (lines, cause) in
        [("nvml_library = \"gpus/none.so\"", "none.so: not loaded"), ("nvml_library = \"de.csv\"", "de.csv: not loaded")]
    {
        let node = Node::new().node(lines);
        let line = node.whole_job(&green(7));
        assert_marks(&line, &[Mark::EnergyLost, Mark::ClocksUntouched]);
        assert!(line.decision.contains(cause), "{}", line.decision);
        assert_eq!(node.complaints().len(), 1, "{}", node.log());
        node.assert_clean();
    }
    let unloaded = Node::new().faulty(&fault("nvmlInit", "code = 9"));
    assert!(unloaded.whole_job(&green(7)).decision.contains("no driver is loaded"));
}

#[test]
fn a_lock_that_is_refused_is_one_line_and_a_mark_and_the_energy_is_still_booked() {
    for (code, cause) in [(4, "not permitted"), (3, "not supported by this card or driver"), (15, "the GPU is lost")] {
        let node = Node::new().faulty(&fault("nvmlDeviceSetGpuLockedClocks", &format!("code = {code}")));
        let line = node.whole_job(&green(7).gpus("0,1"));
        assert_marks(&line, &[Mark::ClocksUntouched]);
        let expected = format!("gpu {}, {}: locking clocks at {GREENEST_MHZ} MHz: {cause}", Node::uuid(0), Node::uuid(1));
        assert!(line.decision.contains(&expected), "{}", line.decision);
        assert_eq!((line.clock_mhz, node.complaints().len()), (None, 1), "{}", node.log());
        assert!(line.gpu_energy_j > 0.0);
        node.assert_clean();
    }
}

#[test]
fn a_card_cut_by_mig_is_left_alone() {
    let node = Node::new().cards(|cards| cards.replace("mig = \"unsupported\"", "mig = \"on\"\nmig_uuids = [\"MIG-1\"]"));
    let line = node.whole_job(&green(7));
    assert!(line.marks.contains(&Mark::ClocksUntouched) && line.decision.contains("MIG is on"), "{line:?}");
    node.assert_clean();
}

#[test]
fn a_busy_driver_is_asked_again() {
    let busy = fault("nvmlDeviceSetGpuLockedClocks", "code = 999\ntimes = 2");
    let node = Node::new().faulty(&format!("{busy}{}", fault("nvmlDeviceResetGpuLockedClocks", "code = 10\ntimes = 2")));
    node.prolog(&green(7));
    assert_eq!(node.lock(0), Some((LOWEST_MHZ, GREENEST_MHZ)), "{}", node.log());
    node.epilog(&green(7)).assert_clean();
    assert_marks(&node.line(), &[]);
}

#[test]
fn a_counter_that_answers_when_it_is_asked_again_is_read_at_the_start_and_at_the_end() {
    let unknown = |times| fault("nvmlDeviceGetTotalEnergyConsumption", &format!("code = 999\ntimes = {times}"));
    let node = Node::new().faulty(&unknown(2));
    let before_j = node.energy_j(0);
    node.prolog(&green(7));
    node.faults(&unknown(1));
    node.epilog(&green(7)).assert_clean();
    let line = node.line();
    assert_marks(&line, &[]);
    assert!(line.gpu_energy_j > 0.0 && line.gpu_energy_j <= node.energy_j(0) - before_j, "{line:#?}");
}

#[test]
fn counters_that_never_answer_are_given_up_within_the_bound() {
    let node = Node::new().faulty(&fault("nvmlDeviceGetTotalEnergyConsumption", "code = 999"));
    let line = node.whole_job(&green(7).gpus("0-7"));
    assert_marks(&line, &[Mark::EnergyLost]);
    assert_eq!(line.clock_mhz, Some(GREENEST_MHZ), "{}", node.log());
    node.assert_clean();
}

#[test]
fn a_gpu_lost_while_the_job_ran_costs_its_energy_and_not_that_of_the_others() {
    let node = Node::new();
    let job = green(7).gpus("0,1");
    node.prolog(&job);
    node.faults(&format!("[[fault]]\ngpu = {}\ncode = 15\n", Node::card(0)));
    node.epilog(&job);
    let line = node.line();
    assert_marks(&line, &[Mark::EnergyLost]);
    assert_eq!(line.gpus[0].energy_j, 0.0);
    assert!(line.gpus[1].energy_j > 0.0);
    assert_eq!(node.locked(), [0], "the lost one keeps its lock, the other is free: {}", node.log());
    // Once the card is back, whoever comes next puts it right: here a job that asks for nothing, on another card.
    node.faults("");
    node.prolog(&crate::job::job(8).gpus("5"));
    node.assert_clean();
}

#[test]
fn a_slow_driver_is_waited_for_within_the_bound() {
    let node = Node::new().faulty(&fault("nvmlDeviceSetGpuLockedClocks", "sleep_ms = 400"));
    node.prolog(&green(7).gpus("0-3"));
    assert_eq!(node.locked(), [0, 1, 2, 3], "{}", node.log());
}

#[test]
fn a_reset_that_fails_stays_owed_until_the_next_epilog() {
    let node = Node::new().faulty(&fault("nvmlDeviceResetGpuLockedClocks", "code = 4"));
    node.prolog(&green(7)).epilog(&green(7));
    assert_eq!(node.locked(), [0]);
    assert!(node.log().contains("resetting clocks: not permitted"), "{}", node.log());
    node.faults("");
    node.epilog(&job(8).gpus("4")).assert_clean();
    assert_eq!(node.ledger().len(), 1, "only job 7 has a line");
}

#[test]
fn a_file_where_the_state_folder_should_be_leaves_the_clocks_alone() {
    let node = Node::new();
    std::fs::write(node.path("state"), "").unwrap();
    node.prolog(&green(7));
    assert_eq!(node.locked(), [0; 0], "no lock without a journal");
    assert!(node.log().contains("making") && node.log().contains("/state/wind1"), "{}", node.log());
    node.epilog(&green(7));
    assert_marks(&node.line(), &[Mark::NoProlog, Mark::EnergyLost]);
}

#[test]
fn a_line_waits_for_a_ledger_that_cannot_be_written() {
    let node = Node::new();
    std::fs::write(node.path("ledger"), "").unwrap();
    node.prolog(&green(7));
    assert_eq!(node.locked(), [0]);
    node.epilog(&green(7));
    assert_eq!(node.locked(), [0; 0]);
    assert!(node.log().contains("its ledger line") && node.log().contains("it waits in the state folder"), "{}", node.log());
    std::fs::remove_file(node.path("ledger")).unwrap();
    // Whoever comes next brings it there.
    node.prolog(&green(8)).epilog(&green(8)).assert_clean();
    assert_eq!(node.ledger().iter().map(|line| line.job).collect::<Vec<_>>(), [7, 8]);
    assert_marks(&node.ledger()[0], &[]);
}

#[test]
fn a_full_disk_leaves_the_clocks_alone() {
    let node = Node::new();
    let full = node.path("state");
    std::fs::create_dir(&full).unwrap();
    let mount = |arguments: &[&str]| std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(&full).output();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=64,mode=700", "carm"]);
    if !mounted.is_ok_and(|output| output.status.success()) {
        // Not root, or a container without mounts: /dev/full is no folder, so there is nothing to fill.
        return eprintln!("no tmpfs here; not tried");
    }
    std::fs::write(full.join("ballast"), [0; 4096]).unwrap_or_default();
    node.prolog(&green(7));
    let locked = node.locked();
    let log = node.log();
    node.epilog(&green(7));
    let unmounted = mount(&["umount"]);
    assert!(unmounted.unwrap().status.success());
    assert_eq!(locked, [0; 0], "{log}");
    assert!(log.contains("No space left on device"), "{log}");
    assert_marks(&node.line(), &[Mark::NoProlog, Mark::EnergyLost]);
}

#[test]
fn a_log_that_cannot_be_written_costs_nothing() {
    for log in ["/nowhere/at/all.log", "/dev/full", "syslog"] {
        let node = Node::new().node(&format!("log = \"{log}\""));
        node.prolog(&green(7));
        assert_eq!(node.locked(), [0], "{log}");
        node.epilog(&green(7)).assert_clean();
        assert_marks(&node.line(), &[]);
    }
}

#[test]
fn foreign_text_steers_no_terminal() {
    let node = Node::new();
    node.zone("source = \"trace\"\npath = \"de\\u001b[2J\\u202e\\nWARN.csv\"");
    node.prolog(&green(7));
    let terminal = String::from_utf8(node.by_hand(&["status", "--prometheus"]).stderr).unwrap();
    node.epilog(&green(7));
    let log = node.log();
    assert!(log.contains("/de\\u{1b}[2J\\u{202e}\\nWARN.csv: "), "{log:?}");
    assert!(terminal.starts_with("[WARN ] ") && terminal.contains("/de\\u{1b}[2J\\u{202e}\\nWARN.csv: "), "{terminal:?}");
    assert!(log.lines().all(|line| line == carm::text::legible(line) && line.starts_with('[')), "{log:?}");
}

#[test]
fn a_broken_configuration_sets_no_clock_and_still_gives_back_and_books() {
    let node = Node::new();
    node.prolog(&green(7));
    let right = std::fs::read_to_string(node.path("carm.toml")).unwrap();
    node.config(&right.replace("[[site]]", "[[site]]\ncolour = \"green\""));
    node.prolog(&green(8).gpus("1")).epilog(&green(8).gpus("1"));
    assert_eq!(node.locked(), [0], "{}", node.log());
    let line = node.line();
    assert_eq!(line.marks, [Mark::NoGrid, Mark::EnergyLost, Mark::ClocksUntouched, Mark::Unconfigured]);
    assert!(line.decision.contains("carm.toml") && line.decision.contains("colour"), "{}", line.decision);

    node.epilog(&green(7)).assert_clean();
    let lines = node.ledger();
    assert!(lines[1].gpu_energy_j > 0.0, "energy needs no configuration");
    assert_marks(&lines[1], &[Mark::NoGrid]);
}
