//! The epilog: gives a job's GPUs back and books what it used. Works without a prolog's state, without a driver, and for a
//! job that CARM never saw.

use anyhow::Result;
use carm::config::Config;
use chrono::{DateTime, Utc};

use crate::booking::{self, Metered};
use crate::clocks;
use crate::gpu::{Driver, Nvml};
use crate::job::Job;
use crate::state::{JobState, Store};

/// Gives back, then books.
pub fn run(job: &Job, config: &Config, now: DateTime<Utc>) -> Result<()> {
    let store = Store::open(&config.node.state_dir, &job.node)?;
    let state = store.job(job.id);
    if state.is_none() && !job.is_carbon() && !holds_any(&store, job.id) {
        return Ok(());
    }
    let nvml = match Nvml::load(&config.node.nvml_library) {
        Ok(nvml) => Some(nvml),
        Err(error) => {
            log::warn!("job {}: {error}; its clocks are put back by the next epilog, prolog or carm-prolog reset", job.id);
            None
        }
    };
    let driver = nvml.as_ref().map(|nvml| nvml as &dyn Driver);
    // The counters first: once the job's GPUs are free their energy is another's.
    let ends: Vec<Option<f64>> = state.iter().flat_map(|state| &state.gpus).map(|gpu| driver?.energy_j(&gpu.uuid).ok()).collect();
    let mut metered = Vec::new();
    for (gpu, energy_end_j) in state.iter().flat_map(|state| &state.gpus).zip(ends) {
        let jobs = release(&store, driver, &gpu.uuid, job.id, config);
        metered.push(Metered { gpu: gpu.clone(), energy_end_j, jobs });
    }
    // Whatever else the journal says this job holds: the state of a prolog that was killed does not know it.
    for uuid in store.gpus() {
        if store.peek_gpu(&uuid).is_some_and(|gpu| owes(&gpu, job.id)) {
            release(&store, driver, &uuid, job.id, config);
        }
    }
    if state.is_some() || job.is_carbon() {
        book(job, config, state.as_ref(), &metered, now);
    }
    store.remove_job(job.id)
}

/// Books a job whose GPUs did not answer in time: what is known without the driver, and a mark for what is not.
pub fn book_without_driver(job: &Job, config: &Config, now: DateTime<Utc>) -> Result<()> {
    let store = Store::open(&config.node.state_dir, &job.node)?;
    let Some(state) = store.job(job.id) else { return Ok(()) };
    let metered: Vec<Metered> = state.gpus.iter().map(|gpu| Metered { gpu: gpu.clone(), energy_end_j: None, jobs: 1 }).collect();
    book(job, config, Some(&state), &metered, now);
    store.remove_job(job.id)
}

fn book(job: &Job, config: &Config, state: Option<&JobState>, metered: &[Metered], now: DateTime<Utc>) {
    let record = booking::record(job, config, state, metered, now);
    match carm::ledger::append(&config.node.ledger_dir, &record, now) {
        Ok(_) => log::info!(
            "job {}: {:.4} kWh at the facility, {}; GPU energy {:.0} J",
            job.id,
            record.energy_kwh,
            carm::quantity::format_mass(record.carbon_g),
            record.gpu_energy_j
        ),
        Err(error) => log::error!("job {}: its ledger line: {error}", job.id),
    }
}

fn release(store: &Store, driver: Option<&dyn Driver>, uuid: &str, job: u32, config: &Config) -> u32 {
    clocks::release(store, driver, uuid, job, config.node.restore_mhz).unwrap_or_else(|error| {
        log::error!("job {job}: gpu {uuid}: {error:#}; its clocks are put back by the next epilog or carm-prolog reset");
        1
    })
}

fn holds_any(store: &Store, job: u32) -> bool {
    store.gpus().iter().filter_map(|uuid| store.peek_gpu(uuid)).any(|gpu| owes(&gpu, job))
}

/// Whether the GPU is held by the job, or by nobody and still owed its clocks.
fn owes(gpu: &crate::state::GpuState, job: u32) -> bool {
    gpu.holders.is_empty() || gpu.holders.iter().any(|holder| holder.job == job)
}
