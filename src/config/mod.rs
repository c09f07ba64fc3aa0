//! carm.toml: read raw, then checked into values that need no second look.
//!
//! [`Config::load`] reads the file alone; traces and profiles that it names are read by whoever uses them, so that a user's
//! carm-submit never fails over a file that only root can read.

mod check;
mod closed;
mod live;
mod raw;

use std::path::{Path, PathBuf};

pub use closed::{Closed, NotAWindow};
pub use live::{Api, Live, Quantity, Service};

use crate::grid::Intensity;
use crate::located::{Located, TomlError};
use crate::request::{Objective, ProfileName};

/// Where the configuration stands unless a program is told otherwise.
pub const DEFAULT_PATH: &str = "/etc/carm/carm.toml";

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it came from; `None` for the embedded default.
    pub path: Option<PathBuf>,
    /// `[planner]`
    pub planner: Planner,
    /// `[submit]`
    pub submit: Submit,
    /// `[grid]`
    pub grid: Grid,
    /// `[[zone]]`, in the file's order.
    pub zones: Vec<Zone>,
    /// `[[site]]`, in the file's order, which breaks the planner's last ties.
    pub sites: Vec<Site>,
    /// `[node]`
    pub node: Node,
}

/// `[planner]`: what holds for every job.
#[derive(Debug, Clone, PartialEq)]
pub struct Planner {
    /// Objective of jobs that name none.
    pub objective: Objective,
    /// How far plans look ahead, in seconds.
    pub horizon_s: f64,
    /// No job waits longer for greener power unless its user says so, in seconds.
    pub max_delay_s: f64,
    /// A job without a deadline is delayed by at most this part of its predicted run time.
    pub max_delay_ratio: f64,
    /// Host power per allocated GPU on top of the GPU's own, in watts.
    pub host_watts: f64,
    /// Power usage effectiveness: facility power over IT power, 1 or more.
    pub pue: f64,
    /// Whether carm-submit asks Slurm, before it plans, when there is room and how long the queue is.
    pub ask_slurm: bool,
}

/// `[submit]`: how carm-submit submits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Submit {
    /// Slurm's own sbatch (absolute path); `None`: the first in PATH that is not carm-submit.
    pub sbatch: Option<PathBuf>,
    /// By which share of its own a job's time limit may be raised for slower clocks; `None`: as far as Slurm's limits allow.
    pub stretch_limit: Option<f64>,
    /// Whether jobs may go to other clusters than the one that they are submitted on, without `--clusters`.
    pub other_clusters: bool,
}

/// `[grid]`: what holds for every zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Where carm-grid leaves what it fetched.
    pub cache_dir: PathBuf,
    /// What was fetched longer ago is continued by CARM's own forecast and marked as estimated, in seconds.
    pub max_age_s: f64,
    /// How often carm-grid asks a zone's source, unless the zone says otherwise, in seconds.
    pub interval_s: f64,
    /// Life-cycle intensity of renewable power, for sources that give a share alone and for on-site power, in g/kWh.
    pub renewable_g_per_kwh: f64,
    /// Intensity of the rest, for sources that give a share alone, in g/kWh.
    pub fossil_g_per_kwh: f64,
}

/// Where a zone's signal comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A trace file (absolute path), and whether it is continued past its end by CARM's own forecast.
    Trace {
        /// The file.
        path: PathBuf,
        /// `extend = "forecast"`
        extend: bool,
    },
    /// The built-in typical day, on clocks this many seconds east of Greenwich.
    TypicalDay {
        /// Seconds east of Greenwich.
        utc_offset_s: i32,
    },
    /// What carm-grid fetches into the cache.
    Live(Live),
}

/// `[[zone]]`: a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Its name, as sites refer to it.
    pub name: String,
    /// Its source.
    pub source: Source,
    /// Whether its carbon intensity is average or marginal.
    pub intensity: Intensity,
}

/// `[[site]]`: GPUs in one place on one grid, and how Slurm reaches them.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Index into [`Config::zones`].
    pub zone: usize,
    /// Slurm's partition.
    pub partition: Option<String>,
    /// Slurm's cluster.
    pub cluster: Option<String>,
    /// Slurm's constraint.
    pub constraint: Option<String>,
    /// Slurm's node list.
    pub nodelist: Option<String>,
    /// GPU type, as profiles name it.
    pub gpu: Option<String>,
    /// Profile of jobs that name none.
    pub profile: Option<ProfileName>,
    /// GPUs at the site; [`Site::UNKNOWN_GPUS`] where the file does not say, until Slurm does.
    pub gpus: u32,
    /// On-site generation: a trace with `onsite_w` (absolute path).
    pub onsite: Option<PathBuf>,
    /// The same from a zone whose data carry on-site power: index into [`Config::zones`]. Never beside `onsite`.
    pub onsite_zone: Option<usize>,
    /// Life-cycle intensity of the on-site power, in g/kWh.
    pub onsite_g_per_kwh: f64,
    /// Host power per allocated GPU, in watts.
    pub host_watts: f64,
    /// Power usage effectiveness.
    pub pue: f64,
    /// No clock below this.
    pub clock_floor_mhz: Option<u32>,
    /// When no job may run there.
    pub closed: Vec<Closed>,
    /// Embodied carbon per GPU-hour, reported apart, in g.
    pub embodied_g_per_gpu_h: f64,
}

impl Site {
    /// As many as any job wants.
    pub const UNKNOWN_GPUS: u32 = u32::MAX;

    /// Whether it has on-site power, of a trace or of a zone.
    #[must_use]
    pub fn has_onsite(&self) -> bool {
        self.onsite.is_some() || self.onsite_zone.is_some()
    }

    /// The share of the site's on-site power that a job with `gpus` of its GPUs may count on, 0 to 1: the shares of all jobs
    /// never add up to more than 1.
    #[must_use]
    pub fn onsite_share(&self, gpus: f64) -> f64 {
        if self.gpus == Self::UNKNOWN_GPUS { 1.0 } else { (gpus / f64::from(self.gpus)).min(1.0) }
    }
}

/// Whose energy is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Account {
    /// Jobs with carbon options.
    Carbon,
    /// Every job with GPUs.
    All,
}

/// Whether CARM sets GPU clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clocks {
    /// Energy and carbon are booked alone.
    Off,
    /// Clocks follow the plan.
    On,
}

/// What happens to the clocks of a job that has used up its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBudget {
    /// The most efficient clock.
    Floor,
    /// Full clock.
    Full,
    /// Only a line in the log.
    Notify,
}

/// Where carm-prolog writes its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// The system's log.
    Syslog,
    /// A file.
    File(PathBuf),
}

/// `[node]`: read by carm-prolog.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The site that this node is at (index into [`Config::sites`]), where partition or node list do not tell.
    pub site: Option<usize>,
    /// The NVML library to load.
    pub nvml_library: PathBuf,
    /// Node state, root only.
    pub state_dir: PathBuf,
    /// The ledger.
    pub ledger_dir: PathBuf,
    /// Whether clocks and persistence mode may be set.
    pub clocks: Clocks,
    /// How often a governor re-decides, in seconds.
    pub interval_s: f64,
    /// Whether an unknown time limit may be asked for with one squeue.
    pub ask_limit: bool,
    /// A clock stays at least this long, in seconds.
    pub dwell_s: f64,
    /// A clock moves by at least so many of the card's steps.
    pub min_change: u32,
    /// Whose energy is booked.
    pub account: Account,
    /// What follows a used-up budget.
    pub on_budget: OnBudget,
    /// Where the log goes.
    pub log: LogTarget,
    /// GPU device files in GRES order; `None`: from gres.conf.
    pub gpu_files: Option<Vec<PathBuf>>,
    /// Whether several jobs may be on one GPU; `None`: as Slurm's files and the job's environment tell.
    pub shared_gpus: Option<bool>,
    /// The clock range to put back; `None`: reset to the driver's default.
    pub restore_mhz: Option<(u32, u32)>,
    /// The folder of node_exporter's textfile collector, for the governor's metrics.
    pub metrics_dir: Option<PathBuf>,
    /// Whether carm-prolog checks owner and mode of what it goes by as root.
    pub strict_modes: bool,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
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
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key or a value out of its range; each names file, line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Ok(Self::parse(&text, path)?)
    }

    /// Reads a configuration from its text; relative paths in it are relative to the folder of `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, TomlError> {
        let located = Located::parse(text, path)?;
        check::check(located.read()?, &located, path)
    }

    /// What CARM does without any file: one site of no name on the built-in typical day, and the built-in profile.
    #[must_use]
    pub fn embedded(utc_offset_s: i32) -> Self {
        check::embedded(utc_offset_s)
    }

    /// The folder of profiles beside the configuration file.
    #[must_use]
    pub fn profiles_dir(&self) -> Option<PathBuf> {
        Some(self.path.as_ref()?.parent()?.join("profiles"))
    }

    /// The site that a job on a node is at: the one whose partition or node list names it, else `[node] site`, else the
    /// only one there is. `None` where nothing tells.
    #[must_use]
    pub fn site_of(&self, partition: Option<&str>, node: &str) -> Option<(usize, &Site)> {
        let in_list = |site: &Site| -> Option<bool> {
            let names = crate::slurm::hostlist::expand(site.nodelist.as_deref()?)?;
            Some(names.iter().any(|name| name == node))
        };
        let in_partition = |site: &Site| site.partition.as_deref().map(|name| Some(name) == partition);
        let named = |site: &&(usize, &Site)| match (in_list(site.1), in_partition(site.1)) {
            (Some(listed), Some(in_partition)) => listed && in_partition,
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => false,
        };
        let sites = || self.sites.iter().enumerate();
        let found = sites().collect::<Vec<_>>().iter().find(named).copied();
        found
            .or_else(|| self.node.site.and_then(|index| sites().nth(index)))
            .or_else(|| sites().next().filter(|_| self.sites.len() == 1))
    }

    /// The zone of a site.
    #[must_use]
    pub fn zone_of(&self, site: &Site) -> &Zone {
        &self.zones[site.zone]
    }
}

#[cfg(test)]
mod tests;
