//! One job's account: the figures that every form of the report shows, from the job's joined lines.
//!
//! Decided here: what is said of the whole job where its parts differ, and how far the figures may be off.

use carm::counterfactual::{Baselines, Outcome, Untold};
use carm::ledger::{Exit, Intensity, Job, Mark, Meter, NodeRun, Record};
use carm::quantity::{parse_instant, total};
use chrono::{DateTime, TimeDelta, Utc};

use crate::place::Found;

/// What NVIDIA states for NVML's power sensor: "accurate to within +/- 5% of current power draw" (NVML API reference,
/// nvmlDeviceGetPowerUsage, of Fermi and Kepler cards; it states nothing for later ones, nor for the energy counter).
pub const SENSOR_ERROR: f64 = 0.05;

/// A job's account.
#[derive(Debug)]
pub struct Account<'a> {
    pub job: &'a Job,
    /// The line that was written last: what can change from line to line is told as there.
    pub last: &'a Record,
    pub begin: Option<DateTime<Utc>>,
    pub end: DateTime<Utc>,
    /// When it could have started had CARM not deferred it.
    pub asked: Option<DateTime<Utc>>,
    pub state: State,
    /// Run time over all runs, s.
    pub run_s: f64,
    pub nodes: Vec<&'a str>,
    /// Models and how many of each, of the last run.
    pub gpus: Vec<(&'a str, usize)>,
    pub meters: Vec<Meter>,
    pub clocks: Option<Clocks>,
    pub gpu_h: f64,
    pub gpu_kwh: f64,
    pub energy_kwh: f64,
    /// By intensity; the two are never added up.
    pub carbon_g: Vec<(Intensity, f64)>,
    pub embodied_g: f64,
    /// By how much the sensor's error moves the carbon, as a part of it; none where no GPU energy is known.
    pub error: Option<f64>,
    /// Part of the time for which the grid was estimated.
    pub estimated_share: f64,
    pub budget: Option<Budget>,
    pub deadline: Option<Deadline>,
    pub baselines: Result<Compared, (Untold, String)>,
    pub marks: Vec<Mark>,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its last run ended on every node.
    Ended(Option<Exit>),
    /// A part has no line that ends it.
    Open,
}

/// Clocks that were seen, or set where nobody looked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clocks {
    pub low_mhz: u32,
    pub high_mhz: u32,
    pub mean_mhz: f64,
    /// The profile's highest.
    pub full_mhz: Option<u32>,
    /// How often a clock was set.
    pub changes: u32,
    /// Whether the clocks were seen to run.
    pub seen: bool,
}

/// The request's budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    pub grams: f64,
    pub used: f64,
}

/// The request's deadline; kept if not passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deadline {
    pub at: DateTime<Utc>,
    /// Seconds from the job's end to it; negative where it was missed.
    pub spare_s: f64,
}

/// The job against the runs that were not, over all parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    pub full: Outcome,
    pub economical: Outcome,
    pub economical_mhz: u32,
    pub full_mhz: u32,
    /// Least and greatest calibration of a part.
    pub calibration: (f64, f64),
}

impl<'a> Account<'a> {
    /// Of a job.
    pub fn of(job: &'a Job, place: &Found) -> Option<Self> {
        let last = job.records().max_by_key(|record| &record.end)?;
        let spans = || job.parts().map(|part| &part.sum);
        let instant = |ms: i64| DateTime::from_timestamp_millis(ms).unwrap_or_default();
        let begin = spans().filter_map(|sum| sum.begin_ms).min().map(instant);
        let end = instant(spans().map(|sum| sum.end_ms).max()?);
        let last_run = job.runs.last()?;
        let state = if last_run.nodes.iter().all(|part| part.sum.closed) {
            // The node that failed tells more than those that did not.
            let exits = || last_run.nodes.iter().filter_map(|part| part.records.last()?.exit);
            State::Ended(exits().find(|exit| !exit.is_success()).or_else(|| exits().next()))
        } else {
            State::Open
        };
        let length = |nodes: &[NodeRun]| {
            let first = nodes.iter().filter_map(|part| part.sum.begin_ms).min();
            let last = nodes.iter().map(|part| part.sum.end_ms).max();
            first.zip(last).map_or(0.0, |(first, last)| (last - first).max(0) as f64 / 1e3)
        };
        let mut nodes: Vec<&str> = job.parts().map(|part| part.node.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut marks: Vec<Mark> = job.records().flat_map(|record| record.marks.iter().copied()).collect();
        marks.sort_unstable();
        marks.dedup();
        let mut carbon_g: Vec<(Intensity, f64)> = Vec::new();
        for sum in spans() {
            match carbon_g.iter_mut().find(|(intensity, _)| *intensity == sum.intensity) {
                Some((_, grams)) => *grams += sum.carbon_g,
                None => carbon_g.push((sum.intensity, sum.carbon_g)),
            }
        }
        let (gpu_kwh, energy_kwh) = (job.total(|sum| sum.gpu_energy_j) / 3.6e6, job.total(|sum| sum.energy_kwh));
        let scaled_gpu_kwh = total(spans().map(|sum| sum.pue * sum.gpu_energy_j / 3.6e6));
        let seconds = job.total(|sum| sum.seconds);
        let total_g = total(carbon_g.iter().map(|(_, grams)| *grams));
        let request = |name: &str| last.request.get(name);
        let deadline = request("CARM_DEADLINE").and_then(|text| parse_instant(text).ok());
        Some(Self {
            job,
            last,
            begin,
            end,
            asked: job.records().filter_map(|record| parse_instant(record.asked.as_deref()?).ok()).min(),
            state,
            run_s: total(job.runs.iter().map(|run| length(&run.nodes))),
            nodes,
            gpus: models(&last_run.nodes),
            meters: meters(job),
            clocks: clocks(job),
            gpu_h: job.total(|sum| sum.gpu_h),
            gpu_kwh,
            energy_kwh,
            embodied_g: job.total(|sum| sum.embodied_g),
            error: (energy_kwh > 0.0 && scaled_gpu_kwh > 0.0).then(|| SENSOR_ERROR * scaled_gpu_kwh / energy_kwh),
            estimated_share: if seconds > 0.0 { job.total(|sum| sum.estimated_s) / seconds } else { 0.0 },
            budget: request("CARM_BUDGET")
                .and_then(|text| text.parse().ok())
                .filter(|&grams: &f64| grams > 0.0)
                .map(|grams| Budget { grams, used: total_g / grams }),
            deadline: deadline.map(|at| Deadline { at, spare_s: (at - end).as_seconds_f64() }),
            baselines: compare(job, place, carbon_g.len() > 1),
            carbon_g,
            marks,
        })
    }

    /// Operational carbon where it is of one kind.
    pub fn carbon(&self) -> Option<(Intensity, f64)> {
        <[_; 1]>::try_from(self.carbon_g.clone()).ok().map(|[only]| only)
    }

    /// How long the start was put off, where it was.
    pub fn waited(&self) -> Option<TimeDelta> {
        self.begin.zip(self.asked).map(|(begin, asked)| begin - asked).filter(|waited| waited.num_seconds() >= 60)
    }
}

fn models(nodes: &[NodeRun]) -> Vec<(&str, usize)> {
    let mut models: Vec<(&str, usize)> = Vec::new();
    for gpu in nodes.iter().filter_map(|part| part.records.last()).flat_map(|record| &record.gpus) {
        let name = gpu.model.as_deref().unwrap_or("GPU of unknown model");
        match models.iter_mut().find(|(model, _)| *model == name) {
            Some((_, count)) => *count += 1,
            None => models.push((name, 1)),
        }
    }
    models
}

fn meters(job: &Job) -> Vec<Meter> {
    let mut meters = Vec::new();
    for gpu in job.records().flat_map(|record| &record.gpus) {
        if !meters.contains(&gpu.meter) {
            meters.push(gpu.meter);
        }
    }
    meters
}

fn clocks(job: &Job) -> Option<Clocks> {
    let full_mhz = job.records().filter_map(|record| Some(record.profile.as_ref()?.full.clock_mhz)).max();
    let changes = job.records().map(|record| record.clock_changes).fold(0, u32::saturating_add);
    let steps = || job.records().flat_map(|record| &record.steps).filter_map(|step| Some((step.clock_mhz?, step.seconds)));
    let set = || job.records().filter_map(|record| Some((record.clock_mhz.or(full_mhz)?, 1.0)));
    let seen = steps().next().is_some();
    let all: Vec<(u32, f64)> = if seen { steps().collect() } else { set().collect() };
    let time: f64 = all.iter().map(|(_, seconds)| seconds).sum();
    let (low, high) = (all.iter().map(|(mhz, _)| *mhz).min()?, all.iter().map(|(mhz, _)| *mhz).max()?);
    let mean = all.iter().map(|(mhz, seconds)| f64::from(*mhz) * seconds).sum::<f64>() / time;
    (time > 0.0).then_some(Clocks { low_mhz: low, high_mhz: high, mean_mhz: mean, full_mhz, changes, seen })
}

/// A job is compared where every part of it is.
fn compare(job: &Job, place: &Found, mixed: bool) -> Result<Compared, (Untold, String)> {
    if mixed {
        return Err((Untold::NoGrid, "average and marginal intensity are never added up".to_owned()));
    }
    let nothing = Outcome { seconds: 0.0, gpu_energy_j: 0.0, energy_kwh: 0.0, carbon_g: 0.0, estimated_share: 0.0 };
    let mut sum = Compared { full: nothing, economical: nothing, economical_mhz: 0, full_mhz: 0, calibration: (f64::MAX, 0.0) };
    for run in &job.runs {
        let mut longest = (0.0_f64, 0.0_f64);
        for part in &run.nodes {
            let site = part.records.last().and_then(|record| record.site.as_deref());
            let told = part.sum.baselines(place.onsite_g_per_kwh(site));
            let Baselines { full, economical, calibration } =
                told.map_err(|cause| (cause, format!("run {} on {}", run.run, part.node)))?;
            add(&mut sum.full, full);
            add(&mut sum.economical, economical);
            longest = (longest.0.max(full.seconds), longest.1.max(economical.seconds));
            sum.calibration = (sum.calibration.0.min(calibration), sum.calibration.1.max(calibration));
            if let Some(levels) = part.sum.levels {
                (sum.full_mhz, sum.economical_mhz) = (levels.full.clock_mhz, levels.economical.clock_mhz);
            }
        }
        sum.full.seconds += longest.0;
        sum.economical.seconds += longest.1;
    }
    Ok(sum)
}

/// Energy and carbon add up over nodes; time does not. The estimated part is weighed by energy.
fn add(sum: &mut Outcome, part: Outcome) {
    let energy_kwh = sum.energy_kwh + part.energy_kwh;
    if energy_kwh > 0.0 {
        sum.estimated_share = (sum.estimated_share * sum.energy_kwh + part.estimated_share * part.energy_kwh) / energy_kwh;
    }
    sum.energy_kwh = energy_kwh;
    sum.gpu_energy_j += part.gpu_energy_j;
    sum.carbon_g += part.carbon_g;
}
