//! What the governor outlives: files that cannot be read, files of the last release, a clock that was set, a boot, full disks,
//! cards that are lost, a driver that is loaded anew or never answers.

use std::process::Command;
use std::time::Duration;

use carm::ledger::{Mark, Meter};
use chrono::{TimeDelta, Utc};

use crate::govern::{Governor, until};
use crate::job::{Job, green};
use crate::node::{Node, assert_marks, files};

/// No job of a Slurm that may run on this machine meanwhile.
const JOB: u32 = 4_200_007;

const GONE: &str = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1";
const HERE: &str = "echo '4200007|N/A|R|wind1|train'";

fn node() -> Node {
    Node::new().node("interval = \"1s\"\ndwell = \"1s\"")
}

fn one() -> Job {
    green(JOB)
}

fn state(node: &Node) -> serde_json::Value {
    let text = std::fs::read(node.path(&format!("state/wind1/job-{JOB}.json"))).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Changes the job's state between two processes.
fn edit(node: &Node, change: impl Fn(&mut serde_json::Value)) {
    let mut file = state(node);
    change(&mut file);
    std::fs::write(node.path(&format!("state/wind1/job-{JOB}.json")), file.to_string()).unwrap();
}

/// Until the governor has looked at the job, or once more.
fn look(node: &Node) {
    let before = state(node)["counted"]["until"].clone();
    until("a look", || state(node)["counted"]["until"] != before);
}

#[test]
fn a_clock_that_was_set_neither_loses_time_nor_makes_it() {
    for off in [TimeDelta::hours(1), TimeDelta::hours(-1)] {
        let node = node();
        node.prolog(&one());
        let governor = Governor::start_with_squeue(&node, HERE);
        look(&node);
        governor.kill();
        // As if the clock had been that far off when it was last counted.
        edit(&node, |file| {
            let until = carm::quantity::parse_instant(file["counted"]["until"].as_str().unwrap()).unwrap();
            file["counted"]["until"] = carm::quantity::format_instant(until + off).into();
            file["governed"]["clock_since"] = carm::quantity::format_instant(until + off).into();
        });
        let governor = Governor::start_with_squeue(&node, HERE);
        look(&node);
        governor.kill();
        node.epilog(&one()).assert_clean();
        let line = node.line();
        let counted_s: f64 = line.steps.iter().map(|step| step.seconds).sum();
        let start = carm::quantity::parse_instant(line.start.as_deref().unwrap()).unwrap();
        let span_s = (carm::quantity::parse_instant(&line.end).unwrap() - start).as_seconds_f64();
        assert!((counted_s - span_s).abs() < 0.1, "{off}: {counted_s} s of {span_s} s: {line:#?}");
        assert!((line.energy_kwh * 3.6e6 - 1.2 * (line.gpu_energy_j + 100.0 * span_s)).abs() < 20.0, "{off}: {line:#?}");
        assert_marks(&line, &[]);
    }
}

#[test]
fn a_job_whose_state_cannot_be_read_and_whom_slurm_no_longer_knows_is_cleaned_up() {
    for text in ["", "{\"version\":1,\"job\":42", "{\"version\":99}", "\0\0", "[]"] {
        let node = node();
        node.prolog(&one());
        std::fs::write(node.path(&format!("state/wind1/job-{JOB}.json")), text).unwrap();
        let governor = Governor::start_with_squeue(&node, GONE);
        until("it is clean", || node.locked().is_empty() && files(&node.path("state/wind1")).is_empty());
        governor.stop();
        assert_eq!(node.log().matches("cannot be read").count(), 1, "{text:?}: {}", node.log());
    }
}

#[test]
fn a_name_that_only_slurmctld_knows_is_asked_for_once() {
    // As from Slurm 23.02 on the prolog is told when the job ends: there is nothing else to ask about.
    for (lines, asked, name) in [("ask_limit = true", 1, Some("train")), ("ask_limit = false", 0, None)] {
        let node = node().node(lines);
        let governor = Governor::start_with_squeue(&node, &format!("echo asked >> {}; {HERE}", node.path("asked").display()));
        node.prolog(&one());
        until("its name", || state(&node)["name"].as_str() == name);
        for _ in 0..3 {
            look(&node);
        }
        let questions = std::fs::read_to_string(node.path("asked")).unwrap_or_default();
        assert_eq!(questions.lines().count(), asked, "{lines}: {}", node.log());
        node.epilog(&one()).assert_clean();
        assert_eq!(node.line().name.as_deref(), name);
        governor.stop();
    }
}

#[test]
fn a_job_of_an_array_of_thousands_of_tasks_is_found_gone_and_booked() {
    // Asked for an array's own number squeue shows every task: 200 KiB, and a pipe holds 64.
    let node = node();
    node.prolog(&one());
    let tasks = "yes '4200008|N/A|PD||a task of an array' | head -n 5700";
    let governor = Governor::start_with_squeue(&node, &format!("{tasks}; echo '{JOB}|2026-05-01T12:00:00|CD|wind1|train'"));
    until("it is closed", || !node.ledger().is_empty());
    governor.stop();
    assert_marks(&node.line(), &[Mark::NoEpilog]);
    node.assert_clean();
}

#[test]
fn state_that_becomes_unreadable_while_it_is_governed_is_said_once_and_leaves_no_lock_behind() {
    for text in ["", "{\"version\":1,\"uuid\":\"GP", "{\"version\":99}"] {
        let node = node();
        let governor = Governor::start_with_squeue(&node, HERE);
        node.prolog(&one());
        until("it is governed", || state(&node)["governed"]["taken_up"] == true);
        std::fs::write(node.path(&format!("state/wind1/gpu-{}.json", Node::uuid(0))), text).unwrap();
        std::fs::write(node.path(&format!("state/wind1/job-{JOB}.json")), text).unwrap();
        until("the clocks are put back", || node.locked().is_empty());
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(node.log().matches("cannot be read").count(), 2, "a line for each file: {}", node.log());
        node.epilog(&one()).assert_clean();
        governor.stop();
        assert_marks(&node.line(), &[Mark::NoProlog, Mark::EnergyLost]);
    }
}

#[test]
fn a_job_of_which_nothing_can_be_read_any_more_is_not_left_at_a_slow_clock() {
    for text in ["", "{\"version\":99}"] {
        let node = node();
        let governor = Governor::start_with_squeue(&node, HERE);
        node.prolog(&one());
        until("it is governed", || state(&node)["governed"]["taken_up"] == true);
        assert!(node.lock(0).is_some(), "{}", node.log());
        std::fs::write(node.path(&format!("state/wind1/job-{JOB}.json")), text).unwrap();
        until("the clocks are put back", || node.locked().is_empty());
        node.epilog(&one()).assert_clean();
        governor.stop();
        assert!(node.line().marks.contains(&Mark::NoProlog), "{:#?}", node.line());
    }
}

#[test]
fn a_run_whose_epilog_never_came_is_booked_before_the_next_one_of_its_job_begins() {
    let node = node();
    let load = node.busy(&[0]);
    node.prolog(&one());
    std::thread::sleep(Duration::from_secs(1));
    node.prolog(&one().restarted(1));
    drop(load);
    node.epilog(&one().restarted(1)).assert_clean();
    let lines = node.ledger();
    assert_eq!(lines.iter().map(|line| line.run).collect::<Vec<_>>(), [0, 1], "{lines:#?}");
    assert_marks(&lines[0], &[Mark::NoEpilog]);
    assert_marks(&lines[1], &[]);
    assert!(lines[0].gpu_energy_j > 100.0, "{lines:#?}");
}

#[test]
fn files_of_the_last_release_are_taken_up_and_booked() {
    // They hold the limit of the submission, which is no longer believed: squeue tells the end.
    let node = Node::new().node("interval = \"1s\"\ndwell = \"1s\"\nask_limit = true");
    let here = format!("echo '{JOB}|{}|R|wind1|train'", (Utc::now() + TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%S"));
    let fill = |text: &str| {
        let start = carm::quantity::format_instant(Utc::now() - TimeDelta::minutes(10));
        let deadline = carm::quantity::format_instant(Utc::now() + TimeDelta::hours(3));
        text.replace("@START@", &start)
            .replace("@DEADLINE@", &deadline)
            .replace("@JOB@", &JOB.to_string())
            .replace("@UUID@", &Node::uuid(0))
    };
    std::fs::create_dir_all(node.path("state/wind1")).unwrap();
    let job_file = node.path(&format!("state/wind1/job-{JOB}.json"));
    std::fs::write(job_file, fill(include_str!("../fixtures/state-v1/job.json"))).unwrap();
    let gpu_file = node.path(&format!("state/wind1/gpu-{}.json", Node::uuid(0)));
    std::fs::write(gpu_file, fill(include_str!("../fixtures/state-v1/gpu.json"))).unwrap();
    // The lock that it says is there.
    node.bench().look(|now| now.card(Node::card(0)).1.lock = Some((210, 1890))).unwrap();
    let load = node.busy(&[0]);
    let governor = Governor::start_with_squeue(&node, &here);
    look(&node);
    assert_eq!(state(&node)["governed"]["taken_up"], true);
    drop(load);
    governor.stop();
    node.epilog(&one()).assert_clean();
    let line = node.line();
    assert!(line.marks.is_empty() && line.gpus[0].meter == Meter::Counter, "{line:#?}");
    let counted_s: f64 = line.steps.iter().map(|step| step.seconds).sum();
    assert!(counted_s > 599.0 && line.gpu_energy_j > 0.0, "{line:#?}");
    assert_eq!((line.clock_mhz, line.clock_changes), (Some(1890), 0), "{}", node.log());
}

#[test]
fn after_a_boot_nothing_is_known_and_nothing_is_done() {
    let node = node();
    node.prolog(&one()).epilog(&one());
    node.prolog(&one().restarted(1));
    // /run is empty and the driver has forgotten its locks; the ledger is there.
    std::fs::remove_dir_all(node.path("state")).unwrap();
    node.bench().look(|now| now.card(Node::card(0)).1.lock = None).unwrap();
    assert!(node.by_hand(&["reset"]).status.success());
    let governor = Governor::start_with_squeue(&node, GONE);
    std::thread::sleep(Duration::from_millis(1200));
    governor.stop();
    // slurmd runs the epilog of a job that it finds gone.
    node.epilog(&one().restarted(1)).assert_clean();
    assert_eq!(node.complaints(), [] as [String; 0]);
    assert!(node.ledger().len() <= 2 && node.ledger().iter().all(|line| line.gpu_energy_j >= 0.0), "{:#?}", node.ledger());
}

#[test]
fn a_full_disk_costs_neither_clocks_nor_energy() {
    let node = node();
    for name in ["state", "ledger"] {
        std::fs::create_dir(node.path(name)).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,mode=700", "carm"]).arg(node.path(name));
        assert!(mount.status().unwrap().success(), "mounting a small tmpfs wants root");
    }
    let _mounted = Mounted([node.path("state"), node.path("ledger")]);
    let governor = Governor::start_with_squeue(&node, HERE);
    let before_j = node.energy_j(0);
    node.prolog(&one());
    until("it is governed", || state(&node)["governed"]["taken_up"] == true);
    let _load = node.busy(&[0]);
    for name in ["state", "ledger"] {
        // To the last byte: what can be written is.
        let mut ballast = std::fs::File::create(node.path(name).join(".ballast")).unwrap();
        while std::io::Write::write(&mut ballast, &[0; 512]).is_ok() {}
    }
    std::thread::sleep(Duration::from_millis(2500));
    let until_j = node.energy_j(0);
    node.epilog(&one());
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    let used_j = node.energy_j(0) - before_j;
    // The ledger has no room. Where the spool has none either, the line is in the log, with all that was used.
    std::fs::remove_file(node.path("ledger/.ballast")).unwrap();
    let logged = || {
        let log = node.log();
        let text = log.split("the line is: ").nth(1)?.lines().next()?;
        serde_json::from_str::<carm::ledger::Record>(text).ok()
    };
    until("the line", || logged().is_some() || !node.ledger().is_empty());
    let line = logged().unwrap_or_else(|| node.line());
    assert!(line.gpu_energy_j > 0.8 * (until_j - before_j) && line.gpu_energy_j <= used_j + 0.01, "{used_j} J: {line:#?}");
    governor.stop();
    assert!(!node.log().contains("a bug"), "{}", node.log());
    assert!(!files(&node.path("state/wind1")).iter().any(|name| name.contains(".tmp-")), "half-written files stay behind");
}

struct Mounted([std::path::PathBuf; 2]);

impl Drop for Mounted {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = Command::new("umount").arg("--lazy").arg(path).status();
        }
    }
}

#[test]
fn a_days_line_waits_for_the_ledger_and_counts_once_though_it_was_written_twice() {
    let node = node();
    std::fs::write(node.path("ledger"), "").unwrap();
    node.prolog(&one());
    let _load = node.busy(&[0]);
    let begun = carm::quantity::format_instant(Utc::now() - TimeDelta::hours(25));
    edit(&node, |file| file["counted"]["since"] = begun.clone().into());
    let governor = Governor::start_with_squeue(&node, HERE);
    until("it is said", || node.log().contains("it waits in the state folder"));
    assert_ne!(state(&node)["counted"]["since"], begun.as_str(), "a new span has begun");
    governor.kill();
    std::fs::remove_file(node.path("ledger")).unwrap();
    let spooled = files(&node.path("state/wind1")).into_iter().find(|name| name.starts_with("line-")).expect("a spooled line");
    let spooled = node.path("state/wind1").join(spooled);
    let text = std::fs::read(&spooled).unwrap();
    for _ in 0..2 {
        // As if a governor were killed after it had written the line and before it could remove it from the spool.
        std::fs::write(&spooled, &text).unwrap();
        let governor = Governor::start_with_squeue(&node, HERE);
        until("the line", || !spooled.exists());
        governor.kill();
    }
    let before = state(&node);
    node.epilog(&one()).assert_clean();
    let names = files(&node.path("ledger"));
    let text = std::fs::read_to_string(node.path("ledger").join(&names[0])).unwrap();
    assert_eq!((names.len(), text.lines().count()), (1, 2));
    let lines = node.ledger();
    assert_eq!(lines.iter().map(|line| line.closed).collect::<Vec<_>>(), [false, true]);
    assert_eq!(lines[1].since.as_deref(), Some(lines[0].end.as_str()));
    let sum_j: f64 = lines.iter().map(|line| line.gpu_energy_j).sum();
    let known_j = node.energy_j(0) - state_start_j(&before);
    assert!(sum_j > 0.0 && sum_j <= known_j + 0.01, "{sum_j} J of {known_j} J");
}

fn state_start_j(state: &serde_json::Value) -> f64 {
    state["gpus"][0]["energy_start_j"].as_f64().unwrap()
}

#[test]
fn a_gpu_lost_while_it_is_governed_costs_at_most_an_interval_of_its_energy() {
    let node = node();
    let governor = Governor::start_with_squeue(&node, HERE);
    let before_j = node.energy_j(0);
    node.prolog(&one().gpus("0,1"));
    let _load = node.busy(&[0]);
    look(&node);
    look(&node);
    let known_j = node.energy_j(0) - before_j;
    node.faults(&format!("[[fault]]\ngpu = {}\ncode = 15\n", Node::card(0)));
    look(&node);
    node.epilog(&one().gpus("0,1"));
    let line = node.line();
    assert_marks(&line, &[Mark::EnergyLost]);
    let most_of_an_interval_j = 1.5 * 380.0;
    assert!(line.gpus[0].energy_j > known_j - most_of_an_interval_j && line.gpus[0].energy_j <= known_j + 400.0, "{line:#?}");
    assert!(line.gpus[1].energy_j > 0.0);
    node.faults("");
    until("its clocks are put back", || node.locked().is_empty());
    governor.stop();
    node.assert_clean();
}

/// Faults of the one call for energy: an unknown error, and a GPU that is lost for a while.
const SILENT: [&str; 2] = [
    "[[fault]]\ncall = \"nvmlDeviceGetTotalEnergyConsumption\"\ncode = 999\n",
    "[[fault]]\ncall = \"nvmlDeviceGetTotalEnergyConsumption\"\ncode = 15\n",
];

#[test]
fn a_counter_that_cannot_be_read_at_some_looks_loses_nothing() {
    for fault in SILENT {
        let node = node();
        let governor = Governor::start_with_squeue(&node, HERE);
        let before_j = node.energy_j(0);
        node.prolog(&one());
        let load = node.busy(&[0]);
        for faults in ["", fault, "", fault, fault, ""] {
            node.faults(faults);
            look(&node);
        }
        drop(load);
        let until_j = node.energy_j(0);
        node.epilog(&one()).assert_clean();
        let (used_j, line) = (node.energy_j(0) - before_j, node.line());
        assert_marks(&line, &[]);
        // Idle before the load and after it, for moments.
        assert!(line.gpu_energy_j > 0.97 * (until_j - before_j) && line.gpu_energy_j <= used_j, "{used_j} J: {line:#?}");
        assert_eq!(line.gpus[0].meter, Meter::Counter);
        governor.stop();
    }
}

#[test]
fn a_counter_that_is_silent_from_some_look_to_the_end_is_energy_lost() {
    for fault in SILENT {
        let node = node();
        let governor = Governor::start_with_squeue(&node, HERE);
        node.prolog(&one());
        let _load = node.busy(&[0]);
        look(&node);
        look(&node);
        node.faults(fault);
        look(&node);
        node.epilog(&one());
        assert_marks(&node.line(), &[Mark::EnergyLost]);
        // What was read until then is booked.
        assert!(node.line().gpu_energy_j > 0.0, "{:#?}", node.line());
        governor.stop();
        node.assert_clean();
    }
}

#[test]
fn a_silent_counter_costs_the_jobs_on_a_shared_gpu_their_energy_only_when_one_comes_or_goes() {
    let node = node().node("shared_gpus = true");
    let governor = Governor::start_with_squeue(&node, &format!("{HERE}; echo '4200008|N/A|R|wind1|other'"));
    let other = green(JOB + 1);
    node.prolog(&one()).prolog(&other);
    node.faults(SILENT[0]);
    look(&node);
    look(&node);
    node.faults("");
    node.epilog(&one());
    assert_marks(&node.ledger()[0], &[Mark::SharedGpu]);
    let third = green(JOB + 2);
    node.faults(SILENT[0]);
    node.prolog(&third);
    node.faults("");
    node.epilog(&third).epilog(&other).assert_clean();
    let lost: Vec<bool> = node.ledger().iter().map(|line| line.marks.contains(&Mark::EnergyLost)).collect();
    assert_eq!(lost, [false, true, true], "{:#?}", node.ledger());
    governor.stop();
}

#[test]
fn a_driver_that_is_loaded_anew_counts_anew_and_what_was_not_seen_is_marked() {
    let node = node();
    let governor = Governor::start_with_squeue(&node, HERE);
    node.prolog(&one());
    let _load = node.busy(&[0]);
    look(&node);
    look(&node);
    governor.kill();
    let counted_j = state(&node)["counted"]["tally"]["gpu_energy_j"].as_f64().unwrap();
    // The counter begins at zero: as if it had been read at a value far above.
    let gpu_file = node.path(&format!("state/wind1/gpu-{}.json", Node::uuid(0)));
    let mut gpu: serde_json::Value = serde_json::from_slice(&std::fs::read(&gpu_file).unwrap()).unwrap();
    gpu["counter_j"] = 1e9.into();
    std::fs::write(&gpu_file, gpu.to_string()).unwrap();
    let anew_j = node.energy_j(0);
    node.epilog(&one()).assert_clean();
    let line = node.line();
    assert_marks(&line, &[Mark::EnergyLost]);
    assert!(line.gpu_energy_j >= counted_j + anew_j - 0.1, "{counted_j} J + {anew_j} J: {line:#?}");
    assert!(line.gpu_energy_j < counted_j + node.energy_j(0) + 0.1, "{line:#?}");
}

#[test]
fn a_governor_stuck_in_the_driver_holds_up_no_job() {
    let node = node();
    let governor = Governor::start_with_squeue(&node, HERE);
    node.prolog(&one());
    until("it is governed", || state(&node)["governed"]["taken_up"] == true);
    node.faults("[[fault]]\ncall = \"nvmlDeviceGetTotalEnergyConsumption\"\ntimes = 1\nhang = true\n");
    // The one call that hangs is the governor's; it holds the GPU's lock from now on.
    std::thread::sleep(Duration::from_millis(1500));
    let other = green(JOB + 1).gpus("1");
    node.prolog(&other).epilog(&other);
    node.epilog(&one());
    let lines = node.ledger();
    assert_eq!(lines.len(), 2, "{}", node.log());
    assert_marks(&lines[0], &[]);
    // systemd ends it; the next one puts back what it kept.
    governor.kill();
    let governor = Governor::start_with_squeue(&node, GONE);
    until("clocks are put back", || node.locked().is_empty());
    governor.stop();
    node.assert_clean();
}
