//! From the job, the configuration and the card to one clock: gathers what the library's decision needs, and says why.

use carm::config::{Config, Site};
use carm::govern::{self, Clock, Situation};
use carm::ledger::Mark;
use carm::plan::Start;
use carm::profile::{Profile, Profiles};
use carm::request::{CarbonRequest, Objective};
use carm::site::{Ask, Offer, Outlook};
use chrono::{DateTime, Utc};

use crate::gpu::Card;
use crate::job::Job;
use crate::limit;

/// The clock for a job, and what its ledger line will say of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The highest clock, in MHz; none is full clock.
    pub clock_mhz: Option<u32>,
    /// Why, in a few words.
    pub reason: String,
    /// Work at full clock that was counted on, in seconds.
    pub work_s: Option<u64>,
    /// What a reader of the ledger must know.
    pub marks: Vec<Mark>,
}

impl Choice {
    fn full(reason: impl Into<String>, mark: Option<Mark>) -> Self {
        Self { reason: reason.into(), marks: mark.into_iter().collect(), ..Self::default() }
    }
}

/// The clock for the job's run on these cards from now on. `spent_g` is what its earlier runs emitted on this node.
pub fn choose(
    job: &Job,
    request: &CarbonRequest,
    config: &Config,
    cards: &[(Card, Vec<u32>)],
    spent_g: f64,
    now: DateTime<Utc>,
) -> Choice {
    if request.off {
        return Choice::full("--carbon-off", None);
    }
    let objective = request.objective_or(config.planner.objective);
    if objective == Objective::Carbon && request.budget_g.is_none() {
        return Choice::full("--carbon-objective=carbon without --carbon-budget", Some(Mark::RequestRefused));
    }
    if objective == Objective::Performance && request.deadline.is_none() {
        return Choice::full("--carbon-objective=performance without --carbon-deadline", Some(Mark::RequestRefused));
    }
    let Some((site_index, site)) = config.site_of(job.partition.as_deref(), &job.node) else {
        return Choice::full("no [[site]] for this node; set site under [node]", Some(Mark::NoGrid));
    };
    let Some(work_s) = request.work_s.or(request.runtime_s) else {
        return Choice::full("its run time is not known; --carbon-runtime tells it", Some(Mark::WorkUnknown));
    };
    let Some(end) = limit::end_of(job, config, now) else {
        return Choice { work_s: Some(work_s), ..Choice::full("its time limit is not known", Some(Mark::LimitUnknown)) };
    };
    let chosen = decide(job, request, objective, config, (site_index, site), cards, work_s, end, spent_g, now);
    Choice { work_s: Some(work_s), ..chosen.unwrap_or_else(|(cause, mark)| Choice::full(cause, mark)) }
}

#[expect(clippy::too_many_arguments, reason = "one call from above, which has checked each of them")]
fn decide(
    job: &Job,
    request: &CarbonRequest,
    objective: Objective,
    config: &Config,
    (site_index, site): (usize, &Site),
    cards: &[(Card, Vec<u32>)],
    work_s: u64,
    end: DateTime<Utc>,
    spent_g: f64,
    now: DateTime<Utc>,
) -> Result<Choice, (String, Option<Mark>)> {
    let (card, clocks_mhz) = cards.first().ok_or(("it has no GPU".to_owned(), None))?;
    if cards.iter().any(|(other, _)| other.name != card.name) {
        return Err(("its GPUs are of different models".into(), Some(Mark::ClocksUntouched)));
    }
    let outlook = Outlook::load(config, site, now).map_err(|error| (error.to_string(), Some(Mark::NoGrid)))?;
    let profile = profile_for(request, config, site, card, clocks_mhz)?;
    // Each node decides for its own GPUs, from its share of the budget: all nodes reach the same clock.
    let gpus = u32::try_from(cards.len()).unwrap_or(u32::MAX);
    let nodes = f64::from(job.nodes);
    // The work is what was measured or assumed for this job as it runs: throughput between card types is settled by then.
    let profile = Profile { throughput: None, ..profile };
    let ask = Ask { now, gpus, work_h: work_s as f64 / 3600.0, start: Start::Fixed(0.0), max_run_h: None };
    let offer = carm::site::offer((site_index, site), &outlook, &profile, &config.planner, &ask, gpus)
        .map_err(|e| (e.to_string(), None))?;
    let situation = Situation {
        candidate: &offer.candidate,
        objective,
        deadline_h: request.deadline.map(|deadline| Offer::hours_until(now, deadline)),
        limit_h: Offer::hours_until(now, end),
        budget_g: request.budget_g.map(|budget| (budget / nodes - spent_g).max(0.0)),
        measured: profile.measured,
    };
    match govern::steady_clock(&situation).map_err(|error| (error.to_string(), None))? {
        Clock::Full { reason } => Ok(Choice::full(reason, None)),
        Clock::Level { level, reason, over_budget, .. } => {
            let mhz = offer.candidate.levels[level].clock_mhz;
            let top_mhz = clocks_mhz.last().copied().unwrap_or(mhz);
            Ok(Choice {
                // A lock at the highest clock is no lock.
                clock_mhz: (mhz < top_mhz).then_some(mhz),
                reason: reason.to_owned(),
                work_s: None,
                marks: over_budget.then_some(Mark::OverBudget).into_iter().collect(),
            })
        }
    }
}

/// The profile on this card: its clocks snapped to those that the card can lock, scaled where it is another card's.
fn profile_for(
    request: &CarbonRequest,
    config: &Config,
    site: &Site,
    card: &Card,
    clocks_mhz: &[u32],
) -> Result<Profile, (String, Option<Mark>)> {
    let (profiles, errors) = config.profiles_dir().map_or_else(|| (Profiles::builtin(), Vec::new()), |dir| Profiles::load(&dir));
    for error in errors {
        log::warn!("{error}; the profile is left out");
    }
    let name = request.profile.clone().or_else(|| site.profile.clone()).unwrap_or_else(|| carm::profile::generic().name);
    let profile =
        profiles.find(&name, site.gpu.as_deref()).ok_or_else(|| (profiles.unknown(&name), Some(Mark::RequestRefused)))?;
    let top_mhz =
        clocks_mhz.last().copied().ok_or_else(|| ("the card lists no clocks".to_owned(), Some(Mark::ClocksUntouched)))?;
    let mut profile = if profile.model.as_deref() == Some(&card.name) { profile.clone() } else { profile.scaled_to(top_mhz) };
    for level in &mut profile.levels {
        let at = clocks_mhz.partition_point(|&mhz| mhz < level.clock_mhz);
        // The next clock that the card has; never slower than the profile's level.
        level.clock_mhz = clocks_mhz.get(at).copied().unwrap_or(top_mhz);
    }
    profile.levels.dedup_by_key(|level| level.clock_mhz);
    Ok(profile)
}
