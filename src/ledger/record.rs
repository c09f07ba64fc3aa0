//! One line of the ledger.

use serde::{Deserialize, Serialize};

use super::parts::{Exit, Gpu, GridStep, Mark, ProfileUsed, Step};
use super::range;
use crate::grid::Intensity;
use crate::text::parser_message;

/// The version of the lines that this release writes. A reader takes any version up to it.
pub const RECORD_VERSION: u32 = 2;

/// One job's run on one node, or a part of it: a job that runs for days has a line a day, and a last one when it ends.
/// Energies, carbon and work are those of the line's own span, so that lines add up.
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
    /// Where the line's span begins, RFC 3339 UTC: the end of the run's line before it; absent for the first, which begins at
    /// `start`. Version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Where it ends, RFC 3339 UTC: when the epilog closed the run, or a day was full.
    pub end: String,
    /// Whether the run has ended with this line. Version 2; lines of version 1 all ended theirs.
    #[serde(default = "yes")]
    pub closed: bool,
    /// How the job ended, where slurmd told the epilog. Version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// When the job could have started had CARM not deferred it, RFC 3339 UTC, as carm-submit tells; absent: at `start`.
    /// Version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The carbon request, as `CARM_*` variables.
    pub request: std::collections::BTreeMap<String, String>,
    /// The clock limit that the prolog set, in MHz; absent at full clock.
    pub clock_mhz: Option<u32>,
    /// Why that clock, in a few words.
    pub decision: String,
    /// Work in seconds at full clock with the requested GPUs, as planned with.
    pub work_s: Option<u64>,
    /// Work that was done in the span, in seconds at full clock with the requested GPUs: the time at each clock that was seen
    /// to run, times the profile's speed there. Version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_done_s: Option<f64>,
    /// The profile that was counted with. Version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileUsed>,
    /// What the GPUs would have used in the span by that profile, in joules. Version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modelled_gpu_energy_j: Option<f64>,
    /// How often a clock was set in the span. Version 2.
    #[serde(default)]
    pub clock_changes: u32,
    /// GPUs of this node.
    pub gpus: Vec<Gpu>,
    /// Measured GPU energy in joules: the GPUs' own, without host and PUE.
    pub gpu_energy_j: f64,
    /// Facility energy in kWh: PUE x (GPU energy + host share).
    pub energy_kwh: f64,
    /// Operational carbon of the facility in grams CO2e, location-based, by `intensity`.
    pub carbon_g: f64,
    /// Which intensity that is. Version 2; before, always the average one.
    #[serde(default)]
    pub intensity: Intensity,
    /// Embodied carbon of the GPUs for the span in grams CO2e, where the site gives a figure; apart from `carbon_g`. Version 2.
    #[serde(default)]
    pub embodied_g: f64,
    /// Host power per GPU that was counted, in watts.
    pub host_watts: f64,
    /// PUE that was counted.
    pub pue: f64,
    /// Share of the time for which the grid was estimated, 0..1.
    pub estimated_share: f64,
    /// What a reader must know before trusting the figures.
    pub marks: Vec<Mark>,
    /// The span in pieces, cut at each step of the grid and each change of the clock. Version 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The grid from `asked` (or `start`) on, for as long as the job would have run at its most economical clock; on a closing
    /// line alone. Version 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grid: Vec<GridStep>,
}

impl Record {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no JSON of a record, of a later version, or one of its figures is out of range: which, in a few words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(line).map_err(|error| parser_message(&error.to_string()))?;
        if record.version > RECORD_VERSION {
            return Err(format!("version {} is newer than this program's {RECORD_VERSION}", record.version));
        }
        range::check_record(&record)?;
        Ok(record)
    }
}

fn yes() -> bool {
    true
}
