//! Files that do not answer: FIFOs, and a file system that is frozen as a file server that stalls. Prolog and epilog end in time,
//! the clocks are given back, and each line is in the ledger once when its storage is back.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::govern::{Governor, until};
use crate::job::green;
use crate::node::{GREENEST_MHZ, Node};

fn fifo(path: &Path) {
    let _ = std::fs::remove_file(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo of coreutils").success());
}

#[test]
fn fifo_as_trace_costs_the_grid_alone() {
    let node = Node::new();
    fifo(&node.path("de.csv"));
    node.prolog(&green(7)).epilog(&green(7)).assert_clean();
    assert_eq!(node.line().job, 7);
}

#[test]
fn fifo_as_cache_costs_the_live_data_alone() {
    let node = Node::new().live();
    fifo(&node.path("cache/DE.json"));
    node.prolog(&green(7)).epilog(&green(7)).assert_clean();
    assert_eq!(node.line().job, 7);
    let cause = format!("the typical day stands in: {}: not a regular file", node.path("cache/DE.json").display());
    assert!(node.log().contains(&cause), "{}", node.log());
}

#[test]
fn fifo_as_ledger_file_delays_the_line_alone() {
    let node = Node::new();
    let file = node.path("ledger").join(carm::ledger::file_name("wind1", chrono::Utc::now()));
    fifo(&file);
    node.prolog(&green(7));
    assert_eq!(node.locked(), [0]);
    node.epilog(&green(7));
    assert_eq!(node.locked(), [0; 0]);
    let cause = format!("job 7: its ledger line: {}: not a regular file; it waits in the state folder", file.display());
    assert!(node.log().contains(&cause), "{}", node.log());
    std::fs::remove_file(&file).unwrap();
    node.prolog(&green(8)).epilog(&green(8)).assert_clean();
    assert_eq!(node.ledger().iter().map(|line| line.job).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(raw_lines(&node), 2);
}

#[test]
fn file_that_hangs_is_named() {
    // Slurm's files are read as they come: a FIFO hangs as a file server that stalls.
    for lines in ["shared_gpus = false", ""] {
        let node = Node::new().node(lines);
        fifo(&node.path("gres.conf"));
        node.prolog(&green(7));
        assert_eq!(node.locked(), [0; 0]);
        let message = format!("job 7: prolog: {} did not answer within 4.5 s", node.path("gres.conf").display());
        assert!(node.log().contains(&message), "{}", node.log());
        node.epilog(&green(7)).assert_clean();
        assert_eq!(node.line().job, 7);
    }
}

#[test]
fn fifo_as_log_holds_up_no_job() {
    let node = Node::new();
    fifo(&node.path("carm.log"));
    let before = std::time::Instant::now();
    node.prolog(&green(7));
    assert_eq!(node.lock(0).map(|(_, high)| high), Some(GREENEST_MHZ));
    node.epilog(&green(7));
    assert_eq!(node.locked(), [0; 0]);
    assert_eq!(node.line().job, 7);
    assert!(before.elapsed() < 2 * crate::node::BOUND);
}

#[test]
fn fifo_as_configuration_still_gives_clocks_back() {
    let node = Node::new();
    node.prolog(&green(7));
    assert_eq!(node.locked(), [0]);
    let text = std::fs::read_to_string(node.path("carm.toml")).unwrap();
    fifo(&node.path("carm.toml"));
    node.epilog(&green(7));
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    std::fs::remove_file(node.path("carm.toml")).unwrap();
    node.config(&text);
    node.prolog(&green(8)).epilog(&green(8));
    until("both lines", || node.ledger().len() == 2);
}

#[test]
fn governor_outlasts_a_file_that_hangs() {
    let node = Node::new().node("interval = \"1s\"\nmetrics_dir = \"metrics\"");
    std::fs::create_dir(node.path("metrics")).unwrap();
    let governor = Governor::start(&node);
    node.prolog(&green(7));
    until("a clock", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    std::fs::rename(node.path("gres.conf"), node.path("right.conf")).unwrap();
    fifo(&node.path("gres.conf"));
    std::fs::hard_link(node.path("gres.conf"), node.path("fifo")).unwrap();
    let file = node.path("gres.conf").display().to_string();
    let hangs = format!("{file} does not respond; what was read of it before holds");
    until("it is said", || node.log().contains(&hangs));
    let tick_s = || -> Option<f64> {
        let page = std::fs::read_to_string(node.path("metrics/carm.prom")).ok()?;
        let line = page.lines().find(|line| line.starts_with("carm_governor_last_tick_timestamp_seconds{"))?;
        line.rsplit_once(' ')?.1.parse().ok()
    };
    let before_s = tick_s().unwrap();
    until("it goes on", || tick_s().is_some_and(|now_s| now_s > before_s + 2.0));
    assert_eq!(node.lock(0).map(|(_, high)| high), Some(GREENEST_MHZ), "{}", node.log());
    node.epilog(&green(7)).assert_clean();
    assert_eq!(node.line().job, 7);
    std::fs::rename(node.path("right.conf"), node.path("gres.conf")).unwrap();
    // The reader that hangs comes to an end of the file.
    drop(std::fs::File::options().write(true).open(node.path("fifo")).unwrap());
    until("it responds", || node.log().contains(&format!("{file} responds again")));
    assert_eq!(node.log().matches(&hangs).count(), 1, "{}", node.log());
    governor.stop();
}

/// A file system of its own that can be frozen; none where the machine forbids loop devices.
struct Freezer(PathBuf);

impl Freezer {
    fn at(node: &Node, name: &str) -> Option<Self> {
        let (image, dir) = (node.path("image"), node.path(name));
        std::fs::create_dir_all(&dir).unwrap();
        let script = "truncate -s 16M \"$1\" && mkfs.ext4 -q \"$1\" && mount -o loop \"$1\" \"$2\" && chmod 750 \"$2\"";
        let made = Command::new("sh").args(["-c", script, "sh"]).arg(&image).arg(&dir).output().unwrap();
        if !made.status.success() {
            eprintln!("SKIPPED: no loop device here: {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        Some(Self(dir))
    }

    fn freeze(&self) {
        assert!(Command::new("fsfreeze").arg("-f").arg(&self.0).status().expect("fsfreeze of util-linux").success());
    }

    fn thaw(&self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).stderr(std::process::Stdio::null()).status();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Lines of a ledger as they stand there, twice or not.
fn raw_lines(node: &Node) -> usize {
    let dir = std::fs::read_dir(node.path("ledger")).unwrap().map(|entry| entry.unwrap().path());
    dir.filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .map(|path| std::fs::read_to_string(path).unwrap().lines().count())
        .sum()
}

#[test]
fn frozen_ledger_gets_each_line_once_after_its_thaw() {
    for is_governed in [true, false] {
        let node = Node::new().node("interval = \"1s\"");
        let Some(freezer) = Freezer::at(&node, "ledger") else { return };
        let governor = is_governed.then(|| Governor::start(&node));
        for id in [7, 8] {
            node.prolog(&green(id).work("2h"));
            until("a clock", || node.lock(0).is_some());
            if id == 7 {
                freezer.freeze();
            }
            node.epilog(&green(id).work("2h"));
            assert_eq!(node.locked(), [0; 0], "governed: {is_governed}");
            if id == 7 && !is_governed {
                // Without a governor the next prolog reads the ledger itself, and that hangs: full clock.
                break;
            }
        }
        freezer.thaw();
        let jobs = if is_governed { 2 } else { 1 };
        until("the lines", || std::fs::read_dir(node.path("ledger")).is_ok() && node.ledger().len() == jobs);
        assert_eq!(raw_lines(&node), jobs, "governed: {is_governed}");
        drop(governor);
    }
}

#[test]
fn start_asks_slurmctld_once_for_all_jobs() {
    let node = Node::new().node("interval = \"1s\"\nask_limit = true");
    for id in 0..12 {
        // Nothing tells when they end, nor their names: the governor has to ask.
        node.prolog(&green(4_300_000 + id).gpus(&(id % 8).to_string()));
    }
    let asked = node.path("asked");
    let governor = Governor::start_with_squeue(&node, &format!("echo asked >> {}; exec sleep 30", asked.display()));
    let since = std::time::Instant::now();
    let counted = || {
        let text = std::fs::read_to_string(node.path("state/wind1/job-4300011.json")).unwrap_or_default();
        text.contains("\"taken_up\":true")
    };
    until("the last job's turn", counted);
    assert!(since.elapsed() < std::time::Duration::from_secs(5), "{:?}", since.elapsed());
    assert!(std::fs::read_to_string(&asked).unwrap().lines().count() <= 2);
    governor.kill();
}

#[test]
fn frozen_log_holds_up_no_job() {
    for is_governed in [true, false] {
        let node = Node::new();
        let node = {
            let log = node.path("logs/carm.log");
            node.node(&format!("interval = \"1s\"\nlog = \"{}\"", log.display()))
        };
        let Some(freezer) = Freezer::at(&node, "logs") else { return };
        std::fs::write(node.path("logs/carm.log"), "").unwrap();
        let _governor = is_governed
            .then(|| {
                let governor = Command::new(env!("CARGO_BIN_EXE_carm-prolog"))
                    .arg("--config")
                    .arg(node.path("carm.toml"))
                    .arg("govern")
                    .spawn();
                governor.unwrap()
            })
            .map(Ended);
        if is_governed {
            until("it governs", || std::fs::read_to_string(node.path("logs/carm.log")).unwrap().contains("governing"));
        }
        freezer.freeze();
        for id in [7, 8] {
            node.prolog(&green(id));
            until("a clock", || node.lock(0).is_some());
            node.epilog(&green(id));
            assert_eq!(node.locked(), [0; 0]);
        }
        until("both lines", || node.ledger().len() == 2);
        freezer.thaw();
        until("the log", || std::fs::read_to_string(node.path("logs/carm.log")).unwrap().contains("job 8"));
    }
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
