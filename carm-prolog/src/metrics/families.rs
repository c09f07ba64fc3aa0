//! Every metric that CARM shows: name, type, unit, labels and meaning. The page's text, docs/metrics.md and the dashboard are
//! held to this table. Needs nothing else of the program, so that tests read it as it stands.
//!
//! Names and units are Prometheus' (<https://prometheus.io/docs/practices/naming/>), but for megahertz and kWh: nobody sets or
//! buys hertz and joules. Every label's values are bounded by what the node has: its GPUs, its running jobs, its grids.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until its owner begins anew.
    Counter,
    /// Goes both ways.
    Gauge,
    /// `_sum` and `_count` of observations.
    Summary,
}

impl Kind {
    /// As a `# TYPE` line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// A metric.
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// For people.
    #[allow(dead_code, reason = "docs/metrics.md is held to it by a test")]
    pub unit: &'static str,
    /// In the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// One line.
    pub help: &'static str,
}

const GPU: &[&str] = &["node", "gpu_uuid", "gpu"];
const JOB: &[&str] = &["node", "job_id", "user", "partition"];
const NODE: &[&str] = &["node"];

const fn family(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind, unit, labels, help }
}

use Kind::{Counter, Gauge, Summary};

/// All of them, in the order in which they are shown.
pub const FAMILIES: &[Family] = &[
    family("carm_build_info", Gauge, "1", &["version"], "The release of CARM that runs here."),
    family(
        "carm_gpu_info",
        Gauge,
        "1",
        &["node", "gpu_uuid", "gpu", "model"],
        "A GPU: its NVML UUID, its device minor, its model.",
    ),
    family("carm_gpu_clock_megahertz", Gauge, "MHz", GPU, "SM clock at this moment."),
    family(
        "carm_gpu_clock_limit_megahertz",
        Gauge,
        "MHz",
        GPU,
        "Highest SM clock that CARM's lock allows; absent without a lock of CARM's.",
    ),
    family("carm_gpu_power_watts", Gauge, "W", GPU, "Power draw of the GPU."),
    family("carm_gpu_energy_joules_total", Counter, "J", GPU, "Energy since the driver was loaded, by the GPU's own counter."),
    family("carm_gpu_throttled", Gauge, "0 or 1", GPU, "Whether heat or a power limit holds the clock down."),
    family("carm_job_gpu_info", Gauge, "1", &["node", "job_id", "gpu_uuid"], "A running job is on this GPU."),
    family("carm_job_energy_joules_total", Counter, "J", JOB, "Energy of the job's GPUs on this node, in this run."),
    family(
        "carm_job_carbon_grams_total",
        Counter,
        "gCO2e",
        &["node", "job_id", "user", "partition", "intensity"],
        "Carbon at the facility of the job on this node, in this run, as far as it has been counted.",
    ),
    family(
        "carm_job_embodied_carbon_grams_total",
        Counter,
        "gCO2e",
        JOB,
        "Embodied carbon of the job's GPUs, in the present line of the ledger.",
    ),
    family("carm_job_budget_grams", Gauge, "gCO2e", JOB, "This node's share of the job's carbon budget; absent without one."),
    family("carm_job_clock_limit_megahertz", Gauge, "MHz", JOB, "SM clock that was decided for the job; absent at full clock."),
    family(
        "carm_job_work_done_ratio",
        Gauge,
        "0 to 1",
        JOB,
        "Part of the job's work that is done, by its profile; absent where the work is not known.",
    ),
    family(
        "carm_grid_carbon_intensity_grams_per_kwh",
        Gauge,
        "gCO2e/kWh",
        &["node", "zone", "source", "kind"],
        "Carbon intensity of the grid at this moment; kind is average or marginal.",
    ),
    family("carm_grid_estimated", Gauge, "0 or 1", &["node", "zone", "source", "kind"], "Whether that intensity is an estimate."),
    family(
        "carm_grid_data_age_seconds",
        Gauge,
        "s",
        &["node", "zone", "source"],
        "Time since the grid's data were written; absent of a modelled day.",
    ),
    family(
        "carm_grid_data_available",
        Gauge,
        "0 or 1",
        &["node", "zone", "source"],
        "Whether data of the zone's own source are there; where not, the typical day or nothing stands in.",
    ),
    family(
        "carm_site_onsite_power_watts",
        Gauge,
        "W",
        &["node", "site", "zone"],
        "On-site power of the whole site at this moment.",
    ),
    family("carm_clock_changes_total", Counter, "changes", &["node", "reason"], "Clocks that the governor set since it started."),
    family(
        "carm_nvml_errors_total",
        Counter,
        "errors",
        &["node", "call"],
        "Calls to the driver that failed since the governor started.",
    ),
    family("carm_governor_decision_seconds", Summary, "s", NODE, "Time that decisions on clocks took."),
    family("carm_governor_slowest_decision_seconds", Gauge, "s", NODE, "The longest of them since the governor started."),
    family("carm_jobs_booked_total", Counter, "lines", NODE, "Lines that the governor wrote to the ledger since it started."),
    family("carm_ledger_errors_total", Counter, "errors", NODE, "Lines that could not be written to the ledger."),
    family("carm_ledger_lines_waiting", Gauge, "lines", NODE, "Lines in the state folder that are not in the ledger yet."),
    family(
        "carm_governor_last_tick_timestamp_seconds",
        Gauge,
        "s since 1970",
        NODE,
        "When the governor last looked at everything.",
    ),
];
