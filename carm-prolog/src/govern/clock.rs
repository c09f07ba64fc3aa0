//! A job's clock: what it shall be until the next look, and the setting of it.

use std::time::Instant;

use carm::config::{Config, OnBudget};
use carm::govern::{self, Clock, Decision, OverBudget, Rules, Service, Situation, Standing};
use carm::ledger::Mark;
use carm::quantity::{format_instant, parse_instant};
use carm::site::{Offer, Outlook};
use chrono::{DateTime, Utc};
use log::Level;

use super::Look;
use super::job::end_of;
use super::past::Past;
use crate::brief::{self, Brief, No, horizon, no};
use crate::clocks::{self, Applied};
use crate::gpu::{Card, Driver};
use crate::job::Job;
use crate::prolog::LEFT_TO_GOVERNOR;
use crate::state::{JobState, Store};
use crate::{decide, history, share};

/// The distance of two clocks of a card since Volta.
pub(super) const STEP_MHZ: u32 = 15;

/// The instant that a decision is made for. All nodes of a job decide for the same one: the last whole interval since 1970.
pub(super) fn instant(config: &Config, look: &Look, state: &JobState) -> DateTime<Utc> {
    let interval_ms = (config.node.interval_s * 1e3).max(1.0) as i64;
    let whole = look.now.timestamp_millis().div_euclid(interval_ms) * interval_ms;
    DateTime::from_timestamp_millis(whole).filter(|_| state.nodes > 1).unwrap_or(look.now)
}

/// Decides the clock until the next look, and sets it.
pub(super) fn decide(config: &Config, look: &Look, state: &mut JobState, outlook: Option<&Outlook>) {
    let now = instant(config, look, state);
    let untouchable =
        state.marks.iter().any(|mark| matches!(mark, Mark::ClocksUntouched | Mark::RequestRefused | Mark::Unconfigured));
    if state.governed.hands_off || untouchable || !state.booked || state.request.is_empty() {
        return;
    }
    let since = Instant::now();
    let decided = decision(config, look, state, outlook, now);
    look.totals.borrow_mut().count_decision(since.elapsed().as_secs_f64());
    match decided {
        Ok((clock_mhz, reason, over_budget)) => {
            if over_budget {
                state.mark([Mark::OverBudget]);
            }
            state.marks.retain(|mark| *mark != Mark::LimitUnknown);
            if set(config, look.store, look.driver, state, clock_mhz, reason, now) {
                look.totals.borrow_mut().count_clock_change(reason);
            }
        }
        // A card that does not answer now may do so at the next look: its clock stays as it is, and so does the job's record.
        Err((cause, Mark::ClocksUntouched)) => log::debug!("job {}: {cause}", state.job),
        Err((cause, mark)) => {
            if state.decision == LEFT_TO_GOVERNOR {
                state.decision.clone_from(&cause);
            }
            if !state.marks.contains(&mark) && mark != Mark::Other {
                let level = if mark == Mark::ClocksOff { Level::Info } else { Level::Warn };
                log::log!(level, "job {}: {cause}", state.job);
                state.mark([mark]);
            }
            let reason = match mark {
                Mark::NoGrid => Some("no grid data"),
                Mark::LimitUnknown => Some("the time limit is not known"),
                Mark::ClocksOff => Some("clocks = \"off\""),
                _ => None,
            };
            if let Some(reason) = reason
                && set(config, look.store, look.driver, state, None, &cause, now)
            {
                look.totals.borrow_mut().count_clock_change(reason);
            }
        }
    }
}

/// A clock, why, and whether the budget cannot be kept.
type Chosen = (Option<u32>, &'static str, bool);

/// Finds the profile of a job that is taken up, before its first energy is counted: modelled energy, and with it the savings in
/// reports, needs a profile for all of the run.
pub(super) fn find_profile(config: &Config, look: &Look, state: &mut JobState) {
    let job = state.to_job(look.node);
    let mut profile = None;
    // Why nothing can be decided yet is said where it is decided.
    let _ = Brief::of(&job, config, look.driver, &cards(state), state.work_s, &mut profile);
    state.profile = profile;
}

fn decision(
    config: &Config,
    look: &Look,
    state: &mut JobState,
    outlook: Option<&Outlook>,
    now: DateTime<Utc>,
) -> Result<Chosen, No> {
    let job = state.to_job(look.node);
    recall(config, look, state, &job, now)?;
    let job = state.to_job(look.node);
    let mut known = None;
    let brief = Brief::of(&job, config, look.driver, &cards(state), state.work_s, &mut known);
    state.profile = state.profile.take().or(known);
    let brief = brief?;
    let outlook = outlook.ok_or_else(|| no("no grid data for now", Mark::NoGrid))?;
    let end = end_of(state).ok_or_else(|| no("its time limit is not known", Mark::LimitUnknown))?;
    let earlier_g = state.governed.earlier_g.unwrap_or(0.0);
    let budget_g = share::budget_g(&brief, (&job, config), outlook, now, || None)?;
    share::freeze(state, budget_g);
    let left_g = budget_g.map(|budget| {
        let own_g = budget / f64::from(job.nodes) - earlier_g;
        (own_g - state.done_so_far().0).max(0.0)
    });
    let (done_s, sure_done_s) = (state.done_so_far().1, state.done_so_far().2);
    let whole_s = brief.work_s.map_or(0.0, |seconds| seconds as f64);
    if brief.work_s.is_some() && sure_done_s >= whole_s {
        return Ok((None, "it runs longer than was said: full clock", false));
    }
    // By the profile's word it may be done already; a second is left then.
    let offer = brief.offer(config, outlook, (whole_s - done_s).max(1.0) / 3600.0, now)?;
    let current_mhz = state.clock_mhz.unwrap_or(brief.top_mhz);
    let since = state.governed.clock_since.as_deref().and_then(|text| parse_instant(text).ok());
    let standing = Standing {
        level: offer.candidate.levels.iter().position(|level| level.clock_mhz == current_mhz),
        // The prolog's clock has no dwell time: it knew less. Nor has one that was set in the future, by a clock that was set back.
        for_h: since.map(|since| Offer::hours_until(since, now)).filter(|&hours| hours >= 0.0).unwrap_or(f64::INFINITY),
        sure_work_h: (whole_s - sure_done_s) / 3600.0,
        whole_work_h: whole_s / 3600.0,
        spent_g: state.done_so_far().0,
    };
    let rules = rules(config, outlook);
    let limit_h = Offer::hours_until(now, end);
    if brief.request.latency_s.is_some() {
        return of_service(&brief, &offer, limit_h, left_g, &standing, &rules);
    }
    let situation = Situation {
        candidate: &offer.candidate,
        objective: brief.objective,
        deadline_h: brief.deadline.map(|deadline| Offer::hours_until(now, deadline)),
        limit_h,
        budget_g: left_g,
        measured: brief.profile.measured,
    };
    let band = outlook.band(now, horizon(config, now), brief.onsite_share());
    let band = band.as_ref().map(|(low, high)| (&low[..], &high[..]));
    let decided = govern::reconsider(&situation, &standing, &rules, band).map_err(|error| no(error, Mark::RequestRefused))?;
    let Decision { level, reason, over_budget, .. } = decided;
    let clock_mhz = match level {
        Some(level) => brief.lock_mhz(offer.candidate.levels[level].clock_mhz),
        // What stands and is no level stays as it is where the decision is to stay.
        None if over_budget && rules.over_budget == OverBudget::Stay => state.clock_mhz,
        None => None,
    };
    Ok((clock_mhz, reason, over_budget))
}

/// Has the job's past from the ledger, if that is needed: it changes no more.
fn recall(config: &Config, look: &Look, state: &mut JobState, job: &Job, now: DateTime<Utc>) -> Result<(), No> {
    if state.governed.earlier_g.is_some() {
        return Ok(());
    }
    let request = job.request.as_ref().ok().and_then(Option::as_ref);
    let by_request = request.and_then(|request| request.work_s.or(request.runtime_s));
    let is_first = state.decision == LEFT_TO_GOVERNOR;
    let Past { work_s, earlier_g, budget_g } = if job.restart_count == 0 && (by_request.is_some() || !is_first) {
        Past { work_s: by_request, ..Past::default() }
    } else {
        let (job, config, cards) = (job.clone(), config.clone(), cards(state));
        let read = move || Past {
            work_s: brief::work_s(&job, &config, &cards, now),
            earlier_g: history::spent_g(&job, &config, now),
            budget_g: history::budget_g(&job, &config, now),
        };
        let past = look.pasts.borrow_mut().get((look.node.to_owned(), state.job, state.run), read);
        past.ok_or_else(|| no("the ledger is not read yet", Mark::ClocksUntouched))?
    };
    if is_first {
        state.work_s = work_s;
    }
    share::freeze(state, budget_g);
    state.governed.earlier_g = Some(earlier_g);
    Ok(())
}

fn rules(config: &Config, outlook: &Outlook) -> Rules {
    let interval_h = config.node.interval_s / 3600.0;
    Rules {
        interval_h,
        // The sun is followed within an interval.
        dwell_h: if outlook.onsite_w.is_some() { interval_h } else { config.node.dwell_s / 3600.0 },
        min_change_mhz: config.node.min_change * STEP_MHZ,
        over_budget: match config.node.on_budget {
            OnBudget::Floor => OverBudget::Least,
            OnBudget::Full => OverBudget::Full,
            OnBudget::Notify => OverBudget::Stay,
        },
    }
}

/// A service keeps the clock that answers in time for its dwell time.
fn of_service(
    brief: &Brief,
    offer: &Offer,
    limit_h: f64,
    budget_g: Option<f64>,
    standing: &Standing,
    rules: &Rules,
) -> Result<Chosen, No> {
    let refused = |error| no(error, Mark::RequestRefused);
    let (candidate, latency_ms) = (&offer.candidate, brief.request.latency_s.unwrap_or(0.0) * 1e3);
    let answering = govern::answering(candidate, latency_ms, brief.profile.measured).map_err(refused)?;
    let answering = &*answering.ok_or_else(|| no(brief.untold(), Mark::LatencyUnknown))?;
    let service = Service { candidate, answering, objective: brief.objective, limit_h, budget_g };
    let clock = |level: usize| brief.lock_mhz(candidate.levels[level].clock_mhz);
    Ok(match govern::service_clock(&service).map_err(refused)? {
        Clock::Full { reason } => (None, reason, false),
        Clock::Level { level, over_budget, reason, .. } => match standing.level {
            Some(current) if current != level && answering.contains(&current) && standing.for_h < rules.dwell_h => {
                (clock(current), "a clock stays for its dwell time", over_budget)
            }
            _ => (clock(level), reason, over_budget),
        },
    })
}

/// The job's GPUs as the prolog found them.
fn cards(state: &JobState) -> Vec<Card> {
    state.gpus.iter().map(|gpu| Card { uuid: gpu.uuid.clone(), index: 0, minor: 0, name: gpu.model.clone() }).collect()
}

/// Brings the job's GPUs to a clock, if they are not at it; whether they were not, and are now. What the driver does not take is tried
/// again at the next look.
fn set(
    config: &Config,
    store: &Store,
    driver: &dyn Driver,
    state: &mut JobState,
    clock_mhz: Option<u32>,
    reason: &str,
    now: DateTime<Utc>,
) -> bool {
    let is_first = state.decision == LEFT_TO_GOVERNOR;
    if clock_mhz == state.clock_mhz {
        if is_first {
            log::info!("job {}: full clock: {reason}", state.job);
            state.decision = reason.to_owned();
        }
        return false;
    }
    let name = |mhz: Option<u32>| mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    // Before any clock moves: whoever comes after a kill must wish what may have been set.
    let wish = |uuid: &str| match clocks::wish(store, driver, uuid, (state.job, clock_mhz), &config.node) {
        Ok(Applied::Untouched(cause)) => Some(format!("gpu {uuid}: {cause}")),
        Ok(_) => None,
        Err(error) => Some(format!("gpu {uuid}: {error:#}")),
    };
    let untaken: Vec<String> = state.gpus.iter().filter_map(|gpu| wish(&gpu.uuid)).collect();
    if !untaken.is_empty() && is_first {
        // As without a governor: the job keeps full clock, and what may be locked all the same is taken off.
        let cause = untaken.join("; ");
        log::warn!("job {}: its GPUs are left alone: {cause}", state.job);
        for gpu in &state.gpus {
            if let Err(error) = clocks::wish(store, driver, &gpu.uuid, (state.job, None), &config.node) {
                log::warn!("gpu {}: {error:#}", gpu.uuid);
            }
        }
        state.mark([Mark::ClocksUntouched]);
        state.decision = format!("{reason}; {cause}; default clocks");
        return false;
    }
    if !untaken.is_empty() {
        let cause = untaken.join("; ");
        if state.governed.untaken.as_ref() != Some(&cause) {
            log::warn!("job {}: {} is not set, and tried again: {cause}", state.job, name(clock_mhz));
        }
        state.governed.untaken = Some(cause);
        return false;
    }
    state.governed.untaken = None;
    log::info!("job {}: {} -> {}: {reason}", state.job, name(state.clock_mhz), name(clock_mhz));
    state.clock_mhz = clock_mhz;
    state.decision = reason.to_owned();
    state.governed.clock_since = Some(format_instant(now));
    state.governed.clock_changes += u32::from(!is_first);
    state.governed.strange_looks = 0;
    true
}

/// The one clock that holds to the job's end if nobody decides again.
pub(super) fn steady(config: &Config, store: &Store, driver: &dyn Driver, node: &str, state: &mut JobState, now: DateTime<Utc>) {
    if state.governed.hands_off || !state.booked || state.request.is_empty() || state.marks.contains(&Mark::ClocksUntouched) {
        return;
    }
    let mut job = state.to_job(node);
    job.end_time = end_of(state);
    if let Some(request) = job.request.as_mut().ok().and_then(Option::as_mut) {
        // What is surely left, as if it were all there is.
        let (spent_g, _, sure_done_s) = state.done_so_far();
        request.work_s = state.work_s.map(|whole_s| ((whole_s as f64 - sure_done_s).ceil().max(1.0)) as u64);
        request.budget_g = request.budget_g.map(|budget| (budget - spent_g * f64::from(job.nodes)).max(0.0));
    }
    let choice = decide::choose(&job, config, driver, &cards(state), now);
    if choice.marks.contains(&Mark::OverBudget) && config.node.on_budget == OnBudget::Notify {
        return;
    }
    set(config, store, driver, state, choice.clock_mhz, &choice.reason, now);
}
