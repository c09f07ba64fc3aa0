//! Policies against the references and the bound, over all episodes: what the results show.

use serde::Serialize;

use super::metrics::{Outcome, mean, percentile};
use crate::chance::Chance;

/// So many samples make a confidence interval.
const SAMPLES: usize = 1000;

/// One policy over all episodes. Savings and shares are parts of 1.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicySummary {
    pub name: String,
    pub carbon_g: f64,
    pub energy_kwh: f64,
    pub grid_kwh: f64,
    pub onsite_kwh: f64,
    pub jobs: usize,
    pub turnaround_h_mean: f64,
    pub waiting_h_mean: f64,
    pub waiting_h_p95: f64,
    pub waiting_h_p99: f64,
    pub bounded_slowdown_mean: f64,
    pub bounded_slowdown_p95: f64,
    pub bounded_slowdown_p99: f64,
    pub deadline_jobs: usize,
    pub deadline_misses: usize,
    /// Of jobs that first come, first served would not have missed.
    pub deadline_misses_beyond_fcfs: usize,
    /// Late jobs that would have been in time at full clock from the same starts on.
    pub deadline_misses_by_clock: usize,
    pub latency_misses: usize,
    pub latency_miss_share: f64,
    pub budget_jobs: usize,
    pub budget_overruns: usize,
    pub clock_changes: u64,
    pub pauses: u64,
    pub killed_by_limit: usize,
    pub busy_gpu_h: f64,
    /// Training work (GPU-h at full clock) over mean turnaround (h) and carbon (g): the planner's PPC for a whole cluster; null at no carbon.
    pub ppc: Option<f64>,
    /// Training work for a kilogram of its carbon.
    pub gpu_h_per_kg: Option<f64>,
    pub saved_vs_fcfs: Option<f64>,
    /// 95 % of bootstrap samples of the episodes lie in between; null for one episode.
    pub saved_vs_fcfs_ci: Option<[f64; 2]>,
    pub saved_vs_static_clock: Option<f64>,
    pub energy_saved_vs_fcfs: Option<f64>,
    /// Of what each job alone could save.
    pub share_of_bound: Option<f64>,
    /// Of what the capacity-aware bound allows; null where it was not worked out.
    pub share_of_capacity_bound: Option<f64>,
    pub workloads: Vec<WorkloadSummary>,
    /// By episode, in order.
    pub episodes: Vec<EpisodeSummary>,
}

/// One workload under a policy.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkloadSummary {
    pub workload: String,
    pub service: bool,
    pub jobs: usize,
    pub carbon_g: f64,
    pub energy_kwh: f64,
    pub saved_vs_fcfs: Option<f64>,
}

/// One policy in one episode.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpisodeSummary {
    pub carbon_g: f64,
    pub energy_kwh: f64,
    pub deadline_misses: usize,
    pub waiting_h_mean: f64,
    pub saved_vs_fcfs: Option<f64>,
    pub saved_vs_static_clock: Option<f64>,
    pub share_of_bound: Option<f64>,
    pub share_of_capacity_bound: Option<f64>,
}

/// What the references and bounds came to, by episode.
#[expect(missing_docs, reason = "the names have their units; docs/simulator.md explains each")]
#[derive(Debug, Clone, Copy)]
pub struct References<'a> {
    pub fcfs: &'a [Outcome],
    pub static_clock: &'a [Outcome],
    /// Sums of the jobs' own limits, g.
    pub bound_g: &'a [Option<f64>],
    /// The capacity-aware bound, g.
    pub capacity_g: &'a [Option<f64>],
}

/// Puts a policy's episodes together.
#[must_use]
pub fn summary(name: &str, outcomes: &[Outcome], references: &References, seed: u64) -> PolicySummary {
    let all = Outcome::joined(&outcomes.iter().collect::<Vec<_>>());
    let fcfs = Outcome::joined(&references.fcfs.iter().collect::<Vec<_>>());
    let total = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| outcome.carbon_g).sum::<f64>();
    let turnaround_h_mean = mean(&all.turnaround_h);
    let product = turnaround_h_mean * all.training_g;
    let pairs: Vec<(f64, f64)> = outcomes.iter().zip(references.fcfs).map(|(own, fcfs)| (own.carbon_g, fcfs.carbon_g)).collect();
    let share_of = |bounds: &[Option<f64>]| {
        let bound: Option<f64> = bounds.iter().copied().sum();
        share_of_bound(all.carbon_g, fcfs.carbon_g, bound)
    };
    PolicySummary {
        name: name.to_owned(),
        carbon_g: all.carbon_g,
        energy_kwh: all.grid_kwh + all.onsite_kwh,
        grid_kwh: all.grid_kwh,
        onsite_kwh: all.onsite_kwh,
        jobs: all.jobs,
        turnaround_h_mean,
        waiting_h_mean: mean(&all.waiting_h),
        waiting_h_p95: percentile(&all.waiting_h, 95.0),
        waiting_h_p99: percentile(&all.waiting_h, 99.0),
        bounded_slowdown_mean: mean(&all.slowdown),
        bounded_slowdown_p95: percentile(&all.slowdown, 95.0),
        bounded_slowdown_p99: percentile(&all.slowdown, 99.0),
        deadline_jobs: all.deadline_jobs,
        deadline_misses: all.late.len(),
        deadline_misses_beyond_fcfs: outcomes.iter().zip(references.fcfs).map(|(own, fcfs)| beyond(&own.late, &fcfs.late)).sum(),
        deadline_misses_by_clock: all.late_by_clock,
        latency_misses: all.latency_misses,
        latency_miss_share: if all.service_h > 0.0 { all.latency_miss_h / all.service_h } else { 0.0 },
        budget_jobs: all.budget_jobs,
        budget_overruns: all.budget_overruns,
        clock_changes: all.clock_changes,
        pauses: all.pauses,
        killed_by_limit: all.killed,
        busy_gpu_h: all.busy_gpu_h,
        ppc: (product > 0.0).then(|| all.work_gpu_h / product),
        gpu_h_per_kg: (all.training_g > 0.0).then(|| all.work_gpu_h / all.training_g * 1000.0),
        saved_vs_fcfs: saved(all.carbon_g, fcfs.carbon_g),
        saved_vs_fcfs_ci: interval(&pairs, seed),
        saved_vs_static_clock: saved(all.carbon_g, total(references.static_clock)),
        energy_saved_vs_fcfs: saved(all.grid_kwh + all.onsite_kwh, fcfs.grid_kwh + fcfs.onsite_kwh),
        share_of_bound: share_of(references.bound_g),
        share_of_capacity_bound: share_of(references.capacity_g),
        workloads: workloads(&all, &fcfs),
        episodes: (0..outcomes.len()).map(|i| episode(&outcomes[i], references, i)).collect(),
    }
}

fn episode(own: &Outcome, references: &References, i: usize) -> EpisodeSummary {
    let (fcfs_g, static_g) = (references.fcfs[i].carbon_g, references.static_clock[i].carbon_g);
    EpisodeSummary {
        carbon_g: own.carbon_g,
        energy_kwh: own.grid_kwh + own.onsite_kwh,
        deadline_misses: own.late.len(),
        waiting_h_mean: mean(&own.waiting_h),
        saved_vs_fcfs: saved(own.carbon_g, fcfs_g),
        saved_vs_static_clock: saved(own.carbon_g, static_g),
        share_of_bound: share_of_bound(own.carbon_g, fcfs_g, references.bound_g[i]),
        share_of_capacity_bound: share_of_bound(own.carbon_g, fcfs_g, references.capacity_g[i]),
    }
}

fn workloads(all: &Outcome, fcfs: &Outcome) -> Vec<WorkloadSummary> {
    all.workloads
        .iter()
        .map(|of| {
            let same = fcfs.workloads.iter().find(|one| one.workload == of.workload && one.service == of.service);
            WorkloadSummary {
                workload: of.workload.clone(),
                service: of.service,
                jobs: of.jobs,
                carbon_g: of.carbon_g,
                energy_kwh: of.energy_kwh,
                saved_vs_fcfs: same.and_then(|same| saved(of.carbon_g, same.carbon_g)),
            }
        })
        .collect()
}

/// How many of the one list are not in the other; both rise.
fn beyond(own: &[usize], others: &[usize]) -> usize {
    own.iter().filter(|job| others.binary_search(job).is_err()).count()
}

fn saved(own: f64, reference: f64) -> Option<f64> {
    (reference > 0.0).then(|| 1.0 - own / reference)
}

fn share_of_bound(own_g: f64, fcfs_g: f64, bound_g: Option<f64>) -> Option<f64> {
    let possible = fcfs_g - bound_g?;
    (possible > 1e-9 * fcfs_g).then(|| (fcfs_g - own_g) / possible)
}

/// The bootstrap's 95 % interval of the saving (Efron, 1979): episodes drawn with replacement.
fn interval(pairs: &[(f64, f64)], seed: u64) -> Option<[f64; 2]> {
    if pairs.len() < 2 {
        return None;
    }
    // The same draws for every policy, so that they can be compared.
    let mut chance = Chance::of(seed, "bootstrap", &[]);
    let samples: Vec<f64> = (0..SAMPLES)
        .filter_map(|_| {
            let drawn = (0..pairs.len()).map(|_| pairs[chance.index(pairs.len())]);
            let (own, fcfs) = drawn.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
            saved(own, fcfs)
        })
        .collect();
    (!samples.is_empty()).then(|| [percentile(&samples, 2.5), percentile(&samples, 97.5)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_the_saving_and_one_episode_has_none() {
        let pairs = [(70.0, 100.0), (80.0, 100.0), (60.0, 100.0), (75.0, 100.0)];
        let [low, high] = interval(&pairs, 1).expect("four episodes");
        assert!((0.2..0.2875).contains(&low) && (0.2875..0.4).contains(&high), "{low} {high}");
        assert_eq!(interval(&pairs[..1], 1), None);
    }

    #[test]
    fn a_share_of_the_bound_is_of_what_could_be_saved() {
        assert_eq!(share_of_bound(70.0, 100.0, Some(60.0)), Some(0.75));
        assert_eq!((share_of_bound(70.0, 100.0, None), share_of_bound(70.0, 100.0, Some(100.0))), (None, None));
    }
}
