//! A snapshot from what stands in the journal and what driver and grid say at this moment; what a governor counts is not in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use carm::config::{Config, Source, Zone};
use carm::ledger::Intensity;
use carm::request::variables;
use carm::site::Outlook;
use chrono::{DateTime, Utc};

use super::{GpuNow, GridNow, JobNow, Snapshot};
use crate::bounded::whole;
use crate::brief;
use crate::gpu::{Card, Driver};
use crate::state::{GpuState, JobState, Store};

/// By site; none where a site's grid is not known.
type Outlooks = BTreeMap<usize, Option<Arc<Outlook>>>;

/// Of each node of the host, with its state where it has any. A GPU that no journal names belongs to the first.
pub fn snapshots(
    config: &Config,
    driver: &dyn Driver,
    cards: &[Card],
    nodes: &[(String, Option<Store>)],
    now: DateTime<Utc>,
) -> Vec<Snapshot> {
    let journal = |store: &Store| store.gpus().iter().filter_map(|uuid| store.peek_gpu(uuid)).collect();
    let journals: Vec<Vec<GpuState>> = nodes.iter().map(|(_, store)| store.as_ref().map(journal).unwrap_or_default()).collect();
    let is_named = |card: &Card| journals.iter().flatten().any(|gpu| gpu.uuid == card.uuid);
    let mut all = Vec::new();
    for ((node, store), journal) in nodes.iter().zip(&journals) {
        let is_own = |card: &&Card| journal.iter().any(|gpu| gpu.uuid == card.uuid) || (all.is_empty() && !is_named(card));
        let gpus: Vec<GpuNow> = cards.iter().filter(is_own).map(|card| gpu(driver, card, journal)).collect();
        let states = |store: &Store| store.jobs().into_iter().filter_map(|id| store.job(id)).collect();
        let states: Vec<JobState> = store.as_ref().map(states).unwrap_or_default();
        let outlooks = outlooks(config, node, &states, now);
        let kind_for = |state: &JobState| {
            let (index, site) = config.site_of(state.partition.as_deref(), node)?;
            Some(kind(config.zone_of(site), outlooks.get(&index)?.as_deref()))
        };
        let jobs = states.iter().map(|state| job(state, kind_for(state).unwrap_or_default(), journal, &gpus)).collect();
        let (grid, lines_waiting) = (grids(config, &outlooks, now), store.as_ref().map(Store::spooled));
        all.push(Snapshot { node: node.clone(), gpus, jobs, grid, lines_waiting, totals: None });
    }
    all
}

fn gpu(driver: &dyn Driver, card: &Card, journal: &[GpuState]) -> GpuNow {
    let locked = journal.iter().find(|gpu| gpu.uuid == card.uuid).and_then(|gpu| gpu.locked_mhz);
    GpuNow {
        uuid: card.uuid.clone(),
        minor: card.minor,
        model: card.name.clone(),
        clock_mhz: driver.sm_clock_mhz(&card.uuid).ok(),
        limit_mhz: locked.filter(|&range| range != GpuState::UNKNOWN).map(|(_, highest)| highest),
        power_w: driver.power_w(&card.uuid).ok(),
        energy_j: driver.energy_j(&card.uuid).ok(),
        throttled: driver.throttled(&card.uuid).ok(),
    }
}

fn job(state: &JobState, intensity: Intensity, journal: &[GpuState], gpus: &[GpuNow]) -> JobNow {
    let request = variables::read(|name| state.request.get(name).cloned()).ok().flatten();
    let (counted, tally) = (&state.counted, &state.counted.tally);
    let (carbon_before_g, work_before_s, _) = counted.before;
    let is_counted = counted.until.is_some();
    // Hours without a grid have no carbon: a run of nothing else is not free of it.
    let has_carbon = is_counted && (carbon_before_g > 0.0 || tally.hours > tally.unknown_h);
    let work_s = state.work_s.filter(|&work_s| is_counted && work_s > 0);
    JobNow {
        job: state.job,
        user: state.user.clone(),
        partition: state.partition.clone(),
        gpus: state.gpus.iter().map(|gpu| gpu.uuid.clone()).collect(),
        energy_j: state.gpus.iter().map(|own| energy_j(state.job, &own.uuid, journal, gpus)).sum(),
        carbon_g: has_carbon.then_some(carbon_before_g + tally.carbon_g),
        intensity,
        embodied_g: Some(tally.embodied_g).filter(|&embodied_g| embodied_g > 0.0),
        clock_limit_mhz: state.clock_mhz,
        work_done_ratio: work_s.map(|work_s| ((work_before_s + tally.work_done_s) / work_s as f64).min(1.0)),
        budget_g: request.and_then(|request| request.budget_g).map(|budget_g| budget_g / f64::from(state.nodes.max(1))),
    }
}

/// A job's joules of a GPU: what its journal gives the job, and the job's part of what has been used since.
fn energy_j(job: u32, uuid: &str, journal: &[GpuState], gpus: &[GpuNow]) -> Option<f64> {
    let state = journal.iter().find(|gpu| gpu.uuid == uuid)?;
    let holder = state.present().find(|holder| holder.job == job && !holder.lost)?;
    let now_j = gpus.iter().find(|gpu| gpu.uuid == uuid).and_then(|gpu| gpu.energy_j);
    let since_j = state.counter_j.zip(now_j).map_or(0.0, |(then_j, now_j)| (now_j - then_j).max(0.0));
    Some(holder.energy_j + since_j / state.present().count() as f64)
}

/// What is known of each site that the node, or a job on it, is at.
fn outlooks(config: &Config, node: &str, jobs: &[JobState], now: DateTime<Utc>) -> Outlooks {
    let partitions = std::iter::once(None).chain(jobs.iter().map(|state| state.partition.as_deref()));
    let sites: BTreeMap<usize, _> = partitions.filter_map(|partition| config.site_of(partition, node)).collect();
    let load = |index| brief::outlook(config, index, now).inspect_err(|error| log::warn!("{error}")).ok();
    sites.into_keys().map(|index| (index, load(index))).collect()
}

/// What a site's carbon is made of, as the ledger has it: where the typical day stands in for a live source, it is the day's.
fn kind(zone: &Zone, outlook: Option<&Outlook>) -> Intensity {
    outlook.map_or(zone.intensity, |outlook| outlook.kind)
}

fn grids(config: &Config, outlooks: &Outlooks, now: DateTime<Utc>) -> Vec<GridNow> {
    let grid = |(&index, outlook): (&usize, &Option<Arc<Outlook>>)| {
        let (site, outlook) = (&config.sites[index], outlook.as_deref());
        let zone = config.zone_of(site);
        let step = outlook.and_then(|outlook| outlook.intensity.at(now));
        let (source, data_age_s) = match &zone.source {
            Source::TypicalDay { .. } => ("typical-day", None),
            Source::Live(live) => (live.service.name(), outlook.and_then(|outlook| outlook.age_s)),
            Source::Trace { path, .. } => {
                let file = path.clone();
                let written = whole(path, "", move || std::fs::metadata(file).and_then(|file| file.modified()).ok());
                let written = written.and_then(|written| *written);
                ("trace", written.map(|written| (now - DateTime::<Utc>::from(written)).as_seconds_f64().max(0.0)))
            }
        };
        GridNow {
            site: site.name.clone(),
            zone: zone.name.clone(),
            source: source.to_owned(),
            kind: kind(zone, outlook),
            intensity_g_per_kwh: step.as_ref().map(|step| step.value),
            estimated: step.as_ref().is_some_and(|step| step.estimated),
            data_age_s,
            // Where a live zone has no data, the typical day stands in, and it has no age.
            available: outlook.is_some() && (data_age_s.is_some() || !matches!(zone.source, Source::Live(_))),
            onsite_w: outlook.and_then(|outlook| Some(outlook.onsite_w.as_ref()?.at(now)?.value)),
        }
    };
    outlooks.iter().map(grid).collect()
}
