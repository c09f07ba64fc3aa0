//! The machine under test: the site of the other tests, with ledger, log and grid on disks that can fail, wrappers around
//! prolog and epilog that record their times, and the governor as a service.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use nvidia_ml::bench::Bench;
use nvidia_ml::place::EIGHT_GPUS;

use crate::common::{Setup, SlurmRelease, built};
use crate::disk::Disk;
use crate::service::{Restarts, Service};
use crate::site::{self, Site};

/// The nodes, with the minor number of the first GPU of each.
pub const NODES: [(&str, u32); 2] = [("wind1", 0), ("solar1", 4)];
/// What an idle card draws, in watts: little, since the instants at which the counter is read are not recorded.
pub const IDLE_W: f64 = 1.0;

/// Prolog and epilog are slow or absent for less than this; after it the machine counts as not repaired.
const REPAIR: Duration = Duration::from_secs(240);
/// Jobs may take so long to end after the last was submitted.
const JOBS: Duration = Duration::from_secs(300);

/// Field order is drop order: the governor first, Slurm last.
pub struct Machine {
    governor: Service,
    pub ledger: Disk,
    pub log: Disk,
    pub cache: Disk,
    pub site: Site,
    /// The state folder; it goes with this.
    _state: tempfile::TempDir,
    /// One hung driver at a time.
    pub driver: Mutex<()>,
    description: String,
}

impl Machine {
    /// Two nodes with four GPUs each, and a governor that is ready.
    pub fn start() -> Self {
        let description = EIGHT_GPUS.replace("idle_watts = 30.0", &format!("idle_watts = {IDLE_W:.1}"));
        assert_ne!(description, EIGHT_GPUS, "the stand-in's idle power is written in another way");
        let mut disks = Vec::new();
        // As /run on a node: on a disk each write would wait for all others.
        let state = tempfile::Builder::new().prefix("carm-chaos-").tempdir_in("/dev/shm").expect("a folder in memory");
        let setup = Setup::on(SlurmRelease::Installed).node("wind1:4:wind:01:00:00").node("solar1:4:solar:01:00:00");
        let setup = setup.extra("PartitionName=all Nodes=wind1,solar1 MaxTime=01:00:00 State=UP").extra(&site::job_numbers());
        // As many sites set it. A requeued job starts only after its credential has expired, by default after two minutes.
        // All jobs stay in slurmctld's memory, for the check of their states.
        let setup = setup.extra("PrologEpilogTimeout=30").extra("AuthInfo=cred_expire=12").extra("MinJobAge=20000");
        let site = Site::prepared(setup, "interval = \"1s\"\ndwell = \"1s\"", site::ALL, |folder| {
            std::os::unix::fs::symlink(state.path(), folder.join("state")).expect("a link");
            disks = ["ledger", "log", "cache"].map(|name| Disk::mount(folder.join(name)).expect("a disk")).into();
            std::fs::write(folder.join("gpu/gpus.toml"), &description).expect("the cards");
            std::fs::write(folder.join("cache/grid.csv"), grid()).expect("a trace");
            let config = folder.join("carm.toml");
            let text = std::fs::read_to_string(&config).expect("the configuration");
            let text = text.replace("carm.log\"", "log/carm.log\"").replace("\"grid.csv\"", "\"cache/grid.csv\"");
            std::fs::write(&config, text).expect("the configuration");
            for verb in ["prolog", "epilog"] {
                let path = folder.join(verb);
                std::fs::write(&path, wrapper(folder, verb)).expect("a wrapper");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("an executable");
            }
        });
        let governor = Service::start(&site.cluster, site.path("carm.toml"), site.path("notify"));
        let [ledger, log, cache] = <[Disk; 3]>::try_from(disks).unwrap_or_else(|_| panic!("three disks"));
        Self { governor, ledger, log, cache, site, _state: state, driver: Mutex::new(()), description }
    }

    /// Sets the faults of the stand-in NVML; none repairs it.
    pub fn driver_faults(&self, faults: &str) {
        let (new, path) = (self.site.path("gpu/gpus.toml.new"), self.site.path("gpu/gpus.toml"));
        std::fs::write(&new, format!("{}\n{faults}", self.description)).expect("the cards");
        std::fs::rename(new, path).expect("the cards");
    }

    /// Kills the governor; its supervisor starts it again.
    pub fn kill_governor(&self) -> bool {
        self.governor.kill()
    }

    /// Ends the governor as systemd does.
    pub fn stop_governor(&self) -> Restarts {
        self.governor.stop()
    }

    /// Waits until no job is left in the queue; those that are left all the same, which are then cancelled.
    pub fn wait_for_jobs(&self) -> Vec<String> {
        let since = Instant::now();
        loop {
            let queue = self.site.cluster.queue();
            if queue.is_empty() {
                return queue;
            }
            if since.elapsed() > JOBS {
                for id in queue.iter().filter_map(|line| line.split(' ').next()) {
                    self.site.cluster.run("scancel", &[id]);
                }
                return queue;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits until no state of a job is left on a node; the files that remain all the same.
    pub fn wait_until_repaired(&self) -> Vec<String> {
        let since = Instant::now();
        loop {
            let files = self.state_files();
            if files.is_empty() || since.elapsed() > REPAIR {
                return files;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Jobs, GPUs and unwritten ledger lines that the nodes still have on record.
    fn state_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for (node, _) in NODES {
            let folder = self.site.path("state").join(node);
            let entries = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            for entry in entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
                match std::fs::read_dir(entry.path()) {
                    // A folder of files, such as a spool.
                    Ok(inner) => files.extend(inner.filter_map(|file| Some(file.ok()?.path().display().to_string()))),
                    Err(_) => files.push(entry.path().display().to_string()),
                }
            }
        }
        files
    }

    /// The stand-in's indices of cards whose clocks are locked.
    pub fn locked(&self) -> Vec<usize> {
        let bench = Bench::open(&self.site.path("gpu")).expect("the stand-in");
        let cards = bench.description().gpus.len();
        let locked = bench.look(|now| (0..cards).filter(|&gpu| now.card(gpu).1.lock.is_some()).collect());
        locked.expect("the stand-in's state")
    }

    /// The stand-in's index of a node's GPU, by Slurm's index of it.
    pub fn card(&self, node: &str, gres_index: u32) -> usize {
        let base = NODES.iter().find(|(name, _)| *name == node).expect("a node").1;
        let bench = Bench::open(&self.site.path("gpu")).expect("the stand-in");
        let minor = base + gres_index;
        bench.description().gpus.iter().position(|gpu| gpu.minor == minor).expect("a card of that minor number")
    }

    /// Copies what a post-mortem needs to a folder that remains.
    pub fn keep(&self) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("carm-chaos-{}", std::process::id()));
        let _ = std::fs::create_dir_all(&folder);
        for name in ["ledger", "log", "state", "runs", "gpu/power.csv", "gpu/calls.log", "carm.toml"] {
            let _ = std::process::Command::new("cp").arg("-r").arg(self.site.path(name)).arg(&folder).status();
        }
        let _ = std::process::Command::new("cp")
            .arg("-r")
            .arg(self.site.cluster.folder().join("log"))
            .arg(folder.join("slurm"))
            .status();
        folder
    }
}

/// Records begin and end of Slurm's prolog or epilog in `runs`: job, restarts, node, GPUs, wrapper's pid, event, time, exit code.
/// Slurm drains a node whose prolog a signal ended. Here this test sent it, so the wrapper reports success.
fn wrapper(folder: &Path, verb: &str) -> String {
    format!(
        "#!/bin/bash\n\
         record() {{ echo \"$SLURM_JOB_ID ${{SLURM_JOB_RESTART_COUNT:-${{SLURM_RESTART_COUNT:-0}}}} $SLURMD_NODENAME \
         ${{SLURM_JOB_GPUS:-none}} $$ {verb} $*\" >>'{folder}/runs'; }}\n\
         record begin $EPOCHREALTIME\n\
         {program} {verb} --config '{folder}/carm.toml'\n\
         code=$?\n\
         record end $EPOCHREALTIME $code\n\
         [ $code = 137 ] && exit 0\n\
         exit $code\n",
        folder = folder.display(),
        program = built("carm-prolog").display(),
    )
}

/// A grid whose carbon intensity falls and rises within a minute, for the next three hours.
fn grid() -> String {
    let start = DateTime::<Utc>::from(std::time::SystemTime::now()) - TimeDelta::seconds(60);
    let row = |step: i64| {
        let at = start + TimeDelta::seconds(10 * step);
        let phase = step.rem_euclid(6) as f64 / 6.0 * std::f64::consts::TAU;
        format!("{},{:.0}\n", at.format("%Y-%m-%dT%H:%M:%SZ"), 300.0 + 150.0 * phase.cos())
    };
    std::iter::once("time,carbon_g_per_kwh\n".to_owned()).chain((0..1080).map(row)).collect()
}
