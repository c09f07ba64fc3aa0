//! From what has been counted of a job to a line of the ledger.

use std::collections::BTreeMap;

use carm::config::{Config, Site};
use carm::ledger::{Gpu, GridStep, Mark, Meter, RECORD_VERSION, Record};
use carm::quantity::{format_instant, parse_instant, total};
use carm::site::{Outlook, Span};
use chrono::{DateTime, TimeDelta, Utc};

use crate::clocks::Part;
use crate::count;
use crate::state::{JobGpu, JobState};

/// How a GPU of the job was metered, in the span that is booked.
fn gpu_line(state: &JobState, index: usize, part: Option<Part>) -> Gpu {
    let JobGpu { uuid, model, .. } = &state.gpus[index];
    let joules = |of: &BTreeMap<String, f64>| of.get(uuid).copied().unwrap_or(0.0);
    let energy_j = (joules(&state.counted.joules) - joules(&state.counted.booked_j)).max(0.0);
    let meter = match part {
        Some(part) if part.sampled => Meter::Power,
        Some(part) if !part.lost || energy_j > 0.0 => Meter::Counter,
        _ => Meter::Lost,
    };
    Gpu { uuid: uuid.clone(), model: Some(model.clone()), energy_j, meter, share: part.map_or(1.0, |part| part.share) }
}

/// The ledger line of a job's run on a node, or of a day of it, from what has been counted. `parts` are the GPUs' journals'
/// words, GPU by GPU as the job has them; `outlook` is the grid that it was counted by.
pub fn record(
    state: &JobState,
    node: &str,
    config: &Config,
    parts: &[Option<Part>],
    outlook: Option<&Outlook>,
    now: DateTime<Utc>,
) -> Record {
    let site = config.site_of(state.partition.as_deref(), node).map(|(_, site)| site);
    let gpus: Vec<Gpu> = (0..state.gpus.len()).map(|i| gpu_line(state, i, parts.get(i).copied().flatten())).collect();
    let start = parse_instant(&state.start).ok();
    let tally = &state.counted.tally;
    let mut marks = state.marks.clone();
    // No GPU at all is one that was never found: its energy is as little known.
    marks.extend((gpus.is_empty() || gpus.iter().any(|gpu| gpu.meter == Meter::Lost)).then_some(Mark::EnergyLost));
    marks.extend((start.is_some() && (tally.unknown_h > 0.0 || tally.hours == 0.0)).then_some(Mark::NoGrid));
    marks.sort_unstable();
    marks.dedup();
    let facility = count::facility(config, site);
    let profile = state.profile.as_ref();
    // At full clock the work is the time, whatever the profile.
    let tells_work = start.is_some() && (state.clock_mhz.is_none() || profile.is_some());
    Record {
        version: RECORD_VERSION,
        cluster: state.cluster.clone(),
        job: state.job,
        run: state.run,
        node: node.to_owned(),
        uid: state.uid,
        user: state.user.clone(),
        account: state.account.clone(),
        partition: state.partition.clone(),
        name: state.name.clone(),
        site: site.map(|site| site.name.clone()),
        zone: site.map(|site| config.zone_of(site).name.clone()),
        grid_source: outlook.map(|outlook| outlook.source.clone()).or_else(|| site.map(|site| source(config, site))),
        start: start.map(format_instant),
        since: state.counted.since.clone(),
        end: format_instant(now),
        closed: true,
        exit: None,
        asked: start.and_then(|start| asked(state, start)),
        request: state.request.clone(),
        clock_mhz: state.clock_mhz,
        decision: state.decision.clone(),
        work_s: state.work_s,
        work_done_s: tells_work.then_some(tally.work_done_s),
        profile: profile.map(|profile| profile.used.clone()),
        modelled_gpu_energy_j: tally.modelled_gpu_energy_j,
        clock_changes: state.governed.clock_changes,
        gpu_energy_j: total(gpus.iter().map(|gpu| gpu.energy_j)),
        gpus,
        energy_kwh: tally.energy_kwh,
        carbon_g: tally.carbon_g,
        // Where the typical day stands in for a live source, both are the day's.
        intensity: outlook
            .map(|outlook| outlook.kind)
            .or_else(|| site.map(|site| config.zone_of(site).intensity))
            .unwrap_or_default(),
        embodied_g: tally.embodied_g,
        host_watts: facility.host_watts,
        pue: facility.pue,
        estimated_share: tally.estimated_share(),
        marks,
        steps: tally.steps.clone(),
        grid: Vec::new(),
    }
}

/// The grid from when the job could have started, for as long as it would have run at its most economical clock: what a report
/// holds a run against.
pub fn grid(record: &Record, state: &JobState, config: &Config, outlook: &Outlook) -> Vec<GridStep> {
    let from = record.asked.as_deref().or(record.start.as_deref()).and_then(|text| parse_instant(text).ok());
    let work_s = state.counted.before.1 + state.counted.tally.work_done_s;
    let (Some(from), Some(profile)) = (from, &state.profile) else { return Vec::new() };
    let length_ms = work_s / profile.used.economical.speed * 1e3;
    let Some(to) = TimeDelta::try_milliseconds(length_ms as i64).and_then(|length| from.checked_add_signed(length)) else {
        return Vec::new();
    };
    let site = config.site_of(record.partition.as_deref(), &record.node).map(|(_, site)| site);
    let hosted: f64 = record.gpus.iter().map(|gpu| gpu.share).sum();
    let share = site.map_or(0.0, |site| site.onsite_share(hosted));
    let spans = outlook.spans_between(from, to, share).into_iter();
    let step = |span: Span| GridStep {
        from: format_instant(span.from),
        seconds: (span.to - span.from).as_seconds_f64(),
        g_per_kwh: span.g_per_kwh,
        onsite_w: span.onsite_w,
        estimated: span.estimated,
    };
    spans.map(step).collect()
}

/// When the job could have started, had it not been deferred: the first run alone was, and never to a time before that. What
/// carm-submit did not write stands here as well.
fn asked(state: &JobState, start: DateTime<Utc>) -> Option<String> {
    let asked = parse_instant(state.request.get("CARM_ASKED")?).ok()?;
    // The user's text: a year of waiting is nobody's plan.
    (state.run == 0 && asked < start && start - asked < TimeDelta::days(32)).then(|| format_instant(asked))
}

/// What the configuration names, where no grid was known.
fn source(config: &Config, site: &Site) -> String {
    match &config.zone_of(site).source {
        carm::config::Source::Trace { path, .. } => path.display().to_string(),
        carm::config::Source::TypicalDay { .. } => carm::grid::TYPICAL_DAY_SOURCE.to_owned(),
        carm::config::Source::Live(live) => live.service.name().to_owned(),
    }
}
