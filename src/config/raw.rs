//! carm.toml as serde sees it: every key, nothing checked beyond its type.

use serde::Deserialize;

use super::live::{Api, Quantity};
use super::{Account, Clocks, OnBudget};
use crate::grid::Intensity;
use crate::request::Objective;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default)]
    pub planner: RawPlanner,
    #[serde(default)]
    pub submit: RawSubmit,
    #[serde(default)]
    pub grid: RawGrid,
    #[serde(default)]
    pub zone: Vec<RawZone>,
    #[serde(default)]
    pub site: Vec<RawSite>,
    #[serde(default)]
    pub node: RawNode,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlanner {
    pub objective: Option<Objective>,
    pub horizon: Option<String>,
    pub max_delay: Option<String>,
    pub max_delay_ratio: Option<f64>,
    pub host_watts: Option<f64>,
    pub pue: Option<f64>,
    pub ask_slurm: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubmit {
    pub sbatch: Option<String>,
    pub stretch_limit: Option<RawStretch>,
    pub other_clusters: Option<bool>,
}

/// `true`, `false` or `"25%"`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawStretch {
    Switch(bool),
    Share(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGrid {
    pub cache_dir: Option<String>,
    pub max_age: Option<String>,
    pub interval: Option<String>,
    pub renewable_g_per_kwh: Option<f64>,
    pub fossil_g_per_kwh: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawZone {
    pub name: String,
    pub source: String,
    pub path: Option<String>,
    pub extend: Option<String>,
    pub utc_offset_hours: Option<f64>,
    pub signal: Option<Intensity>,
    pub area: Option<String>,
    pub token_file: Option<String>,
    pub base_url: Option<String>,
    pub api: Option<Api>,
    pub query: Option<String>,
    pub quantity: Option<Quantity>,
    pub command: Option<Vec<String>>,
    pub user: Option<String>,
    pub interval: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSite {
    pub name: String,
    pub zone: String,
    pub partition: Option<String>,
    pub cluster: Option<String>,
    pub constraint: Option<String>,
    pub nodelist: Option<String>,
    pub gpu: Option<String>,
    pub profile: Option<String>,
    pub gpus: Option<u32>,
    pub onsite: Option<String>,
    pub onsite_zone: Option<String>,
    pub onsite_g_per_kwh: Option<f64>,
    pub host_watts: Option<f64>,
    pub pue: Option<f64>,
    pub clock_floor_mhz: Option<u32>,
    #[serde(default)]
    pub closed: Vec<String>,
    pub embodied_g_per_gpu_h: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNode {
    pub site: Option<String>,
    pub nvml_library: Option<String>,
    pub state_dir: Option<String>,
    pub ledger_dir: Option<String>,
    pub clocks: Option<Clocks>,
    pub interval: Option<String>,
    pub ask_limit: Option<bool>,
    pub dwell: Option<String>,
    pub min_change: Option<u32>,
    pub account: Option<Account>,
    pub on_budget: Option<OnBudget>,
    pub log: Option<String>,
    pub gpu_files: Option<Vec<String>>,
    pub shared_gpus: Option<bool>,
    pub restore_mhz: Option<[u32; 2]>,
    pub metrics_dir: Option<String>,
    pub strict_modes: Option<bool>,
}
