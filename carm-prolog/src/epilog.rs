//! The epilog: gives a job's GPUs back and books what it used. Works without a prolog's state, without a driver, and for a
//! job that CARM never saw.

use std::time::Duration;

use anyhow::Result;
use carm::config::Config;
use carm::ledger::{Exit, Record};
use chrono::{DateTime, Utc};

use crate::booking::{self, Metered};
use crate::gpu::{Driver, Nvml};
use crate::job::{GpuNames, Job};
use crate::state::{GpuState, JobState, Store};
use crate::{clocks, exit, history};

/// Gives back, then books.
pub fn run(job: &Job, config: &Config, patience: Duration, now: DateTime<Utc>) -> Result<()> {
    let store = match Store::open(&config.node.state_dir, &job.node, patience) {
        Ok(store) => store,
        Err(error) => {
            log::error!("job {}: {error:#}; what its GPUs used is not known", job.id);
            book(job, config, None, &[], None, now);
            return Ok(());
        }
    };
    let state = store.job(job.id);
    let owed: Vec<String> = store.gpus().into_iter().filter(|uuid| is_owed(&store, uuid, job.id)).collect();
    let used = state.iter().flat_map(|state| &state.gpus);
    let mut metered = Vec::new();
    if used.clone().next().is_some() || !owed.is_empty() {
        let nvml = Nvml::load(&config.node.nvml_library).inspect_err(|error| {
            log::warn!("job {}: {error}; its clocks are put back by the next prolog, epilog or carm-prolog reset", job.id);
        });
        let driver = nvml.as_ref().ok().map(|nvml| nvml as &dyn Driver);
        // The counters first: once the job's GPUs are free their energy is another's.
        let ends: Vec<Option<f64>> = used.clone().map(|gpu| driver?.energy_j(&gpu.uuid).ok()).collect();
        metered.extend(used.zip(ends).map(|(gpu, energy_end_j)| Metered {
            gpu: gpu.clone(),
            energy_end_j,
            part: release(&store, driver, &gpu.uuid, job.id, config),
        }));
        // And what else the journal says: a prolog that was cut short may not have told all in the job's state.
        for uuid in owed.iter().filter(|uuid| metered.iter().all(|known| known.gpu.uuid != **uuid)) {
            release(&store, driver, uuid, job.id, config);
        }
    }
    // Last, when the GPUs are free: it may take a second.
    let ended = exit::of_run(job, config, state.as_ref());
    book(job, config, state.as_ref(), &metered, ended, now);
    store.remove_job(job.id)
}

/// Closes a job whose epilog was stuck or killed: what is known without the driver, and a mark for what is not. Its GPUs
/// are put back by the next prolog or epilog.
pub fn cut_short(job: &Job, config: &Config, patience: Duration, now: DateTime<Utc>) -> Result<()> {
    let store = Store::open(&config.node.state_dir, &job.node, patience)?;
    let Some(mut state) = store.job(job.id) else { return Ok(()) };
    state.mark([carm::ledger::Mark::CutShort]);
    let metered: Vec<Metered> =
        state.gpus.iter().map(|gpu| Metered { gpu: gpu.clone(), energy_end_j: None, part: None }).collect();
    book(job, config, Some(&state), &metered, exit::known_without_asking(job, &state), now);
    store.remove_job(job.id)
}

/// Whether a GPU is held by the job, or by nobody who is left, and still owed its clocks.
fn is_owed(store: &Store, uuid: &str, job: u32) -> bool {
    let owed = |gpu: GpuState| gpu.holders.iter().any(|holder| holder.job == job) || !store.is_held(&gpu);
    store.peek_gpu(uuid).is_some_and(owed)
}

fn book(job: &Job, config: &Config, state: Option<&JobState>, metered: &[Metered], ended: Option<Exit>, now: DateTime<Utc>) {
    let worth_a_line = match state {
        Some(state) => state.booked,
        // slurmd may run an epilog again: a line without state must not stand beside the one with it.
        None => job.is_carbon() && job.gpus != GpuNames::None && !history::is_booked(job, config, now),
    };
    if !worth_a_line {
        return;
    }
    let record = Record { exit: ended, ..booking::record(job, config, state, metered, now) };
    match carm::ledger::append(&config.node.ledger_dir, &record, now) {
        Ok(_) => log::info!(
            "job {}: {:.4} kWh at the facility, {}; GPU energy {:.0} J",
            job.id,
            record.energy_kwh,
            carm::quantity::format_mass(record.carbon_g),
            record.gpu_energy_j
        ),
        Err(error) => {
            let line = serde_json::to_string(&record).unwrap_or_default();
            log::error!("job {}: its ledger line: {error}; the line is: {line}", job.id);
        }
    }
}

fn release(store: &Store, driver: Option<&dyn Driver>, uuid: &str, job: u32, config: &Config) -> Option<clocks::Part> {
    clocks::release(store, driver, uuid, job, config.node.restore_mhz).unwrap_or_else(|error| {
        log::error!("job {job}: gpu {uuid}: {error:#}; its clocks are put back by the next prolog, epilog or carm-prolog reset");
        None
    })
}
