//! Raw to checked: ranges, names that must exist, paths made whole.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use carm::config::{Planner, Site};
use carm::located::{Located, TomlError};
use carm::plan::Objective;
use carm::profile::Profiles;
use carm::quantity::{parse_duration, parse_instant};
use carm::request::ProfileName;

use super::raw::{Align, ForecastKind, JobSource, RawJobs, RawScenario, RawService, RawSite, RawZone};
use super::{
    Forecast, Governor, JobsSpec, MadeUpGrid, OnsiteSource, OnsiteSpec, Remark, Scenario, ServiceSpec, SiteSpec, ZoneSource,
    ZoneSpec,
};

/// What stands for the folder of evaluation data in a path.
const DATA: &str = "$CARM_DATA";

/// The longest episode, in days, and the most of them: more is a slip of the pen.
const MOST_DAYS: f64 = 3660.0;
const MOST_EPISODES: usize = 10_000;

type Checked<T> = Result<T, TomlError>;

pub(super) fn read(text: &str, path: &Path, data: Option<&Path>) -> Checked<(Scenario, Vec<Remark>)> {
    let at = Located::parse(text, path)?;
    let raw: RawScenario = at.read()?;
    let mut check = Check { at: &at, folder: path.parent().unwrap_or(Path::new("")), data, remarks: Vec::new() };
    let scenario = check.scenario(raw, path, text)?;
    Ok((scenario, check.remarks))
}

struct Check<'a> {
    at: &'a Located<'a>,
    folder: &'a Path,
    data: Option<&'a Path>,
    remarks: Vec<Remark>,
}

impl Check<'_> {
    fn scenario(&mut self, raw: RawScenario, path: &Path, text: &str) -> Checked<Scenario> {
        let (starts, length_h) = self.episodes(&raw)?;
        let hours = |key: &str, text: &Option<String>, default: f64| self.hours(key, text.as_deref(), default);
        let planner = Planner {
            objective: Objective::Performance,
            horizon_s: 3600.0 * self.above("planner.horizon", hours("planner.horizon", &raw.planner.horizon, 168.0)?)?,
            max_delay_s: 3600.0 * hours("planner.max_delay", &raw.planner.max_delay, 12.0)?,
            max_delay_ratio: 0.5,
            host_watts: self.between("planner.host_watts", raw.planner.host_watts.unwrap_or(100.0), 0.0, 1e4)?,
            pue: self.between("planner.pue", raw.planner.pue.unwrap_or(1.2), 1.0, 10.0)?,
            ask_slurm: raw.planner.ask_slurm.unwrap_or(true),
        };
        let governor = Governor {
            interval_h: self.above("governor.interval", hours("governor.interval", &raw.governor.interval, 1.0 / 60.0)?)?,
            dwell_h: hours("governor.dwell", &raw.governor.dwell, 5.0 / 60.0)?,
            // Three steps of 15 MHz.
            min_change_mhz: raw.governor.min_change_mhz.unwrap_or(45),
        };
        let forecast = match &raw.forecast {
            None => Forecast { kind: ForecastKind::Perfect, error: 0.0 },
            Some(f) => Forecast { kind: f.kind, error: self.between("forecast.error", f.error.unwrap_or(0.1), 0.0, 2.0)? },
        };
        let zones = raw.zone.iter().enumerate().map(|(i, zone)| self.zone(i, zone)).collect::<Checked<Vec<_>>>()?;
        if zones.is_empty() {
            return Err(self.at.refuse_absent("zone", "no grid; give one [[zone]] at least"));
        }
        let profiles = self.profiles(raw.profiles.as_deref())?;
        let sites = raw
            .site
            .iter()
            .enumerate()
            .map(|(i, site)| self.site(i, site, &zones, &profiles, &planner))
            .collect::<Checked<Vec<_>>>()?;
        if sites.is_empty() {
            return Err(self.at.refuse_absent("site", "no site; give one [[site]] at least"));
        }
        let vary_zones = raw.vary.zones.iter().enumerate();
        let vary_zones =
            vary_zones.map(|(i, name)| self.zone_index(&format!("vary.zones[{i}]"), name, &zones)).collect::<Checked<_>>()?;
        let jobs = raw.jobs.as_ref().map(|jobs| self.jobs(jobs, &planner, &profiles)).transpose()?;
        let services = raw.service.iter().enumerate();
        let services = services.map(|(i, s)| self.service(i, s, &sites, &profiles, length_h)).collect::<Checked<Vec<_>>>()?;
        if jobs.is_none() && services.is_empty() {
            return Err(self.at.refuse_absent("jobs", "nothing to run; give [jobs] or a [[service]]"));
        }
        for (i, name) in raw.policies.run.iter().enumerate() {
            if crate::policy::named(name).is_none() {
                let cause = format!("no such policy; give some of {}", crate::policy::names().join(", "));
                return Err(self.at.refuse(&format!("policies.run[{i}]"), name, cause));
            }
        }
        Ok(Scenario {
            name: raw
                .name
                .map(|name| self.at.name("name", &name).map(|()| name))
                .transpose()?
                .unwrap_or_else(|| path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())),
            path: path.to_owned(),
            text: text.to_owned(),
            seed: raw.seed.unwrap_or(1),
            starts,
            length_h,
            planner,
            governor,
            backfill: raw.scheduler.backfill,
            forecast,
            zones,
            sites,
            vary_zones,
            profiles,
            jobs,
            services,
            policies: raw.policies.run,
            per_job_bound: raw.bounds.per_job.unwrap_or(true),
        })
    }

    fn episodes(&self, raw: &RawScenario) -> Checked<(Vec<chrono::DateTime<chrono::Utc>>, f64)> {
        let start = parse_instant(&raw.time.start).map_err(|e| self.at.refuse("time.start", &raw.time.start, e))?;
        let length_h = self.above("time.length", self.hours("time.length", Some(&raw.time.length), 0.0)?)?;
        self.between("time.length", length_h / 24.0, 0.0, MOST_DAYS)?;
        let count = raw.time.count.unwrap_or(1);
        if !(1..=MOST_EPISODES).contains(&count) {
            return Err(self.at.refuse("time.count", count, "not a number of episodes; give 1 to 10000"));
        }
        let every_h = self.above("time.every", self.hours("time.every", raw.time.every.as_deref(), length_h)?)?;
        let after = |i: usize| start + chrono::TimeDelta::milliseconds((i as f64 * every_h * 3.6e6).round() as i64);
        Ok(((0..count).map(after).collect(), length_h))
    }

    fn zone(&mut self, i: usize, raw: &RawZone) -> Checked<ZoneSpec> {
        let key = |field: &str| format!("zone[{i}].{field}");
        self.at.name(&key("name"), &raw.name)?;
        let utc_offset_h = self.between(&key("utc_offset_hours"), raw.utc_offset_hours.unwrap_or(0.0), -14.0, 14.0)?;
        let given: Vec<(String, &String)> = raw
            .path
            .iter()
            .map(|path| (key("path"), path))
            .chain(raw.paths.iter().enumerate().map(|(n, path)| (key(&format!("paths[{n}]")), path)))
            .collect();
        let mut paths = Vec::new();
        for (key, text) in &given {
            paths.extend(self.path(key, text)?);
        }
        let source = match (paths.is_empty(), raw.made_up) {
            (false, _) if paths.len() == given.len() => ZoneSource::Traces(paths),
            (_, Some(kind)) => ZoneSource::MadeUp(kind),
            _ if !given.is_empty() => {
                let kind = MadeUpGrid::Sunny;
                self.remarks.push(Remark(format!("zone '{}': CARM_DATA is not set: a made-up grid takes its place", raw.name)));
                ZoneSource::MadeUp(kind)
            }
            _ => return Err(self.at.refuse_absent(&key("path"), "no source; give path, paths or made_up")),
        };
        Ok(ZoneSpec { name: raw.name.clone(), source, utc_offset_h, solar_city: raw.solar_city.clone() })
    }

    fn site(&mut self, i: usize, raw: &RawSite, zones: &[ZoneSpec], profiles: &Profiles, planner: &Planner) -> Checked<SiteSpec> {
        let key = |field: &str| format!("site[{i}].{field}");
        self.at.name(&key("name"), &raw.name)?;
        if !(1..=1_000_000).contains(&raw.gpus) {
            return Err(self.at.refuse(&key("gpus"), raw.gpus, "not a number of GPUs; give 1 to 1000000"));
        }
        let gpus_per_node = self.between(&key("gpus_per_node"), raw.gpus_per_node.unwrap_or(1), 1, 1024)?;
        let profile = raw.profile.as_ref().map(|name| self.profile(&key("profile"), name, profiles)).transpose()?;
        let peak = raw.onsite_peak.map(|peak| self.between(&key("onsite_peak"), peak, 0.0, 1e3)).transpose()?;
        let mut sources = Vec::new();
        if let Some(text) = &raw.onsite {
            sources.push(self.path(&key("onsite"), text)?.map_or(OnsiteSource::MadeUp, OnsiteSource::Trace));
        }
        if let Some(solar) = &raw.solar {
            let path = self.path(&key("solar.path"), &solar.path)?;
            sources.push(path.map_or(OnsiteSource::MadeUp, |path| OnsiteSource::Solar { path, city: solar.city.clone() }));
        }
        if raw.onsite_made_up {
            sources.push(OnsiteSource::MadeUp);
        }
        if sources.len() > 1 {
            return Err(self
                .at
                .refuse_absent(&key("onsite"), "more than one on-site source; give one of onsite, solar, onsite_made_up"));
        }
        let step_key = key("onsite_step");
        let step_h = self.hours(&step_key, raw.onsite_step.as_deref(), 1.0)?;
        let step_h = self.between(&step_key, step_h, 1.0 / 60.0, 24.0)?;
        let onsite = sources.pop().map(|source| OnsiteSpec { source, peak, step_h });
        match &onsite {
            None if peak.is_some() => {
                return Err(self
                    .at
                    .refuse_absent(&key("onsite_peak"), "a peak of nothing; give onsite, solar or onsite_made_up = true"));
            }
            Some(OnsiteSpec { source: OnsiteSource::Solar { .. } | OnsiteSource::MadeUp, peak: None, .. }) => {
                return Err(self
                    .at
                    .refuse_absent(&key("onsite_peak"), "missing; give the peak as a part of the GPUs' power at full clock"));
            }
            _ => {}
        }
        if onsite.as_ref().is_some_and(|o| o.source == OnsiteSource::MadeUp) && !raw.onsite_made_up {
            self.remarks.push(Remark(format!("site '{}': CARM_DATA is not set: a made-up roof takes its place", raw.name)));
        }
        let hours = |field: &str, text: &Option<String>| {
            text.as_ref().map(|text| self.above(&key(field), self.hours(&key(field), Some(text), 0.0)?)).transpose()
        };
        let max_time_h = hours("max_time", &raw.max_time)?;
        let site = Site {
            name: raw.name.clone(),
            zone: self.zone_index(&key("zone"), &raw.zone, zones)?,
            partition: Some(raw.name.clone()),
            cluster: None,
            constraint: None,
            nodelist: None,
            gpu: raw.gpu.clone(),
            profile,
            gpus: raw.gpus,
            onsite: None,
            onsite_zone: None,
            onsite_g_per_kwh: self.between(&key("onsite_g_per_kwh"), raw.onsite_g_per_kwh.unwrap_or(30.0), 0.0, 1e4)?,
            host_watts: self.between(&key("host_watts"), raw.host_watts.unwrap_or(planner.host_watts), 0.0, 1e4)?,
            pue: self.between(&key("pue"), raw.pue.unwrap_or(planner.pue), 1.0, 10.0)?,
            clock_floor_mhz: raw.clock_floor_mhz,
            closed: Vec::new(),
            embodied_g_per_gpu_h: 0.0,
        };
        Ok(SiteSpec { site, onsite, gpus_per_node, max_time_h, as_if_measured: raw.as_if_measured })
    }

    fn jobs(&mut self, raw: &RawJobs, planner: &Planner, profiles: &Profiles) -> Checked<JobsSpec> {
        let (source, path) = match (raw.source, &raw.path) {
            (JobSource::MadeUp, _) => (JobSource::MadeUp, None),
            (_, None) => return Err(self.at.refuse_absent("jobs.path", "missing; give the trace, or source = \"made-up\"")),
            (source, Some(text)) => match self.path("jobs.path", text)? {
                Some(path) => (source, Some(path)),
                None => {
                    self.remarks.push(Remark("jobs: CARM_DATA is not set: made-up jobs take their place".to_owned()));
                    (JobSource::MadeUp, None)
                }
            },
        };
        let number = |field: &str, value: Option<f64>, default: f64, least: f64, most: f64| {
            self.between(&format!("jobs.{field}"), value.unwrap_or(default), least, most)
        };
        let maybe = |field: &str, value: Option<f64>, least: f64, most: f64| {
            value.map(|value| self.between(&format!("jobs.{field}"), value, least, most)).transpose()
        };
        let hours =
            |field: &str, text: &Option<String>, default: f64| self.hours(&format!("jobs.{field}"), text.as_deref(), default);
        let align = match source {
            JobSource::Pai | JobSource::Sacct => raw.align.unwrap_or(Align::Calendar),
            JobSource::Philly | JobSource::Swf => raw.align.unwrap_or(Align::Start),
            JobSource::MadeUp => Align::Start,
        };
        let widths = raw.widths.iter().enumerate();
        let names = raw.profiles.iter().enumerate();
        let sample = number("sample", raw.sample, 1.0, 0.0, 1.0)?;
        Ok(JobsSpec {
            source,
            path,
            align,
            sample: self.above("jobs.sample", sample)?,
            per_hour: number("per_hour", raw.per_hour, 10.0, 0.0, 1e6)?,
            units_per_gpu: number("units_per_gpu", raw.units_per_gpu, 1.0, 1e-3, 1e6)?,
            max_gpus: raw.max_gpus.unwrap_or(u32::MAX).max(1),
            min_work_h: hours("min_work", &raw.min_work, 0.0)?.max(1.0 / 3600.0),
            max_work_h: hours("max_work", &raw.max_work, 1e5)?,
            stretch: number("stretch", raw.stretch, 1.0, 1e-3, 1e3)?,
            capacity: maybe("capacity", raw.capacity, 0.1, 1e3)?,
            deadline_factor: maybe("deadline_factor", raw.deadline_factor, 1.0, 1e3)?,
            deadline_slack_h: raw
                .deadline_slack
                .as_ref()
                .map(|text| hours("deadline_slack", &Some(text.clone()), 0.0))
                .transpose()?,
            limit_factor: number("limit_factor", raw.limit_factor, 1.5, 0.01, 1e3)?,
            limit_like_users: raw.limit_like_users,
            runtime_error: number("runtime_error", raw.runtime_error, 0.0, 0.0, 3.0)?,
            widths: widths
                .map(|(i, &width)| self.between(&format!("jobs.widths[{i}]"), width, 1.0 / 64.0, 64.0))
                .collect::<Checked<_>>()?,
            budget_factor: maybe("budget_factor", raw.budget_factor, 0.0, 1e3)?,
            profiles: names
                .map(|(i, name)| self.profile(&format!("jobs.profiles[{i}]"), name, profiles))
                .collect::<Checked<_>>()?,
            max_delay_h: hours("max_delay", &raw.max_delay, planner.max_delay_s / 3600.0)?,
        })
    }

    fn service(
        &self,
        i: usize,
        raw: &RawService,
        sites: &[SiteSpec],
        profiles: &Profiles,
        length_h: f64,
    ) -> Checked<ServiceSpec> {
        let key = |field: &str| format!("service[{i}].{field}");
        self.at.name(&key("name"), &raw.name)?;
        let site = sites.iter().position(|site| site.site.name == raw.site).ok_or_else(|| {
            let names: Vec<&str> = sites.iter().map(|site| site.site.name.as_str()).collect();
            self.at.refuse(&key("site"), &raw.site, format!("no such site; give one of {}", names.join(", ")))
        })?;
        if raw.gpus == 0 || raw.gpus > sites[site].site.gpus {
            let cause = format!("not a number of GPUs there; give 1 to {}", sites[site].site.gpus);
            return Err(self.at.refuse(&key("gpus"), raw.gpus, cause));
        }
        let profile = raw.profile.as_ref().map(|name| self.profile(&key("profile"), name, profiles)).transpose()?;
        let ms = |field: &str, text: &str| -> Checked<f64> {
            self.above(&key(field), 3.6e6 * self.hours(&key(field), Some(text), 0.0)?)
        };
        let full_clock_ms = raw.full_clock_latency.as_ref().map(|text| ms("full_clock_latency", text)).transpose()?;
        let name = profile.as_ref().or(sites[site].site.profile.as_ref());
        let told = name.and_then(|name| profiles.find(name, sites[site].site.gpu.as_deref()));
        let tells = told.is_some_and(|p| p.levels.last().is_some_and(|level| level.latency_ms.is_some()));
        if full_clock_ms.is_none() && !tells {
            let cause =
                "missing, and the profile tells no latency; give how long one request takes at full clock, such as \"20ms\"";
            return Err(self.at.refuse_absent(&key("full_clock_latency"), cause));
        }
        let number = |field: &str, value: Option<f64>, default: f64, least: f64, most: f64| {
            self.between(&key(field), value.unwrap_or(default), least, most)
        };
        Ok(ServiceSpec {
            name: raw.name.clone(),
            site,
            gpus: raw.gpus,
            profile,
            latency_ms: ms("latency", &raw.latency)?,
            full_clock_ms,
            rate_per_s: self.between(&key("rate_per_s"), raw.rate_per_s, 0.0, 1e9)?,
            swing: number("swing", raw.swing, 0.0, 0.0, 1.0)?,
            peak_hour: number("peak_hour", raw.peak_hour, 14.0, 0.0, 24.0)?,
            batch: number("batch", raw.batch, 1.0, 1.0, 1e6)?,
            length_h: self.above(&key("length"), self.hours(&key("length"), raw.length.as_deref(), length_h.min(24.0))?)?,
        })
    }

    fn zone_index(&self, key: &str, name: &str, zones: &[ZoneSpec]) -> Checked<usize> {
        zones.iter().position(|zone| zone.name == name).ok_or_else(|| {
            let names: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
            self.at.refuse(key, name, format!("no such zone; give one of {}", names.join(", ")))
        })
    }

    fn profiles(&mut self, folder: Option<&str>) -> Checked<Profiles> {
        let Some(text) = folder else { return Ok(Profiles::builtin()) };
        let Some(path) = self.path("profiles", text)? else { return Ok(Profiles::builtin()) };
        if !path.is_dir() {
            return Err(self.at.refuse("profiles", text, "no such folder; give a folder of profiles, or leave the key out"));
        }
        match Profiles::load(&path) {
            (profiles, errors) if errors.is_empty() => Ok(profiles),
            (_, errors) => Err(self.at.refuse("profiles", text, &errors[0])),
        }
    }

    fn profile(&self, key: &str, name: &str, profiles: &Profiles) -> Checked<ProfileName> {
        let parsed: ProfileName = name.parse().map_err(|e| self.at.refuse(key, name, e))?;
        if profiles.find(&parsed, None).is_none() {
            return Err(self.at.refuse(key, name, format!("no such profile; give one of {}", profiles.names())));
        }
        Ok(parsed)
    }

    /// The path that a text means; none where it lies in data that are not at hand.
    fn path(&self, key: &str, text: &str) -> Checked<Option<PathBuf>> {
        let path = match text.strip_prefix(DATA).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => match self.data {
                Some(data) => data.join(rest),
                None => return Ok(None),
            },
            None => self.folder.join(text),
        };
        if path.exists() { Ok(Some(path)) } else { Err(self.at.refuse(key, text, format!("no such file: {}", path.display()))) }
    }

    fn hours(&self, key: &str, text: Option<&str>, default: f64) -> Checked<f64> {
        let Some(text) = text else { return Ok(default) };
        Ok(parse_duration(text).map_err(|error| self.at.refuse(key, text, error))? / 3600.0)
    }

    fn above(&self, key: &str, value: f64) -> Checked<f64> {
        if value > 0.0 { Ok(value) } else { Err(self.at.refuse(key, value, "too little; give more than 0")) }
    }

    fn between<T: PartialOrd + Display + Copy>(&self, key: &str, value: T, least: T, most: T) -> Checked<T> {
        if value >= least && value <= most {
            Ok(value)
        } else {
            Err(self.at.refuse(key, value, format!("out of range; give {least} to {most}")))
        }
    }
}
