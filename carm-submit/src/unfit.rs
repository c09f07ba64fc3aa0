//! A run that fits nowhere in the hours that are known: who stands in its way. Where the grid's data end too soon that is no fault
//! of the request's, and costs no submission; where a site is closed it says until when.

use anyhow::Context;
use carm::plan::{self, Infeasible, Objective, Outcome, Plan, Prepared, Problem, Reason, Request, Run, Start};
use carm::quantity::format_duration;

use crate::assemble::Assembled;
use crate::explain::local;

/// What stands in the way.
#[derive(Debug)]
pub enum Unfit {
    /// The sites are closed for longer than the job may wait; the earliest run that a longer wait would allow.
    Patience(Box<Plan>),
    /// The hours in which they are open are all too short or too late; a service starts at once.
    Closed,
    /// A budget that a longer delay would keep; the earliest run that does.
    Delay(Box<Plan>),
}

/// What stands in the way of a run that fits nowhere, or within no budget before its user's patience ends; `None` of any other miss.
///
/// # Errors
/// It is the end of the grid's data.
pub fn cause(assembled: &Assembled, infeasible: &Infeasible) -> anyhow::Result<Option<Unfit>> {
    if infeasible.reason == Reason::Budget && assembled.submission.latency_ms.is_none() {
        return Ok(within_budget_later(assembled)?.map(|plan| Unfit::Delay(Box::new(plan))));
    }
    if infeasible.reason != Reason::Horizon {
        return Ok(None);
    }
    let is_service = assembled.submission.latency_ms.is_some();
    if !is_service && let Some(plan) = earliest_with_patience(assembled)? {
        return Ok(Some(Unfit::Patience(Box::new(plan))));
    }
    if fits_where_all_is_open(assembled)? {
        return Ok(Some(Unfit::Closed));
    }
    let known_h =
        assembled.submission.problem.candidates.iter().map(|c| c.slots.iter().map(|slot| slot.hours).sum()).fold(0.0, f64::max);
    anyhow::bail!(
        "no grid data to the end of a run of {}: they are known to {}; extend the trace, set extend = \"forecast\", or raise \
         [planner] horizon",
        format_duration(assembled.work.seconds as f64),
        local(assembled.instant(known_h))
    )
}

impl Unfit {
    /// The line for the user, with the way out.
    pub fn reason(&self, assembled: &Assembled) -> String {
        match self {
            Self::Patience(plan) => {
                let wait_h = (plan.start_h * 60.0).ceil() / 60.0;
                format!(
                    "--carbon-max-delay: closed hours of {} leave no room for the run before {}; give {:.0}m at least",
                    assembled.choices[plan.candidate].site,
                    local(assembled.instant(plan.start_h)),
                    wait_h * 60.0
                )
            }
            Self::Delay(plan) => {
                // Hours, so that people can read it; what is named is enough.
                format!("--carbon-max-delay={:.0}h ({})", plan.start_h.ceil(), carm::quantity::format_mass(plan.carbon_g))
            }
            Self::Closed => {
                let mut sites: Vec<&str> = assembled.choices.iter().map(|choice| choice.site.as_str()).collect();
                sites.dedup();
                format!(
                    "closed hours leave no room for the run at {} in time; --carbon-off submits it without a plan",
                    sites.join(", ")
                )
            }
        }
    }
}

/// A start without a bound on the delay.
fn patient(start: Start) -> Start {
    match start {
        Start::Within { earliest_h, .. } => Start::Within { earliest_h, latest_h: f64::MAX },
        fixed @ Start::Fixed(_) => fixed,
    }
}

/// The earliest run within the budget of a job that would wait for as long as it takes, or until its deadline.
fn within_budget_later(assembled: &Assembled) -> anyhow::Result<Option<Plan>> {
    let mut problem = Problem { objective: Objective::Carbon, ..assembled.submission.problem.clone() };
    problem.candidates.iter_mut().for_each(|candidate| candidate.start = patient(candidate.start));
    Ok(assembled.submission.best(&problem).context("planning without a bound on the delay")?.plan())
}

/// The earliest run of a job that would wait for as long as it takes, or until its deadline.
fn earliest_with_patience(assembled: &Assembled) -> anyhow::Result<Option<Plan>> {
    let candidates: Vec<Prepared> = assembled
        .submission
        .prepared()
        .into_iter()
        .map(|prepared| Prepared { run: Run { start: patient(prepared.run.start), ..prepared.run }, ..prepared })
        .collect();
    let request = Request {
        objective: Objective::Carbon,
        deadline_h: assembled.submission.problem.deadline_h,
        budget_g: Some(f64::MAX),
        work_gpu_h: assembled.submission.problem.work_gpu_h,
    };
    Ok(plan::plan_whole_seconds_prepared(&candidates, &request).context("planning without a bound on the wait")?.plan())
}

fn fits_where_all_is_open(assembled: &Assembled) -> anyhow::Result<bool> {
    let mut open = Problem {
        deadline_h: None,
        budget_g: Some(f64::MAX),
        objective: Objective::Carbon,
        ..assembled.submission.problem.clone()
    };
    let slots = open.candidates.iter_mut().flat_map(|candidate| &mut candidate.slots);
    slots.for_each(|slot| slot.closed = false);
    let outcome = match assembled.submission.latency_ms {
        Some(limit_ms) => plan::plan_service(&open, Some(limit_ms)),
        None => plan::plan(&open),
    };
    Ok(matches!(outcome.context("planning without closed hours")?, Outcome::Feasible(_)))
}
