//! What a decision about a job is made from: its request, its site, its cards, its profile, as the planner's candidate. The
//! prolog decides once from it, the governor again and again.

use std::sync::Arc;

use carm::config::{Clocks, Config, Site};
use carm::ledger::Mark;
use carm::plan::Start;
use carm::profile::{Level, Profile, Profiles};
use carm::request::{CarbonRequest, Objective};
use carm::site::{Ask, Offer, Outlook};
use carm::submission::Patience;
use chrono::{DateTime, Utc};

use crate::bounded::whole;
use crate::clocks::usable;
use crate::deliver;
use crate::gpu::{Card, Driver};
use crate::history;
use crate::job::Job;
use crate::modelled::KnownProfile;

/// Why there is no decision, and the mark that goes with it.
pub type No = (String, Mark);

pub fn no(cause: impl ToString, mark: Mark) -> No {
    (cause.to_string(), mark)
}

/// A job on its cards.
pub struct Brief<'a> {
    pub request: &'a CarbonRequest,
    pub objective: Objective,
    /// The request's; of a job with the objective `performance` that names none: its earliest end and its patience, from its
    /// start on.
    pub deadline: Option<DateTime<Utc>>,
    pub site: (usize, &'a Site),
    /// None is a service's: it has no work to finish, its time limit is all there is to know.
    pub work_s: Option<u64>,
    pub profile: Profile,
    /// The highest clock that CARM may lock.
    pub top_mhz: u32,
    pub gpus: u32,
}

impl<'a> Brief<'a> {
    /// Gathers it, as far as that goes without the grid. `known` is the profile, wherever there is one, even if the rest fails.
    pub fn of(
        job: &'a Job,
        config: &'a Config,
        driver: &dyn Driver,
        cards: &[Card],
        work_s: Option<u64>,
        known: &mut Option<KnownProfile>,
    ) -> Result<Self, No> {
        let request = match &job.request {
            Ok(Some(request)) if request.off => return Err(no("--carbon-off", Mark::Other)),
            Ok(Some(request)) => request,
            Ok(None) => return Err(no("no carbon options", Mark::Other)),
            Err(cause) => return Err(no(format!("its carbon options: {cause}"), Mark::RequestRefused)),
        };
        let objective = objective(request, config)?;
        let site = config.site_of(job.partition.as_deref(), &job.node);
        let site = site.ok_or_else(|| no("no [[site]] for this node; set site under [node]", Mark::NoGrid))?;
        let card = cards.first().ok_or_else(|| no("it has no GPU", Mark::ClocksUntouched))?;
        if cards.iter().any(|other| other.name != card.name) {
            return Err(no("its GPUs are of different models", Mark::ClocksUntouched));
        }
        let listed = driver.clocks_mhz(&card.uuid);
        let clocks_mhz = listed.map_err(|error| no(format!("gpu {}: {error}", card.uuid), Mark::ClocksUntouched))?;
        let clocks_mhz = usable(clocks_mhz, config.node.restore_mhz);
        let profile = profile_for(request, config, site.1, card, &clocks_mhz)?;
        *known = KnownProfile::of(&profile, site.1.host_watts, site.1.clock_floor_mhz);
        if config.node.clocks == Clocks::Off {
            return Err(no("clocks = \"off\"", Mark::ClocksOff));
        }
        if work_s.is_none() && request.latency_s.is_none() {
            return Err(no("its run time is not known; --carbon-runtime tells it", Mark::WorkUnknown));
        }
        Ok(Self {
            request,
            objective,
            deadline: request.run_deadline().or_else(|| own_deadline(request, objective, work_s, job.start_time?, config)),
            site,
            work_s,
            // The work is what was measured or assumed for this job as it runs: throughput between card types is settled by then.
            profile: Profile { throughput: None, ..profile },
            top_mhz: clocks_mhz.last().copied().unwrap_or(0),
            gpus: u32::try_from(cards.len()).unwrap_or(u32::MAX),
        })
    }

    /// The planner's candidate for `work_h` hours of work at full clock from `now` on. Each node decides for its own GPUs: all
    /// nodes of a job reach the same clock.
    pub fn offer(&self, config: &Config, outlook: &Outlook, work_h: f64, now: DateTime<Utc>) -> Result<Offer, No> {
        let ask = Ask { now, gpus: self.gpus, work_h, start: Start::Fixed(0.0), max_run_h: None };
        let offer = carm::site::offer(self.site, outlook, &self.profile, &config.planner, &ask, self.gpus);
        let mut offer = offer.map_err(|error| no(error, Mark::RequestRefused))?;
        offer.candidate.slots = outlook.slots(now, horizon(config, now), self.onsite_share());
        Ok(offer)
    }

    /// The part of the site's on-site power that the job may count on, 0 to 1.
    pub fn onsite_share(&self) -> f64 {
        self.site.1.onsite_share(f64::from(self.gpus))
    }

    /// Why nothing is known of a service's latency.
    pub fn untold(&self) -> String {
        let name = &self.profile.name;
        format!("profile '{name}' tells no latency of this card at full clock; give latency_ms of its highest clock")
    }

    /// A clock as the driver gets it: a lock at the highest clock is no lock.
    pub fn lock_mhz(&self, mhz: u32) -> Option<u32> {
        (mhz < self.top_mhz).then_some(mhz)
    }
}

/// A site's signals from now on.
pub fn outlook(config: &Config, index: usize, now: DateTime<Utc>) -> Result<Arc<Outlook>, String> {
    let site = &config.sites[index];
    let (path, copy) = (deliver::source(config, site), config.clone());
    let load = move || Outlook::load(&copy, &copy.sites[index], now).map(Arc::new).map_err(|error| error.to_string());
    let loaded = whole(&path, &site.name, load);
    loaded.map_or_else(|| Err(format!("{} does not respond", path.display())), |loaded| Result::clone(&loaded))
}

/// How far ahead is planned.
pub fn horizon(config: &Config, now: DateTime<Utc>) -> DateTime<Utc> {
    now + chrono::TimeDelta::milliseconds((config.planner.horizon_s * 1e3) as i64)
}

/// The job's work in seconds at full clock: as the user or carm-submit says, else by earlier runs. A service has none.
pub fn work_s(job: &Job, config: &Config, cards: &[Card], now: DateTime<Utc>) -> Option<u64> {
    let request = job.request.as_ref().ok().and_then(Option::as_ref).filter(|request| request.latency_s.is_none())?;
    request.work_s.or(request.runtime_s).or_else(|| history::work_s(job, config, cards, now))
}

/// What is left of the job's budget on this node before this run, in grams.
pub fn left_g(budget_g: Option<f64>, job: &Job, config: &Config, now: DateTime<Utc>) -> Option<f64> {
    budget_g.map(|budget| (budget / f64::from(job.nodes) - history::spent_g(job, config, now)).max(0.0))
}

/// What is sought, if it can be: sbatch alone does not check that an objective has its constraint.
fn objective(request: &CarbonRequest, config: &Config) -> Result<Objective, No> {
    let objective = request.objective_or(config.planner.objective);
    if objective == Objective::Carbon && !request.has_budget() {
        return Err(no("--carbon-objective=carbon without --carbon-budget", Mark::RequestRefused));
    }
    Ok(objective)
}

/// The deadline of a job that names none. carm-submit sets it where it plans; it is the same here, counted from the start.
fn own_deadline(
    request: &CarbonRequest,
    objective: Objective,
    work_s: Option<u64>,
    start: DateTime<Utc>,
    config: &Config,
) -> Option<DateTime<Utc>> {
    if objective != Objective::Performance || request.latency_s.is_some() {
        return None;
    }
    let work_h = work_s? as f64 / 3600.0;
    let own_h = request.max_delay_s.map(|seconds| seconds / 3600.0);
    let patience = Patience::of(own_h, Some(work_h), false, &config.planner);
    Some(Offer::instant(start, work_h + patience.hours))
}

/// The profile on this card: its clocks snapped to those that the card can lock, scaled where it is another card's.
fn profile_for(request: &CarbonRequest, config: &Config, site: &Site, card: &Card, clocks_mhz: &[u32]) -> Result<Profile, No> {
    let loaded = match config.profiles_dir() {
        Some(dir) => whole(&dir.clone(), "", move || Profiles::load(&dir)),
        None => Some(Arc::new((Profiles::builtin(), Vec::new()))),
    };
    let loaded = loaded.ok_or_else(|| no("the folder of profiles does not respond", Mark::ClocksUntouched))?;
    let (profiles, errors) = &*loaded;
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
        assert_eq!(ask(None), Ok(Objective::Performance));
    }

    #[test]
    fn performance_without_deadline_ends_within_patience() {
        let config = Config::embedded(0);
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("an instant");
        let deadline = |request: CarbonRequest, objective, work_s| {
            own_deadline(&request, objective, work_s, start, &config).map(|at| (at - start).as_seconds_f64() / 3600.0)
        };
        let none = CarbonRequest::default;
        assert_eq!(deadline(none(), Objective::Performance, Some(8 * 3600)), Some(12.0));
        assert_eq!(deadline(none(), Objective::Performance, Some(600)).map(|hours| (hours * 60.0).round()), Some(10.0));
        let patient = CarbonRequest { max_delay_s: Some(3600.0), ..none() };
        assert_eq!(deadline(patient, Objective::Performance, Some(7200)), Some(3.0));
        let service = CarbonRequest { latency_s: Some(0.1), ..none() };
        assert_eq!(deadline(service, Objective::Performance, Some(7200)), None);
        assert_eq!(deadline(none(), Objective::Ppc, Some(7200)), None);
        assert_eq!(deadline(none(), Objective::Performance, None), None);
    }

    fn objective_of(config: &Config, named: Option<Objective>) -> Result<Objective, No> {
        objective(&CarbonRequest { objective: named, ..CarbonRequest::default() }, config)
    }
}
