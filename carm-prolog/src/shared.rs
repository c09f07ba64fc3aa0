//! Whether several jobs may be on one GPU of the node, and whether somebody is there who did not ask for a slower clock.
//!
//! Slurm shares GPUs by gres/shard and gres/mps, and where a partition or a job oversubscribes. The prolog's environment tells
//! only the last two: SLURM_JOB_GPUS of a job with shards looks like a whole GPU's. On such a node each prolog registers its job
//! on its GPUs, with carbon options or without, and a note under `state_dir` says so.

use std::path::{Path, PathBuf};

use carm::config::Config;
use carm::slurm::gres_conf;

use crate::govern::alive;
use crate::gpu::Driver;
use crate::gres;
use crate::job::Job;
use crate::process::Process;
use crate::state::{GpuState, SharedGpus, Store};

/// Whether the prolog must look at a job without carbon options. Where nothing is noted yet, its bounded child reads Slurm's files.
pub fn concerns(job: &Job, config: &Config) -> bool {
    match config.node.shared_gpus {
        Some(is_shared) => is_shared,
        None => {
            let noted = Store::at(&config.node.state_dir, &job.node, std::time::Duration::ZERO).shared_gpus();
            job.shares_gpus || noted.is_none_or(|noted| noted.cause.is_some())
        }
    }
}

/// Why the GPUs of a job's node may be shared; none where they are not.
pub fn cause_for(job: &Job, config: &Config) -> Option<String> {
    cause(config, job.slurm_conf.as_deref(), &job.node).or_else(|| cause_by_job(job))
}

/// The same by the job's environment alone.
pub fn cause_by_job(job: &Job) -> Option<String> {
    job.shares_gpus.then(|| "the job's environment tells so".to_owned())
}

/// Why a node's GPUs may be shared: by the configuration, else by Slurm's files.
pub fn cause(config: &Config, slurm_conf: Option<&Path>, node: &str) -> Option<String> {
    match config.node.shared_gpus {
        Some(is_shared) => is_shared.then(|| "shared_gpus = true".to_owned()),
        None => files(slurm_conf).iter().find_map(|path| cause_by_file(path, node)),
    }
}

/// What one of Slurm's files says of a node. In doubt its GPUs may be shared: that costs a plain job its registration.
fn cause_by_file(path: &Path, node: &str) -> Option<String> {
    let lines = gres::lines(path).transpose()?;
    match lines.and_then(|lines| gres_conf::has_shares(&lines, node)) {
        Ok(has_shares) => has_shares.then(|| format!("{} has shards or MPS", path.display())),
        Err(cause) => Some(format!("{}: {cause}", path.display())),
    }
}

/// gres.conf and slurm.conf.
fn files(slurm_conf: Option<&Path>) -> [PathBuf; 2] {
    let slurm_conf = slurm_conf.unwrap_or(Path::new("/etc/slurm/slurm.conf"));
    [slurm_conf.with_file_name("gres.conf"), slurm_conf.to_owned()]
}

/// Notes whether the node's GPUs may be shared. Jobs that have a step by now, and were not registered, may be on any of them.
pub fn note(store: &Store, config: &Config, cause: Option<String>, slurm_conf: Option<&Path>) -> anyhow::Result<()> {
    // What one job's environment told holds for the next one too.
    let stays = |noted: &SharedGpus| match (noted.cause.is_some(), cause.is_some()) {
        (true, false) => config.node.shared_gpus.is_none(),
        (before, now) => before == now,
    };
    // Without the files nothing is certain: slurm.conf may be elsewhere.
    let is_unknown = || cause.is_none() && config.node.shared_gpus.is_none() && !files(slurm_conf)[0].exists();
    if store.shared_gpus().as_ref().is_some_and(stays) || is_unknown() {
        return Ok(());
    }
    let steps = || alive::jobs_of(Path::new("/proc"), slurm_conf).into_iter().filter(|&job| !store.has_job(job)).collect();
    // Where an admin says so from the start, every prolog has registered its job.
    let earlier_jobs = if cause.is_some() { steps() } else { Vec::new() };
    store.write_shared_gpus(&SharedGpus {
        cause,
        earlier_jobs,
        slurm_conf: slurm_conf.map(Path::to_owned),
        ..SharedGpus::default()
    })
}

/// What is on a GPU beside the jobs that are registered there; none where nothing is.
pub fn foreign(store: &Store, gpu: &GpuState, driver: &dyn Driver) -> Option<String> {
    // A measurement by hand is the admin's own business.
    if gpu.holders.iter().any(|holder| holder.job == crate::profile::JOB) {
        return None;
    }
    let noted = store.shared_gpus().filter(|noted| noted.cause.is_some());
    if let Some(job) = noted.as_ref().and_then(|noted| earlier_job(store, noted)) {
        return Some(format!("job {job}, which began before CARM registered this node's jobs"));
    }
    let pids = match driver.processes(&gpu.uuid) {
        Ok(pids) => pids,
        Err(error) => return noted.map(|_| error.to_string()),
    };
    let jobs: Vec<u32> = gpu.present().map(|holder| holder.job).collect();
    let users: Vec<u32> = jobs.iter().filter_map(|&job| store.job(job)?.uid).collect();
    let processes = pids.into_iter().filter_map(|pid| Process::read(Path::new("/proc"), pid));
    let mut foreign = processes.filter(|process| process.is_foreign(&jobs, &users, noted.is_some()));
    foreign.next().map(|process| process.to_string())
}

fn earlier_job(store: &Store, noted: &SharedGpus) -> Option<u32> {
    if noted.earlier_jobs.is_empty() {
        return None;
    }
    let alive = alive::jobs_of(Path::new("/proc"), noted.slurm_conf.as_deref());
    noted.earlier_jobs.iter().copied().find(|&job| alive.contains(&job) && !store.has_job(job))
}
