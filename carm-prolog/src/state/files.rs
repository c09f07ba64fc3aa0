//! State files on disk: read with mistrust, written whole.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A larger file is no state: a job's is some 300 kB with all of its steps.
const MOST_BYTES: u64 = 16 << 20;

/// What a file turned out to be.
pub enum Found<T> {
    Absent,
    Whole(T),
    /// Half written, of a later release, or no state at all.
    Broken,
}

/// Read before the rest: a later release may have changed all else.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The files that cannot be read, and why: each is said once, though a daemon may look for days.
static BROKEN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

pub fn read<T: DeserializeOwned>(path: &Path) -> Found<T> {
    let found = read_anew(path);
    if !matches!(found, Found::Broken) {
        BROKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
    found
}

fn read_anew<T: DeserializeOwned>(path: &Path) -> Found<T> {
    let bytes = match carm::files::read(path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Found::Absent,
        Err(error) => return broken(path, &error.to_string()),
    };
    match serde_json::from_slice::<Versioned>(&bytes) {
        Ok(file) if file.version > super::VERSION => {
            broken(path, &format!("version {} is newer than this program's {}", file.version, super::VERSION))
        }
        Ok(_) => serde_json::from_slice(&bytes).map_or_else(|error| broken(path, &error.to_string()), Found::Whole),
        Err(error) => broken(path, &error.to_string()),
    }
}

fn broken<T>(path: &Path, cause: &str) -> Found<T> {
    let before = BROKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), cause.to_owned());
    if before.as_deref() != Some(cause) {
        log::warn!("{}: cannot be read: {cause}; what it said is lost", path.display());
    }
    Found::Broken
}

/// Whole or not at all for whoever reads it, even if this process is killed in between.
pub fn write(path: &Path, state: &impl Serialize) -> Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    let put = || -> std::io::Result<()> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
        let folder = carm::files::Folder::open(path.parent().unwrap_or(Path::new("/")))?;
        folder.replace(&name(path), &name(&temporary), &serde_json::to_vec(state)?, 0o600)
    };
    put().with_context(|| format!("writing {}", path.display()))
}

/// Removes what processes that were killed half-way through a [`write()`] have left.
pub fn sweep(dir: &Path) {
    for path in std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let writer = path.extension().and_then(|ending| ending.to_str()?.strip_prefix("tmp-"));
        if writer.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(|| format!("removing {}", path.display())),
        _ => Ok(()),
    }
}

/// A file name from a name that came from outside: no path, no hidden file, no longer than a file name may be.
pub fn safe(name: &str) -> String {
    let name: String =
        name.chars().take(200).map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}
