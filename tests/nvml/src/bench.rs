//! A folder with a stand-in in it: `gpus.toml`, and the state that all processes share.
//! It decides how a look at the cards goes: lock, read, settle, act, settle, log, write, unlock. One look is one instant.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::device::{Description, DescriptionError};
use crate::state::{Now, State};
use crate::store::{self, Store};

/// A stand-in's folder.
pub struct Bench {
    dir: PathBuf,
    /// With the stamp of the file that it was read from.
    known: Mutex<(Stamp, Arc<Description>)>,
}

/// Modification time and length: enough to see that a test has written a new description.
type Stamp = (Option<SystemTime>, u64);

/// Why the cards cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The description.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The shared files.
    #[error("{0}; the folder of the stand-in must let its first user create files, and all users write them")]
    Files(#[from] std::io::Error),
    /// A state file of another kind.
    #[error("gpus.state: {0}; remove it")]
    State(#[from] serde_json::Error),
}

impl Bench {
    /// Reads the description in a folder.
    pub fn open(dir: &Path) -> Result<Bench, BenchError> {
        let dir = std::path::absolute(dir)?;
        let path = dir.join("gpus.toml");
        let stamp = stamp(&path);
        let description = Arc::new(Description::read(&path)?);
        Ok(Bench { dir, known: Mutex::new((stamp, description)) })
    }

    /// The description, read again when its file has changed; a file that is half written or broken changes nothing.
    pub fn description(&self) -> Arc<Description> {
        let path = self.dir.join("gpus.toml");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&path);
        if stamp != known.0
            && let Ok(description) = Description::read(&path)
        {
            *known = (stamp, Arc::new(description));
        }
        known.1.clone()
    }

    /// Looks at the cards, and acts on them, at one instant, alone.
    pub fn look<T>(&self, act: impl FnOnce(&mut Now) -> T) -> Result<T, BenchError> {
        let description = self.description();
        let (store, text) = Store::lock(&self.dir)?;
        let state = match text.is_empty() {
            true => State::default(),
            false => serde_json::from_slice(&text)?,
        };
        let mut now = Now { description: &description, state, us: unix_us(), power_log: String::new() };
        now.settle();
        let answer = act(&mut now);
        now.settle();
        if !now.power_log.is_empty() {
            now.state.power_log_bytes = store.log_power(now.state.power_log_bytes, &now.power_log)?;
        }
        store.commit(&serde_json::to_vec(&now.state)?)?;
        Ok(answer)
    }

    /// Writes a line to calls.log, where the description wants it: `<unix time>,<pid>,<call>(<arguments>),<code>`.
    pub fn log_call(&self, call: &str, code: u32) {
        if self.description().log_calls {
            let us = unix_us();
            let (seconds, micros, pid) = (us / 1_000_000, us % 1_000_000, std::process::id());
            let line = format!("{seconds}.{micros:06},{pid},{call},{code}\n");
            // A log that cannot be written is no reason for a driver call to fail.
            let _ = store::log_call(&self.dir, &line);
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    std::fs::metadata(path).map_or((None, 0), |meta| (meta.modified().ok(), meta.len()))
}

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
