//! Node state: one file per job and per GPU, so that what the driver cannot tell (who locked what) outlives any process.
//!
//! Files are written whole (temporary name, fsync, rename) and are versioned. A GPU's file is read and changed under a lock
//! that goes by its UUID, since several slurmds may share a host. Nothing here touches a GPU.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the files that this release writes.
const VERSION: u32 = 1;

/// How long to wait for another prolog or epilog that holds a GPU's lock: it may be stuck in the driver.
const LOCK_WAIT: Duration = Duration::from_millis(1500);

/// What is known of a running job: written by the prolog, read and removed by the epilog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobState {
    pub version: u32,
    pub job: u32,
    pub run: u32,
    /// RFC 3339 UTC.
    pub start: String,
    pub gpus: Vec<JobGpu>,
    pub clock_mhz: Option<u32>,
    pub decision: String,
    pub work_s: Option<u64>,
    pub marks: Vec<carm::ledger::Mark>,
}

/// One GPU of a job, with its energy counter at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobGpu {
    pub uuid: String,
    pub model: String,
    pub energy_start_j: Option<f64>,
}

/// What CARM did to a GPU and for whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuState {
    pub version: u32,
    pub uuid: String,
    /// Jobs that are on the GPU, as far as CARM was told.
    pub holders: Vec<Holder>,
    /// The range that CARM set, or was about to set: written before the driver is asked.
    pub locked_mhz: Option<(u32, u32)>,
    /// CARM switched persistence mode on, and switches it off again.
    pub persistence_switched: bool,
}

/// A job on a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub job: u32,
    /// The clock that it wishes; none is full clock.
    pub wish_mhz: Option<u32>,
    /// The most jobs that were on the GPU while this one was.
    pub peak: u32,
}

/// The state folder of one node.
pub struct Store {
    node_dir: PathBuf,
    lock_dir: PathBuf,
}

/// A GPU's state, held under its lock until dropped.
pub struct LockedGpu<'a> {
    store: &'a Store,
    pub state: GpuState,
    _lock: File,
}

impl Store {
    /// The state of a node below the configured folder; makes the folders, readable by root alone.
    pub fn open(state_dir: &Path, node: &str) -> Result<Self> {
        let store = Self::at(state_dir, node);
        for dir in [&store.node_dir, &store.lock_dir] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.with_context(|| format!("making {}", dir.display()))?;
        }
        Ok(store)
    }

    fn at(state_dir: &Path, node: &str) -> Self {
        Self { node_dir: state_dir.join(safe(node)), lock_dir: state_dir.join("locks") }
    }

    /// Whether any job holds any GPU of the node: the one look that a prolog without carbon options takes.
    pub fn any_holder(state_dir: &Path, node: &str) -> bool {
        !Self::at(state_dir, node).file_names("gpu-").is_empty()
    }

    /// The nodes that have state, for `reset` and `status`.
    pub fn nodes(state_dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(state_dir).into_iter().flatten().filter_map(Result::ok);
        let mut nodes: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| n != "locks").collect();
        nodes.sort();
        nodes
    }

    /// A job's state; `None` where the prolog left none that can be read.
    pub fn job(&self, job: u32) -> Option<JobState> {
        read(&self.job_path(job)).filter(|state: &JobState| state.version <= VERSION)
    }

    pub fn write_job(&self, state: &JobState) -> Result<()> {
        write(&self.job_path(state.job), &JobState { version: VERSION, ..state.clone() })
    }

    pub fn remove_job(&self, job: u32) -> Result<()> {
        remove(&self.job_path(job))
    }

    /// The jobs that have state.
    pub fn jobs(&self) -> Vec<u32> {
        self.file_names("job-").iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// The GPUs that have state, by UUID.
    pub fn gpus(&self) -> Vec<String> {
        self.file_names("gpu-")
    }

    /// Takes a GPU's lock and reads its state; empty where there is none or it cannot be read.
    pub fn gpu(&self, uuid: &str) -> Result<LockedGpu<'_>> {
        let path = self.lock_dir.join(format!("{}.lock", safe(uuid)));
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        let since = Instant::now();
        while let Err(error) = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK || since.elapsed() > LOCK_WAIT {
                bail!("waiting for {}: {error}; another prolog or epilog holds it", path.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let read: Option<GpuState> = read(&self.gpu_path(uuid)).filter(|state: &GpuState| state.version <= VERSION);
        let state = read.unwrap_or_else(|| GpuState { uuid: uuid.to_owned(), ..GpuState::default() });
        Ok(LockedGpu { store: self, state, _lock: file })
    }

    /// A GPU's state without its lock, to look at.
    pub fn peek_gpu(&self, uuid: &str) -> Option<GpuState> {
        read(&self.gpu_path(uuid))
    }

    fn job_path(&self, job: u32) -> PathBuf {
        self.node_dir.join(format!("job-{job}.json"))
    }

    fn gpu_path(&self, uuid: &str) -> PathBuf {
        self.node_dir.join(format!("gpu-{}.json", safe(uuid)))
    }

    fn file_names(&self, prefix: &str) -> Vec<String> {
        let entries = std::fs::read_dir(&self.node_dir).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_prefix(prefix)?.strip_suffix(".json")?.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl LockedGpu<'_> {
    /// Writes the state; a GPU that nobody holds and nothing was done to needs no file.
    pub fn save(&self) -> Result<()> {
        let path = self.store.gpu_path(&self.state.uuid);
        let state = &self.state;
        if state.holders.is_empty() && state.locked_mhz.is_none() && !state.persistence_switched {
            return remove(&path);
        }
        write(&path, &GpuState { version: VERSION, ..state.clone() })
    }
}

/// A file name from a name that came from outside.
fn safe(name: &str) -> String {
    let name: String =
        name.chars().take(200).map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// `None` where there is no file, or one that cannot be read: a broken state must not stop an epilog.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(state) => Some(state),
        Err(error) => {
            log::warn!("{}: cannot be read: {error}; taken as absent", path.display());
            None
        }
    }
}

fn write(path: &Path, state: &impl Serialize) -> Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    let put = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    put().inspect_err(|_| _ = std::fs::remove_file(&temporary)).with_context(|| format!("writing {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
