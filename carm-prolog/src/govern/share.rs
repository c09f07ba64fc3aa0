//! Who counts on how much of a site's on-site power. Governors share a file below the ledger's folder: each claims for its
//! running jobs, under the file's lock, no more than what the others have left; so the sum is never more than all of it, and what
//! idle GPUs do not use is used elsewhere. Where the file cannot be shared, a job counts on its GPUs' part of the site.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use carm::config::{Config, Site};
use serde::{Deserialize, Serialize};

use super::Look;
use crate::gres;
use crate::state::JobState;

/// Below the ledger's folder; no ledger file: those end in .jsonl.
const DIR: &str = "onsite";

/// A node that has not claimed for so many intervals is down: its claim is free.
const STALE_INTERVALS: f64 = 10.0;

/// The file.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Claims {
    nodes: BTreeMap<String, Claim>,
}

/// One node's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Claim {
    /// Milliseconds since 1970.
    at_ms: i64,
    /// All GPUs of the node.
    gpus: f64,
    /// Those that run jobs of CARM's.
    busy: f64,
    /// The part of the site's power that its jobs count on, 0..=1.
    granted: f64,
}

/// Claims for the jobs of a node, and tells each its share.
pub(super) fn claim(config: &Config, look: &Look, jobs: &mut [JobState]) {
    for (index, site) in config.sites.iter().enumerate().filter(|(_, site)| site.has_onsite()) {
        let is_there =
            |job: &&mut JobState| config.site_of(job.partition.as_deref(), look.node).is_some_and(|(at, _)| at == index);
        let mut there: Vec<&mut JobState> = jobs.iter_mut().filter(is_there).collect();
        let is_here = !there.is_empty() || config.site_of(None, look.node).is_some_and(|(at, _)| at == index);
        if !is_here {
            continue;
        }
        let busy: f64 = there.iter().map(|job| weight(look, job)).sum();
        let slurm_conf = there.iter().find_map(|job| job.slurm_conf.clone());
        let gpus = node_gpus(config, look, slurm_conf.as_deref()).max(busy);
        let granted = grant(config, look, site, gpus, busy)
            .inspect_err(|error| {
                log::debug!("site {}: {error:#}; jobs count on their GPUs' part of the on-site power", site.name)
            })
            .ok();
        for job in &mut there {
            let part = if busy > 0.0 { weight(look, job) / busy } else { 0.0 };
            job.governed.onsite_share = granted.map(|granted| granted * part);
        }
    }
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

fn grant(config: &Config, look: &Look, site: &Site, gpus: f64, busy: f64) -> Result<f64> {
    let dir = config.node.ledger_dir.join(DIR);
    DirBuilder::new().recursive(true).mode(0o755).create(&dir).with_context(|| format!("making {}", dir.display()))?;
    let path = dir.join(format!("{}.json", crate::state::safe_name(&site.name)));
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o644).open(&path);
    let mut file = file.with_context(|| format!("opening {}", path.display()))?;
    lock(&file).with_context(|| format!("locking {}", path.display()))?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("reading {}", path.display()))?;
    // A torn file is no claim: for one interval nobody's claims are known, so nothing is granted.
    let torn = !text.is_empty() && serde_json::from_str::<Claims>(&text).is_err();
    let mut claims: Claims = serde_json::from_str(&text).unwrap_or_default();
    let now_ms = look.now.timestamp_millis();
    let stale_ms = (STALE_INTERVALS * config.node.interval_s * 1e3) as i64;
    let granted = if torn { 0.0 } else { claims.claim(look.node, (gpus, busy), f64::from(site.gpus), now_ms, stale_ms) };
    let text = serde_json::to_string(&claims)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.set_len(text.len() as u64))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(granted)
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

impl Claims {
    /// A node's new claim: its jobs' part, by GPUs, of what the governed nodes may count on together; never more than what the
    /// others have not claimed.
    fn claim(&mut self, node: &str, (gpus, busy): (f64, f64), site_gpus: f64, now_ms: i64, stale_ms: i64) -> f64 {
        self.nodes.retain(|_, claim| (now_ms - claim.at_ms).abs() <= stale_ms);
        self.nodes.remove(node);
        let others = |of: fn(&Claim) -> f64| self.nodes.values().map(of).sum::<f64>();
        // Nodes without a governor keep their GPUs' part.
        let pool = ((others(|claim| claim.gpus) + gpus) / site_gpus).min(1.0);
        let fair = if busy > 0.0 { pool * busy / (others(|claim| claim.busy) + busy) } else { 0.0 };
        let granted = fair.min(pool - others(|claim| claim.granted)).max(0.0);
        self.nodes.insert(node.to_owned(), Claim { at_ms: now_ms, gpus, busy, granted });
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: i64 = 1000;

    #[test]
    fn one_busy_node_gets_what_the_idle_ones_leave_and_gives_it_back() {
        let mut claims = Claims::default();
        assert_eq!(claims.claim("a", (4.0, 4.0), 8.0, 0, STALE), 0.5, "b has no governor yet: its part is its own");
        assert_eq!(claims.claim("b", (4.0, 0.0), 8.0, 0, STALE), 0.0);
        assert_eq!(claims.claim("a", (4.0, 4.0), 8.0, 1, STALE), 1.0, "b is idle");
        assert_eq!(claims.claim("b", (4.0, 4.0), 8.0, 2, STALE), 0.0, "a still counts on all of it");
        assert_eq!(claims.claim("a", (4.0, 4.0), 8.0, 3, STALE), 0.5);
        assert_eq!(claims.claim("b", (4.0, 4.0), 8.0, 4, STALE), 0.5);
    }

    #[test]
    fn a_node_that_is_down_holds_nothing() {
        let mut claims = Claims::default();
        claims.claim("a", (4.0, 4.0), 8.0, 0, STALE);
        claims.claim("b", (4.0, 4.0), 8.0, 0, STALE);
        assert_eq!(claims.claim("b", (4.0, 4.0), 8.0, 5000, STALE), 0.5, "a's GPUs have no governor any more");
        assert_eq!(claims.nodes.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn what_is_granted_never_adds_up_to_more_than_all(
            moves in proptest::collection::vec((0..6_usize, 0.0..8.0_f64, 0..300_i64), 1..60),
        ) {
            let mut claims = Claims::default();
            let mut now = 0;
            for (node, busy, later) in moves {
                now += later;
                let granted = claims.claim(&format!("n{node}"), (8.0, busy), 40.0, now, STALE);
                let sum: f64 = claims.nodes.values().map(|claim| claim.granted).sum();
                proptest::prop_assert!(sum <= 1.0 + 1e-9 && granted >= 0.0, "{sum}");
            }
        }
    }
}
