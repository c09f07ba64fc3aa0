//! What happens meanwhile: nodes that are drained, jobs that are held, faults that struck, and how busy the machine is.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::faults::{Counts, Kind};
use crate::machine::Machine;

/// Observations of a run.
#[derive(Default)]
pub struct Watch {
    drained: Mutex<Vec<String>>,
    held: Mutex<BTreeSet<String>>,
    cancelled: Mutex<BTreeSet<u32>>,
    faults: Mutex<Counts>,
    /// From when to when the driver hung, or processes were stuck in it, Unix times.
    hangs: Mutex<Vec<(f64, f64)>>,
    /// Unix times, and by how much a process of half a second took longer there.
    noise: Mutex<Vec<(f64, f64)>>,
}

impl Watch {
    /// Notes drained nodes and held jobs, and puts them back to work, until `over`.
    pub fn run(&self, machine: &Machine, over: &AtomicBool) {
        let cluster = &machine.site.cluster;
        while !over.load(Ordering::Relaxed) {
            for line in cluster.run("sinfo", &["--noheader", "--Node", "--format=%N %T %E"]).stdout.lines() {
                let mut words = line.splitn(3, ' ');
                let (node, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                if ["drain", "down", "fail"].iter().any(|word| state.contains(word)) {
                    let entry = format!("{node} {state}: {}", words.next().unwrap_or_default());
                    let mut drained = self.drained.lock().expect("nodes");
                    if drained.last() != Some(&entry) {
                        drained.push(entry);
                    }
                    cluster.run("scontrol", &["update", &format!("nodename={node}"), "state=resume"]);
                }
            }
            for line in cluster.run("squeue", &["--noheader", "--states=PENDING", "--format=%A %r"]).stdout.lines() {
                let (job, reason) = line.split_once(' ').unwrap_or((line, ""));
                if reason.contains("eld") {
                    self.held.lock().expect("jobs").insert(line.to_owned());
                    cluster.run("scontrol", &["release", job]);
                }
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// Measures how long a process takes beyond its half second, until `over`.
    pub fn measure_noise(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let (at, since) = (unix_s(), Instant::now());
            let _ = Command::new("sleep").arg("0.5").status();
            self.noise.lock().expect("times").push((at, since.elapsed().as_secs_f64() - 0.5));
        }
    }

    /// The worst noise between two Unix times, in seconds.
    pub fn noise_s(&self, from: f64, to: f64) -> f64 {
        let noise = self.noise.lock().expect("times");
        noise.iter().filter(|(at, _)| *at > from - 1.0 && *at < to).map(|(_, s)| *s).fold(0.0, f64::max)
    }

    /// Notes a fault that is repaired.
    pub fn fault(&self, kind: Kind, at: Duration, struck: bool) {
        let mut faults = self.faults.lock().expect("faults");
        let count = faults.entry(kind).or_default();
        if struck {
            count.0 += 1
        } else {
            count.1 += 1
        }
        if std::env::var_os("CARM_CHAOS_VERBOSE").is_some() {
            eprintln!("{:.3} {:6.1} s {} {struck}", unix_s(), at.as_secs_f64(), kind.name());
        }
    }

    /// Notes that the driver hung for so long until now, and holds processes for so long after.
    pub fn driver_hung(&self, length: Duration, after: Duration) {
        let now = unix_s();
        self.hangs.lock().expect("hangs").push((now - length.as_secs_f64(), now + after.as_secs_f64()));
    }

    /// The parts of a time in which the driver answered.
    pub fn with_driver(&self, from: f64, to: f64) -> Vec<(f64, f64)> {
        let mut hangs = self.hangs.lock().expect("hangs").clone();
        hangs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut parts, mut from) = (Vec::new(), from);
        for (begin, end) in hangs {
            if end > from && begin < to {
                parts.push((from, begin.max(from)));
                from = end;
            }
        }
        parts.push((from, to.max(from)));
        parts
    }

    /// Notes a job that this test cancels.
    pub fn cancelled(&self, id: &str) {
        self.cancelled.lock().expect("jobs").extend(id.parse::<u32>());
    }

    /// Nodes that were drained or down, with Slurm's reason.
    pub fn drained_nodes(&self) -> Vec<String> {
        self.drained.lock().expect("nodes").clone()
    }

    /// Jobs that Slurm held.
    pub fn held_jobs(&self) -> Vec<String> {
        self.held.lock().expect("jobs").iter().cloned().collect()
    }

    /// Whether this test cancelled the job.
    pub fn is_cancelled(&self, job: u32) -> bool {
        self.cancelled.lock().expect("jobs").contains(&job)
    }

    /// Faults by kind.
    pub fn fault_counts(&self) -> Counts {
        self.faults.lock().expect("faults").clone()
    }
}

fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs_f64()
}
