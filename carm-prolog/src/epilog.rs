//! The epilog: gives a job's GPUs back, and spools what is known of its run. It reads and writes the state folder alone, and the
//! driver: the line for the ledger is made later ([`crate::deliver`]). Works without a prolog's state, and without a driver.

use anyhow::{Context, Result};
use carm::config::Config;
use carm::ledger::{Exit, Mark};
use carm::quantity::{format_instant, parse_instant};
use chrono::{DateTime, Utc};

use crate::clocks::Part;
use crate::gpu::{Driver, Nvml};
use crate::job::{GpuNames, Job};
use crate::state::{End, Entry, GpuState, JobGpu, JobState, Store};
use crate::{bounded, clocks, exit, prolog, resolve};

/// The node on which a run ends.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub store: &'a Store,
    pub node: &'a str,
    pub config: &'a Config,
    /// None: it does not load, or may not be asked.
    pub driver: Option<&'a dyn Driver>,
}

/// Ends the run of a job on a node. What it gives back could not be written to the state folder.
pub fn run(job: &Job, config: &Config, store: &Store, now: DateTime<Utc>) -> Result<(), Box<JobState>> {
    let state = match store.job(job.id) {
        None if is_worth_a_line(job, store) => Some(JobState::without_prolog(job)),
        state => state,
    };
    let exit = state.as_ref().and_then(|state| exit::of_run(job, state));
    if let Some(state) = state.as_ref().filter(|state| state.lacks_cards() && Store::has_governor(&config.node.state_dir)) {
        // Its prolog found no cards, and their names are in files: the governor reads them, and the counters.
        let end = End { at: format_instant(now), node: job.node.clone(), parts: Vec::new(), exit, is_unread: true };
        let unread = JobState { end: Some(end), ..state.clone() };
        if note(store, &unread).is_ok() {
            return Ok(());
        }
    }
    let has_gpus = state.as_ref().is_some_and(|state| !state.gpus.is_empty() || state.earlier.is_some());
    let nvml = (has_gpus || !owed(store, job.id).is_empty()).then(|| {
        Nvml::load(&config.node.nvml_library).inspect_err(|error| {
            log::warn!("job {}: {error}; its clocks are put back by the next prolog, epilog or carm-prolog reset", job.id);
        })
    });
    let driver = nvml.as_ref().and_then(|nvml| nvml.as_ref().ok()).map(|nvml| nvml as &dyn Driver);
    end(Place { store, node: &job.node, config, driver }, job.id, state, exit, now)
}

/// A job with carbon options that has no state: its prolog failed, or slurmd runs its epilog once more.
fn is_worth_a_line(job: &Job, store: &Store) -> bool {
    // The epilog of a requeued job's run counts the next one.
    let is_ended = |spooled: &crate::state::Spooled| matches!(&spooled.entry, Entry::Ended(state) if state.job == job.id && state.run + 1 >= job.restart_count);
    job.is_carbon() && job.gpus != GpuNames::None && !store.spool().iter().any(is_ended)
}

/// Does what the epilog of a job should have done that never came.
pub fn make_up_for(place: Place, id: u32, mut state: Option<JobState>, now: DateTime<Utc>) {
    if let Some(state) = &mut state {
        find_cards(place, state);
        state.mark([Mark::NoEpilog]);
    }
    end_or_log(place, id, state, None, now);
}

fn end_or_log(place: Place, id: u32, state: Option<JobState>, exit: Option<Exit>, now: DateTime<Utc>) {
    if let Err(state) = end(place, id, state, exit, now) {
        log::error!("job {id}: its run could not be spooled; it is: {}", serde_json::to_string(&state).unwrap_or_default());
    }
}

/// Reads the counters, gives the GPUs back, spools the run.
fn end(place: Place, id: u32, mut state: Option<JobState>, exit: Option<Exit>, now: DateTime<Utc>) -> Result<(), Box<JobState>> {
    let Place { store, config, driver, .. } = place;
    let owed = owed(store, id);
    let used: Vec<JobGpu> = state.iter().flat_map(|state| state.gpus.clone()).collect();
    if let Some(state) = &mut state {
        close_earlier(place, state, now);
    }
    // The counters first: once the job's GPUs are free their energy is another's. At a second attempt it may be already.
    let state = state.map(|state| match state.end {
        Some(_) => state,
        None => read_end(place, state, exit, now),
    });
    // The parent was killed while the driver hung: what was read now may be another job's.
    let state = state.map(|mut state| {
        state.mark(bounded::is_orphan().then_some(Mark::CutShort));
        state
    });
    let stored = state.as_ref().map(|state| note(store, state));
    let release = |uuid: &str| {
        clocks::release(store, driver, uuid, id, &config.node).map_err(|error| {
            log::error!(
                "job {id}: gpu {uuid}: {error:#}; its clocks are put back by the next prolog, epilog or carm-prolog reset"
            );
        })
    };
    used.iter().for_each(|gpu| _ = release(&gpu.uuid));
    // And what else the journal names: a prolog that was cut short may not have written all to the job's state.
    owed.iter().filter(|uuid| used.iter().all(|gpu| gpu.uuid != **uuid)).for_each(|uuid| _ = release(uuid));
    spool(store, id, state, stored)
}

/// Spools the earlier run of a job whose epilog never came, and takes it off its GPUs. Until then it is part of the state of the
/// present run, so that it outlives a prolog that hangs in the driver.
pub fn close_earlier(place: Place, state: &mut JobState, now: DateTime<Utc>) {
    let Place { store, config, driver, .. } = place;
    let Some(mut earlier) = state.earlier.take() else { return };
    let id = earlier.job;
    log::warn!("job {id}: the epilog of its run {} never came", earlier.run);
    earlier.mark([Mark::NoEpilog]);
    // Where the driver hung in its epilog, the counters are still to be read.
    let unread = earlier.end.take_if(|end| end.is_unread);
    if earlier.end.is_none() {
        let at = unread.as_ref().and_then(|end| parse_instant(&end.at).ok()).unwrap_or(now);
        *earlier = read_end(place, *earlier, unread.and_then(|end| end.exit), at);
    }
    if let Err(error) = store.spool_ended(&earlier).and_then(|()| store.rewrite_job(state)) {
        let line = serde_json::to_string(&earlier).unwrap_or_default();
        log::error!("job {id}: its run {} could not be spooled: {error:#}; it is: {line}", earlier.run);
    }
    for gpu in &earlier.gpus {
        if let Err(error) = clocks::release(store, driver, &gpu.uuid, id, &config.node) {
            log::error!("job {id}: gpu {}: {error:#}", gpu.uuid);
        }
    }
}

/// The job's state with what its GPUs' counters show; without a driver what their journals have.
fn read_end(place: Place, mut state: JobState, exit: Option<Exit>, now: DateTime<Utc>) -> JobState {
    let Place { store, node, driver, .. } = place;
    let mut is_doubtful = false;
    let journalled = |gpu: &JobGpu| {
        let part = clocks::part_of(&store.peek_gpu(&gpu.uuid)?, state.job)?;
        Some(Part { lost: true, ..part })
    };
    let mut part = |gpu: &JobGpu, driver: &dyn Driver| match clocks::read_part(store, driver, &gpu.uuid, state.job) {
        Ok(Some(part)) => Some(part),
        // A journal that was reset by hand, or that another process keeps locked: the counter at start and end is left. That
        // it is the job's alone is not known.
        other => {
            let used_j = driver.energy_j(&gpu.uuid).ok()? - gpu.energy_start_j?;
            is_doubtful |= other.is_err();
            (used_j >= 0.0).then(|| Part::alone(used_j))
        }
    };
    let parts = state.gpus.iter().map(|gpu| driver.map_or_else(|| journalled(gpu), |driver| part(gpu, driver))).collect();
    if is_doubtful {
        state.mark([Mark::EnergyLost]);
    }
    state.end = Some(End { at: format_instant(now), node: node.to_owned(), parts, exit, is_unread: false });
    state
}

/// Writes the end to the job's state before any GPU is freed, so that it survives a kill. False if another process has spooled the
/// job meanwhile.
fn note(store: &Store, state: &JobState) -> Result<bool> {
    let _lock = store.lock_jobs().inspect_err(|error| log::warn!("job {}: {error:#}", state.job)).ok();
    if !state.start.is_empty() && !store.has_job(state.job) {
        return Ok(false);
    }
    // A governor may have counted it meanwhile.
    let mut fresh = store.job(state.job).filter(|fresh| fresh.run == state.run).unwrap_or_else(|| state.clone());
    fresh.mark(state.marks.iter().copied());
    fresh.end.clone_from(&state.end);
    if fresh.gpus.is_empty() {
        fresh.gpus.clone_from(&state.gpus);
    }
    store.write_job(&fresh).map(|()| true)
}

/// Moves the run to the spool, and forgets a job that is worth no line.
fn spool(store: &Store, id: u32, state: Option<JobState>, stored: Option<Result<bool>>) -> Result<(), Box<JobState>> {
    let _lock = store.lock_jobs().inspect_err(|error| log::warn!("job {id}: {error:#}")).ok();
    let forget = || {
        if let Err(error) = store.remove_job(id) {
            log::error!("job {id}: {error:#}");
        }
    };
    match (state, stored) {
        (_, Some(Ok(false))) => Ok(()),
        (Some(state), Some(stored)) if state.booked => {
            // Where the state is gone, another process has spooled it: a rename has one winner, locked or not.
            let rename = || store.spool_job(id, state.run).or_else(|error| if store.has_job(id) { Err(error) } else { Ok(()) });
            let spooled = stored.and_then(|_| rename());
            spooled.context("spooling the run").map_err(|error| {
                log::error!("job {id}: {error:#}");
                forget();
                Box::new(state)
            })
        }
        _ => {
            forget();
            Ok(())
        }
    }
}

/// Ends a job whose epilog was stuck or killed: what is known without the driver. Its GPUs are put back by the governor, which reads the
/// counters then; without one by the next prolog or epilog.
pub fn cut_short(job: &Job, store: &Store, config: &Config, now: DateTime<Utc>) -> Result<(), Box<JobState>> {
    let Some(mut state) = store.job(job.id) else { return Ok(()) };
    let place = Place { store, node: &job.node, config, driver: None };
    close_earlier(place, &mut state, now);
    state.mark([Mark::CutShort]);
    let exit = exit::of_run(job, &state);
    let is_unread = state.end.is_none() && state.booked && !state.start.is_empty() && Store::has_governor(&config.node.state_dir);
    if state.end.is_none() {
        state = read_end(place, state, exit, now);
    }
    if let Some(end) = state.end.as_mut().filter(|_| is_unread) {
        end.is_unread = true;
    }
    let stored = note(store, &state);
    match stored {
        Ok(_) if is_unread => Ok(()),
        stored => spool(store, job.id, Some(state), Some(stored)),
    }
}

/// Finishes an epilog in which the driver hung.
pub fn finish(place: Place, mut state: JobState) {
    let Some(end) = state.end.take() else { return };
    let at = parse_instant(&end.at).unwrap_or_else(|_| Utc::now());
    find_cards(place, &mut state);
    end_or_log(place, state.job, Some(state), end.exit, at);
}

/// Finds the cards of a job whose prolog did not.
fn find_cards(place: Place, state: &mut JobState) {
    if let (true, Some(driver)) = (state.lacks_cards(), place.driver)
        && let Ok(cards) = resolve::cards(&state.to_job(place.node), place.config, driver)
    {
        state.gpus = prolog::meter_late(place.store, &cards, state);
        state.mark([Mark::EnergyLost]);
    }
}

/// The GPUs that are held by the job, or by nobody who is left, and still owed their clocks.
fn owed(store: &Store, id: u32) -> Vec<String> {
    store.gpus().into_iter().filter(|uuid| is_owed(store, uuid, id)).collect()
}

/// Whether a GPU is held by the job, or by nobody who is left, and still owed its clocks.
fn is_owed(store: &Store, uuid: &str, job: u32) -> bool {
    let owed = |gpu: GpuState| gpu.holders.iter().any(|holder| holder.job == job) || !store.is_held(&gpu);
    store.peek_gpu(uuid).is_some_and(owed)
}
