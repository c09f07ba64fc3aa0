//! Results as comma-separated values: a row a policy, or a row a policy and episode.

use crate::account::summary::PolicySummary;
use crate::run::Results;

const HEAD: &str = "policy,carbon_g,energy_kwh,grid_kwh,onsite_kwh,jobs,turnaround_h_mean,waiting_h_mean,waiting_h_p95,waiting_h_p99,\
bounded_slowdown_mean,bounded_slowdown_p95,bounded_slowdown_p99,deadline_jobs,deadline_misses,deadline_misses_beyond_fcfs,deadline_misses_by_clock,\
latency_misses,latency_miss_share,budget_jobs,budget_overruns,clock_changes,pauses,killed_by_limit,ppc,gpu_h_per_kg,saved_vs_fcfs,\
saved_vs_fcfs_low,saved_vs_fcfs_high,saved_vs_static_clock,energy_saved_vs_fcfs,share_of_bound,share_of_capacity_bound";

/// The text, header first.
#[must_use]
pub fn text(results: &Results) -> String {
    let rows = results.policies.iter().map(row);
    std::iter::once(HEAD.to_owned()).chain(rows).map(|row| row + "\n").collect()
}

fn row(of: &PolicySummary) -> String {
    let maybe = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let [low, high] = of.saved_vs_fcfs_ci.map_or([None, None], |ci| ci.map(Some));
    [
        carm::text::csv_cell(&of.name),
        of.carbon_g.to_string(),
        of.energy_kwh.to_string(),
        of.grid_kwh.to_string(),
        of.onsite_kwh.to_string(),
        of.jobs.to_string(),
        of.turnaround_h_mean.to_string(),
        of.waiting_h_mean.to_string(),
        of.waiting_h_p95.to_string(),
        of.waiting_h_p99.to_string(),
        of.bounded_slowdown_mean.to_string(),
        of.bounded_slowdown_p95.to_string(),
        of.bounded_slowdown_p99.to_string(),
        of.deadline_jobs.to_string(),
        of.deadline_misses.to_string(),
        of.deadline_misses_beyond_fcfs.to_string(),
        of.deadline_misses_by_clock.to_string(),
        of.latency_misses.to_string(),
        of.latency_miss_share.to_string(),
        of.budget_jobs.to_string(),
        of.budget_overruns.to_string(),
        of.clock_changes.to_string(),
        of.pauses.to_string(),
        of.killed_by_limit.to_string(),
        maybe(of.ppc),
        maybe(of.gpu_h_per_kg),
        maybe(of.saved_vs_fcfs),
        maybe(low),
        maybe(high),
        maybe(of.saved_vs_static_clock),
        maybe(of.energy_saved_vs_fcfs),
        maybe(of.share_of_bound),
        maybe(of.share_of_capacity_bound),
    ]
    .join(",")
}
