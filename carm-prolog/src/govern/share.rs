//! What a node's jobs count on of their site's on-site power: claimed at every look, in the file that all nodes share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError};

use carm::config::{Config, Site};
use carm::quantity::format_instant;
use chrono::{DateTime, Utc};

use super::Look;
use crate::onsite::claims::{Granted, Portion, SpreadWants, Wants, Without};
use crate::onsite::held::{Held, counted_on, counted_through, gpus_part};
use crate::onsite::{Beat, file};
use crate::state::JobState;
use crate::{count, gres};

/// What was granted, or why nothing was, and when the node claimed last by the file.
type Answer = Result<Granted, (anyhow::Error, Option<i64>)>;

/// What a governor remembers of its claims: when it last made one, by node and site, and when it began to remember. Before that it may have
/// claimed without knowing.
#[derive(Debug)]
pub(super) struct Memory {
    begun_ms: i64,
    claimed_ms: BTreeMap<(String, usize), i64>,
    /// Claims that are still waited for: until they are answered there are no others.
    asked: BTreeMap<(String, usize), Receiver<Answer>>,
}

impl Memory {
    pub(super) fn begun(now: DateTime<Utc>) -> Self {
        Self { begun_ms: now.timestamp_millis(), claimed_ms: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// Claims, and waits no longer than a file may take. An answer that comes later is let go: what jobs had until then is held for them.
    fn ask(&mut self, key: &(String, usize), claim: impl FnOnce() -> Answer + Send + 'static) -> Answer {
        let late = || Err((anyhow::anyhow!("its file is not answered for"), None));
        if self.asked.get(key).is_some_and(|asked| matches!(asked.try_recv(), Err(TryRecvError::Empty))) {
            return late();
        }
        self.asked.remove(key);
        let answer = file::ask(claim);
        match answer.recv_timeout(file::PATIENCE) {
            Ok(answer) => answer,
            Err(_) => {
                self.asked.insert(key.clone(), answer);
                late()
            }
        }
    }
}

/// The parts of the site's on-site power that a job counted on until now: of what was metered, and of what was reckoned. None goes by its GPUs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    pub counted: Option<f64>,
    pub reckoned: Option<f64>,
}

impl Shares {
    pub(super) fn until_now(config: &Config, site: Option<&Site>, job: &JobState, now: DateTime<Utc>) -> Self {
        let since = |from| counted_through(config, site, job, from, now);
        Self { counted: since(count::counted_until(job, now)), reckoned: since(count::reckoned_until(job, now)) }
    }
}

/// A job of the node, its GPUs, and what it counts on until now.
struct There<'a> {
    job: &'a mut JobState,
    gpus: f64,
    held: f64,
}

/// Claims for the jobs of a node, and tells each its share.
pub(super) fn claim(config: &Config, look: &Look, memory: &mut Memory, jobs: &mut [JobState]) {
    let beat = Beat::of(config.node.interval_s, look.now);
    for (index, site) in config.sites.iter().enumerate().filter(|(_, site)| site.has_onsite()) {
        let is_there =
            |job: &&mut JobState| config.site_of(job.partition.as_deref(), look.node).is_some_and(|(at, _)| at == index);
        let there = jobs.iter_mut().filter(is_there).map(|job| {
            let gpus = weight(look, job);
            let held = counted_on(config, Some(site), job, look.now).unwrap_or(gpus_part(gpus, site));
            There { job, gpus, held }
        });
        let mut there: Vec<There> = there.collect();
        let is_here = !there.is_empty() || config.site_of(None, look.node).is_some_and(|(at, _)| at == index);
        if !is_here {
            continue;
        }
        let wants = wants(config, look, &there);
        let key = (look.node.to_owned(), index);
        let asked = (file::path(config, site), look.node.to_owned(), wants.clone(), f64::from(site.gpus));
        let claim = move || {
            let (path, node, wants, site_gpus) = asked;
            file::claim(&path, &node, &wants, site_gpus, beat).map_err(|error| (error, file::last_claim(&path, &node)))
        };
        match memory.ask(&key, claim) {
            Ok(granted) => {
                memory.claimed_ms.insert(key, beat.now_ms);
                there.iter_mut().for_each(|there| there.job.governed.onsite = there.granted(&granted, wants.busy, look.now));
            }
            Err((error, last_ms)) => {
                log::debug!("site {}: {error:#}; jobs count on no more on-site power than before", site.name);
                let remembered = memory.claimed_ms.get(&key).copied().unwrap_or(memory.begun_ms);
                let without = Without::after(Some(last_ms.unwrap_or(remembered)), beat);
                there.iter_mut().for_each(|there| there.left_with(without, site, beat));
            }
        }
    }
}

impl There<'_> {
    fn granted(&self, granted: &Granted, busy: f64, now: DateTime<Utc>) -> Held {
        let alone = || Portion { now: if busy > 0.0 { granted.alone * self.gpus / busy } else { 0.0 }, next: None };
        let portion = granted.spread.get(&self.job.job).copied().unwrap_or_else(alone);
        let since = Some(format_instant(now));
        Held { share: Some(portion.now), next: portion.next, since, gpus: Some(self.gpus) }
    }

    /// What it counts on while the file cannot be reached.
    fn left_with(&mut self, without: Without, site: &Site, beat: Beat) {
        let held = &mut self.job.governed.onsite;
        held.gpus = Some(self.gpus);
        held.next = held.next.filter(|next| without == Without::Last && next.at_ms > beat.now_ms);
        held.share = Some(match without {
            Without::Last => self.held,
            Without::Part => gpus_part(self.gpus, site),
        });
    }
}

fn wants(config: &Config, look: &Look, there: &[There]) -> Wants {
    let (alone, spread): (Vec<&There>, Vec<&There>) = there.iter().partition(|there| there.job.nodes <= 1);
    let of_spread = |there: &There| {
        let wants = SpreadWants { gpus: there.gpus, nodes: there.job.nodes, held: there.held };
        (there.job.job, wants)
    };
    let slurm_conf = there.iter().find_map(|there| there.job.slurm_conf.clone());
    let in_use: f64 = there.iter().map(|there| there.gpus).sum();
    Wants {
        gpus: node_gpus(config, look, slurm_conf.as_deref()).max(in_use),
        busy: alone.iter().map(|there| there.gpus).sum(),
        held: alone.iter().map(|there| there.held).sum(),
        spread: spread.into_iter().map(of_spread).collect(),
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
