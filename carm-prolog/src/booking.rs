//! From meter readings to a ledger line: energy, host share, PUE, carbon against the grid as it was.

use std::collections::BTreeMap;

use carm::config::{Config, Site};
use carm::ledger::{Gpu, Intensity, Mark, Meter, RECORD_VERSION, Record};
use carm::quantity::{format_instant, parse_instant};
use carm::request::{CarbonRequest, variables};
use carm::site::{Emission, Outlook};
use chrono::{DateTime, Utc};

use crate::clocks::Part;
use crate::job::Job;
use crate::modelled;
use crate::state::{JobGpu, JobState};

/// A GPU of a job at its end.
#[derive(Debug, Clone)]
pub struct Metered {
    pub gpu: JobGpu,
    /// The energy counter now; none where it cannot be read.
    pub energy_end_j: Option<f64>,
    /// The job's part by the GPU's journal; none where that does not know the job.
    pub part: Option<Part>,
}

impl Metered {
    fn book(&self) -> Gpu {
        // A counter that fell was reset with the driver: what it counted before is lost.
        let whole = self.gpu.energy_start_j.zip(self.energy_end_j).map(|(start, end)| end - start).filter(|&used| used >= 0.0);
        let (used, share) = match self.part {
            // The journal shares out; alone on its GPU a job's two readings say the same, nearer to its start and end.
            Some(part) if part.shared => (part.energy_j.filter(|_| whole.is_some()), part.share),
            _ => (whole, 1.0),
        };
        Gpu {
            uuid: self.gpu.uuid.clone(),
            model: Some(self.gpu.model.clone()),
            energy_j: used.unwrap_or(0.0),
            meter: if used.is_some() { Meter::Counter } else { Meter::Lost },
            share,
        }
    }
}

/// The ledger line of a job's run on this node.
pub fn record(job: &Job, config: &Config, state: Option<&JobState>, metered: &[Metered], now: DateTime<Utc>) -> Record {
    // A slurmd that was restarted may have forgotten whose job it was; the prolog has not.
    let known = |told: &Option<String>, noted: fn(&JobState) -> &Option<String>| told.clone().or_else(|| noted(state?).clone());
    let partition = known(&job.partition, |state| &state.partition);
    let site = config.site_of(partition.as_deref(), &job.node).map(|(_, site)| site);
    let gpus: Vec<Gpu> = metered.iter().map(Metered::book).collect();
    let gpu_energy_j: f64 = gpus.iter().map(|gpu| gpu.energy_j).sum();
    let start = state.and_then(|state| parse_instant(&state.start).ok());
    let (host_watts, pue) = site.map_or((config.planner.host_watts, config.planner.pue), |site| (site.host_watts, site.pue));
    let mut marks = state.map_or_else(|| vec![Mark::NoProlog], |state| state.marks.clone());
    // No GPU at all is one that was never found: its energy is as little known.
    marks.extend((gpus.is_empty() || gpus.iter().any(|gpu| gpu.meter == Meter::Lost)).then_some(Mark::EnergyLost));
    marks.extend(metered.iter().any(|gpu| gpu.part.is_some_and(|part| part.shared)).then_some(Mark::SharedGpu));
    let run_s = start.map_or(0.0, |start| (now - start).as_seconds_f64().max(0.0));
    let hosted: f64 = gpus.iter().map(|gpu| gpu.share).sum();
    let energy_j = pue * (gpu_energy_j + host_watts * hosted * run_s);
    let emission = start.and_then(|start| emission(config, site?, energy_j, hosted, start, now));
    if emission.is_none() && start.is_some() {
        marks.push(Mark::NoGrid);
    }
    marks.sort_unstable();
    marks.dedup();
    let emission = emission.unwrap_or_default();
    let profile = state.and_then(|state| state.profile.as_ref());
    let (work_done_s, modelled_gpu_energy_j) = match (state, start) {
        (Some(state), Some(_)) => modelled::work_and_energy(profile, state.clock_mhz, run_s, hosted),
        _ => (None, None),
    };
    let request = job.request.as_ref().ok().and_then(Option::as_ref);
    Record {
        version: RECORD_VERSION,
        cluster: if job.cluster.is_empty() {
            state.map_or(String::new(), |state| state.cluster.clone())
        } else {
            job.cluster.clone()
        },
        job: job.id,
        run: state.map_or(job.restart_count, |state| state.run),
        node: job.node.clone(),
        uid: job.uid.or_else(|| state?.uid),
        user: known(&job.user, |state| &state.user),
        account: known(&job.account, |state| &state.account),
        partition,
        name: request.and_then(|request| Some(request.name.as_ref()?.as_str().to_owned())).or_else(|| state?.name.clone()),
        site: site.map(|site| site.name.clone()),
        zone: site.map(|site| config.zone_of(site).name.clone()),
        grid_source: site.map(|site| source(config, site)),
        start: start.map(format_instant),
        end: format_instant(now),
        request: state.map_or_else(|| variables_of(request), |state| state.request.clone()),
        clock_mhz: state.and_then(|state| state.clock_mhz),
        decision: state.map(|state| state.decision.clone()).unwrap_or_default(),
        work_s: state.and_then(|state| state.work_s),
        gpus,
        gpu_energy_j,
        energy_kwh: energy_j / 3.6e6,
        carbon_g: emission.carbon_g,
        host_watts,
        pue,
        estimated_share: if emission.hours > 0.0 { emission.estimated_h / emission.hours } else { 0.0 },
        marks,
        since: None,
        closed: true,
        exit: None,
        asked: state.and_then(|state| asked(state, start?)),
        work_done_s,
        profile: profile.map(|profile| profile.used.clone()),
        modelled_gpu_energy_j,
        clock_changes: 0,
        intensity: Intensity::Average,
        embodied_g: 0.0,
        steps: Vec::new(),
        grid: Vec::new(),
    }
}

/// When the job could have started, had it not been deferred: the first run alone was, and never to a time before that. What
/// carm-submit did not write stands here as well.
fn asked(state: &JobState, start: DateTime<Utc>) -> Option<String> {
    let asked = parse_instant(state.request.get("CARM_ASKED")?).ok()?;
    (state.run == 0 && asked < start).then(|| format_instant(asked))
}

fn variables_of(request: Option<&CarbonRequest>) -> BTreeMap<String, String> {
    let variables = request.map(variables::write).unwrap_or_default();
    variables.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Carbon of so much facility energy, spread evenly over the run: between two readings of a counter nothing more is known.
fn emission(
    config: &Config,
    site: &Site,
    energy_j: f64,
    gpus: f64,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Option<Emission> {
    let outlook = Outlook::load(config, site, start).inspect_err(|error| log::warn!("{error}; no carbon is booked")).ok()?;
    let run_s = (end - start).as_seconds_f64();
    let power_w = if run_s > 0.0 { energy_j / run_s } else { 0.0 };
    Some(outlook.emitted(power_w, start, end, (gpus / f64::from(site.gpus)).min(1.0)))
}

fn source(config: &Config, site: &Site) -> String {
    match &config.zone_of(site).source {
        carm::config::Source::Trace { path, .. } => path.display().to_string(),
        carm::config::Source::TypicalDay { .. } => carm::grid::TYPICAL_DAY_SOURCE.to_owned(),
    }
}
