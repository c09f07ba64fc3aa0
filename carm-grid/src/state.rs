//! What fetch remembers beside the cache: when each zone was asked, and what was said of it already. In a folder that only
//! whoever runs carm-grid can open. Losing it costs one more line of warning and one asking too early.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use carm::files::Folder;
use carm::grid::cache;
use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::exit::Refusal;

/// The folder below the cache.
const FOLDER: &str = ".fetch";

/// A larger file is no state of a zone.
const MOST_BYTES: u64 = 1 << 20;

/// The state of a cache folder, held by one fetcher at a time.
pub struct State {
    folder: PathBuf,
    _lock: File,
}

/// What is remembered of a zone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ZoneState {
    /// Whom the cached data are from: a fingerprint of the zone's keys. Under other keys they are another grid's.
    pub key: Option<u64>,
    /// Service, area and query of the cached data.
    #[serde(default)]
    pub fetched_area: Option<String>,
    /// The fingerprint of the last request, whether it succeeded or not.
    #[serde(default)]
    pub requested_key: Option<u64>,
    /// When its source was last asked.
    pub asked: Option<DateTime<Utc>>,
    /// The source does not want to be asked before.
    pub not_before: Option<DateTime<Utc>>,
    /// What is wrong with it.
    pub fault: Option<Said>,
    /// What is odd with it.
    pub remark: Option<Said>,
}

/// Something that the admin was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// What, without the numbers in it: they change where the matter does not.
    pub what: String,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    /// When it was last said.
    pub said: DateTime<Utc>,
}

impl State {
    /// Opens the state of a cache folder, which is made where it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or written to, or another fetcher is at work.
    pub fn open(cache_dir: &Path) -> Result<Self, Refusal> {
        let refuse = |path: &Path, error: io::Error| {
            let way_out = "run carm-grid as the user of carm-grid.service, or look at [grid] cache_dir";
            Refusal::new(format!("{}: {error}; {way_out}", path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o755).create(cache_dir).map_err(|error| refuse(cache_dir, error))?;
        let folder = cache_dir.join(FOLDER);
        private_folder(&folder).map_err(|error| refuse(&folder, error))?;
        let path = folder.join("lock");
        // Readable is enough for a lock, so that one made by root serves the service's user too.
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path);
        let lock = lock.or_else(|_| File::open(&path)).map_err(|error| refuse(&path, error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let cause = "another carm-grid fetch is at work there; try again in a minute";
                Err(Refusal::new(format!("{}: {cause}", cache_dir.display())))
            }
            Err(error) => Err(refuse(&path, error.into())),
        }
    }

    /// What is remembered of a zone; nothing where that cannot be read.
    pub fn of(&self, zone: &str) -> ZoneState {
        let read = || serde_json::from_slice(&carm::files::read(&self.path(zone), MOST_BYTES).ok()?).ok();
        read().unwrap_or_default()
    }

    /// Remembers a zone's state.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, zone: &str, state: &ZoneState) -> io::Result<()> {
        replace(&self.path(zone), &serde_json::to_vec(state)?, 0o644)
    }

    fn path(&self, zone: &str) -> PathBuf {
        let file = cache::path(Path::new(""), zone);
        self.folder.join(format!("zone-{}", file.display()))
    }
}

/// Puts a file in place whole, or not at all. The folder may be another user's, where root is run by hand.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let folder = Folder::open(path.parent().unwrap_or_else(|| Path::new(".")))?;
    folder.replace(&name(path), &name(&path.with_extension("new")), bytes, mode)
}

/// Makes a folder that its owner alone can open, of the same owner as the one above it: root, run by hand, must not lock the
/// service's user out.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            let above = folder.parent().unwrap_or_else(|| Path::new("."));
            if let (Ok(own), Ok(above)) = (fs::metadata(folder), fs::metadata(above))
                && (own.uid(), own.gid()) != (above.uid(), above.gid())
            {
                // Whoever is not root cannot, and need not.
                let _ = std::os::unix::fs::chown(folder, Some(above.uid()), Some(above.gid()));
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A text's fingerprint, the same in every release (FNV-1a).
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// How often the same matter is said again.
const SAID_AGAIN_AFTER_H: i64 = 24;

/// Whether something is to be said now: it is new, or was last said a day ago. Remembers it.
pub fn say(remembered: &mut Option<Said>, text: &str, now: DateTime<Utc>) -> bool {
    let what: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    match remembered {
        Some(said) if said.what == what => {
            let again = (now - said.said).num_hours() >= SAID_AGAIN_AFTER_H;
            if again {
                said.said = now;
            }
            again
        }
        _ => {
            *remembered = Some(Said { what, since: now, said: now });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_said_is_said_again_when_it_changes_or_a_day_has_passed() {
        let now = DateTime::UNIX_EPOCH;
        let mut remembered = None;
        assert!(say(&mut remembered, "answered 500", now));
        assert!(!say(&mut remembered, "answered 503", now + TimeDelta::hours(1)), "numbers make no other matter");
        assert!(say(&mut remembered, "no answer", now + TimeDelta::hours(2)));
        assert!(!say(&mut remembered, "no answer", now + TimeDelta::hours(25)));
        assert!(say(&mut remembered, "no answer", now + TimeDelta::hours(26)));
        assert_eq!(remembered.map(|said| said.since), Some(now + TimeDelta::hours(2)));
    }

    #[test]
    fn one_fetcher_at_a_time_and_nobody_else_looks_in() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let state = State::open(&cache).unwrap();
        assert!(State::open(&cache).is_err());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&cache), mode(&cache.join(FOLDER))), (0o755, 0o700));
        let kept = ZoneState { asked: Some(DateTime::UNIX_EPOCH), ..ZoneState::default() };
        state.keep("a/b", &kept).unwrap();
        assert_eq!((state.of("a/b"), state.of("c")), (kept, ZoneState::default()));
        drop(state);
        assert!(State::open(&cache).is_ok());
    }
}
