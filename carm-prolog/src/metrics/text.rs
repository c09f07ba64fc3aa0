//! Prometheus' text format, version 0.0.4: one block a metric, in the order of [`FAMILIES`]; metrics without a sample are left out.
//!
//! A page must stay one that Prometheus takes whole: it refuses all of it for one bad line or one series that stands twice.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use carm::ledger::Intensity;
use carm::text::legible;

use super::families::{FAMILIES, Kind};
use super::{GpuNow, GridNow, JobNow, Snapshot, Totals};

/// The page of a host's nodes.
pub fn render(snapshots: &[Snapshot]) -> String {
    let mut page = Page::default();
    page.put("carm_build_info", &[env!("CARGO_PKG_VERSION")], 1.0);
    for snapshot in snapshots {
        let node = snapshot.node.as_str();
        snapshot.gpus.iter().for_each(|gpu| page.gpu(node, gpu));
        snapshot.jobs.iter().for_each(|job| page.job(node, job));
        snapshot.grid.iter().for_each(|grid| page.grid(node, grid));
        page.put("carm_ledger_lines_waiting", &[node], snapshot.lines_waiting.map(|lines| lines as f64));
        if let Some(totals) = &snapshot.totals {
            page.totals(node, totals);
        }
    }
    page.text()
}

#[derive(Default)]
struct Page {
    /// Lines by the place of their family.
    lines: BTreeMap<usize, String>,
    /// Series that stand already.
    seen: HashSet<String>,
}

impl Page {
    /// Adds a sample, with the values of its family's labels. One that is no number is absent, a series that stands already
    /// keeps its first value.
    fn put(&mut self, name: &str, labels: &[&str], value: impl Into<Option<f64>>) {
        let Some(value) = value.into().filter(|value| value.is_finite()) else { return };
        let family = FAMILIES.iter().enumerate().find(|(_, family)| match family.kind {
            Kind::Summary => name.strip_prefix(family.name).is_some_and(|part| matches!(part, "_sum" | "_count")),
            Kind::Counter | Kind::Gauge => name == family.name,
        });
        debug_assert!(family.is_some_and(|(_, family)| family.labels.len() == labels.len()), "{name}: not as in the table");
        let Some((place, family)) = family else { return };
        let series = format!("{name}{}", label_set(family.labels, labels));
        if self.seen.insert(series.clone()) {
            let lines = self.lines.entry(place).or_default();
            let _ = writeln!(lines, "{series} {value}");
        }
    }

    fn gpu(&mut self, node: &str, gpu: &GpuNow) {
        let minor = gpu.minor.to_string();
        let labels = [node, &gpu.uuid, &minor];
        self.put("carm_gpu_info", &[node, &gpu.uuid, &minor, &gpu.model], 1.0);
        self.put("carm_gpu_clock_megahertz", &labels, gpu.clock_mhz.map(f64::from));
        self.put("carm_gpu_clock_limit_megahertz", &labels, gpu.limit_mhz.map(f64::from));
        self.put("carm_gpu_power_watts", &labels, gpu.power_w);
        self.put("carm_gpu_energy_joules_total", &labels, gpu.energy_j);
        self.put("carm_gpu_throttled", &labels, gpu.throttled.map(truth));
    }

    fn job(&mut self, node: &str, job: &JobNow) {
        let id = job.job.to_string();
        let (user, partition) = (job.user.as_deref().unwrap_or_default(), job.partition.as_deref().unwrap_or_default());
        let labels = [node, &id, user, partition];
        for uuid in &job.gpus {
            self.put("carm_job_gpu_info", &[node, &id, uuid], 1.0);
        }
        self.put("carm_job_energy_joules_total", &labels, job.energy_j);
        self.put("carm_job_carbon_grams_total", &[node, &id, user, partition, word(job.intensity)], job.carbon_g);
        self.put("carm_job_embodied_carbon_grams_total", &labels, job.embodied_g);
        self.put("carm_job_budget_grams", &labels, job.budget_g);
        self.put("carm_job_clock_limit_megahertz", &labels, job.clock_limit_mhz.map(f64::from));
        self.put("carm_job_work_done_ratio", &labels, job.work_done_ratio);
    }

    fn grid(&mut self, node: &str, grid: &GridNow) {
        let (zone, source) = (grid.zone.as_str(), grid.source.as_str());
        let labels = [node, zone, source, word(grid.kind)];
        self.put("carm_grid_carbon_intensity_grams_per_kwh", &labels, grid.intensity_g_per_kwh);
        self.put("carm_grid_estimated", &labels, grid.intensity_g_per_kwh.map(|_| truth(grid.estimated)));
        self.put("carm_grid_data_age_seconds", &[node, zone, source], grid.data_age_s);
        self.put("carm_grid_data_available", &[node, zone, source], truth(grid.available));
        self.put("carm_site_onsite_power_watts", &[node, &grid.site, zone], grid.onsite_w);
    }

    fn totals(&mut self, node: &str, totals: &Totals) {
        for (reason, &count) in &totals.clock_changes {
            self.put("carm_clock_changes_total", &[node, reason], count as f64);
        }
        for (call, &count) in &totals.nvml_errors {
            self.put("carm_nvml_errors_total", &[node, call], count as f64);
        }
        self.put("carm_governor_decision_seconds_sum", &[node], totals.decision_seconds);
        self.put("carm_governor_decision_seconds_count", &[node], totals.decisions as f64);
        self.put("carm_governor_slowest_decision_seconds", &[node], totals.slowest_decision_seconds);
        self.put("carm_jobs_booked_total", &[node], totals.jobs_booked as f64);
        self.put("carm_ledger_errors_total", &[node], totals.ledger_errors as f64);
        self.put("carm_governor_last_tick_timestamp_seconds", &[node], totals.last_tick);
    }

    fn text(self) -> String {
        let mut text = String::new();
        for (place, lines) in self.lines {
            let family = &FAMILIES[place];
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(text, "# HELP {} {help}\n# TYPE {} {}", family.name, family.name, family.kind.name());
            text += &lines;
        }
        text
    }
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn word(kind: Intensity) -> &'static str {
    match kind {
        Intensity::Average => "average",
        Intensity::Marginal => "marginal",
    }
}

/// `{name="value",...}`; an empty value is as good as no label.
fn label_set(names: &[&str], values: &[&str]) -> String {
    let labels = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

/// Legible UTF-8 with the format's own escapes. The third one, of a line end, has no use here: `legible` leaves none.
fn escaped(value: &str) -> String {
    legible(value).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests;
