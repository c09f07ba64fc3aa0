//! The scenario as serde sees it: every key, nothing checked beyond its type.

use serde::Deserialize;

/// How a forecast comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForecastKind {
    /// What will be.
    Perfect,
    /// What will be, with a seeded error that grows with the time ahead.
    Noisy,
    /// CARM's own forecaster, which sees the past alone.
    Carm,
}

/// A made-up grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeUpGrid {
    /// Much sun: clean noons, dirty evenings.
    Sunny,
    /// Much wind: clean and dirty days.
    Windy,
    /// Hydropower: clean, little change.
    Hydro,
    /// Coal and gas: dirty, little change.
    Fossil,
}

/// The format of a job trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobSource {
    /// `arrival_time,length,cpus` (hours, hours, GPUs).
    Pai,
    /// `job_id,...,num_gpu,submit_time,...,duration,...,expect_time_list,...` (minutes), with deadlines.
    Philly,
    /// Slurm's `sacct --parsable2`.
    Sacct,
    /// The Standard Workload Format.
    Swf,
    /// Made up.
    MadeUp,
}

/// How a trace's times meet the episode's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// By the calendar: the trace begins with the year, or has dates of its own.
    Calendar,
    /// The trace's first job is submitted as the episode begins.
    Start,
}

/// Who may pass a job that waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backfill {
    /// Whoever does not hold up the first that waits, GPU by GPU.
    #[default]
    Easy,
    /// Whoever does not hold up anybody before it, node by node: Slurm's own `sched/backfill`.
    Slurm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    pub name: Option<String>,
    pub seed: Option<u64>,
    pub profiles: Option<String>,
    pub time: RawTime,
    #[serde(default)]
    pub planner: RawPlanner,
    #[serde(default)]
    pub governor: RawGovernor,
    #[serde(default)]
    pub scheduler: RawScheduler,
    pub forecast: Option<RawForecast>,
    #[serde(default)]
    pub zone: Vec<RawZone>,
    #[serde(default)]
    pub site: Vec<RawSite>,
    #[serde(default)]
    pub vary: RawVary,
    pub jobs: Option<RawJobs>,
    #[serde(default)]
    pub service: Vec<RawService>,
    #[serde(default)]
    pub policies: RawPolicies,
    #[serde(default)]
    pub bounds: RawBounds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTime {
    pub start: String,
    pub length: String,
    pub every: Option<String>,
    pub count: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlanner {
    pub horizon: Option<String>,
    pub max_delay: Option<String>,
    pub host_watts: Option<f64>,
    pub pue: Option<f64>,
    pub ask_slurm: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGovernor {
    pub interval: Option<String>,
    pub dwell: Option<String>,
    pub min_change_mhz: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScheduler {
    #[serde(default)]
    pub backfill: Backfill,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawForecast {
    pub kind: ForecastKind,
    pub error: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawZone {
    pub name: String,
    pub path: Option<String>,
    #[serde(default)]
    pub paths: Vec<String>,
    pub made_up: Option<MadeUpGrid>,
    pub utc_offset_hours: Option<f64>,
    pub solar_city: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSite {
    pub name: String,
    pub zone: String,
    pub gpus: u32,
    pub gpus_per_node: Option<u32>,
    pub gpu: Option<String>,
    pub profile: Option<String>,
    pub host_watts: Option<f64>,
    pub pue: Option<f64>,
    pub clock_floor_mhz: Option<u32>,
    pub max_time: Option<String>,
    pub onsite: Option<String>,
    pub solar: Option<RawSolar>,
    #[serde(default)]
    pub onsite_made_up: bool,
    pub onsite_peak: Option<f64>,
    pub onsite_step: Option<String>,
    pub onsite_g_per_kwh: Option<f64>,
    #[serde(default)]
    pub as_if_measured: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSolar {
    pub path: String,
    pub city: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVary {
    #[serde(default)]
    pub zones: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJobs {
    pub source: JobSource,
    pub path: Option<String>,
    pub align: Option<Align>,
    pub sample: Option<f64>,
    pub per_hour: Option<f64>,
    pub units_per_gpu: Option<f64>,
    pub max_gpus: Option<u32>,
    pub min_work: Option<String>,
    pub max_work: Option<String>,
    pub stretch: Option<f64>,
    pub capacity: Option<f64>,
    pub deadline_factor: Option<f64>,
    pub deadline_slack: Option<String>,
    pub limit_factor: Option<f64>,
    #[serde(default)]
    pub limit_like_users: bool,
    pub runtime_error: Option<f64>,
    #[serde(default)]
    pub widths: Vec<f64>,
    pub budget_factor: Option<f64>,
    #[serde(default)]
    pub profiles: Vec<String>,
    pub max_delay: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawService {
    pub name: String,
    pub site: String,
    pub gpus: u32,
    pub profile: Option<String>,
    pub latency: String,
    pub full_clock_latency: Option<String>,
    pub rate_per_s: f64,
    pub swing: Option<f64>,
    pub peak_hour: Option<f64>,
    pub batch: Option<f64>,
    pub length: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicies {
    #[serde(default)]
    pub run: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBounds {
    pub per_job: Option<bool>,
}
