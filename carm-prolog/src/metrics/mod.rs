//! Metrics of a node: a [`Snapshot`], as Prometheus' text, for node_exporter's textfile collector or on standard output.
//!
//! The governor fills a snapshot in at each look, one for each node of the host; `carm-prolog status --prometheus` fills one
//! in from the journal. What is not known is absent, never zero. A job's figures vanish when it ends: the ledger has them.

mod families;
mod look;
mod text;
mod textfile;

use std::collections::BTreeMap;

use carm::ledger::Intensity;

pub use look::snapshots;
pub use text::render;
pub use textfile::{remove_textfile, write_textfile};

/// Everything that is shown of one node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Slurm's name of the node.
    pub node: String,
    pub gpus: Vec<GpuNow>,
    pub jobs: Vec<JobNow>,
    pub grid: Vec<GridNow>,
    /// None where the node has no state folder.
    pub lines_waiting: Option<usize>,
    /// The governor's own; none where no governor shows it.
    pub totals: Option<Totals>,
}

/// A GPU at this moment. What the driver does not answer is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuNow {
    pub uuid: String,
    pub minor: u32,
    pub model: String,
    pub clock_mhz: Option<u32>,
    /// The highest clock of CARM's lock.
    pub limit_mhz: Option<u32>,
    pub power_w: Option<f64>,
    /// The card's own counter.
    pub energy_j: Option<f64>,
    pub throttled: Option<bool>,
}

/// A running job on this node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobNow {
    pub job: u32,
    /// None where users are not to be seen.
    pub user: Option<String>,
    pub partition: Option<String>,
    /// The UUIDs of its GPUs.
    pub gpus: Vec<String>,
    /// Of its GPUs, in this run.
    pub energy_j: Option<f64>,
    /// At the facility, in this run, as far as it was counted.
    pub carbon_g: Option<f64>,
    /// What `carbon_g` is made of.
    pub intensity: Intensity,
    /// Of the present ledger line.
    pub embodied_g: Option<f64>,
    /// None is full clock.
    pub clock_limit_mhz: Option<u32>,
    /// 0..=1.
    pub work_done_ratio: Option<f64>,
    /// This node's share of the budget.
    pub budget_g: Option<f64>,
}

/// A site's grid and roof at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GridNow {
    pub site: String,
    pub zone: String,
    /// As the configuration names it: `trace`, `typical-day`.
    pub source: String,
    pub kind: Intensity,
    pub intensity_g_per_kwh: Option<f64>,
    pub estimated: bool,
    pub data_age_s: Option<f64>,
    /// Whether data of the zone's own source are there.
    pub available: bool,
    /// Of the whole site.
    pub onsite_w: Option<f64>,
}

/// What a governor has done since it started. Reasons and calls are words of the program: so there are only so many.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    pub clock_changes: BTreeMap<&'static str, u64>,
    pub nvml_errors: BTreeMap<&'static str, u64>,
    pub decisions: u64,
    pub decision_seconds: f64,
    pub slowest_decision_seconds: f64,
    pub jobs_booked: u64,
    pub ledger_errors: u64,
    /// Seconds since 1970.
    pub last_tick: Option<f64>,
}

impl Totals {
    /// A clock was set, and why.
    pub fn count_clock_change(&mut self, reason: &'static str) {
        *self.clock_changes.entry(reason).or_default() += 1;
    }

    /// A call failed: [`crate::gpu::GpuError::call`], without the values in it.
    pub fn count_nvml_error(&mut self, call: &str) {
        let (_, word) = CALLS.iter().find(|(gerund, _)| call.starts_with(gerund)).unwrap_or(&("", "other"));
        *self.nvml_errors.entry(word).or_default() += 1;
    }

    /// A decision was taken.
    pub fn count_decision(&mut self, seconds: f64) {
        self.decisions += 1;
        self.decision_seconds += seconds;
        self.slowest_decision_seconds = self.slowest_decision_seconds.max(seconds);
    }
}

/// The driver's calls as its errors name them, and a label's word for each.
const CALLS: &[(&str, &str)] = &[
    ("loading", "load"),
    ("finding", "find"),
    ("counting GPUs", "count"),
    ("listing clocks", "list_clocks"),
    ("listing processes", "list_processes"),
    ("locking clocks", "lock_clocks"),
    ("resetting clocks", "reset_clocks"),
    ("reading the energy counter", "energy"),
    ("reading persistence mode", "persistence"),
    ("switching persistence mode", "set_persistence"),
    ("reading MIG mode", "mig"),
    ("reading the SM clock", "clock"),
    ("reading power", "power"),
    ("reading utilization", "utilization"),
    ("reading throttle reasons", "throttle_reasons"),
    ("reading the driver's version", "driver_version"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_driver_has_a_word_of_its_own() {
        let source = include_str!("../gpu/nvml.rs");
        // Calls stand as gerunds at the begin of a string.
        let gerunds: Vec<&str> = source
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|text| text.split(' ').next().is_some_and(|word| word.ends_with("ing") && word.len() > 4))
            .collect();
        assert!(gerunds.len() >= 12, "{gerunds:?}");
        let mut totals = Totals::default();
        gerunds.iter().for_each(|gerund| totals.count_nvml_error(gerund));
        assert!(!totals.nvml_errors.contains_key("other"), "{gerunds:?}: {:?}", totals.nvml_errors);
        totals.count_nvml_error("painting the card");
        totals.count_nvml_error("locking clocks at 1410 MHz");
        totals.count_nvml_error("locking clocks at 900 MHz");
        assert_eq!((totals.nvml_errors["other"], totals.nvml_errors["lock_clocks"]), (1, 3));
    }

    #[test]
    fn the_slowest_decision_is_remembered() {
        let mut totals = Totals::default();
        [0.25, 0.5, 0.125].into_iter().for_each(|seconds| totals.count_decision(seconds));
        assert_eq!((totals.decisions, totals.decision_seconds, totals.slowest_decision_seconds), (3, 0.875, 0.5));
    }
}
