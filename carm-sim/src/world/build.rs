//! From a scenario to its episodes: traces are read once, and each episode takes its part.

use std::path::{Path, PathBuf};

use carm::config::Site;
use carm::grid::{self, Intensity, Signal, TraceError};
use carm::plan::Level;
use carm::request::ProfileName;
use carm::site::Outlook;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Place, World, made_up, signals};
use crate::jobs::{self, Job, JobTrace, JobsError, rules, service};
use crate::scenario::{OnsiteSource, OnsiteSpec, Scenario, ServiceSpec, SiteSpec, ZoneSource};

/// An episode's signals go on for so long after the last job was submitted, in days: queues take their time.
const AFTER_DAYS: i64 = 28;

/// An episode cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A grid or on-site trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A job trace.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// A trace lacks the column that is needed.
    #[error("{}: no column {column}; it is needed here", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// The data do not reach an episode's begin.
    #[error("zone '{zone}': no grid data for {at}; give an episode within the trace, or a longer trace")]
    NoData {
        /// The zone.
        zone: String,
        /// The instant asked for.
        at: DateTime<Utc>,
    },
}

/// A scenario with its traces read.
#[derive(Debug, Clone)]
pub struct Source<'s> {
    scenario: &'s Scenario,
    /// Intensity and renewable share by zone; none for a made-up one.
    zones: Vec<Option<(Signal, Option<Signal>)>>,
    /// On-site power by site: watts, or parts of the peak.
    roofs: Vec<Option<Signal>>,
    /// Parts of the peak by zone, where it names a city of its own.
    suns: Vec<Option<Signal>>,
    jobs: Option<JobTrace>,
}

impl<'s> Source<'s> {
    /// Reads what a scenario names.
    ///
    /// # Errors
    /// A file cannot be read or is wrong.
    pub fn read(scenario: &'s Scenario) -> Result<Self, WorldError> {
        let zones = scenario.zones.iter().map(|zone| match &zone.source {
            ZoneSource::Traces(paths) => traces(paths).map(Some),
            ZoneSource::MadeUp(_) => Ok(None),
        });
        let roofs = scenario.sites.iter().map(|site| site.onsite.as_ref().map_or(Ok(None), roof_trace));
        let table = scenario.sites.iter().find_map(|site| match &site.onsite.as_ref()?.source {
            OnsiteSource::Solar { path, .. } => Some(path),
            _ => None,
        });
        let suns = scenario.zones.iter().map(|zone| zone.solar_city.as_ref().zip(table));
        let suns = suns.map(|named| named.map(|(city, path)| solar(path, city)).transpose());
        let jobs = scenario.jobs.as_ref().and_then(|jobs| Some(jobs::read(jobs.source, jobs.path.as_ref()?)));
        Ok(Self {
            zones: zones.collect::<Result<_, _>>()?,
            roofs: roofs.collect::<Result<_, _>>()?,
            suns: suns.collect::<Result<_, _>>()?,
            jobs: jobs.transpose()?,
            scenario,
        })
    }

    /// What is to be known of what was read.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        self.jobs.as_ref()?.skipped.as_ref().map(ToString::to_string)
    }

    /// How many episodes there are.
    #[must_use]
    pub fn episodes(&self) -> usize {
        self.scenario.starts.len() * self.scenario.vary_zones.len().max(1)
    }

    /// One episode: the starts in order, and for each the varied zones.
    ///
    /// # Errors
    /// The data do not reach its begin.
    pub fn world(&self, episode: usize) -> Result<World, WorldError> {
        let scenario = self.scenario;
        let zones = scenario.vary_zones.len().max(1);
        let start = scenario.starts[episode / zones];
        let varied = scenario.vary_zones.get(episode % zones).copied();
        let mut specs: Vec<SiteSpec> = scenario.sites.clone();
        if let (Some(zone), Some(first)) = (varied, specs.first_mut()) {
            first.site.zone = zone;
        }
        // The same jobs in every zone.
        let window = rules::Window { start, length_h: scenario.length_h, episode: (episode / zones) as u64 };
        let (mut workloads, mut jobs) = (vec![None], self.training(window, &mut specs));
        workloads.extend(scenario.jobs.iter().flat_map(|spec| spec.profiles.iter().cloned().map(Some)));
        for spec in &scenario.services {
            let workload = spec.profile.clone().map_or(0, |name| workload(&mut workloads, name));
            let offset_h = scenario.zones[specs[spec.site].site.zone].utc_offset_h;
            jobs.extend(instances(spec, workload, window, offset_h));
        }
        jobs.sort_by(|a, b| a.submit_h.total_cmp(&b.submit_h));
        let until = start + TimeDelta::milliseconds((scenario.length_h * 3.6e6) as i64) + TimeDelta::days(AFTER_DAYS);
        let sites = specs.iter().enumerate();
        let sites = sites.map(|(i, spec)| self.place(i, spec, &workloads, start, until)).collect::<Result<Vec<_>, _>>()?;
        let before = jobs.len();
        settle(&mut jobs, &sites);
        let dropped = before - jobs.len();
        if let Some(factor) = scenario.jobs.as_ref().and_then(|spec| spec.budget_factor) {
            jobs.iter_mut()
                .filter(|job| job.service.is_none())
                .for_each(|job| job.budget_g = Some(factor * usual_g(job, &sites)));
        }
        Ok(World {
            episode,
            start,
            length_h: scenario.length_h,
            zone: varied.map(|zone| scenario.zones[zone].name.clone()),
            planner: scenario.planner.clone(),
            governor: scenario.governor,
            backfill: scenario.backfill,
            forecast: scenario.forecast,
            seed: scenario.seed,
            sites,
            workloads,
            jobs,
            dropped,
        })
    }

    /// The training jobs, and the sites made as large as the load wants.
    fn training(&self, window: rules::Window, specs: &mut [SiteSpec]) -> Vec<Job> {
        let Some(spec) = &self.scenario.jobs else { return Vec::new() };
        let seed = self.scenario.seed;
        let drawn;
        let trace = match &self.jobs {
            Some(trace) => trace,
            None => {
                drawn = jobs::made_up(window.length_h, spec.per_hour, seed, window.episode);
                &drawn
            }
        };
        let taken = rules::within(trace, spec, window, seed);
        let jobs: Vec<Job> = taken.iter().enumerate().map(|(i, one)| rules::job(one, spec, window, i, seed)).collect();
        if let Some(capacity) = spec.capacity {
            let services: u32 = self.scenario.services.iter().map(|service| service.gpus).sum();
            let demand = jobs.iter().map(Job::work_gpu_h).sum::<f64>() / window.length_h;
            let given: f64 = specs.iter().map(|spec| f64::from(spec.site.gpus)).sum();
            let widest = jobs.iter().map(|job| job.gpus).max().unwrap_or(1);
            for (i, spec) in specs.iter_mut().enumerate() {
                let part = f64::from(spec.site.gpus) / given;
                let gpus = (capacity * demand * part).ceil().max(1.0) as u32;
                // The widest job must fit somewhere.
                spec.site.gpus = if i == 0 { gpus.max(widest) + services } else { gpus };
            }
        }
        jobs
    }

    fn place(
        &self,
        index: usize,
        spec: &SiteSpec,
        workloads: &[Option<ProfileName>],
        start: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Place, WorldError> {
        let zone = &self.scenario.zones[spec.site.zone];
        let no_data = || WorldError::NoData { zone: zone.name.clone(), at: start };
        let from = start - TimeDelta::days(signals::PAST_DAYS);
        let (intensity, share) = match (&self.zones[spec.site.zone], &zone.source) {
            (Some((intensity, share)), _) => {
                let share = share.as_ref().and_then(|share| signals::cut(share, start, until));
                (signals::cut(intensity, start, until).ok_or_else(no_data)?, share)
            }
            (None, ZoneSource::MadeUp(kind)) => {
                let which = (self.scenario.seed, spec.site.zone as u64);
                let (intensity, share) = made_up::grid(*kind, which, zone.utc_offset_h, from, until).ok_or_else(no_data)?;
                (intensity, Some(share))
            }
            (None, ZoneSource::Traces(_)) => return Err(no_data()),
        };
        let profiles: Vec<carm::profile::Profile> = workloads
            .iter()
            .map(|name| {
                let name = name.as_ref().or(spec.site.profile.as_ref());
                let found = name.and_then(|name| self.scenario.profiles.find(name, spec.site.gpu.as_deref()));
                found.cloned().unwrap_or_else(carm::profile::generic)
            })
            .collect();
        let onsite_w = match &spec.onsite {
            Some(onsite) => self.roof(index, onsite, &spec.site, &profiles[0], (zone.utc_offset_h, from, until)),
            None => None,
        };
        let truth = Outlook {
            intensity,
            onsite_w,
            onsite_g_per_kwh: spec.site.onsite_g_per_kwh,
            source: zone.name.clone(),
            kind: Intensity::Average,
            age_s: None,
            doubts: Vec::new(),
        };
        let spans = truth.spans_between(start, until, 1.0);
        let hour = |at: DateTime<Utc>| (at - start).num_milliseconds() as f64 / 3.6e6;
        let share_at = |at| share.as_ref().and_then(|share| share.at(at)).map(|step| step.value);
        let levels = profiles.iter().map(|profile| levels(profile, spec.site.clock_floor_mhz)).collect();
        Ok(Place {
            renewable_share: spans.iter().map_while(|span| share_at(span.from)).collect(),
            borders_h: spans.iter().map(|span| hour(span.from)).collect(),
            g_per_kwh: spans.iter().map(|span| span.g_per_kwh).collect(),
            onsite_w: spans.iter().map(|span| span.onsite_w).collect(),
            site: spec.site.clone(),
            gpus_per_node: spec.gpus_per_node,
            max_time_h: spec.max_time_h,
            as_if_measured: spec.as_if_measured,
            utc_offset_h: zone.utc_offset_h,
            truth,
            profiles,
            levels,
        })
    }

    /// A site's on-site power in watts.
    fn roof(
        &self,
        index: usize,
        spec: &OnsiteSpec,
        site: &Site,
        profile: &carm::profile::Profile,
        (utc_offset_h, from, until): (f64, DateTime<Utc>, DateTime<Utc>),
    ) -> Option<Signal> {
        let step = TimeDelta::milliseconds((spec.step_h * 3.6e6).round() as i64);
        let gpus_w = f64::from(site.gpus) * profile.levels.last().map_or(0.0, |level| level.watts);
        let peak_w = spec.peak.map(|peak| peak * gpus_w);
        match (&spec.source, &self.roofs[index]) {
            (OnsiteSource::MadeUp, _) => {
                let part = made_up::roof(self.scenario.seed, index as u64, utc_offset_h, from, until, step)?;
                Some(part.map(|part| part * peak_w.unwrap_or(0.0)))
            }
            (OnsiteSource::Trace(_), Some(watts)) => {
                let most = watts.steps().iter().map(|step| step.value).fold(0.0, f64::max);
                let scale = peak_w.map_or(1.0, |peak_w| if most > 0.0 { peak_w / most } else { 0.0 });
                Some(signals::averaged(watts, from, until, step)?.map(|watts| watts * scale))
            }
            (OnsiteSource::Solar { .. }, Some(own)) => {
                let part = self.suns[site.zone].as_ref().unwrap_or(own);
                let days = (part.end() - part.start()).num_days().max(1);
                let repeated = signals::stepped(from, until, TimeDelta::minutes(5), |at| {
                    let after = TimeDelta::seconds(at.timestamp().rem_euclid(days * 86_400));
                    part.at(part.start() + after).map_or(0.0, |step| step.value)
                })?;
                Some(signals::averaged(&repeated, from, until, step)?.map(|part| part * peak_w.unwrap_or(0.0)))
            }
            _ => None,
        }
    }
}

/// The profile's levels at or above the site's floor, as the planner's candidates have them.
fn levels(profile: &carm::profile::Profile, floor_mhz: Option<u32>) -> Vec<Level> {
    let floor_mhz = floor_mhz.unwrap_or(0).min(profile.top_clock_mhz());
    let allowed = profile.levels.iter().filter(|level| level.clock_mhz >= floor_mhz);
    allowed
        .map(|level| Level { clock_mhz: level.clock_mhz, watts: level.watts, speed: level.speed, latency_ms: level.latency_ms })
        .collect()
}

fn traces(paths: &[PathBuf]) -> Result<(Signal, Option<Signal>), WorldError> {
    let (mut intensity, mut share) = (Vec::new(), Vec::new());
    for path in paths {
        let trace = grid::load::trace(path)?;
        let missing = || WorldError::Column { path: path.clone(), column: "carbon_g_per_kwh".to_owned() };
        intensity.push(trace.carbon_g_per_kwh.ok_or_else(missing)?);
        share.extend(trace.renewable_share);
    }
    let missing = || WorldError::Column { path: paths.first().cloned().unwrap_or_default(), column: "time".to_owned() };
    let share = if share.len() == paths.len() { signals::joined(share) } else { None };
    Ok((signals::joined(intensity).ok_or_else(missing)?, share))
}

fn roof_trace(spec: &OnsiteSpec) -> Result<Option<Signal>, WorldError> {
    match &spec.source {
        OnsiteSource::MadeUp => Ok(None),
        OnsiteSource::Trace(path) => {
            let missing = || WorldError::Column { path: path.clone(), column: "onsite_w".to_owned() };
            Ok(Some(grid::load::trace(path)?.onsite_w.ok_or_else(missing)?))
        }
        OnsiteSource::Solar { path, city } => solar(path, city).map(Some),
    }
}

/// One column of a table of seconds and parts of the peak.
fn solar(path: &Path, city: &str) -> Result<Signal, WorldError> {
    let read = |cause| TraceError::Read { path: path.to_owned(), cause };
    let line = |line: u64, cause: String| TraceError::Line { path: path.to_owned(), line, cause };
    let bytes = std::fs::read(path).map_err(read)?;
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let columns = reader.headers().map_err(|error| line(1, error.to_string()))?.clone();
    let missing = || WorldError::Column { path: path.to_owned(), column: city.to_owned() };
    let column = columns.iter().position(|name| name == city).ok_or_else(missing)?;
    let (mut steps, mut step_s) = (Vec::new(), 300);
    for (row, at) in reader.records().zip(2..) {
        let row = row.map_err(|error| line(at, error.to_string()))?;
        let field = |i: usize| row.get(i).unwrap_or_default();
        let seconds: i64 = field(0).parse().map_err(|_| line(at, format!("time: '{}': not whole seconds", field(0))))?;
        let part: f64 = field(column).parse().map_err(|_| line(at, format!("{city}: '{}': not a number", field(column))))?;
        if steps.len() == 1 {
            step_s = seconds.max(1);
        }
        steps.push(grid::Step::exact(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds), part));
    }
    let end = steps.last().map(|step| step.from + TimeDelta::seconds(step_s));
    end.and_then(|end| Signal::new(steps, end)).ok_or_else(|| line(1, "no rows, or times that do not rise".to_owned()).into())
}

/// A service's instances, one after the other.
fn instances(spec: &ServiceSpec, workload: usize, window: rules::Window, utc_offset_h: f64) -> Vec<Job> {
    let count = (window.length_h / spec.length_h - 1e-9).ceil().max(1.0) as usize;
    (0..count)
        .map(|i| {
            let submit_h = i as f64 * spec.length_h;
            let length_h = spec.length_h.min(window.length_h - submit_h);
            let midnight_h = f64::from(chrono::Timelike::num_seconds_from_midnight(&window.start)) / 3600.0 + utc_offset_h;
            let rate = |hour: usize| {
                let local = midnight_h + submit_h + hour as f64 + 0.5;
                let wave = (std::f64::consts::TAU * (local - spec.peak_hour) / 24.0).cos();
                spec.rate_per_s / f64::from(spec.gpus) * (1.0 + spec.swing * wave)
            };
            Job {
                name: format!("{}-{}", spec.name, i + 1),
                submit_h,
                gpus: spec.gpus,
                work_h: length_h,
                said_work_h: length_h,
                limit_h: length_h,
                deadline_h: None,
                max_delay_h: 0.0,
                budget_g: None,
                widths: Vec::new(),
                workload,
                home: spec.site,
                service: Some(service::Demand {
                    latency_ms: spec.latency_ms,
                    full_clock_ms: spec.full_clock_ms,
                    rate_per_s: (0..length_h.ceil() as usize).map(rate).collect(),
                    batch: spec.batch,
                }),
            }
        })
        .collect()
}

fn workload(workloads: &mut Vec<Option<ProfileName>>, name: ProfileName) -> usize {
    let known = workloads.iter().position(|known| known.as_ref() == Some(&name));
    known.unwrap_or_else(|| {
        workloads.push(Some(name));
        workloads.len() - 1
    })
}

/// Chooses each job's home: of the sites with GPUs enough the one with the least work for each GPU so far. Drops what fits nowhere.
fn settle(jobs: &mut Vec<Job>, sites: &[Place]) {
    let mut work = vec![0.0; sites.len()];
    jobs.retain_mut(|job| {
        if job.service.is_some() {
            return sites[job.home].site.gpus >= job.gpus;
        }
        let load = |site: usize| work[site] / f64::from(sites[site].site.gpus);
        let fits = (0..sites.len()).filter(|&site| sites[site].site.gpus >= job.gpus);
        let Some(home) = fits.min_by(|&a, &b| load(a).total_cmp(&load(b))) else { return false };
        work[home] += job.work_gpu_h();
        job.home = home;
        true
    });
}

/// What a job would emit at home at full clock on the grid's mean, g: a user's rule of thumb.
fn usual_g(job: &Job, sites: &[Place]) -> f64 {
    let home = &sites[job.home];
    let steps = home.truth.intensity.steps();
    let mean = steps.iter().map(|step| step.value).sum::<f64>() / steps.len().max(1) as f64;
    home.power_w(job.workload, home.full_clock(job.workload), job.gpus) * job.said_work_h * mean / 1000.0
}
