//! The GPUs that are measured: chosen, taken through CARM's journal as a job's are, and given back whatever happens.
//!
//! In the journal a measurement is job 0, which Slurm gives to none. Killed, it leaves there what is owed: `carm-prolog
//! reset`, or the next measurement, puts it back. A job that comes to such a GPU goes first: its prolog finds the journal's
//! holder, full clock is the faster wish, and the measurement gives up.

use std::fs::{File, OpenOptions};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use carm::config::Config;
use carm::request::printable;
use chrono::Utc;

use crate::clocks::{self, Applied};
use crate::gpu::{Card, Driver, Nvml};
use crate::job::Job;
use crate::state::{JobState, Store};

/// The journal's number for a measurement.
pub const JOB: u32 = 0;

const PATIENCE: Duration = Duration::from_secs(5);

/// More of a card's time than a desktop takes: somebody is at work there.
const BUSY: f64 = 0.1;

/// How long a card's utilization lags behind its work.
const LAG: Duration = Duration::from_millis(1200);

/// The GPUs that the arguments or the environment name, all of one model.
pub fn choose(nvml: &Nvml, list: Option<&str>) -> Result<Vec<Card>> {
    let all = nvml.cards().context("listing GPUs")?;
    let from_environment = std::env::var("CUDA_VISIBLE_DEVICES").ok().filter(|list| !list.trim().is_empty());
    let (source, list) = match (list, from_environment) {
        (Some(list), _) => ("--gpus", list.to_owned()),
        (None, Some(list)) => ("CUDA_VISIBLE_DEVICES", list),
        (None, None) => ("", all.iter().map(|card| card.uuid.as_str()).collect::<Vec<_>>().join(",")),
    };
    let mut cards: Vec<Card> = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let strange =
            || anyhow!("{source}: '{}': no such GPU; give indices as nvidia-smi -L shows them, or UUIDs", printable(word));
        let card = match word.parse::<u32>() {
            Ok(index) => nvml.by_index(index).map_err(|_| strange())?,
            Err(_) => all.iter().find(|card| card.uuid == word).cloned().ok_or_else(strange)?,
        };
        if !cards.contains(&card) {
            cards.push(card);
        }
    }
    let Some(first) = cards.first() else { bail!("no GPU to measure on; give --gpus") };
    if let Some(other) = cards.iter().find(|card| card.name != first.name) {
        bail!("--gpus: {} and {} are of different models; measure one at a time", first.name, other.name);
    }
    Ok(cards)
}

/// GPUs held for a measurement; given back when dropped, at the latest.
pub struct Hold<'a> {
    config: &'a Config,
    pub nvml: &'a Nvml,
    node: String,
    pub cards: Vec<Card>,
    is_held: bool,
    /// One measurement at a time: two would warm each other, and share the host.
    _alone: File,
}

impl<'a> Hold<'a> {
    /// Takes the GPUs, at this clock. Refused where a job holds one of them, or works there (unless it is `live`, the job to measure).
    pub fn take(config: &'a Config, nvml: &'a Nvml, cards: Vec<Card>, clock_mhz: u32, live: bool) -> Result<Self> {
        let node = node(config);
        let root = "profile locks clocks and keeps CARM's journal: run it as root";
        let store = Store::open(&config.node.state_dir, &node, PATIENCE).context(root)?;
        let alone = alone(config)?;
        mend(config, nvml)?;
        for card in &cards {
            if let Some(job) = holder(config, &card.uuid)? {
                bail!("gpu {}: job {job} holds it; drain the node, or give other GPUs with --gpus", card.uuid);
            }
            let is_busy = || nvml.utilization(&card.uuid).is_ok_and(|busy| busy > BUSY);
            if !live && is_busy() {
                std::thread::sleep(LAG);
                ensure!(
                    !is_busy(),
                    "gpu {}: somebody is at work there; drain the node, or give other GPUs with --gpus",
                    card.uuid
                );
            }
        }
        let known = |name: &str| match name {
            "SLURM_JOB_ID" => Some(JOB.to_string()),
            "SLURMD_NODENAME" => Some(node.clone()),
            _ => None,
        };
        let job = Job::read(known).map_err(|cause| anyhow!(cause))?;
        let decision = format!("carm-prolog profile, process {}", std::process::id());
        // Before the GPUs: a holder whose job has no state is gone for whoever looks.
        store.write_job(&JobState { decision, ..JobState::begun(&job, false, Utc::now()) })?;
        let hold = Self { config, nvml, node, cards, is_held: true, _alone: alone };
        for card in &hold.cards {
            let wish = (JOB, Some(clock_mhz));
            let held = clocks::hold(&hold.store()?, nvml, &card.uuid, wish, true, &config.node)?;
            if let Applied::Untouched(cause) = held.applied {
                bail!("gpu {}: {cause}; {root}", card.uuid);
            }
        }
        Ok(hold)
    }

    /// Anew for each use: a store's patience is for all of its life.
    fn store(&self) -> Result<Store> {
        Store::open(&self.config.node.state_dir, &self.node, PATIENCE)
    }

    /// Locks the GPUs up to a clock.
    pub fn set(&self, clock_mhz: u32) -> Result<()> {
        self.check()?;
        for card in &self.cards {
            let wish = (JOB, Some(clock_mhz));
            let applied = clocks::wish(&self.store()?, self.nvml, &card.uuid, wish, &self.config.node)?;
            if applied != Applied::Locked(clock_mhz) {
                bail!("gpu {}: its clock cannot be set to {clock_mhz} MHz: {applied:?}", card.uuid);
            }
        }
        Ok(())
    }

    /// Whether the GPUs are still ours alone.
    pub fn check(&self) -> Result<()> {
        let store = self.store()?;
        for card in &self.cards {
            let holders = store.peek_gpu(&card.uuid).map(|gpu| gpu.holders).unwrap_or_default();
            if let Some(other) = holders.iter().find(|holder| holder.job != JOB) {
                bail!("gpu {}: job {} came to it; measure on a drained node", card.uuid, other.job);
            }
            ensure!(!holders.is_empty(), "gpu {}: it was taken away, by carm-prolog reset perhaps", card.uuid);
        }
        Ok(())
    }

    /// Gives the GPUs back.
    pub fn give_back(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        self.is_held = false;
        let store = self.store()?;
        let mut owed = Vec::new();
        for card in &self.cards {
            let done = clocks::release(&store, Some(self.nvml), &card.uuid, JOB, &self.config.node);
            if done.is_err() || store.peek_gpu(&card.uuid).is_some_and(|gpu| gpu.holders.is_empty() && gpu.locked_mhz.is_some()) {
                owed.push(card.uuid.as_str());
            }
        }
        store.remove_job(JOB)?;
        ensure!(owed.is_empty(), "gpu {}: its clocks could not be put back; run carm-prolog reset", owed.join(", "));
        Ok(())
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.is_held
            && let Err(error) = self.release()
        {
            log::error!("{error:#}");
        }
    }
}

/// The node whose journal it is: as slurmd names it; the only one that has a journal here; the host.
fn node(config: &Config) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let short = |host: String| host.trim().split('.').next().filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned();
    std::env::var("SLURMD_NODENAME").unwrap_or_else(|_| match Store::nodes(&config.node.state_dir).as_slice() {
        [only] => only.clone(),
        _ => short(host()),
    })
}

fn alone(config: &Config) -> Result<File> {
    let path = config.node.state_dir.join(".profile.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    ensure!(locked.is_ok(), "another carm-prolog profile runs on this host; wait for its end");
    Ok(file)
}

/// A job that holds a GPU, in any node's journal on this host.
fn holder(config: &Config, uuid: &str) -> Result<Option<u32>> {
    for node in Store::nodes(&config.node.state_dir) {
        let store = Store::open(&config.node.state_dir, &node, PATIENCE)?;
        let holders = store.peek_gpu(uuid).map(|gpu| gpu.holders).unwrap_or_default();
        if let Some(holder) = holders.iter().find(|holder| store.has_job(holder.job)) {
            return Ok(Some(holder.job));
        }
    }
    Ok(None)
}

/// Puts back what a measurement that was killed has left.
fn mend(config: &Config, nvml: &Nvml) -> Result<()> {
    for node in Store::nodes(&config.node.state_dir) {
        let store = Store::open(&config.node.state_dir, &node, PATIENCE)?;
        for uuid in store.gpus() {
            if store.peek_gpu(&uuid).is_some_and(|gpu| gpu.holders.iter().any(|holder| holder.job == JOB)) {
                clocks::release(&store, Some(nvml), &uuid, JOB, &config.node)?;
                log::warn!("gpu {uuid}: an earlier profile was killed; its clocks are put back");
            }
        }
        store.remove_job(JOB)?;
    }
    Ok(())
}
