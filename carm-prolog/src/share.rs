//! A budget that is a share of the same work at full clock (`--carbon-budget=80%` under plain sbatch): its grams are worked out
//! at the first run's start, and stay.

use carm::config::Config;
use carm::ledger::Mark;
use carm::plan::{self, Objective, Problem};
use carm::site::Outlook;
use chrono::{DateTime, Utc};

use crate::brief::{Brief, No, no};
use crate::job::Job;
use crate::state::JobState;

/// The variable with the budget in grams.
const BUDGET: &str = "CARM_BUDGET";

/// The job's budget in grams over all its nodes; `earlier` gives that of its first run, where there was one.
pub fn budget_g(
    brief: &Brief,
    (job, config): (&Job, &Config),
    outlook: &Outlook,
    now: DateTime<Utc>,
    earlier: impl FnOnce() -> Option<f64>,
) -> Result<Option<f64>, No> {
    let request = brief.request;
    let Some(share) = request.budget_share.filter(|_| request.budget_g.is_none()) else { return Ok(request.budget_g) };
    if let Some(budget_g) = earlier() {
        return Ok(Some(budget_g));
    }
    let work_s = brief.work_s.ok_or_else(|| no("its run time is not known; --carbon-runtime tells it", Mark::WorkUnknown))?;
    let candidate = brief.offer(config, outlook, work_s as f64 / 3600.0, now)?.candidate;
    let full = candidate.full_clock().unwrap_or(0);
    let problem =
        Problem { candidates: vec![candidate], objective: Objective::Ppc, deadline_h: None, budget_g: None, work_gpu_h: 1.0 };
    let run = plan::constant(&problem, 0, full, 0.0).map_err(|error| no(error, Mark::RequestRefused))?;
    let run = run.ok_or_else(|| no("the grid is not known to the end of its run at full clock", Mark::NoGrid))?;
    // Each node counts its own GPUs.
    Ok(Some(share * run.carbon_g * f64::from(job.nodes)))
}

/// Keeps the grams with the job: later decisions, the ledger and the next run go by them.
pub fn freeze(state: &mut JobState, budget_g: Option<f64>) {
    if let Some(budget_g) = budget_g.filter(|_| state.request.contains_key("CARM_BUDGET_SHARE")) {
        state.request.entry(BUDGET.to_owned()).or_insert_with(|| format!("{budget_g}"));
    }
}
