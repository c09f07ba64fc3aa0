//! The file of a site's claims: `ledger_dir/onsite/SITE.json`, read and written under its lock. It may lie on a file server that never answers:
//! whoever needs it asks in a thread of its own ([`ask`]).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use carm::config::{Config, Site};
use chrono::{DateTime, Utc};

use super::Beat;
use super::claims::{self, Claims, Granted, Wants};
use crate::state::Store;

/// Below the ledger's folder; no ledger file: those end in .jsonl.
const DIR: &str = "onsite";

pub fn path(config: &Config, site: &Site) -> PathBuf {
    config.node.ledger_dir.join(DIR).join(format!("{}.json", crate::state::safe_name(&site.name)))
}

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Asks in a thread of its own; the answer comes in time, later, or never.
pub fn ask<T: Send + 'static>(question: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = mpsc::channel();
    // Where there is no thread to be had, there is no answer.
    let _ = thread::Builder::new().spawn(move || tell.send(question()));
    told
}

/// Claims for a node. Nothing is granted, and nothing changes, where the file cannot be locked, read or written.
pub fn claim(path: &Path, node: &str, wants: &Wants, site_gpus: f64, beat: Beat) -> Result<Granted> {
    let since = Instant::now();
    let dir = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o755).create(dir).with_context(|| format!("making {}", dir.display()))?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path);
    let mut file = file.with_context(|| format!("opening {}", path.display()))?;
    lock(&file).with_context(|| format!("locking {}", path.display()))?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("reading {}", path.display()))?;
    // One that is not there may have been deleted: what it held is as unknown as what a torn one did.
    let beat = beat.later(since.elapsed());
    let mut claims = serde_json::from_str(&text).unwrap_or_else(|_| Claims::anew(beat));
    let granted = claims.claim(node, wants, site_gpus, beat);
    let text = serde_json::to_string(&claims)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.set_len(text.len() as u64))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(granted)
}

/// Whether the others may still count on what a node's governor left to them when it was last at work, by its own trace or, after a reboot, by
/// the file.
pub fn is_left_to_others(config: &Config, node: &str, partition: Option<&str>, now: DateTime<Utc>) -> bool {
    let Some((_, site)) = config.site_of(partition, node).filter(|(_, site)| site.has_onsite()) else { return false };
    let beat = Beat::of(config.node.interval_s, now);
    if claims::may_count(Store::governed_until_ms(&config.node.state_dir), beat) {
        return true;
    }
    let path = path(config, site);
    match ask(move || std::fs::read_to_string(path)).recv_timeout(PATIENCE) {
        Ok(Ok(text)) => serde_json::from_str::<Claims>(&text).map_or(true, |claims| claims.may_count(node, beat)),
        Ok(Err(_)) => false,
        Err(_) => true,
    }
}

/// When a node claimed last, by a file that it may at least read.
pub fn last_claim(path: &Path, node: &str) -> Option<i64> {
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str::<Claims>(&text).ok()?.last(node)
}

/// Held for moments by anyone; a file system without locks shares nothing.
fn lock(file: &File) -> Result<()> {
    for _ in 0..50 {
        match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(4)),
            done => return Ok(done?),
        }
    }
    anyhow::bail!("another node holds it")
}
