//! What one run of a policy comes to, job by job and in sums: enough of it to be put together over episodes.

use super::PolicyRun;
use crate::world::World;

/// Shorter runs count as this long in a slowdown, h: ten seconds (Feitelson and others, "Theory and practice in parallel job scheduling",
/// JSSPP 1997).
const SHORTEST_H: f64 = 10.0 / 3600.0;

/// Sums over the jobs of one workload.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkloadSum {
    /// Its name: the profile's, or that of the site's own.
    pub workload: String,
    /// Whether these are services.
    pub service: bool,
    /// How many jobs.
    pub jobs: usize,
    /// Facility carbon, g.
    pub carbon_g: f64,
    /// Facility energy, kWh.
    pub energy_kwh: f64,
}

/// One policy over one episode, reduced to what counts.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// Facility carbon, g.
    pub carbon_g: f64,
    /// Facility energy from the grid and from the roof, kWh.
    pub grid_kwh: f64,
    pub onsite_kwh: f64,
    /// All jobs.
    pub jobs: usize,
    /// Training jobs: submission to end, submission to first start, and the slowdown, each by job.
    pub turnaround_h: Vec<f64>,
    pub waiting_h: Vec<f64>,
    pub slowdown: Vec<f64>,
    /// Training jobs' GPU-hours at full clock, and grams.
    pub work_gpu_h: f64,
    pub training_g: f64,
    /// GPU-hours that were occupied.
    pub busy_gpu_h: f64,
    /// Jobs with a deadline, and which of them were late.
    pub deadline_jobs: usize,
    pub late: Vec<usize>,
    /// Of the late those that would have been in time at full clock from the same starts on: whatever else held them up, the clock did it.
    pub late_by_clock: usize,
    /// Hours of service, and those in which requests were answered too late.
    pub service_h: f64,
    pub latency_miss_h: f64,
    /// Services with such an hour.
    pub latency_misses: usize,
    /// Jobs with a budget, and how many went over it.
    pub budget_jobs: usize,
    pub budget_overruns: usize,
    pub clock_changes: u64,
    pub pauses: u64,
    pub killed: usize,
    /// By workload.
    pub workloads: Vec<WorkloadSum>,
}

impl Outcome {
    /// Of a run.
    #[must_use]
    pub fn of(run: &PolicyRun, world: &World) -> Self {
        let mut sum = Self { jobs: run.records.len(), workloads: workloads(world), ..Self::default() };
        for record in &run.records {
            let job = &world.jobs[record.job];
            sum.carbon_g += record.carbon_g;
            sum.grid_kwh += record.grid_kwh;
            sum.onsite_kwh += record.onsite_kwh;
            sum.clock_changes += u64::from(record.clock_changes);
            sum.pauses += u64::from(record.pauses);
            sum.busy_gpu_h += record.stretches.iter().map(|s| f64::from(s.workers) * (s.to_h - s.from_h)).sum::<f64>();
            let of = &mut sum.workloads[2 * job.workload + usize::from(job.service.is_some())];
            of.jobs += 1;
            of.carbon_g += record.carbon_g;
            of.energy_kwh += record.grid_kwh + record.onsite_kwh;
            if job.service.is_some() {
                sum.service_h += record.ran_h;
                sum.latency_miss_h += record.latency_miss_h;
                sum.latency_misses += usize::from(record.latency_miss_h > 0.0);
                continue;
            }
            let turnaround_h = record.end_h - record.submit_h;
            sum.turnaround_h.push(turnaround_h);
            sum.waiting_h.push(record.start_h - record.submit_h);
            sum.slowdown.push((turnaround_h / job.work_h.max(SHORTEST_H)).max(1.0));
            sum.work_gpu_h += job.work_gpu_h();
            sum.training_g += record.carbon_g;
            sum.killed += usize::from(record.killed);
            sum.deadline_jobs += usize::from(job.deadline_h.is_some());
            if record.late {
                sum.late.push(record.job);
                let levels = &world.sites[record.site].levels[job.workload];
                let lost_h: f64 = record.stretches.iter().map(|s| (s.to_h - s.from_h) * (1.0 - levels[s.level].speed)).sum();
                let in_time = job.deadline_h.is_some_and(|deadline_h| record.end_h - lost_h <= deadline_h);
                sum.late_by_clock += usize::from(in_time && !record.killed);
            }
            if let Some(budget_g) = job.budget_g {
                sum.budget_jobs += 1;
                sum.budget_overruns += usize::from(record.carbon_g > budget_g * (1.0 + 1e-9));
            }
        }
        sum.workloads.retain(|of| of.jobs > 0);
        sum
    }

    /// The same over several episodes; `late` keeps its count alone.
    #[must_use]
    pub fn joined(parts: &[&Outcome]) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.carbon_g += part.carbon_g;
            all.grid_kwh += part.grid_kwh;
            all.onsite_kwh += part.onsite_kwh;
            all.jobs += part.jobs;
            all.turnaround_h.extend_from_slice(&part.turnaround_h);
            all.waiting_h.extend_from_slice(&part.waiting_h);
            all.slowdown.extend_from_slice(&part.slowdown);
            all.work_gpu_h += part.work_gpu_h;
            all.training_g += part.training_g;
            all.busy_gpu_h += part.busy_gpu_h;
            all.deadline_jobs += part.deadline_jobs;
            all.late.extend_from_slice(&part.late);
            all.late_by_clock += part.late_by_clock;
            all.service_h += part.service_h;
            all.latency_miss_h += part.latency_miss_h;
            all.latency_misses += part.latency_misses;
            all.budget_jobs += part.budget_jobs;
            all.budget_overruns += part.budget_overruns;
            all.clock_changes += part.clock_changes;
            all.pauses += part.pauses;
            all.killed += part.killed;
            for of in &part.workloads {
                let known = all.workloads.iter().position(|one| one.workload == of.workload && one.service == of.service);
                match known {
                    Some(at) => {
                        let one = &mut all.workloads[at];
                        one.jobs += of.jobs;
                        one.carbon_g += of.carbon_g;
                        one.energy_kwh += of.energy_kwh;
                    }
                    None => all.workloads.push(of.clone()),
                }
            }
        }
        all
    }
}

/// A line for each workload and kind.
fn workloads(world: &World) -> Vec<WorkloadSum> {
    let name = |i: usize| match &world.workloads[i] {
        Some(name) => name.to_string(),
        None => world.sites.first().map_or_else(String::new, |place| place.profiles[i].name.to_string()),
    };
    let each = |i: usize| [false, true].map(|service| WorkloadSum { workload: name(i), service, ..WorkloadSum::default() });
    (0..world.workloads.len()).flat_map(each).collect()
}

/// The mean; nought of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The least value that so many hundredths of all do not exceed (nearest rank); nought of nothing.
#[must_use]
pub fn percentile(values: &[f64], hundredths: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (hundredths / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((percentile(&hundred, 95.0), percentile(&hundred, 99.0), percentile(&[7.0], 99.0)), (95.0, 99.0, 7.0));
        assert_eq!((percentile(&[], 95.0), mean(&[])), (0.0, 0.0));
    }
}
