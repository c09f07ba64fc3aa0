//! One episode of a scenario: its sites with their signals as they will be, and its jobs. What is in here is the truth; policies see it
//! through [`crate::foresight`] alone.

mod build;
mod made_up;
mod signals;

use carm::config::{Planner, Site};
use carm::plan::Level;
use carm::profile::Profile;
use carm::request::ProfileName;
use carm::site::Outlook;
use chrono::{DateTime, TimeDelta, Utc};

pub use build::{Source, WorldError};

use crate::jobs::Job;
use crate::scenario::{Backfill, Forecast, Governor};

/// One episode.
#[derive(Debug, Clone)]
pub struct World {
    /// Which of the scenario's episodes.
    pub episode: usize,
    /// Its begin: hour 0.
    pub start: DateTime<Utc>,
    /// Jobs arrive until then, h.
    pub length_h: f64,
    /// The zone that the first site was put into, where zones are varied.
    pub zone: Option<String>,
    /// CARM's configuration.
    pub planner: Planner,
    /// CARM's governor.
    pub governor: Governor,
    /// Who may pass a job that waits for room.
    pub backfill: Backfill,
    /// What is known of the future.
    pub forecast: Forecast,
    /// The scenario's seed.
    pub seed: u64,
    /// The sites.
    pub sites: Vec<Place>,
    /// The workloads that jobs name; the first is the site's own.
    pub workloads: Vec<Option<ProfileName>>,
    /// The jobs, by submission.
    pub jobs: Vec<Job>,
    /// Jobs that no site has GPUs enough for: left out.
    pub dropped: usize,
}

/// A site and its signals.
#[derive(Debug, Clone)]
pub struct Place {
    /// As CARM's configuration has it.
    pub site: Site,
    /// GPUs of each of its nodes.
    pub gpus_per_node: u32,
    /// The partition's MaxTime, h.
    pub max_time_h: Option<f64>,
    /// Profiles count as measured, whatever they say.
    pub as_if_measured: bool,
    /// East of Greenwich, h.
    pub utc_offset_h: f64,
    /// Grid and roof as they are: from some weeks before the episode until long after it.
    pub truth: Outlook,
    /// The grid's renewable share, 0 to 1, by slot; empty where nobody tells.
    pub renewable_share: Vec<f64>,
    /// Where slots begin, h; the last holds for ever.
    pub borders_h: Vec<f64>,
    /// Grid intensity by slot, g/kWh.
    pub g_per_kwh: Vec<f64>,
    /// On-site power by slot, W.
    pub onsite_w: Vec<f64>,
    /// The profile of each workload here.
    pub profiles: Vec<Profile>,
    /// Its levels at or above the site's floor, as the planner's candidates have them.
    pub levels: Vec<Vec<Level>>,
}

impl Place {
    /// The slot of an instant.
    #[must_use]
    pub fn slot(&self, at_h: f64) -> usize {
        self.borders_h.partition_point(|&border| border <= at_h).saturating_sub(1)
    }

    /// The end of a slot, h; the last has none.
    #[must_use]
    pub fn slot_end(&self, slot: usize) -> f64 {
        self.borders_h.get(slot + 1).copied().unwrap_or(f64::INFINITY)
    }

    /// The fastest level of a workload: full clock.
    #[must_use]
    pub fn full_clock(&self, workload: usize) -> usize {
        let levels = &self.levels[workload];
        (0..levels.len()).max_by(|&a, &b| levels[a].speed.total_cmp(&levels[b].speed)).unwrap_or(0)
    }

    /// Facility power of a job there: PUE x workers x (GPU + host), W.
    #[must_use]
    pub fn power_w(&self, workload: usize, level: usize, workers: u32) -> f64 {
        self.site.pue * f64::from(workers) * (self.levels[workload][level].watts + self.site.host_watts)
    }

    /// Work (full-clock hours of `requested` GPUs on a card of throughput 1) that an hour does.
    #[must_use]
    pub fn work_per_h(&self, workload: usize, level: usize, workers: u32, requested: u32) -> f64 {
        let profile = &self.profiles[workload];
        let width = profile.relative_throughput(workers, requested).unwrap_or(1.0);
        self.levels[workload][level].speed * width * profile.throughput.unwrap_or(1.0)
    }

    /// Whether the workload's figures were measured for this card, or count as if they were.
    #[must_use]
    pub fn measured(&self, workload: usize) -> bool {
        let profile = &self.profiles[workload];
        self.as_if_measured || profile.measured && profile.gpu.is_some() && profile.gpu == self.site.gpu
    }
}

impl World {
    /// The instant so many hours after the begin, to the millisecond.
    #[must_use]
    pub fn instant(&self, at_h: f64) -> DateTime<Utc> {
        self.start + TimeDelta::milliseconds((at_h * 3.6e6).round() as i64)
    }

    /// Hours after the begin.
    #[must_use]
    pub fn hour(&self, at: DateTime<Utc>) -> f64 {
        (at - self.start).num_milliseconds() as f64 / 3.6e6
    }
}
