//! The prolog's decision: from the job, the configuration and the card to one clock that holds to the job's end, and why.

use carm::config::{Config, OnBudget};
use carm::govern::{self, Clock, Service, Situation};
use carm::ledger::Mark;
use carm::site::Offer;
use chrono::{DateTime, Utc};

use crate::brief::{self, Brief, No, no};
use crate::gpu::{Card, Driver};
use crate::job::Job;
use crate::limit;
use crate::modelled::KnownProfile;
use crate::{history, share};

/// The clock for a job, and what its ledger line will say of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The highest clock, in MHz; none is full clock.
    pub clock_mhz: Option<u32>,
    /// Why, in a few words.
    pub reason: String,
    /// Work at full clock that was counted on, in seconds.
    pub work_s: Option<u64>,
    /// The profile on the job's cards, where there is one.
    pub profile: Option<KnownProfile>,
    /// When Slurm ends the job, where that was found out.
    pub end: Option<DateTime<Utc>>,
    /// The job's budget in grams.
    pub budget_g: Option<f64>,
    /// What a reader of the ledger must know.
    pub marks: Vec<Mark>,
}

/// The clock for the job's run on these cards from now on.
pub fn choose(job: &Job, config: &Config, driver: &dyn Driver, cards: &[Card], now: DateTime<Utc>) -> Choice {
    // Slurm tells it from 23.02 on.
    let job = &Job { start_time: job.start_time.or(Some(now)), ..job.clone() };
    let work_s = brief::work_s(job, config, cards, now);
    let (mut profile, mut end, mut budget_g) = (None, None, None);
    let decided = Brief::of(job, config, driver, cards, work_s, &mut profile).and_then(|brief| {
        // Asked last: it may take a second.
        let mut end_of_job = || {
            let known = limit::end_of(job, config);
            end = known.as_ref().ok().copied();
            known.map_err(|cause| no(format!("its time limit is not known: {cause}"), Mark::LimitUnknown))
        };
        decide(&brief, (job, config), now, &mut end_of_job, &mut budget_g)
    });
    let choice = decided.unwrap_or_else(|(reason, mark)| Choice {
        reason,
        // A job that asks nothing has nothing to be marked with.
        marks: Some(mark).filter(|&mark| mark != Mark::Other).into_iter().collect(),
        ..Choice::default()
    });
    Choice { work_s, profile, end, budget_g, ..choice }
}

fn decide(
    brief: &Brief,
    (job, config): (&Job, &Config),
    now: DateTime<Utc>,
    end: &mut dyn FnMut() -> Result<DateTime<Utc>, No>,
    worked_out_g: &mut Option<f64>,
) -> Result<Choice, No> {
    let outlook = brief::outlook(config, brief.site.0, now).map_err(|error| no(error, Mark::NoGrid))?;
    for doubt in &outlook.doubts {
        log::info!("job {}: {doubt}", job.id);
    }
    let work_h = brief.work_s.map_or(0.0, |seconds| seconds as f64 / 3600.0);
    let offer = brief.offer(config, &outlook, work_h, now)?;
    let (request, objective, measured) = (brief.request, brief.objective, brief.profile.measured);
    let budget_g = share::budget_g(brief, (job, config), &outlook, now, || history::budget_g(job, config, now))?;
    *worked_out_g = budget_g;
    let left_g = brief::left_g(budget_g, job, config, now);
    if left_g == Some(0.0) && config.node.on_budget != OnBudget::Floor {
        return Err(no("its budget is used up, and on_budget keeps its clock", Mark::OverBudget));
    }
    let clock = match request.latency_s {
        Some(latency_s) => {
            let answering = govern::answering(&offer.candidate, latency_s * 1e3, measured);
            let answering = answering.map_err(|error| no(error, Mark::RequestRefused))?;
            let answering = answering.ok_or_else(|| no(brief.untold(), Mark::LatencyUnknown))?;
            let limit_h = Offer::hours_until(now, end()?);
            let (candidate, answering) = (&offer.candidate, &*answering);
            govern::service_clock(&Service { candidate, answering, objective, limit_h, budget_g: left_g })
        }
        None => govern::steady_clock(&Situation {
            candidate: &offer.candidate,
            objective,
            deadline_h: brief.deadline.map(|deadline| Offer::hours_until(now, deadline)),
            limit_h: Offer::hours_until(now, end()?),
            budget_g: left_g,
            measured,
        }),
    };
    Ok(match clock.map_err(|error| no(error, Mark::RequestRefused))? {
        Clock::Full { reason } => Choice { reason: reason.to_owned(), ..Choice::default() },
        Clock::Level { over_budget: true, .. } if config.node.on_budget != OnBudget::Floor => {
            return Err(no("the budget cannot be met, and on_budget wants no slower clock", Mark::OverBudget));
        }
        Clock::Level { level, reason, over_budget, .. } => Choice {
            clock_mhz: brief.lock_mhz(offer.candidate.levels[level].clock_mhz),
            reason: reason.to_owned(),
            marks: over_budget.then_some(Mark::OverBudget).into_iter().collect(),
            ..Choice::default()
        },
    })
}
