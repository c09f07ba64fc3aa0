//! What a line of the ledger is made of: GPUs, pieces of the run, the profile, marks.

use serde::{Deserialize, Serialize};

/// How a job ended, by Slurm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code of the job's script.
    pub code: u32,
    /// The signal that ended it; 0 for none.
    pub signal: u32,
}

impl Exit {
    /// Whether the job came to its own end: only such a run tells how long the work takes.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self { code: 0, signal: 0 }
    }
}

/// What of a GPU profile a reader needs: full clock, and the clock of least facility energy per work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileUsed {
    /// Its name.
    pub name: String,
    /// Whether it was measured for this workload on this card.
    pub measured: bool,
    /// The highest clock.
    pub full: LevelUsed,
    /// The clock of least energy per work, host share included.
    pub economical: LevelUsed,
}

/// One level of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LevelUsed {
    /// MHz.
    pub clock_mhz: u32,
    /// Watts of one GPU.
    pub watts: f64,
    /// Relative to full clock.
    pub speed: f64,
}

/// A piece of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Where it begins, RFC 3339 UTC.
    pub from: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// Mean SM clock of the job's GPUs that was seen, MHz; absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<u32>,
    /// Joules of the GPUs.
    pub gpu_energy_j: f64,
    /// Carbon of the facility, grams.
    pub carbon_g: f64,
    /// Grid intensity, g/kWh.
    pub g_per_kwh: f64,
    /// On-site power that was counted for the job, watts.
    #[serde(default)]
    pub onsite_w: f64,
    /// Whether the intensity was estimated.
    #[serde(default)]
    pub estimated: bool,
}

/// The grid for a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridStep {
    /// Where it begins, RFC 3339 UTC.
    pub from: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// Intensity, g/kWh.
    pub g_per_kwh: f64,
    /// On-site power that the job could have counted on, watts.
    #[serde(default)]
    pub onsite_w: f64,
    /// Whether the intensity was estimated.
    #[serde(default)]
    pub estimated: bool,
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
    /// No counter on this card: power samples, summed over time.
    Power,
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
    /// The job's epilog never came; its line was closed when it was found gone.
    NoEpilog,
    /// Somebody or something other than CARM moved the clocks; CARM let them be.
    OtherHand,
    /// The card slowed itself down: heat or a power limit.
    Throttled,
    /// The node only measured (`clocks = "off"`): the job kept full clock.
    ClocksOff,
    /// A mark that a later release writes.
    #[serde(other)]
    Other,
}
