//! Node state: one file per job and per GPU, so that what the driver cannot tell (who locked what) outlives any process.
//!
//! Files are written whole (temporary name, rename) and are versioned. They need not outlive the machine: a boot forgets the
//! clocks as well. A GPU's file is read and changed under a lock that goes by its UUID, since several slurmds may share a
//! host. A job's file is written before the job takes a GPU: a holder without one is gone. Nothing here touches a GPU.

mod files;
mod kinds;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use carm::config::Node;
use carm::ledger::Record;
use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

pub use files::safe as safe_name;
pub use files::sweep;
pub use files::write as write_whole;
use files::{Found, read, remove, safe, write};
pub use kinds::{End, GpuState, Holder, IdleCounter, JobGpu, JobState, SharedGpus};

/// The version of the files that this release writes.
const VERSION: u32 = 1;

/// Not a node's name: [`safe`] lets no name begin with a dot.
const LOCK_DIR: &str = ".locks";

/// A note for each node whether its GPUs may be shared: outside of the node's folder, which a node without jobs does not have.
const SHARED_DIR: &str = ".shared";

/// Locked by the governor for as long as it runs: the lock goes with its process, however that ends.
const GOVERNOR: &str = "governor";

/// Prefixes of the spool's files: runs that have ended, and whole lines.
const ENDED: &str = "ended-";
const LINE: &str = "line-";

/// A file of the spool.
pub struct Spooled {
    path: PathBuf,
    pub entry: Entry,
}

/// What it holds.
pub enum Entry {
    Ended(Box<JobState>),
    Line(Box<Record>),
}

/// A line's file has the version of the state files beside the line's own.
#[derive(Serialize, Deserialize)]
struct SpooledLine {
    version: u32,
    record: Record,
}

impl Spooled {
    /// Its line is in the ledger.
    pub fn remove(&self) -> Result<()> {
        remove(&self.path)
    }
}

fn whole<T>(found: Found<T>) -> Option<T> {
    match found {
        Found::Whole(file) => Some(file),
        Found::Absent | Found::Broken => None,
    }
}

/// A file that was written whole; none where it is absent or broken.
pub fn read_whole<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    whole(read(path))
}

/// Makes a folder for root alone.
pub fn make_private_dir(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| format!("making {}", dir.display()))
}

/// The state folder of one node.
pub struct Store {
    node_dir: PathBuf,
    shared_path: PathBuf,
    lock_dir: PathBuf,
    /// Until when to wait for another prolog or epilog that holds a GPU's lock: it may be stuck in the driver.
    wait_until: Instant,
}

/// A GPU's state, held under its lock until dropped.
pub struct LockedGpu<'a> {
    store: &'a Store,
    pub state: GpuState,
    _lock: File,
}

impl Store {
    /// The state of a node below the configured folder; makes the folders, readable by root alone. All waiting for other
    /// prologs and epilogs together takes no longer than `patience`.
    pub fn open(state_dir: &Path, node: &str, patience: Duration) -> Result<Self> {
        let store = Self::at(state_dir, node, patience);
        for dir in [&store.node_dir, &store.lock_dir] {
            make_private_dir(dir)?;
        }
        files::sweep(&store.node_dir);
        Ok(store)
    }

    /// Makes this process the host's governor, until what is given is dropped.
    pub fn be_governor(state_dir: &Path) -> Result<File> {
        let dir = state_dir.join(LOCK_DIR);
        make_private_dir(&dir)?;
        let path = dir.join(GOVERNOR);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(_) => bail!("{}: another governor runs on this host", path.display()),
        }
    }

    /// Whether a governor runs on this host, at work or stuck.
    pub fn has_governor(state_dir: &Path) -> bool {
        let file = File::open(state_dir.join(LOCK_DIR).join(GOVERNOR));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }

    /// The energy counter of a GPU when it was last seen without a job.
    pub fn idle_counter(&self, uuid: &str) -> Option<IdleCounter> {
        read_whole(&self.idle_path(uuid))
    }

    /// Writes it; `None`: a job is on the GPU.
    pub fn write_idle_counter(&self, uuid: &str, counter: Option<IdleCounter>) -> Result<()> {
        match counter {
            Some(counter) => write(&self.idle_path(uuid), &counter),
            None => remove(&self.idle_path(uuid)),
        }
    }

    /// Whether a governor works on this host: it runs, and has looked at its jobs lately. One that is stuck in the driver is
    /// alive and decides nothing.
    pub fn is_governed(node: &Node) -> bool {
        let state_dir = &node.state_dir;
        let looked = std::fs::metadata(state_dir.join(LOCK_DIR).join(GOVERNOR)).and_then(|file| file.modified());
        let age_s = looked.map(|looked| (Utc::now() - DateTime::<Utc>::from(looked)).as_seconds_f64());
        Self::has_governor(state_dir) && age_s.is_ok_and(|age_s| age_s.abs() < (3.0 * node.interval_s).max(10.0))
    }

    /// A lock of this host by name, if nobody else holds it for so long; it is released when the file is dropped.
    pub fn try_lock(state_dir: &Path, name: &str, patience: Duration) -> Option<File> {
        make_private_dir(&state_dir.join(LOCK_DIR)).ok()?;
        Self::at(state_dir, "", patience).lock(name).ok()
    }

    /// As [`Self::open`], to look at: makes nothing.
    pub fn at(state_dir: &Path, node: &str, patience: Duration) -> Self {
        let (node_dir, lock_dir) = (state_dir.join(safe(node)), state_dir.join(LOCK_DIR));
        let shared_path = state_dir.join(SHARED_DIR).join(format!("{}.json", safe(node)));
        Self { node_dir, shared_path, lock_dir, wait_until: Instant::now() + patience }
    }

    /// Whether CARM has anything in hand that may concern a job: any GPU of the node, or the job itself. The one look that
    /// a job without carbon options costs.
    pub fn concerns(state_dir: &Path, node: &str, job: u32) -> bool {
        let store = Self::at(state_dir, node, Duration::ZERO);
        store.has_job(job) || !store.file_names("gpu-").is_empty()
    }

    /// Whether any node has a job, a GPU or a ledger line in hand.
    pub fn owes(state_dir: &Path) -> bool {
        Self::nodes(state_dir).iter().any(|node| !Self::at(state_dir, node, Duration::ZERO).file_names("").is_empty())
    }

    /// The nodes that have state, for `reset` and `status`.
    pub fn nodes(state_dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(state_dir).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut nodes: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        nodes.sort();
        nodes
    }

    /// A job's state; `None` where the prolog left none that can be read: a broken state must not stop an epilog.
    pub fn job(&self, job: u32) -> Option<JobState> {
        whole(read(&self.job_path(job)))
    }

    /// Whether the job has been taken up and not yet given back, as far as is known.
    pub fn has_job(&self, job: u32) -> bool {
        self.job_path(job).exists()
    }

    pub fn write_job(&self, state: &JobState) -> Result<()> {
        write(&self.job_path(state.job), &JobState { version: VERSION, ..state.clone() })
    }

    /// As [`Self::write_job`], unless the job has ended meanwhile: a prolog that was stuck for long, or a governor that was just
    /// looking, must not bring it back. Gives whether the job is still there.
    pub fn rewrite_job(&self, state: &JobState) -> Result<bool> {
        let _lock = self.lock_jobs()?;
        let is_open = match self.job(state.job) {
            Some(stored) => stored.end.is_none() || state.end.is_some(),
            None => self.has_job(state.job),
        };
        if is_open {
            self.write_job(state)?;
        }
        Ok(is_open)
    }

    /// Moves a job's state to the spool, where it waits for its ledger line. A rename: it is in one place or the other, and it
    /// needs no space.
    pub fn spool_job(&self, job: u32, run: u32) -> Result<()> {
        let path = self.ended_path(job, run);
        std::fs::rename(self.job_path(job), &path).with_context(|| format!("moving the job's state to {}", path.display()))
    }

    /// Spools a run whose state has no file of its own.
    pub fn spool_ended(&self, state: &JobState) -> Result<()> {
        write(&self.ended_path(state.job, state.run), &JobState { version: VERSION, ..state.clone() })
    }

    /// Spools a line that is complete but for its place in the ledger.
    pub fn spool_line(&self, record: &Record) -> Result<()> {
        let since = safe(record.since.as_deref().unwrap_or("start"));
        let path = self.node_dir.join(format!("{LINE}{:010}-{}-{since}.json", record.job, record.run));
        write(&path, &SpooledLine { version: VERSION, record: record.clone() })
    }

    /// What waits for the ledger, days before the end of their runs.
    pub fn spool(&self) -> Vec<Spooled> {
        let entry = |prefix: &str, name: &String, load: fn(&Path) -> Option<Entry>| {
            let path = self.node_dir.join(format!("{prefix}{name}.json"));
            load(&path).map(|entry| Spooled { path, entry })
        };
        let line = |path: &Path| whole(read::<SpooledLine>(path)).map(|line| Entry::Line(Box::new(line.record)));
        let ended = |path: &Path| whole(read::<JobState>(path)).map(|state| Entry::Ended(Box::new(state)));
        let mut all: Vec<Spooled> = self.file_names(LINE).iter().filter_map(|name| entry(LINE, name, line)).collect();
        all.extend(self.file_names(ENDED).iter().filter_map(|name| entry(ENDED, name, ended)));
        all
    }

    /// How many lines wait for the ledger.
    pub fn spooled(&self) -> usize {
        self.file_names(LINE).len() + self.file_names(ENDED).len()
    }

    /// The jobs that have state.
    pub fn jobs(&self) -> Vec<u32> {
        self.file_names("job-").iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Keeps everybody else from closing or changing this node's jobs. Held for moments only: no driver is called under it.
    pub fn lock_jobs(&self) -> Result<File> {
        self.lock(&format!("jobs-{}", self.node_dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()))
    }

    pub fn remove_job(&self, job: u32) -> Result<()> {
        remove(&self.job_path(job))
    }

    /// The GPUs that have state, by UUID.
    pub fn gpus(&self) -> Vec<String> {
        self.file_names("gpu-")
    }

    /// Takes a GPU's lock and reads its state. A state that cannot be read owes a reset: what it held is not known.
    pub fn gpu(&self, uuid: &str) -> Result<LockedGpu<'_>> {
        let lock = self.lock(&safe(uuid))?;
        let state = self.peek_gpu(uuid).unwrap_or_else(|| GpuState { uuid: uuid.to_owned(), ..GpuState::default() });
        Ok(LockedGpu { store: self, state, _lock: lock })
    }

    fn lock(&self, name: &str) -> Result<File> {
        let path = self.lock_dir.join(format!("{name}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK || Instant::now() >= self.wait_until {
                bail!("waiting for {}: {error}; another prolog, epilog or governor holds it", path.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(file)
    }

    /// A GPU's state without its lock, to look at.
    pub fn peek_gpu(&self, uuid: &str) -> Option<GpuState> {
        match read::<GpuState>(&self.gpu_path(uuid)) {
            Found::Whole(state) => Some(state),
            Found::Broken => Some(GpuState { uuid: uuid.to_owned(), locked_mhz: Some(GpuState::UNKNOWN), ..GpuState::default() }),
            Found::Absent => None,
        }
    }

    /// Whether a GPU still waits for an epilog of a job that is known: nobody decides for one whose state cannot be read.
    pub fn is_held(&self, gpu: &GpuState) -> bool {
        gpu.holders.iter().any(|holder| self.job(holder.job).is_some())
    }

    /// Whether the node's GPUs may be shared; none where nothing is noted.
    pub fn shared_gpus(&self) -> Option<SharedGpus> {
        match read::<SharedGpus>(&self.shared_path) {
            Found::Whole(noted) => Some(noted),
            Found::Absent | Found::Broken => None,
        }
    }

    pub fn write_shared_gpus(&self, noted: &SharedGpus) -> Result<()> {
        if let Some(dir) = self.shared_path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.with_context(|| format!("making {}", dir.display()))?;
        }
        write(&self.shared_path, &SharedGpus { version: VERSION, ..noted.clone() })
    }

    fn ended_path(&self, job: u32, run: u32) -> PathBuf {
        self.node_dir.join(format!("{ENDED}{job:010}-{run}.json"))
    }

    fn job_path(&self, job: u32) -> PathBuf {
        self.node_dir.join(format!("job-{job}.json"))
    }

    /// Beside the locks: nodes of a host may share its GPUs.
    fn idle_path(&self, uuid: &str) -> PathBuf {
        self.lock_dir.join(format!("idle-{}.json", safe(uuid)))
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

impl<'a> LockedGpu<'a> {
    /// The node's state.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Writes the state; a GPU that nobody holds and nothing was done to needs no file.
    pub fn save(&self) -> Result<()> {
        let path = self.store.gpu_path(&self.state.uuid);
        let state = &self.state;
        if state.holders.is_empty() && state.locked_mhz.is_none() && !state.persistence_switched {
            return remove(&path);
        }
        write(&path, &GpuState { version: VERSION, ..state.clone() })
    }

    /// Drops the holders that are gone without an epilog, or of which nothing is known, but for `job` itself.
    pub fn drop_gone(&mut self, job: Option<u32>) {
        let store = self.store;
        self.state.holders.retain(|holder| Some(holder.job) == job || store.job(holder.job).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path) -> Store {
        Store::open(dir, "n1", Duration::ZERO).expect("a store")
    }

    #[test]
    fn a_broken_gpu_state_owes_a_reset_and_a_broken_job_state_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(dir.path());
        let newer = format!("{{\"version\":{}}}", VERSION + 1);
        for text in ["", "{\"version\":1,\"uuid\":\"GPU-1\"", "\0\0\0", newer.as_str()] {
            std::fs::write(dir.path().join("n1/gpu-GPU-1.json"), text).expect("a file");
            std::fs::write(dir.path().join("n1/job-7.json"), text).expect("a file");
            let gpu = store.gpu("GPU-1").expect("the lock");
            assert_eq!((gpu.state.uuid.as_str(), gpu.state.locked_mhz), ("GPU-1", Some(GpuState::UNKNOWN)), "{text:?}");
            assert_eq!(store.job(7), None, "{text:?}");
        }
    }

    #[test]
    fn no_name_leaves_the_folder_or_meets_the_locks() {
        let dir = tempfile::tempdir().expect("a folder");
        for node in ["../../etc", ".locks", "..", "", "a/b", "\u{e9}"] {
            let store = Store::open(dir.path(), node, Duration::ZERO).expect("a store");
            assert_eq!(store.node_dir.parent(), Some(dir.path()), "{node}");
            assert_ne!(store.node_dir, store.lock_dir, "{node}");
            assert_eq!(store.gpu_path("../../x").parent(), Some(store.node_dir.as_path()), "{node}");
        }
    }

    #[test]
    fn a_lock_that_another_holds_is_waited_for_no_longer_than_the_patience_in_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let holder = store(dir.path());
        let _held = [holder.gpu("GPU-1").expect("free"), holder.gpu("GPU-2").expect("free")];
        let waiting = Store::open(dir.path(), "n2", Duration::from_millis(100)).expect("a store");
        let since = Instant::now();
        for uuid in ["GPU-1", "GPU-2"] {
            let error = waiting.gpu(uuid).err().expect("held by another").to_string();
            assert!(error.contains("another prolog, epilog or governor holds it"), "{error}");
        }
        assert!((Duration::from_millis(100)..Duration::from_millis(1000)).contains(&since.elapsed()), "{:?}", since.elapsed());
    }
}
