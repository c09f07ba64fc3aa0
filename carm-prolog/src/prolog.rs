//! The prolog: takes a job up. Journal, decision, clocks; whatever fails, the job runs, at full clock.

use anyhow::{Context, Result};
use carm::config::{Account, Config};
use carm::ledger::Mark;
use carm::quantity::format_instant;
use carm::request::CarbonRequest;
use chrono::{DateTime, Utc};

use crate::clocks::{self, Applied};
use crate::decide::{self, Choice};
use crate::gpu::{Card, Driver, Nvml};
use crate::job::Job;
use crate::state::{JobGpu, JobState, Store};
use crate::{booking, resolve};

/// Whether there is anything to do at all: without a carbon option nothing is, unless every job is booked, or the job may
/// have been put on a GPU whose clocks CARM holds for another.
pub fn concerns(job: &Job, config: &Config) -> bool {
    job.is_carbon() || config.node.account == Account::All || Store::any_holder(&config.node.state_dir, &job.node)
}

/// Takes the job up.
pub fn run(job: &Job, config: &Config, now: DateTime<Utc>) -> Result<()> {
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let cards = match resolve::cards(job, config, &nvml) {
        Ok(cards) if cards.is_empty() => return Ok(()),
        Ok(cards) => cards,
        Err(cause) => {
            log::warn!("job {}: its GPUs: {cause}; they are left alone", job.id);
            return Ok(());
        }
    };
    let store = Store::open(&config.node.state_dir, &job.node)?;
    forget_killed_prologs(&store);
    if !job.is_carbon() && config.node.account == Account::Carbon {
        return join_shared(&store, &nvml, &cards, job);
    }
    let mut state = JobState {
        version: 0,
        job: job.id,
        run: job.restart_count,
        start: format_instant(now),
        gpus: cards.iter().map(|card| meter(card, &nvml)).collect(),
        clock_mhz: None,
        decision: String::new(),
        work_s: None,
        marks: Vec::new(),
    };
    // Before any clock moves: an epilog must know the job even if this prolog is killed at the next instruction.
    store.write_job(&state)?;
    let choice = choice(job, config, &cards, &nvml, now);
    for card in &cards {
        match clocks::hold(&store, &nvml, &card.uuid, job.id, choice.clock_mhz) {
            Ok((applied, shared)) => {
                if let Applied::Locked(mhz) = applied {
                    state.clock_mhz = Some(mhz);
                }
                state.marks.extend(clocks::mark(applied, choice.clock_mhz));
                state.marks.extend(shared.then_some(Mark::SharedGpu));
            }
            Err(error) => {
                log::warn!("job {}: gpu {}: {error:#}; the job runs at default clocks", job.id, card.uuid);
                state.marks.push(Mark::ClocksUntouched);
            }
        }
    }
    state.marks.extend(choice.marks);
    state.marks.sort_unstable();
    state.marks.dedup();
    state.decision = choice.reason;
    state.work_s = choice.work_s;
    let clock = state.clock_mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    log::info!("job {}: {} GPUs at {clock}: {}", job.id, cards.len(), state.decision);
    store.write_job(&state)
}

/// The clock for the job; a request that cannot be read means full clock.
fn choice(job: &Job, config: &Config, cards: &[Card], driver: &dyn Driver, now: DateTime<Utc>) -> Choice {
    let request = match &job.request {
        Ok(Some(request)) => request.clone(),
        Ok(None) => CarbonRequest { off: true, ..CarbonRequest::default() },
        Err(cause) => {
            log::warn!("job {}: its carbon options: {cause}; it runs at full clock", job.id);
            let reason = "its carbon options cannot be read".to_owned();
            return Choice { reason, marks: vec![Mark::RequestRefused], ..Choice::default() };
        }
    };
    let clocks = |card: &Card| driver.clocks_mhz(&card.uuid).with_context(|| format!("gpu {}", card.uuid));
    let cards: Result<Vec<_>> = cards.iter().map(|card| Ok((card.clone(), clocks(card)?))).collect();
    match cards {
        Ok(cards) => decide::choose(job, &request, config, &cards, booking::spent_g(job, config), now),
        Err(error) => {
            log::warn!("job {}: {error:#}; it runs at default clocks", job.id);
            let reason = "the clocks of its GPUs cannot be read".to_owned();
            Choice { reason, marks: vec![Mark::ClocksUntouched], ..Choice::default() }
        }
    }
}

/// A job without carbon options that shares a GPU with one that has some: its wish is full clock.
fn join_shared(store: &Store, driver: &dyn Driver, cards: &[Card], job: &Job) -> Result<()> {
    for card in cards.iter().filter(|card| store.peek_gpu(&card.uuid).is_some_and(|gpu| !gpu.holders.is_empty())) {
        clocks::hold(store, driver, &card.uuid, job.id, None)?;
        log::info!("job {}: shares gpu {} with a job that has carbon options; full clock", job.id, card.uuid);
    }
    Ok(())
}

/// A prolog writes its job's state before it takes a GPU; a holder without that state was closed out, or never was.
/// A job without carbon options has none either, but then its GPU has other holders, who leave with their epilogs.
fn forget_killed_prologs(store: &Store) {
    let known = store.jobs();
    for uuid in store.gpus() {
        let Ok(mut gpu) = store.gpu(&uuid) else { continue };
        let before = gpu.state.holders.len();
        gpu.state.holders.retain(|holder| holder.wish_mhz.is_none() || known.contains(&holder.job));
        if gpu.state.holders.len() < before
            && let Err(error) = gpu.save()
        {
            log::warn!("gpu {uuid}: {error:#}");
        }
    }
}

fn meter(card: &Card, driver: &dyn Driver) -> JobGpu {
    let energy_start_j = driver.energy_j(&card.uuid).inspect_err(|error| log::warn!("gpu {}: {error}", card.uuid)).ok();
    JobGpu { uuid: card.uuid.clone(), model: card.name.clone(), energy_start_j }
}
