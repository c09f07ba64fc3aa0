//! The epilog: gives a job's GPUs back and books what it used. Works without a prolog's state, without a driver, and for a
//! job that CARM never saw.

use std::time::Duration;

use anyhow::Result;
use carm::config::Config;
use carm::ledger::{Exit, Mark, Record};
use carm::quantity::{decimals, format_instant, format_mass, parse_instant};
use carm::site::Outlook;
use chrono::{DateTime, Utc};

use crate::clocks::Part;
use crate::count::{self, Around};
use crate::gpu::{Driver, Nvml};
use crate::job::{GpuNames, Job};
use crate::state::{GpuState, JobGpu, JobState, Store};
use crate::{booking, clocks, exit, history};

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
    let mut state = store.job(job.id);
    let parts = give_back(&store, &job.node, job.id, state.as_mut(), config, now);
    // Last, when the GPUs are free: it may take a second.
    let ended = exit::of_run(job, config, state.as_ref());
    close(&store, job, config, state, parts, ended, now)
}

/// Gives a job's GPUs back; what their journals say of its part, GPU by GPU as the job has them. Before a GPU is let go the job's
/// state has what it used: whoever closes the job after a kill finds it there.
pub fn give_back(
    store: &Store,
    node: &str,
    job: u32,
    mut state: Option<&mut JobState>,
    config: &Config,
    now: DateTime<Utc>,
) -> Vec<Option<Part>> {
    let owed: Vec<String> = store.gpus().into_iter().filter(|uuid| is_owed(store, uuid, job)).collect();
    let used: Vec<JobGpu> = state.iter().flat_map(|state| state.gpus.clone()).collect();
    if used.is_empty() && owed.is_empty() {
        return Vec::new();
    }
    let nvml = Nvml::load(&config.node.nvml_library).inspect_err(|error| {
        log::warn!("job {job}: {error}; its clocks are put back by the next prolog, epilog or carm-prolog reset");
    });
    let driver = nvml.as_ref().ok().map(|nvml| nvml as &dyn Driver);
    // The counters first: once the job's GPUs are free their energy is another's; at a second attempt it may be already.
    let is_first = state.as_ref().is_some_and(|state| state.ended.is_none());
    let whole = |gpu: &JobGpu, driver: &dyn Driver| {
        // A journal that is locked, or was reset by hand, tells nothing: then the readings at start and end do.
        let used = driver.energy_j(&gpu.uuid).ok()? - gpu.energy_start_j?;
        (used >= 0.0).then(|| Part::alone(used))
    };
    let counted_j = state.as_ref().map(|state| state.counted.joules.clone()).unwrap_or_default();
    let mut parts: Vec<Option<Part>> = match driver {
        Some(driver) if is_first => {
            let part =
                |gpu: &JobGpu| clocks::read_part(store, driver, &gpu.uuid, job).ok().flatten().or_else(|| whole(gpu, driver));
            used.iter().map(part).collect()
        }
        Some(_) => used.iter().map(|gpu| counted_j.get(&gpu.uuid).copied().map(Part::alone)).collect(),
        None => vec![None; used.len()],
    };
    if let (Some(state), true) = (&mut state, is_first && driver.is_some()) {
        count_to(state, &parts, config, node, None, now);
        state.ended = Some(format_instant(now));
        if let Err(error) = store.rewrite_job(state) {
            log::warn!("job {job}: {error:#}");
        }
    }
    for (gpu, part) in used.iter().zip(&mut parts) {
        let released = release(store, driver, &gpu.uuid, job, config);
        *part = part.or(released.filter(|_| is_first));
    }
    // And what else the journal says: a prolog that was cut short may not have told all in the job's state.
    for uuid in owed.iter().filter(|uuid| used.iter().all(|gpu| gpu.uuid != **uuid)) {
        release(store, driver, uuid, job, config);
    }
    parts
}

/// Counts a job to its end, books it, and forgets it. Whoever comes second finds it gone and does nothing.
pub fn close(
    store: &Store,
    job: &Job,
    config: &Config,
    state: Option<JobState>,
    parts: Vec<Option<Part>>,
    ended: Option<Exit>,
    now: DateTime<Utc>,
) -> Result<()> {
    let _lock = store.lock_jobs().inspect_err(|error| log::warn!("job {}: {error:#}", job.id)).ok();
    // A governor may have counted it meanwhile.
    let fresh = store.job(job.id);
    if state.is_some() && fresh.is_none() && !store.has_job(job.id) {
        return Ok(());
    }
    book(job, config, fresh.or(state), &parts, ended, now);
    store.remove_job(job.id)
}

/// Does what the epilog of a job should have done that never came.
pub fn make_up_for(
    store: &Store,
    node: &str,
    id: u32,
    mut state: Option<JobState>,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<()> {
    if let Some(state) = &mut state {
        state.mark([Mark::NoEpilog]);
        if let Err(error) = store.rewrite_job(state) {
            log::error!("job {id}: {error:#}");
        }
    }
    let parts = give_back(store, node, id, state.as_mut(), config, now);
    let known = state.as_ref().map(|state| state.to_job(node));
    match known {
        Some(job) => close(store, &job, config, state, parts, None, now),
        // Nothing is known of it, nothing can be booked.
        None => store.remove_job(id),
    }
}

/// Closes a job whose epilog was stuck or killed: what is known without the driver, and a mark for what is not. Its GPUs
/// are put back by the next prolog or epilog.
pub fn cut_short(job: &Job, config: &Config, patience: Duration, now: DateTime<Utc>) -> Result<()> {
    let store = Store::open(&config.node.state_dir, &job.node, patience)?;
    let Some(mut state) = store.job(job.id) else { return Ok(()) };
    state.mark([Mark::CutShort]);
    // To keep the mark is good, to close the job is what matters: on a full disk too.
    let kept = store.write_job(&state);
    let (parts, ended) = (vec![None; state.gpus.len()], exit::known_without_asking(job, &state));
    close(&store, job, config, Some(state), parts, ended, now).and(kept)
}

/// Whether a GPU is held by the job, or by nobody who is left, and still owed its clocks.
fn is_owed(store: &Store, uuid: &str, job: u32) -> bool {
    let owed = |gpu: GpuState| gpu.holders.iter().any(|holder| holder.job == job) || !store.is_held(&gpu);
    store.peek_gpu(uuid).is_some_and(owed)
}

fn book(
    job: &Job,
    config: &Config,
    mut state: Option<JobState>,
    parts: &[Option<Part>],
    ended: Option<Exit>,
    now: DateTime<Utc>,
) {
    let worth_a_line = match &state {
        Some(state) => state.booked,
        // slurmd may run an epilog again: a line without state must not stand beside the one with it.
        None => job.is_carbon() && job.gpus != GpuNames::None && !history::is_booked(job, config, now),
    };
    if !worth_a_line {
        return;
    }
    let (mut grid, mut end, mut outlook) = (Vec::new(), now, None);
    if let Some(state) = &mut state {
        if !state.ready {
            state.mark([Mark::CutShort]);
        }
        // The end of the run is when it was first about to be closed.
        end = state.ended.as_deref().and_then(|text| parse_instant(text).ok()).unwrap_or(now);
        outlook = count_to(state, parts, config, &job.node, job.partition.clone(), end);
        let record = booking::record(job, config, Some(state), parts, outlook.as_ref(), end);
        grid = outlook.as_ref().map(|outlook| booking::grid(&record, state, config, outlook)).unwrap_or_default();
    }
    let record = booking::record(job, config, state.as_ref(), parts, outlook.as_ref(), end);
    append(&Record { exit: ended, grid, ..record }, config, now);
}

/// Counts a job up to its end; the grid that it was counted by.
fn count_to(
    state: &mut JobState,
    parts: &[Option<Part>],
    config: &Config,
    node: &str,
    partition: Option<String>,
    now: DateTime<Utc>,
) -> Option<Outlook> {
    let partition = partition.or_else(|| state.partition.clone());
    let site = config.site_of(partition.as_deref(), node).map(|(_, site)| site);
    let outlook = site.and_then(|site| outlook(config, site, state, now));
    count::count(state, parts, None, &Around { config, site, outlook: outlook.as_ref() }, now);
    outlook
}

/// The grid for booking: as it was since the job was last counted.
fn outlook(config: &Config, site: &carm::config::Site, state: &JobState, now: DateTime<Utc>) -> Option<Outlook> {
    let from = count::counted_until(state, now);
    Outlook::load_since(config, site, from, now).inspect_err(|error| log::warn!("{error}; no carbon is booked")).ok()
}

/// Appends a line to the ledger; one that cannot be written stands in the log.
pub fn append(record: &Record, config: &Config, now: DateTime<Utc>) -> bool {
    match carm::ledger::append(&config.node.ledger_dir, record, now) {
        Ok(_) => {
            log::info!(
                "job {}: {} kWh at the facility, {}; GPU energy {} J",
                record.job,
                decimals(record.energy_kwh, 4),
                format_mass(record.carbon_g),
                decimals(record.gpu_energy_j, 0)
            );
            true
        }
        Err(error) => {
            let line = serde_json::to_string(record).unwrap_or_default();
            log::error!("job {}: its ledger line: {error}; the line is: {line}", record.job);
            false
        }
    }
}

fn release(store: &Store, driver: Option<&dyn Driver>, uuid: &str, job: u32, config: &Config) -> Option<clocks::Part> {
    clocks::release(store, driver, uuid, job, config.node.restore_mhz).unwrap_or_else(|error| {
        log::error!("job {job}: gpu {uuid}: {error:#}; its clocks are put back by the next prolog, epilog or carm-prolog reset");
        None
    })
}
