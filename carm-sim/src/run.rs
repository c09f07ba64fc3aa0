//! All policies over all episodes, on as many threads as one likes: each pair is a run of its own, and results are put together in the order of the
//! scenario, so that they do not depend on who was first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use serde::Serialize;

use crate::account::PolicyRun;
use crate::account::metrics::Outcome;
use crate::account::summary::{PolicySummary, References, summary};
use crate::bound;
use crate::capacity::{CapacityError, Engine};
use crate::engine;
use crate::policy::{self, Policy};
use crate::scenario::Scenario;
use crate::world::{Source, World, WorldError};

/// How a simulation is done.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads, 1 at least.
    pub threads: usize,
    /// Full records of the first episode are kept, for the page and for tests.
    pub keep_first: bool,
    /// How the bound that knows the GPUs is worked out; none: not at all.
    pub capacity: Option<Engine>,
    /// Told when it is known how many jobs will run, and then for each that has ended.
    pub progress: Option<&'a (dyn Progress + Sync)>,
}

/// Who is told how far it is.
pub trait Progress {
    /// So many more jobs will run.
    fn expect(&self, jobs: u64);
    /// One has ended.
    fn done(&self);
}

/// An episode of the results.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Episode {
    /// Its begin, RFC 3339.
    pub start: String,
    /// The zone of the first site, where zones are varied.
    pub zone: Option<String>,
    pub jobs: usize,
    /// Jobs that no site has GPUs enough for: left out.
    pub dropped: usize,
    /// The GPUs of all sites.
    pub gpus: u32,
    /// Mean demand of the training jobs over those GPUs, were all run at full clock as they come.
    pub load: f64,
    pub bound_g: Option<f64>,
    pub capacity_bound_g: Option<f64>,
}

/// The first episode in full.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug)]
pub struct Kept {
    pub world: World,
    /// By policy, in the order of the results.
    pub runs: Vec<PolicyRun>,
}

/// What a scenario comes to.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug)]
pub struct Results {
    pub scenario: String,
    /// The scenario as it was read.
    pub text: String,
    pub seed: u64,
    /// What of the scenario is made up: grids, roofs, jobs.
    pub made_up: Vec<String>,
    /// What is made up although the scenario names data, in words.
    pub remarks: Vec<String>,
    pub forecast: String,
    pub length_h: f64,
    pub episodes: Vec<Episode>,
    pub policies: Vec<PolicySummary>,
    /// How the bound that knows the GPUs was worked out; none: it was not asked for.
    pub capacity: Option<Engine>,
    /// References that were run without having been asked for.
    pub besides: Vec<PolicySummary>,
    pub kept: Option<Kept>,
}

/// There are no results.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An episode cannot be made.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The bound that knows the GPUs cannot be worked out.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

/// Runs a scenario under some policies; none named: all.
///
/// # Errors
/// A trace cannot be read, or does not reach an episode; or the bound that was asked for cannot be worked out.
pub fn simulate(scenario: &Scenario, names: &[String], options: &Options) -> Result<Results, RunError> {
    let source = Source::read(scenario)?;
    let asked: Vec<String> =
        if names.is_empty() { policy::names().into_iter().map(str::to_owned).collect() } else { names.to_vec() };
    // Both references are always run.
    let references = [policy::FCFS, policy::STATIC_CLOCK].map(str::to_owned);
    let missing = references.iter().filter(|name| !asked.contains(name));
    let all: Vec<String> = asked.iter().chain(missing).cloned().collect();
    let policies: Vec<Box<dyn Policy>> = all.iter().filter_map(|name| policy::named(name)).collect();
    let worlds: Vec<OnceLock<Result<World, WorldError>>> = (0..source.episodes()).map(|_| OnceLock::new()).collect();
    let world = |episode: usize| {
        worlds[episode].get_or_init(|| {
            let world = source.world(episode)?;
            if let Some(progress) = options.progress {
                progress.expect((world.jobs.len() * policies.len()) as u64);
            }
            Ok(world)
        })
    };
    // One task more an episode: its bounds.
    let each = policies.len() + 1;
    let done: Vec<Mutex<Done>> = (0..source.episodes() * each).map(|_| Mutex::new(Done::Nothing)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = done.get(task) else { break };
            let Ok(world) = world(task / each) else { continue };
            let result = match policies.get(task % each) {
                Some(policy) => {
                    let tick = || options.progress.iter().for_each(|progress| progress.done());
                    let run = engine::run(world, policy.as_ref(), &tick);
                    let outcome = Outcome::of(&run, world);
                    Done::Run(Box::new(outcome), Some(run).filter(|_| options.keep_first && task < each))
                }
                None => Done::Bounds(
                    scenario.per_job_bound.then(|| bound::per_job_g(world)),
                    options.capacity.map(|engine| engine.least_g(world)).transpose(),
                ),
            };
            if let Ok(mut place) = place.lock() {
                *place = result;
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        work();
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let worlds = worlds.into_iter().filter_map(OnceLock::into_inner).collect::<Result<Vec<_>, _>>()?;
    let mut results = put_together(scenario, worlds, done, &all, asked.len())?;
    results.capacity = options.capacity;
    results.remarks.extend(source.remark());
    Ok(results)
}

enum Done {
    Nothing,
    Run(Box<Outcome>, Option<PolicyRun>),
    Bounds(Option<f64>, Result<Option<f64>, CapacityError>),
}

fn put_together(
    scenario: &Scenario,
    worlds: Vec<World>,
    done: Vec<Mutex<Done>>,
    all: &[String],
    shown: usize,
) -> Result<Results, CapacityError> {
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); all.len()];
    let (mut bounds, mut runs) = (Vec::new(), Vec::new());
    for (task, done) in done.into_iter().enumerate() {
        match done.into_inner().unwrap_or(Done::Nothing) {
            Done::Run(outcome, run) => {
                outcomes[task % (all.len() + 1)].push(*outcome);
                runs.extend(run);
            }
            Done::Bounds(per_job, capacity) => bounds.push((per_job, capacity?)),
            Done::Nothing => {}
        }
    }
    let of = |name: &str| all.iter().position(|one| one == name).map_or(&[][..], |at| &outcomes[at][..]);
    let (bound_g, capacity_g): (Vec<_>, Vec<_>) = bounds.iter().copied().unzip();
    let references =
        References { fcfs: of(policy::FCFS), static_clock: of(policy::STATIC_CLOCK), bound_g: &bound_g, capacity_g: &capacity_g };
    let policies = all.iter().zip(&outcomes).map(|(name, outcomes)| summary(name, outcomes, &references, scenario.seed));
    let mut policies: Vec<PolicySummary> = policies.collect();
    let besides = policies.split_off(shown);
    let episodes = worlds.iter().zip(&bounds).map(|(world, bounds)| episode(world, *bounds)).collect();
    runs.truncate(shown);
    let kept = worlds.into_iter().next().filter(|_| !runs.is_empty()).map(|world| Kept { world, runs });
    Ok(Results {
        scenario: scenario.name.clone(),
        text: scenario.text.clone(),
        seed: scenario.seed,
        made_up: scenario.made_up(),
        remarks: Vec::new(),
        forecast: format!("{:?}", scenario.forecast.kind).to_lowercase(),
        length_h: scenario.length_h,
        episodes,
        policies,
        capacity: None,
        besides,
        kept,
    })
}

fn episode(world: &World, (bound_g, capacity_bound_g): (Option<f64>, Option<f64>)) -> Episode {
    let gpus = world.sites.iter().map(|place| place.site.gpus).sum();
    let training = world.jobs.iter().filter(|job| job.service.is_none());
    let demand: f64 = training.map(|job| job.work_gpu_h()).sum::<f64>() / world.length_h;
    Episode {
        start: carm::quantity::format_instant(world.start),
        zone: world.zone.clone(),
        jobs: world.jobs.len(),
        dropped: world.dropped,
        gpus,
        load: demand / f64::from(gpus),
        bound_g,
        capacity_bound_g,
    }
}
