//! The prolog: takes a job up. Journal, decision, clocks; whatever fails, the job runs, at full clock.

use anyhow::Result;
use carm::config::{Account, Clocks, Config};
use carm::ledger::Mark;
use carm::quantity::{format_instant, parse_instant};
use chrono::{DateTime, TimeDelta, Utc};

use crate::clocks::{self, Applied};
use crate::decide::{self, Choice};
use crate::epilog::Place;
use crate::gpu::{Card, Driver, Nvml};
use crate::job::{GpuNames, Job};
use crate::resolve;
use crate::shared;
use crate::state::{IdleCounter, JobGpu, JobState, Store};
use crate::{bounded, deliver, epilog, share};

/// The decision of a job that its governor has not looked at yet.
pub const LEFT_TO_GOVERNOR: &str = "the governor decides";

/// Whether there is anything to do for a job at all: without a carbon option nothing is, unless every job is booked, or the job
/// may have been put on a GPU whose clocks CARM holds for another.
pub fn concerns(job: &Job, config: &Config) -> bool {
    is_booked(job, config) || Store::concerns(&config.node.state_dir, &job.node, job.id)
}

/// The same at a job's start: a job on GPUs that may be shared is registered.
pub fn concerns_at_start(job: &Job, config: &Config) -> bool {
    concerns(job, config) || job.gpus != GpuNames::None && shared::concerns(job, config)
}

/// Whether a job is taken up. Without a governor's note Slurm's files are read.
pub fn takes_up(job: &Job, config: &Config) -> bool {
    let is_shared = || match Store::is_governed(&config.node) {
        true => shared::concerns(job, config),
        false => shared::cause_for(job, config).is_some(),
    };
    concerns(job, config) || job.gpus != GpuNames::None && is_shared()
}

fn is_booked(job: &Job, config: &Config) -> bool {
    job.gpus != GpuNames::None && (job.is_carbon() || config.node.account == Account::All)
}

/// Takes the job up. `fault` is what is wrong with the configuration: then no GPU is touched for it.
pub fn run(job: &Job, config: &Config, fault: Option<String>, store: &Store, now: DateTime<Utc>) -> Result<()> {
    let booked = is_booked(job, config);
    let is_governed = Store::is_governed(&config.node);
    // A governor reads Slurm's files, and notes what they say.
    let shared = if is_governed { shared::cause_by_job(job) } else { shared::cause_for(job, config) };
    if (shared.is_some() || !is_governed)
        && let Err(error) = shared::note(store, config, shared, job.slurm_conf.as_deref())
    {
        log::warn!("{error:#}");
    }
    let mut state = JobState::begun(job, booked, now);
    if booked {
        // A run whose prolog was killed never began; one before it may have.
        state.earlier = store.job(job.id).and_then(|stored| match stored.ready && stored.run != job.restart_count {
            true => Some(Box::new(stored)),
            false => stored.earlier,
        });
        // First of all: an epilog must know the job even if this prolog is killed, or stuck in the driver, from here on.
        store.write_job(&state)?;
    }
    let taken = match Nvml::load(&config.node.nvml_library) {
        Err(error) => {
            epilog::close_earlier(Place { store, node: &job.node, config, driver: None }, &mut state, now);
            Err(error.to_string())
        }
        Ok(nvml) => {
            epilog::close_earlier(Place { store, node: &job.node, config, driver: Some(&nvml) }, &mut state, now);
            settle(store, &nvml, config);
            // A job that is only to have full clock needs no right configuration.
            match fault.filter(|_| booked) {
                Some(fault) => {
                    state.mark([Mark::Unconfigured]);
                    Err(fault)
                }
                None => resolve::cards(job, config, &nvml).and_then(|cards| {
                    if booked {
                        take(job, config, (store, is_governed), &nvml, &cards, &mut state, now)
                    } else {
                        join(store, &nvml, config, &cards, job, state.clone())
                    }
                }),
            }
        }
    };
    let clock = state.clock_mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    let gpus = carm::quantity::counted(state.gpus.len(), "GPU");
    match taken {
        Ok(()) if !booked => return Ok(()),
        // The admin's own setting is nothing to warn of.
        Ok(()) if state.marks.iter().all(|&mark| mark == Mark::ClocksOff) => {
            log::info!("job {}: {gpus} at {clock}: {}", job.id, state.decision)
        }
        Ok(()) => log::warn!("job {}: {gpus} at {clock}: {}", job.id, state.decision),
        Err(cause) => {
            log::warn!("job {}: its GPUs are left alone: {cause}", job.id);
            state.mark([Mark::ClocksUntouched]);
            state.decision = cause;
        }
    }
    if bounded::is_orphan() {
        log::warn!("job {}: its prolog was killed while it worked", job.id);
        state.mark([Mark::CutShort]);
    }
    if booked {
        state.ready = true;
        store.rewrite_job(&state)?;
    }
    Ok(())
}

/// The prolog's child was stuck or killed: what it left stands, and the job's line will say so.
pub fn cut_short(job: &Job, store: &Store, config: &Config, cause: &str) -> Result<()> {
    let Some(mut state) = store.job(job.id) else { return Ok(()) };
    epilog::close_earlier(Place { store, node: &job.node, config, driver: None }, &mut state, Utc::now());
    state.mark([Mark::CutShort]);
    state.decision = format!("{}; {cause}", state.decision);
    state.ready = true;
    store.rewrite_job(&state)?;
    Ok(())
}

/// Finishes a prolog that hung or was killed: finds the job's cards, and puts the job on those that it is not on yet. What they used
/// before is known where the governor has seen them idle shortly before.
pub fn finish(place: Place, driver: &dyn Driver, state: &mut JobState, now: DateTime<Utc>) -> Result<()> {
    let Place { store, node, config, .. } = place;
    epilog::close_earlier(place, state, now);
    if state.gpus.is_empty() {
        match resolve::cards(&state.to_job(node), config, driver) {
            Ok(cards) => state.gpus = meter_late(store, &cards, state),
            Err(cause) => {
                log::warn!("job {}: its GPUs are left alone: {cause}", state.job);
                state.mark([Mark::ClocksUntouched]);
                state.decision = cause;
                return Ok(());
            }
        }
    }
    state.ready = true;
    state.decision = LEFT_TO_GOVERNOR.to_owned();
    if !store.rewrite_job(state)? {
        return Ok(());
    }
    for gpu in &state.gpus {
        let is_held = store.peek_gpu(&gpu.uuid).is_some_and(|stored| clocks::part_of(&stored, state.job).is_some());
        if !is_held {
            clocks::hold(store, driver, &gpu.uuid, (state.job, None), true, &config.node)?;
            clocks::credit(store, &gpu.uuid, state.job, gpu.energy_start_j)?;
        }
    }
    state.mark([Mark::CutShort, Mark::EnergyLost]);
    log::warn!("job {}: its prolog did not come to its end; the governor has taken the job up", state.job);
    Ok(())
}

/// GPUs that are still owed something by a prolog or epilog that did not come to its end.
fn settle(store: &Store, driver: &dyn Driver, config: &Config) {
    for uuid in store.gpus() {
        if store.peek_gpu(&uuid).is_some_and(|gpu| !store.is_held(&gpu))
            && let Err(error) = clocks::settle(store, driver, &uuid, &config.node)
        {
            log::warn!("gpu {uuid}: {error:#}");
        }
    }
}

/// Takes the GPUs of a job that is booked: meters, decides, locks.
fn take(
    job: &Job,
    config: &Config,
    (store, is_governed): (&Store, bool),
    driver: &dyn Driver,
    cards: &[Card],
    state: &mut JobState,
    now: DateTime<Utc>,
) -> Result<(), String> {
    state.gpus = cards.iter().map(|card| meter(card, driver)).collect();
    let write = |state: &JobState| store.write_job(state).map_err(|error| format!("{error:#}"));
    if is_governed {
        // It looks at once, and has at hand what would have to be read from files here.
        state.decision = LEFT_TO_GOVERNOR.to_owned();
        state.mark((config.node.clocks == Clocks::Off && job.is_carbon()).then_some(Mark::ClocksOff));
    } else {
        // Where a file hangs, the job is metered all the same.
        write(state)?;
        decide(job, config, driver, cards, state, now);
    }
    let clock_mhz = state.clock_mhz;
    // Before any clock moves, with what is about to be done.
    write(state)?;
    let mut applied_mhz = None;
    let mut faults: Vec<(String, Vec<&str>)> = Vec::new();
    let mut note = |cause: String, uuid| match faults.iter_mut().find(|(known, _)| *known == cause) {
        Some((_, uuids)) => uuids.push(uuid),
        None => faults.push((cause, vec![uuid])),
    };
    for (card, gpu) in cards.iter().zip(&mut state.gpus) {
        let held = clocks::hold(store, driver, &card.uuid, (job.id, clock_mhz), true, &config.node);
        let held = held.unwrap_or_else(|error| clocks::Held {
            applied: Applied::Untouched(format!("{error:#}")),
            shared: false,
            foreign: None,
            unmetered: None,
        });
        if held.shared || held.foreign.is_some() {
            state.marks.push(Mark::SharedGpu);
        }
        if let Some(foreign) = held.foreign {
            note(format!("{foreign}, is on it: full clock while it is there"), &card.uuid);
        }
        if held.unmetered.is_some() {
            gpu.energy_start_j = None;
        }
        match (held.applied, held.unmetered) {
            (Applied::Locked(mhz), _) => applied_mhz = Some(mhz),
            (Applied::Full, None) => {}
            (Applied::Full, Some(error)) => note(format!("{error}; its energy is not known"), &card.uuid),
            (Applied::Untouched(cause), _) => {
                state.marks.push(Mark::ClocksUntouched);
                note(format!("{cause}; default clocks"), &card.uuid);
            }
        }
    }
    state.clock_mhz = applied_mhz;
    for (cause, uuids) in &faults {
        state.decision.push_str(&format!("; gpu {}: {cause}", uuids.join(", ")));
    }
    state.mark([]);
    Ok(())
}

/// Decides without a governor.
fn decide(job: &Job, config: &Config, driver: &dyn Driver, cards: &[Card], state: &mut JobState, now: DateTime<Utc>) {
    // An earlier run of the job counts on its budget once it is in the ledger.
    deliver::try_ledger(config);
    let choice = decide::choose(job, config, driver, cards, now);
    let Choice { clock_mhz, reason, work_s, profile, end, budget_g, marks } = choice;
    share::freeze(state, budget_g);
    (state.clock_mhz, state.decision, state.work_s, state.profile) = (clock_mhz, reason, work_s, profile);
    state.ends = end.map(format_instant).or(state.ends.take());
    state.mark(marks);
}

/// A job that is not booked and shares a GPU with one that is, or may share it: its wish is full clock.
fn join(store: &Store, driver: &dyn Driver, config: &Config, cards: &[Card], job: &Job, state: JobState) -> Result<(), String> {
    let may_be_shared = store.shared_gpus().is_some_and(|noted| noted.cause.is_some());
    let shared: Vec<_> = cards.iter().filter(|card| may_be_shared || store.peek_gpu(&card.uuid).is_some()).collect();
    if shared.is_empty() {
        return Ok(());
    }
    // Nothing is left to decide for it; the governor looks at once who else is on its GPUs.
    store.write_job(&JobState { ready: true, ..state }).map_err(|error| format!("{error:#}"))?;
    for card in shared {
        let held = clocks::hold(store, driver, &card.uuid, (job.id, None), false, &config.node);
        match held.map(|held| (held.applied, held.shared)) {
            Ok((Applied::Untouched(cause), _)) => log::error!("job {}: gpu {}: {cause}", job.id, card.uuid),
            Ok((_, true)) => log::info!("job {}: shares gpu {} with another job; full clock", job.id, card.uuid),
            Ok((_, false)) => {}
            Err(error) => log::error!("job {}: gpu {}: {error:#}", job.id, card.uuid),
        }
    }
    Ok(())
}

/// How old the idle counter of a GPU may be when a job starts: a plain job may have been on it since.
const OLDEST_COUNTER: TimeDelta = TimeDelta::seconds(120);

/// The GPUs of a job that started before their counters could be read: by the counters of when they were idle.
pub fn meter_late(store: &Store, cards: &[Card], state: &JobState) -> Vec<JobGpu> {
    let start = parse_instant(&state.start).ok();
    let age = |counter: &IdleCounter| start.map(|start| start - counter.at);
    let is_fresh = |counter: &IdleCounter| age(counter).is_some_and(|age| (TimeDelta::zero()..OLDEST_COUNTER).contains(&age));
    let gpu = |card: &Card| JobGpu {
        uuid: card.uuid.clone(),
        model: card.name.clone(),
        energy_start_j: store.idle_counter(&card.uuid).filter(is_fresh).map(|counter| counter.joules),
    };
    cards.iter().map(gpu).collect()
}

fn meter(card: &Card, driver: &dyn Driver) -> JobGpu {
    JobGpu { uuid: card.uuid.clone(), model: card.name.clone(), energy_start_j: driver.energy_j(&card.uuid).ok() }
}
