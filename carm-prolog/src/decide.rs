//! From the job, the configuration and the card to one clock: gathers what the library's decision needs, and says why.

use carm::config::{Config, OnBudget, Site};
use carm::govern::{self, Clock, Service, Situation};
use carm::ledger::Mark;
use carm::plan::Start;
use carm::profile::{Level, Profile, Profiles};
use carm::request::{CarbonRequest, Objective};
use carm::site::{Ask, Offer, Outlook};
use chrono::{DateTime, Utc};

use crate::clocks::usable;
use crate::gpu::{Card, Driver};
use crate::job::Job;
use crate::modelled::KnownProfile;
use crate::{history, limit};

/// The clock for a job, and what its ledger line will say of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The highest clock, in MHz; none is full clock.
    pub clock_mhz: Option<u32>,
    /// Why, in a few words.
    pub reason: String,
    /// Work at full clock that was counted on, in seconds.
    pub work_s: Option<u64>,
    /// The profile that was counted with, where it is known.
    pub profile: Option<KnownProfile>,
    /// What a reader of the ledger must know.
    pub marks: Vec<Mark>,
}

impl Choice {
    fn full(reason: impl Into<String>, mark: Option<Mark>) -> Self {
        Self { reason: reason.into(), marks: mark.into_iter().collect(), ..Self::default() }
    }
}

/// The clock for the job's run on these cards from now on.
pub fn choose(job: &Job, config: &Config, driver: &dyn Driver, cards: &[Card], now: DateTime<Utc>) -> Choice {
    let request = match &job.request {
        Ok(Some(request)) => request,
        Ok(None) => return Choice::full("no carbon options", None),
        Err(cause) => return Choice::full(format!("its carbon options: {cause}"), Some(Mark::RequestRefused)),
    };
    if request.off {
        return Choice::full("--carbon-off", None);
    }
    // A service has no work to finish: its time limit is all there is to know.
    let is_service = request.latency_s.is_some();
    let given_s = || request.work_s.or(request.runtime_s);
    let work_s = if is_service { None } else { given_s().or_else(|| history::work_s(job, config, cards, now)) };
    let mut profile = None;
    let decided = objective(request, config).and_then(|objective| {
        let site = config.site_of(job.partition.as_deref(), &job.node);
        let site = site.ok_or_else(|| no("no [[site]] for this node; set site under [node]", Mark::NoGrid))?;
        // Asked last: it may take a second.
        let end = || {
            limit::end_of(job, config, now)
                .map_err(|cause| no(format!("its time limit is not known: {cause}"), Mark::LimitUnknown))
        };
        decide(&Decision { job, request, objective, config, site, work_s, now }, driver, cards, &mut profile, end)
    });
    Choice { work_s, profile, ..decided.unwrap_or_else(|(cause, mark)| Choice::full(cause, Some(mark))) }
}

/// Why there is no decision, and the mark that goes with it.
type No = (String, Mark);

fn no(cause: impl ToString, mark: Mark) -> No {
    (cause.to_string(), mark)
}

/// What is sought, if it can be: sbatch alone does not check that an objective has its constraint.
fn objective(request: &CarbonRequest, config: &Config) -> Result<Objective, No> {
    let objective = request.objective_or(config.planner.objective);
    let lacking = match objective {
        Objective::Carbon if request.budget_g.is_none() => "--carbon-objective=carbon without --carbon-budget",
        Objective::Performance if request.deadline.is_none() && request.latency_s.is_none() => {
            "--carbon-objective=performance without --carbon-deadline or --carbon-latency"
        }
        _ => return Ok(objective),
    };
    Err(no(lacking, Mark::RequestRefused))
}

/// What a decision is made from.
struct Decision<'a> {
    job: &'a Job,
    request: &'a CarbonRequest,
    objective: Objective,
    config: &'a Config,
    site: (usize, &'a Site),
    /// None is a service's.
    work_s: Option<u64>,
    now: DateTime<Utc>,
}

fn decide(
    asked: &Decision,
    driver: &dyn Driver,
    cards: &[Card],
    known: &mut Option<KnownProfile>,
    end: impl FnOnce() -> Result<DateTime<Utc>, No>,
) -> Result<Choice, No> {
    let Decision { job, request, objective, config, site, work_s, now } = *asked;
    let card = cards.first().ok_or_else(|| no("it has no GPU", Mark::ClocksUntouched))?;
    if cards.iter().any(|other| other.name != card.name) {
        return Err(no("its GPUs are of different models", Mark::ClocksUntouched));
    }
    let listed = driver.clocks_mhz(&card.uuid);
    let clocks_mhz = listed.map_err(|error| no(format!("gpu {}: {error}", card.uuid), Mark::ClocksUntouched))?;
    let clocks_mhz = usable(clocks_mhz, config.node.restore_mhz);
    let profile = profile_for(request, config, site.1, card, &clocks_mhz)?;
    *known = KnownProfile::of(&profile, site.1.host_watts, site.1.clock_floor_mhz);
    if work_s.is_none() && request.latency_s.is_none() {
        return Err(no("its run time is not known; --carbon-runtime tells it", Mark::WorkUnknown));
    }
    let outlook = Outlook::load(config, site.1, now).map_err(|error| no(error, Mark::NoGrid))?;
    // Each node decides for its own GPUs, from its share of the budget: all nodes reach the same clock.
    let gpus = u32::try_from(cards.len()).unwrap_or(u32::MAX);
    // The work is what was measured or assumed for this job as it runs: throughput between card types is settled by then.
    let profile = Profile { throughput: None, ..profile };
    let work_h = work_s.map_or(0.0, |seconds| seconds as f64 / 3600.0);
    let ask = Ask { now, gpus, work_h, start: Start::Fixed(0.0), max_run_h: None };
    let offer = carm::site::offer(site, &outlook, &profile, &config.planner, &ask, gpus);
    let offer = offer.map_err(|error| no(error, Mark::RequestRefused))?;
    let left_g = request.budget_g.map(|budget| (budget / f64::from(job.nodes) - history::spent_g(job, config, now)).max(0.0));
    if left_g == Some(0.0) && config.node.on_budget != OnBudget::Floor {
        return Err(no("its budget is used up, and on_budget keeps its clock", Mark::OverBudget));
    }
    let clock = match request.latency_s {
        Some(latency_s) => {
            let answering = govern::answering(&offer.candidate, latency_s * 1e3, profile.measured);
            let answering = answering.ok_or_else(|| no(untold(&profile), Mark::LatencyUnknown))?;
            let limit_h = Offer::hours_until(now, end()?);
            let (candidate, answering) = (&offer.candidate, &*answering);
            govern::service_clock(&Service { candidate, answering, objective, limit_h, budget_g: left_g })
        }
        None => govern::steady_clock(&Situation {
            candidate: &offer.candidate,
            objective,
            deadline_h: request.deadline.map(|deadline| Offer::hours_until(now, deadline)),
            limit_h: Offer::hours_until(now, end()?),
            budget_g: left_g,
            measured: profile.measured,
        }),
    };
    match clock.map_err(|error| no(error, Mark::RequestRefused))? {
        Clock::Full { reason } => Ok(Choice::full(reason, None)),
        Clock::Level { level, reason, over_budget, .. } => {
            let mhz = offer.candidate.levels[level].clock_mhz;
            let top_mhz = clocks_mhz.last().copied().unwrap_or(mhz);
            Ok(Choice {
                // A lock at the highest clock is no lock.
                clock_mhz: (mhz < top_mhz).then_some(mhz),
                reason: reason.to_owned(),
                work_s: None,
                profile: None,
                marks: over_budget.then_some(Mark::OverBudget).into_iter().collect(),
            })
        }
    }
}

fn untold(profile: &Profile) -> String {
    format!("profile '{}' tells no latency of this card at full clock; give latency_ms of its highest clock", profile.name)
}

/// The profile on this card: its clocks snapped to those that the card can lock, scaled where it is another card's.
fn profile_for(request: &CarbonRequest, config: &Config, site: &Site, card: &Card, clocks_mhz: &[u32]) -> Result<Profile, No> {
    let (profiles, errors) = config.profiles_dir().map_or_else(|| (Profiles::builtin(), Vec::new()), |dir| Profiles::load(&dir));
    for error in errors {
        log::warn!("{error}; the profile is left out");
    }
    let name = request.profile.clone().or_else(|| site.profile.clone()).unwrap_or_else(|| carm::profile::generic().name);
    let profile = profiles.find(&name, site.gpu.as_deref()).ok_or_else(|| no(profiles.unknown(&name), Mark::RequestRefused))?;
    let top_mhz = clocks_mhz
        .last()
        .copied()
        .ok_or_else(|| no("the card lists no clocks, or none within restore_mhz", Mark::ClocksUntouched))?;
    let fits = profile.model.as_deref() == Some(&card.name);
    let mut profile = if fits { profile.clone() } else { profile.scaled_to(top_mhz) };
    if !fits && profile.model.is_some() {
        // Speeds are relative and carry over to another card; what a request takes there is another matter.
        profile.levels.iter_mut().for_each(|level| level.latency_ms = None);
    }
    snap(&mut profile.levels, clocks_mhz, top_mhz);
    Ok(profile)
}

/// Moves every level to the next clock that the card has: never slower than the profile says. Of several on one clock the
/// fastest stays, which was the nearest to it. Above the highest clock there is only that one, and what a request takes
/// there the profile does not say.
fn snap(levels: &mut Vec<Level>, clocks_mhz: &[u32], top_mhz: u32) {
    for level in levels.iter_mut() {
        let at = clocks_mhz.partition_point(|&mhz| mhz < level.clock_mhz);
        level.latency_ms = level.latency_ms.filter(|_| level.clock_mhz <= top_mhz);
        level.clock_mhz = clocks_mhz.get(at).copied().unwrap_or(top_mhz);
    }
    levels.reverse();
    levels.dedup_by_key(|level| level.clock_mhz);
    levels.reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_move_up_to_clocks_that_the_card_has_and_the_top_keeps_its_full_speed() {
        let level = |clock_mhz, speed| Level { clock_mhz, watts: 100.0, speed, latency_ms: None };
        let mut levels = vec![level(100, 0.1), level(901, 0.5), level(1480, 0.9), level(1490, 1.0)];
        snap(&mut levels, &[210, 900, 915, 1500], 1500);
        let moved: Vec<_> = levels.iter().map(|level| (level.clock_mhz, level.speed)).collect();
        assert_eq!(moved, [(210, 0.1), (915, 0.5), (1500, 1.0)]);
    }

    #[test]
    fn a_level_above_the_cards_clocks_keeps_no_latency_for_no_one_measured_it_down_there() {
        let level = |clock_mhz, latency_ms| Level { clock_mhz, watts: 100.0, speed: 1.0, latency_ms: Some(latency_ms) };
        let mut levels = vec![level(890, 30.0), level(2520, 10.0)];
        snap(&mut levels, &[210, 900, 1260], 1260);
        let moved: Vec<_> = levels.iter().map(|level| (level.clock_mhz, level.latency_ms)).collect();
        assert_eq!(moved, [(900, Some(30.0)), (1260, None)]);
    }

    #[test]
    fn an_objective_without_its_constraint_is_refused() {
        let config = Config::embedded(0);
        let ask = |objective| objective_of(&config, objective).map_err(|(cause, mark)| (cause.contains(" without "), mark));
        assert_eq!(ask(Some(Objective::Carbon)), Err((true, Mark::RequestRefused)));
        assert_eq!(ask(Some(Objective::Performance)), Err((true, Mark::RequestRefused)));
        assert_eq!(ask(None), Ok(Objective::Ppc));
    }

    fn objective_of(config: &Config, named: Option<Objective>) -> Result<Objective, No> {
        objective(&CarbonRequest { objective: named, ..CarbonRequest::default() }, config)
    }
}
