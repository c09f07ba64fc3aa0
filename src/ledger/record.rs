//! One line of the ledger.

use serde::{Deserialize, Serialize};

/// The version of the lines that this release writes. A reader takes any version up to it.
pub const RECORD_VERSION: u32 = 1;

/// One job's run on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_VERSION`] of the writer.
    pub version: u32,
    /// Slurm's cluster name.
    pub cluster: String,
    /// Slurm's job id (of an array task, its own).
    pub job: u32,
    /// The run: 0 for the first, counted up by each requeue, from the prolog's own state.
    pub run: u32,
    /// Slurm's node name.
    pub node: String,
    /// Numeric user id.
    pub uid: Option<u32>,
    /// User name.
    pub user: Option<String>,
    /// Slurm account.
    pub account: Option<String>,
    /// Slurm partition.
    pub partition: Option<String>,
    /// Job name, where it is known.
    pub name: Option<String>,
    /// Site of the configuration.
    pub site: Option<String>,
    /// Grid zone of the configuration.
    pub zone: Option<String>,
    /// Where the intensity came from.
    pub grid_source: Option<String>,
    /// When the prolog took the job up, RFC 3339 UTC; absent where it never ran.
    pub start: Option<String>,
    /// When the epilog closed it, RFC 3339 UTC.
    pub end: String,
    /// The carbon request, as `CARM_*` variables.
    pub request: std::collections::BTreeMap<String, String>,
    /// The clock limit that the prolog set, in MHz; absent at full clock.
    pub clock_mhz: Option<u32>,
    /// Why that clock, in a few words.
    pub decision: String,
    /// Work in seconds at full clock with the requested GPUs, as planned with.
    pub work_s: Option<u64>,
    /// GPUs of this node.
    pub gpus: Vec<Gpu>,
    /// Measured GPU energy in joules: the GPUs' own, without host and PUE.
    pub gpu_energy_j: f64,
    /// Facility energy in kWh: PUE x (GPU energy + host share).
    pub energy_kwh: f64,
    /// Facility carbon in grams CO2e, location-based, average intensity.
    pub carbon_g: f64,
    /// Host power per GPU that was counted, in watts.
    pub host_watts: f64,
    /// PUE that was counted.
    pub pue: f64,
    /// Share of the time for which the grid was estimated, 0..1.
    pub estimated_share: f64,
    /// What a reader must know before trusting the figures.
    pub marks: Vec<Mark>,
}

/// One GPU of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// NVML's UUID.
    pub uuid: String,
    /// The card as NVML names it.
    pub model: Option<String>,
    /// Joules between prolog and epilog, this job's share.
    pub energy_j: f64,
    /// How that was measured.
    pub meter: Meter,
    /// The part of the GPU's energy that is this job's: 1 unless jobs shared it.
    pub share: f64,
}

/// How a GPU's energy was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meter {
    /// NVML's total energy counter, read twice.
    Counter,
    /// No counter at one end: nothing is known, and nothing is booked.
    Lost,
}

/// Something that a reader must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The prolog never ran or left no state: energy before the epilog is unknown.
    NoProlog,
    /// The job kept full clock because its time limit was not known.
    LimitUnknown,
    /// The job kept full clock because its work was not known.
    WorkUnknown,
    /// The carbon variables were unreadable and were ignored.
    RequestRefused,
    /// No grid data: carbon is zero because nothing is known, not because nothing was emitted.
    NoGrid,
    /// A GPU's energy is unknown.
    EnergyLost,
    /// Another job ran on one of the GPUs: its energy is split evenly between the jobs that held it.
    SharedGpu,
    /// The clocks were left alone: MIG, no permission, not supported, or an ambiguous GPU.
    ClocksUntouched,
    /// The budget could not be met; the job ran at its least-carbon clock, or as `on_budget` says.
    OverBudget,
    /// The service (`--carbon-latency`) kept full clock because its profile tells no latency.
    LatencyUnknown,
    /// The node's configuration could not be used.
    Unconfigured,
    /// The prolog or epilog was cut short, by a driver call that did not return or from outside: the clock is the intended
    /// one, and a figure that is missing is not known.
    CutShort,
    /// A mark that a later release writes.
    #[serde(other)]
    Other,
}
