//! A job's clock: what it shall be until the next look, and whether another hand is on it.

use carm::config::{Config, OnBudget};
use carm::govern::{self, Clock, Decision, OverBudget, Rules, Service, Situation, Standing};
use carm::ledger::Mark;
use carm::quantity::{format_instant, parse_instant};
use carm::site::{Offer, Outlook};
use chrono::{DateTime, Utc};

use super::Look;
use super::job::end_of;
use crate::brief::{self, Brief, No, no};
use crate::clocks::{self, Applied, Seen};
use crate::decide;
use crate::gpu::{Card, Driver};
use crate::state::{JobState, Store};

/// The distance of two clocks of a card since Volta.
const STEP_MHZ: u32 = 15;

/// So many looks in a row must show another clock than the one that was set.
const STRANGE_LOOKS: u32 = 2;

/// Looks whether the clock under load is the one that was set. NVML cannot be asked for a lock: it is inferred.
pub(super) fn watch(look: &Look, state: &mut JobState, seen: &[Seen]) {
    if state.governed.hands_off {
        return;
    }
    let busy = seen.iter().filter(|seen| seen.utilization.is_some_and(|part| part >= 0.9) && !seen.throttled);
    let top_mhz = state.profile.as_ref().map(|profile| profile.used.full.clock_mhz);
    let set_mhz = state.clock_mhz.or(top_mhz);
    let strange = busy.filter_map(|seen| seen.clock_mhz).find(|&mhz| {
        let above = state.clock_mhz.is_some_and(|set| mhz > set + 2 * STEP_MHZ);
        // Without a flag a card may still run a little below its lock; what is far below was locked so.
        let below = set_mhz.is_some_and(|set| f64::from(mhz) < 0.85 * f64::from(set));
        above || below
    });
    let Some(mhz) = strange else {
        state.governed.strange_looks = 0;
        return;
    };
    state.governed.strange_looks += 1;
    if state.governed.strange_looks < STRANGE_LOOKS {
        return;
    }
    let set = state.clock_mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    log::warn!(
        "job {}: its GPUs run at {mhz} MHz, and {set} was set: another hand is on the clocks; CARM lets them be",
        state.job
    );
    state.mark([Mark::OtherHand]);
    state.governed.hands_off = true;
    if state.clock_mhz.is_some_and(|set| mhz > set) {
        // CARM's lock is no longer in force: to reset would be to undo another's.
        for gpu in &state.gpus {
            if let Err(error) = clocks::forget_lock(look.store, &gpu.uuid) {
                log::warn!("gpu {}: {error:#}", gpu.uuid);
            }
        }
    }
}

/// Decides the clock until the next look, and sets it.
pub(super) fn decide(config: &Config, look: &Look, state: &mut JobState, outlook: Option<&Outlook>) {
    let untouchable =
        state.marks.iter().any(|mark| matches!(mark, Mark::ClocksUntouched | Mark::RequestRefused | Mark::Unconfigured));
    if state.governed.hands_off || untouchable || !state.booked || state.request.is_empty() {
        return;
    }
    match decision(config, look, state, outlook) {
        Ok((clock_mhz, reason, over_budget)) => {
            if over_budget {
                state.mark([Mark::OverBudget]);
            }
            state.marks.retain(|mark| *mark != Mark::LimitUnknown);
            set(config, look.store, look.driver, state, clock_mhz, reason, look.now);
        }
        // A card that does not answer now may do so at the next look: its clock stays as it is, and so does the job's record.
        Err((cause, Mark::ClocksUntouched)) => log::debug!("job {}: {cause}", state.job),
        // What the prolog found is still so: it has been said.
        Err((cause, mark)) => {
            if !state.marks.contains(&mark) && mark != Mark::Other {
                log::warn!("job {}: {cause}", state.job);
                state.mark([mark]);
            }
            if mark == Mark::NoGrid || mark == Mark::LimitUnknown {
                set(config, look.store, look.driver, state, None, cause, look.now);
            }
        }
    }
}

fn decision(
    config: &Config,
    look: &Look,
    state: &mut JobState,
    outlook: Option<&Outlook>,
) -> Result<(Option<u32>, String, bool), No> {
    let job = state.to_job(look.node);
    let cards: Vec<Card> =
        state.gpus.iter().map(|gpu| Card { uuid: gpu.uuid.clone(), minor: 0, name: gpu.model.clone() }).collect();
    let mut known = None;
    let brief = Brief::of(&job, config, look.driver, &cards, state.work_s, &mut known);
    state.profile = state.profile.take().or(known);
    let brief = brief?;
    let outlook = outlook.ok_or_else(|| no("no grid data for now", Mark::NoGrid))?;
    let end = end_of(state).ok_or_else(|| no("its time limit is not known", Mark::LimitUnknown))?;
    let now = look.now;
    let (before_g, before_s, before_sure_s) = state.counted.before;
    let tally = &state.counted.tally;
    let whole_s = brief.work_s.map_or(0.0, |seconds| seconds as f64);
    let (left_s, sure_s) = (whole_s - before_s - tally.work_done_s, whole_s - before_sure_s - tally.sure_work_s);
    if brief.work_s.is_some() && sure_s <= 0.0 {
        return Ok((None, "it runs longer than was said: full clock".to_owned(), false));
    }
    // To the profile's word it may be done already; a second is left then.
    let mut offer = brief.offer(config, outlook, left_s.max(1.0) / 3600.0, now)?;
    if let Some(share) = state.governed.onsite_share {
        let until = now + chrono::TimeDelta::milliseconds((config.planner.horizon_s * 1e3) as i64);
        offer.candidate.slots = outlook.slots(now, until, share);
    }
    let measured = brief.profile.measured;
    let spent_g = before_g + tally.carbon_g;
    let left_g = brief::left_g(brief.request, &job, config, now).map(|grams| (grams - spent_g).max(0.0));
    let limit_h = Offer::hours_until(now, end);
    let current_mhz = state.clock_mhz.unwrap_or(brief.top_mhz);
    let since = state.governed.clock_since.as_deref().unwrap_or(&state.start);
    // One that was set in the future was so by a clock that has been set back: it must not bind until then.
    let for_h = parse_instant(since).map_or(0.0, |since| Offer::hours_until(since, now));
    let for_h = if for_h < 0.0 { config.node.dwell_s / 3600.0 } else { for_h };
    let mhz = |level: usize| offer.candidate.levels[level].clock_mhz;
    if let Some(latency_s) = brief.request.latency_s {
        let answering =
            govern::answering(&offer.candidate, latency_s * 1e3, measured).map_err(|error| no(error, Mark::RequestRefused))?;
        let answering = answering.ok_or_else(|| no(brief.untold(), Mark::LatencyUnknown))?;
        let service =
            Service { candidate: &offer.candidate, answering: &answering, objective: brief.objective, limit_h, budget_g: left_g };
        return Ok(match govern::service_clock(&service).map_err(|error| no(error, Mark::RequestRefused))? {
            Clock::Full { reason } => (None, reason.to_owned(), false),
            Clock::Level { level, over_budget, reason, .. } => (brief.lock_mhz(mhz(level)), reason.to_owned(), over_budget),
        });
    }
    let interval_h = config.node.interval_s / 3600.0;
    let situation = Situation {
        candidate: &offer.candidate,
        objective: brief.objective,
        deadline_h: brief.request.deadline.map(|deadline| Offer::hours_until(now, deadline)),
        limit_h,
        budget_g: left_g,
        measured,
    };
    let standing = Standing {
        level: (0..offer.candidate.levels.len()).find(|&level| mhz(level) == current_mhz),
        for_h,
        sure_work_h: sure_s / 3600.0,
        whole_work_h: whole_s / 3600.0,
        spent_g,
    };
    let rules = Rules {
        interval_h,
        // The sun is followed within an interval.
        dwell_h: if outlook.onsite_w.is_some() { interval_h } else { config.node.dwell_s / 3600.0 },
        min_change_mhz: config.node.min_change * STEP_MHZ,
        over_budget: match config.node.on_budget {
            OnBudget::Floor => OverBudget::Least,
            OnBudget::Full => OverBudget::Full,
            OnBudget::Notify => OverBudget::Stay,
        },
    };
    let share = state.governed.onsite_share.unwrap_or_else(|| (f64::from(brief.gpus) / f64::from(brief.site.1.gpus)).min(1.0));
    let until = now + chrono::TimeDelta::milliseconds((config.planner.horizon_s * 1e3) as i64);
    let band = outlook.band(now, until, share);
    let band = band.as_ref().map(|(low, high)| (&low[..], &high[..]));
    let Decision { level, reason, over_budget, .. } =
        govern::reconsider(&situation, &standing, &rules, band).map_err(|error| no(error, Mark::RequestRefused))?;
    let clock_mhz = match level {
        Some(level) => brief.lock_mhz(mhz(level)),
        // What stands and is no level stays as it is where the decision is to stay.
        None if over_budget && rules.over_budget == OverBudget::Stay => state.clock_mhz,
        None => None,
    };
    Ok((clock_mhz, reason.to_owned(), over_budget))
}

/// Brings the job's GPUs to a clock, if they are not at it.
fn set(
    config: &Config,
    store: &Store,
    driver: &dyn Driver,
    state: &mut JobState,
    clock_mhz: Option<u32>,
    reason: String,
    now: DateTime<Utc>,
) {
    if clock_mhz == state.clock_mhz {
        return;
    }
    let name = |mhz: Option<u32>| mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    // Before any clock moves: whoever comes after a kill must wish what may have been set.
    for gpu in &state.gpus {
        let applied = clocks::wish(store, driver, &gpu.uuid, (state.job, clock_mhz), config.node.restore_mhz);
        match applied {
            Ok(Applied::Untouched(cause)) => log::warn!("job {}: gpu {}: {cause}", state.job, gpu.uuid),
            Ok(_) => {}
            Err(error) => log::warn!("job {}: gpu {}: {error:#}", state.job, gpu.uuid),
        }
    }
    log::info!("job {}: {} -> {}: {reason}", state.job, name(state.clock_mhz), name(clock_mhz));
    state.clock_mhz = clock_mhz;
    state.decision = reason;
    state.governed.clock_since = Some(format_instant(now));
    state.governed.clock_changes += 1;
    state.governed.strange_looks = 0;
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
        let done_s = state.counted.before.2 + state.counted.tally.sure_work_s;
        request.work_s = state.work_s.map(|whole_s| ((whole_s as f64 - done_s).ceil().max(1.0)) as u64);
        request.limit_s = None;
        let spent_g = state.counted.before.0 + state.counted.tally.carbon_g;
        request.budget_g = request.budget_g.map(|budget| (budget - spent_g * f64::from(job.nodes)).max(0.0));
    }
    let cards: Vec<Card> =
        state.gpus.iter().map(|gpu| Card { uuid: gpu.uuid.clone(), minor: 0, name: gpu.model.clone() }).collect();
    let choice = decide::choose(&job, config, driver, &cards, now);
    set(config, store, driver, state, choice.clock_mhz, choice.reason, now);
}
