//! The scenario: what is simulated, as a file says it, checked. Traces and jobs are read from here on by [`crate::world`].
//!
//! Raw first (`raw`), then checked (`check`): a fault names file, line, key, value and way out.

mod check;
mod raw;
mod set;

use std::path::{Path, PathBuf};

use carm::config::Planner;
use carm::located::TomlError;
use carm::profile::Profiles;
use carm::request::ProfileName;
use chrono::{DateTime, Utc};

pub use raw::{Align, Backfill, ForecastKind, JobSource, MadeUpGrid};
pub use set::Setting;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name, for people.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What it says, settings of the command line put in.
    pub text: String,
    /// Everything that is left to chance comes from it.
    pub seed: u64,
    /// Begins of the episodes.
    pub starts: Vec<DateTime<Utc>>,
    /// In each of them jobs arrive for so long, h.
    pub length_h: f64,
    /// CARM's configuration: horizon, patience, host power and PUE.
    pub planner: Planner,
    /// CARM's governor.
    pub governor: Governor,
    /// Who may pass a job that waits for room.
    pub backfill: Backfill,
    /// What is known of the future.
    pub forecast: Forecast,
    /// The grids.
    pub zones: Vec<ZoneSpec>,
    /// The sites, in the file's order.
    pub sites: Vec<SiteSpec>,
    /// Each start is simulated once with the first site in each of these zones (indices); empty: as the sites say.
    pub vary_zones: Vec<usize>,
    /// GPU profiles.
    pub profiles: Profiles,
    /// The training jobs; none: services alone.
    pub jobs: Option<JobsSpec>,
    /// Inference.
    pub services: Vec<ServiceSpec>,
    /// The policies to run, by name; empty: all.
    pub policies: Vec<String>,
    /// Whether each job's own limit is worked out.
    pub per_job_bound: bool,
}

/// `[governor]`: how CARM's governor is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Governor {
    /// Time between two looks, h.
    pub interval_h: f64,
    /// A clock stays at least so long, h; at a site with on-site power one interval.
    pub dwell_h: f64,
    /// A clock moves by so many MHz at least.
    pub min_change_mhz: u32,
}

/// `[forecast]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Which.
    pub kind: ForecastKind,
    /// Of a noisy one: the relative error (one standard deviation) a day ahead.
    pub error: f64,
}

/// `[[zone]]`: a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSpec {
    /// Its name.
    pub name: String,
    /// Where its signal comes from.
    pub source: ZoneSource,
    /// East of Greenwich, h: what night and weekend are there.
    pub utc_offset_h: f64,
    /// The column that a site's [`OnsiteSource::Solar`] takes here, instead of its own.
    pub solar_city: Option<String>,
}

/// Where a zone's signal comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum ZoneSource {
    /// Trace files, one after the other.
    Traces(Vec<PathBuf>),
    /// Made up.
    MadeUp(MadeUpGrid),
}

/// `[[site]]`: GPUs on one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteSpec {
    /// As CARM's configuration has it; its zone is an index into [`Scenario::zones`].
    pub site: carm::config::Site,
    /// On-site power.
    pub onsite: Option<OnsiteSpec>,
    /// GPUs of each of its nodes.
    pub gpus_per_node: u32,
    /// The partition's MaxTime, h.
    pub max_time_h: Option<f64>,
    /// Guarantees go by the profiles' speeds, as if somebody had measured them.
    pub as_if_measured: bool,
}

/// On-site power of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct OnsiteSpec {
    /// Where it comes from.
    pub source: OnsiteSource,
    /// Its peak over the GPUs' power at full clock; none: the trace's own watts.
    pub peak: Option<f64>,
    /// Power is the mean over so long, h.
    pub step_h: f64,
}

/// Where on-site power comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum OnsiteSource {
    /// A trace with `onsite_w`.
    Trace(PathBuf),
    /// One column of a table of solar output by seconds, as a part of its peak; the table's days are repeated.
    Solar {
        /// The file.
        path: PathBuf,
        /// The column.
        city: String,
    },
    /// Made up: the sun over a roof, with clouds.
    MadeUp,
}

/// `[jobs]`: training jobs and the rules by which they are used.
#[derive(Debug, Clone, PartialEq)]
pub struct JobsSpec {
    /// The format.
    pub source: JobSource,
    /// The file; none for made-up jobs.
    pub path: Option<PathBuf>,
    /// How the file's times meet the episode's.
    pub align: Align,
    /// Every job stands for so many: chance keeps each with this probability.
    pub sample: f64,
    /// Of made-up jobs: how many in an hour.
    pub per_hour: f64,
    /// So many of the trace's processors stand for one GPU.
    pub units_per_gpu: f64,
    /// Jobs that need more GPUs than this are cut to it.
    pub max_gpus: u32,
    /// Shorter jobs are left out, h.
    pub min_work_h: f64,
    /// Longer jobs are cut to this, h.
    pub max_work_h: f64,
    /// Run times are multiplied by this.
    pub stretch: f64,
    /// Sites get so many GPUs in all as this times the episode's mean demand; none: as the sites say.
    pub capacity: Option<f64>,
    /// Finish by so many run times after submission.
    pub deadline_factor: Option<f64>,
    /// Finish by run time and so many hours after submission.
    pub deadline_slack_h: Option<f64>,
    /// The time limit, in expected run times.
    pub limit_factor: f64,
    /// Limits as users give them: drawn, whatever the factor.
    pub limit_like_users: bool,
    /// What users say of the run time is off by this (one standard deviation of its logarithm).
    pub runtime_error: f64,
    /// GPU counts that a job can use, as multiples of its own.
    pub widths: Vec<f64>,
    /// The carbon budget over what the run would emit at full clock on the zone's mean intensity.
    pub budget_factor: Option<f64>,
    /// Profiles that jobs have in turn; empty: the site's.
    pub profiles: Vec<ProfileName>,
    /// How long jobs accept to be deferred, h.
    pub max_delay_h: f64,
}

/// `[[service]]`: inference with a request rate and a latency limit.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: String,
    /// Where it runs (an index into [`Scenario::sites`]).
    pub site: usize,
    /// Its GPUs.
    pub gpus: u32,
    /// Its profile; none: the site's.
    pub profile: Option<ProfileName>,
    /// Requests are answered within this, ms.
    pub latency_ms: f64,
    /// How long one request takes at full clock, ms; none: as the profile says.
    pub full_clock_ms: Option<f64>,
    /// Requests a second in the mean.
    pub rate_per_s: f64,
    /// The rate's daily swing, as a part of the mean.
    pub swing: f64,
    /// The local hour of the most requests.
    pub peak_hour: f64,
    /// Requests that are answered together.
    pub batch: f64,
    /// Each instance runs so long, one after the other, h.
    pub length_h: f64,
}

/// A scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Its text is wrong.
    #[error(transparent)]
    Text(#[from] TomlError),
    /// A setting of the command line is wrong.
    #[error("--set: '{setting}': {cause}")]
    Setting {
        /// What was given.
        setting: String,
        /// Why it is wrong.
        cause: String,
    },
}

/// What a scenario's reading has to say besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark(pub String);

impl Scenario {
    /// Reads a scenario file, some of its keys set otherwise.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key or a value out of its range; each names file, line and key.
    pub fn load(path: &Path, settings: &[Setting], data: Option<&Path>) -> Result<(Self, Vec<Remark>), ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ScenarioError::Read { path: path.to_owned(), cause })?;
        let text = set::apply(text, settings, path)?;
        Ok(Self::parse(&text, path, data)?)
    }

    /// Reads a scenario from its text; relative paths in it are relative to the folder of `path`, and `$CARM_DATA` in them is
    /// `data`: where there is none, what it would have held is made up, and a remark says so.
    ///
    /// # Errors
    /// As [`Scenario::load`].
    pub fn parse(text: &str, path: &Path, data: Option<&Path>) -> Result<(Self, Vec<Remark>), TomlError> {
        check::read(text, path, data)
    }
    /// What of it is made up, in words: grids, roofs, jobs.
    #[must_use]
    pub fn made_up(&self) -> Vec<String> {
        let is_made_up = |zone: &&ZoneSpec| matches!(zone.source, ZoneSource::MadeUp(_));
        let grids = self.zones.iter().filter(is_made_up).map(|zone| format!("the grid of zone '{}'", zone.name));
        let has_made_up = |site: &&SiteSpec| site.onsite.as_ref().is_some_and(|onsite| onsite.source == OnsiteSource::MadeUp);
        let roofs = self.sites.iter().filter(has_made_up).map(|site| format!("the roof of site '{}'", site.site.name));
        let jobs = self.jobs.iter().filter(|jobs| jobs.source == JobSource::MadeUp).map(|_| "the training jobs".to_owned());
        let services = self.services.iter().map(|service| format!("the requests to '{}'", service.name));
        grids.chain(roofs).chain(jobs).chain(services).collect()
    }
}
