//! The clock of now: what a job that has started runs at, from what is left of its work, its time and its budget.
//!
//! Decided here for prolog, governor and simulator alike. [`steady_clock`] is the answer of a node where nobody re-decides:
//! one clock that holds to the end, so that the guarantees hold even if nothing of CARM's ever runs again.
//! [`service_clock`] is the same for a service, which has no work to finish but requests to answer in time. [`reconsider`] is
//! the governor's: the clock until the next look. What a guarantee may count on where nobody measured is said once, for all of them and
//! for whoever plans a job ([`guaranteed_speed`]).

mod adaptive;
mod service;
mod steady;
mod sure;

pub use adaptive::{Decision, OverBudget, Rules, Standing, reconsider};
pub use service::{Service, answering, service_clock, sure_latencies};
pub use steady::{Situation, steady_clock};
pub(crate) use sure::length_and_loss_h;
pub use sure::{guaranteed_speed, sure_end_h};

use crate::plan::Plan;

/// The clock of now.
#[derive(Debug, Clone, PartialEq)]
pub enum Clock {
    /// Level `level` (an index into the candidate's levels) to the end, and the run that this makes.
    Level {
        /// Index into the candidate's levels.
        level: usize,
        /// The run by the model.
        run: Plan,
        /// Why this one.
        reason: &'static str,
        /// The budget cannot be kept, even so.
        over_budget: bool,
    },
    /// No limit at all, and why.
    Full {
        /// Why.
        reason: &'static str,
    },
}

/// The part of the remaining work kept in hand before a deadline or a time limit, and its bounds in hours: run times vary
/// from run to run, and Slurm counts the limit from before the job's first instruction.
const MARGIN: f64 = 0.03;
const LEAST_MARGIN_H: f64 = 5.0 / 3600.0;
const MOST_MARGIN_H: f64 = 0.25;

/// The time kept in hand for so much work, in hours.
#[must_use]
pub fn margin_h(work_h: f64) -> f64 {
    (MARGIN * work_h).clamp(LEAST_MARGIN_H, MOST_MARGIN_H)
}

/// A run at one level from now on: the level (an index into the candidate's), and the run by the model.
type Steady = (usize, Plan);

/// One of some runs: of those that surely keep the budget the one that `best` takes, with its reason; where none does,
/// the one of least carbon.
fn choose(
    mut runs: Vec<Steady>,
    budget_g: Option<f64>,
    best: impl FnOnce(&[Steady]) -> (&'static str, Option<&Steady>),
) -> Clock {
    // Of a budget too a part is kept in hand: a run that takes a little more than the model says emits a little more.
    let within = |(_, run): &Steady| budget_g.is_none_or(|budget| run.carbon_g * (1.0 + MARGIN) <= budget);
    let over = |(_, run): &Steady| budget_g.is_some_and(|budget| run.carbon_g > budget);
    let over_budget = runs.iter().all(over);
    let (reason, chosen) = if over_budget {
        ("the budget cannot be met; least carbon", least_carbon(&runs))
    } else if !runs.iter().any(within) {
        ("least carbon, to keep within the budget", least_carbon(&runs))
    } else {
        runs.retain(within);
        best(&runs)
    };
    match chosen {
        Some(&(level, ref run)) => Clock::Level { level, run: run.clone(), reason, over_budget },
        None => Clock::Full { reason: "no clock fits" },
    }
}

/// Ties go to the earlier end.
fn least_carbon(runs: &[Steady]) -> Option<&Steady> {
    runs.iter().min_by(|(_, a), (_, b)| a.carbon_g.total_cmp(&b.carbon_g).then(a.end_h.total_cmp(&b.end_h)))
}
