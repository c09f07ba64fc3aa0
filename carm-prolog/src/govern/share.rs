//! Who counts on how much of a site's on-site power. Governors share a file below the ledger's folder: each claims for its running jobs,
//! under the file's lock, no more than what the others have left ([`claims`]); so the sum is never more than all of it, and what idle
//! GPUs do not use is used elsewhere.

mod claims;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use carm::config::{Config, Site};
use carm::quantity::{format_instant, parse_instant};
use chrono::{DateTime, Utc};

use self::claims::{Beat, Claims, SETTLE, Wants, Without};
use super::Look;
use crate::count::{self, gpus_part};
use crate::gres;
use crate::state::JobState;

/// Below the ledger's folder; no ledger file: those end in .jsonl.
const DIR: &str = "onsite";

/// What a governor remembers of its claims: when it last made one, by node and site, and when it began to remember. Before that it may have
/// claimed without knowing.
#[derive(Debug)]
pub(super) struct Memory {
    begun_ms: i64,
    claimed_ms: BTreeMap<(String, usize), i64>,
}

impl Memory {
    pub(super) fn begun(now: DateTime<Utc>) -> Self {
        Self { begun_ms: now.timestamp_millis(), claimed_ms: BTreeMap::new() }
    }
}

/// Claims for the jobs of a node, and tells each its share.
pub(super) fn claim(config: &Config, look: &Look, memory: &mut Memory, jobs: &mut [JobState]) {
    let beat = beat(config, look.now);
    for (index, site) in config.sites.iter().enumerate().filter(|(_, site)| site.has_onsite()) {
        let is_there =
            |job: &&mut JobState| config.site_of(job.partition.as_deref(), look.node).is_some_and(|(at, _)| at == index);
        let mut there: Vec<&mut JobState> = jobs.iter_mut().filter(is_there).collect();
        let is_here = !there.is_empty() || config.site_of(None, look.node).is_some_and(|(at, _)| at == index);
        if !is_here {
            continue;
        }
        let alone = |job: &JobState| if job.nodes > 1 { 0.0 } else { weight(look, job) };
        let busy: f64 = there.iter().map(|job| alone(job)).sum();
        let slurm_conf = there.iter().find_map(|job| job.slurm_conf.clone());
        let gpus = node_gpus(config, look, slurm_conf.as_deref()).max(there.iter().map(|job| weight(look, job)).sum());
        let announced = there.iter().filter(|job| job.nodes > 1);
        let wants = Wants {
            gpus,
            busy,
            jobs: announced.map(|job| (job.job, (part(job, site) * f64::from(job.nodes)).min(1.0))).collect(),
        };
        let path = path(config, site);
        let key = (look.node.to_owned(), index);
        let granted = match grant(&path, look.node, &wants, f64::from(site.gpus), beat) {
            Ok(granted) => {
                memory.claimed_ms.insert(key, beat.now_ms);
                Ok(granted)
            }
            Err(error) => {
                log::debug!("site {}: {error:#}; jobs count on no more on-site power than before", site.name);
                let remembered = memory.claimed_ms.get(&key).copied().unwrap_or(memory.begun_ms);
                Err(Without::after(Some(last_claim(&path, look.node).unwrap_or(remembered)), beat))
            }
        };
        for job in &mut there {
            let of_its_gpus = gpus_part(alone(job), site);
            let had = count::onsite_share(config, Some(site), job, look.now).unwrap_or(0.0);
            job.governed.onsite_share = Some(match granted {
                _ if job.nodes > 1 => of_several_nodes(job, site, beat.now_ms, config.node.interval_s),
                Ok(granted) if busy > 0.0 => granted * alone(job) / busy,
                Ok(_) => 0.0,
                Err(Without::Last) => had,
                Err(Without::Part) => of_its_gpus,
            });
            if granted.is_ok() {
                job.governed.onsite_since = Some(format_instant(look.now));
            }
        }
    }
}

/// What a job on several nodes counts on here: nothing until the others have made room, and then its GPUs' part. No node needs to ask another.
pub(super) fn of_several_nodes(job: &JobState, site: &Site, at_ms: i64, interval_s: f64) -> f64 {
    let began = parse_instant(job.began.as_deref().unwrap_or(&job.start)).map_or(at_ms, |began| began.timestamp_millis());
    if (at_ms - began) as f64 >= SETTLE * interval_s * 1e3 { part(job, site) } else { 0.0 }
}

/// A job's GPUs' part of the site's.
fn part(job: &JobState, site: &Site) -> f64 {
    gpus_part(job.gpus.len() as f64, site)
}

/// The GPUs of a job, those that it shares in part.
fn weight(look: &Look, job: &JobState) -> f64 {
    let holders = |uuid: &str| look.store.peek_gpu(uuid).map_or(1, |gpu| gpu.holders.len().max(1));
    job.gpus.iter().map(|gpu| 1.0 / holders(&gpu.uuid) as f64).sum()
}

fn node_gpus(config: &Config, look: &Look, slurm_conf: Option<&Path>) -> f64 {
    let files = gres::device_files(config.node.gpu_files.as_deref(), slurm_conf, look.node).map(|files| files.len());
    files.unwrap_or_else(|_| look.driver.cards().map_or(0, |cards| cards.len())) as f64
}

fn grant(path: &PathBuf, node: &str, wants: &Wants, site_gpus: f64, beat: Beat) -> Result<f64> {
    let dir = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o755).create(dir).with_context(|| format!("making {}", dir.display()))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o644);
    let (file, is_first) = match options.create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => (options.create_new(false).open(path), false),
        file => (file, true),
    };
    let mut file = file.with_context(|| format!("opening {}", path.display()))?;
    lock(&file).with_context(|| format!("locking {}", path.display()))?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("reading {}", path.display()))?;
    let mut claims = match serde_json::from_str(&text) {
        Ok(claims) => claims,
        Err(_) if is_first && text.is_empty() => Claims::default(),
        Err(_) => Claims::anew(beat),
    };
    let granted = claims.claim(node, wants, site_gpus, beat);
    let text = serde_json::to_string(&claims)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.set_len(text.len() as u64))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(granted)
}

fn beat(config: &Config, now: DateTime<Utc>) -> Beat {
    Beat { now_ms: now.timestamp_millis(), interval_ms: (config.node.interval_s * 1e3).max(1.0) }
}

fn path(config: &Config, site: &Site) -> PathBuf {
    config.node.ledger_dir.join(DIR).join(format!("{}.json", crate::state::safe_name(&site.name)))
}

/// Whether a node's last claim may still count with the others, though no governor is at work there: they may count on all that it was not granted.
pub fn is_claimed(config: &Config, site: &Site, node: &str, now: DateTime<Utc>) -> bool {
    let Ok(text) = std::fs::read_to_string(path(config, site)) else { return false };
    serde_json::from_str::<Claims>(&text).map_or(true, |claims| claims.may_count(node, beat(config, now)))
}

/// When a node claimed last, by a file that it may at least read.
fn last_claim(path: &Path, node: &str) -> Option<i64> {
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
