//! Whether another hand is on a job's clocks. NVML cannot be asked for a lock: it is inferred from the clock under load.

use carm::config::{Clocks, Config};
use carm::ledger::Mark;

use super::Look;
use super::clock::STEP_MHZ;
use crate::clocks::{self, Seen};
use crate::state::JobState;

/// So many looks in a row must show another clock than the one that was set.
const STRANGE_LOOKS: u32 = 2;

/// A card that does not run at what was set.
struct Strange<'a> {
    uuid: &'a str,
    mhz: u32,
    lock_mhz: Option<u32>,
}

impl Strange<'_> {
    /// CARM's lock is no longer in force: what another hand set is above it.
    fn is_above(&self) -> bool {
        self.lock_mhz.is_some_and(|lock_mhz| self.mhz > lock_mhz)
    }
}

/// Compares the clocks under load with the ones that were set; whether a hand is suspected.
pub(super) fn watch(config: &Config, look: &Look, state: &mut JobState) -> bool {
    if state.governed.hands_off || config.node.clocks == Clocks::Off {
        return false;
    }
    let uuids: Vec<String> = state.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
    let free = |seen: &&Seen| is_telling(seen) && seen.lock_mhz.is_none();
    let free_mhz = uuids.iter().filter_map(|uuid| look.seen.get(uuid)).filter(free).filter_map(|seen| seen.clock_mhz).max();
    state.governed.free_mhz = state.governed.free_mhz.max(free_mhz);
    let reached_mhz = reached(state);
    let strange: Vec<Strange> = uuids.iter().filter_map(|uuid| strange(uuid, look.seen.get(uuid)?, reached_mhz)).collect();
    let Some(first) = strange.first() else {
        // Cards at rest tell nothing, and take nothing back.
        if uuids.iter().any(|uuid| look.seen.get(uuid).is_some_and(is_telling)) {
            state.governed.strange_looks = 0;
        }
        return false;
    };
    state.governed.strange_looks += 1;
    if state.governed.strange_looks < STRANGE_LOOKS {
        return true;
    }
    let set = first.lock_mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    log::warn!(
        "job {}: its GPUs run at {} MHz, and {set} was set: another hand is on the clocks; CARM lets them be",
        state.job,
        first.mhz
    );
    state.mark([Mark::OtherHand]);
    state.governed.hands_off = true;
    for uuid in &uuids {
        let done = match strange.iter().find(|card| card.uuid == uuid) {
            // To reset would be to undo another's lock.
            Some(card) if card.is_above() => clocks::forget_lock(look.store, uuid, state.job),
            Some(_) => Ok(()),
            // Of a card that is idle nobody knows whose lock it has: CARM's stays owed.
            None if !look.seen.get(uuid).is_some_and(is_telling) => Ok(()),
            // It runs as CARM set it, and nobody will speed it up any more when time runs out.
            None => clocks::wish(look.store, look.driver, uuid, (state.job, None), &config.node).map(|_| ()),
        };
        if let Err(error) = done {
            log::warn!("gpu {uuid}: {error:#}");
        }
    }
    false
}

/// Whether a card's clock tells who set it.
fn is_telling(seen: &Seen) -> bool {
    !seen.throttled && !seen.unsure && seen.utilization.is_some_and(|part| part >= 0.9)
}

/// The part of the highest clock that is listed which a card surely reaches without a lock: an RTX 8000 lists 2100 MHz and ran at 1710 (0.81), an
/// RTX 4090 3105 and ran at 2610 (0.84; etc/profiles).
const SURELY_REACHED: f64 = 0.8;

/// The clock that the job's cards reach without a lock, in MHz: as seen, or as measured.
fn reached(state: &JobState) -> Option<f64> {
    let used = &state.profile.as_ref()?.used;
    let full_mhz = f64::from(used.full.clock_mhz);
    let known = if used.measured { full_mhz } else { SURELY_REACHED * full_mhz };
    Some(state.governed.free_mhz.map_or(known, |mhz| known.max(f64::from(mhz))))
}

/// A busy card's clock, where it is not the one that was set.
fn strange<'a>(uuid: &'a str, seen: &Seen, reached_mhz: Option<f64>) -> Option<Strange<'a>> {
    if !is_telling(seen) {
        return None;
    }
    // By the lock, not by this job's wish: on a shared GPU the fastest of several holds.
    let mhz = seen.clock_mhz?;
    let above = seen.lock_mhz.is_some_and(|lock_mhz| mhz > lock_mhz + 2 * STEP_MHZ);
    let set_mhz = seen.lock_mhz.map_or(f64::INFINITY, f64::from).min(reached_mhz?);
    // Without a flag a card may still run a little below its lock; what is far below was locked so.
    let below = f64::from(mhz) < 0.85 * set_mhz;
    (above || below).then_some(Strange { uuid, mhz, lock_mhz: seen.lock_mhz })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mhz: u32, lock_mhz: Option<u32>) -> Seen {
        Seen { clock_mhz: Some(mhz), utilization: Some(1.0), lock_mhz, ..Seen::default() }
    }

    #[test]
    fn a_card_that_never_reaches_the_highest_clock_that_it_lists_has_no_hand_on_it() {
        let strange = |seen: Seen, reached_mhz: f64| strange("GPU-1", &seen, Some(reached_mhz)).is_some();
        // Lists 3105 MHz, runs at 2610.
        assert!(!strange(at(2610, None), SURELY_REACHED * 3105.0));
        assert!(!strange(at(2610, Some(3090)), SURELY_REACHED * 3105.0));
        assert!(!strange(at(2610, None), 2640.0));
        assert!(strange(at(2100, None), 2640.0), "locked at 2100 by another");
        assert!(strange(at(900, None), SURELY_REACHED * 3105.0));
        assert!(strange(at(900, Some(1500)), 2640.0) && strange(at(2000, Some(1500)), 2640.0));
        assert!(!strange(at(1400, Some(1500)), 2640.0));
    }

    #[test]
    fn what_the_driver_may_not_have_set_tells_nothing() {
        assert!(strange("GPU-1", &Seen { unsure: true, ..at(900, None) }, Some(2640.0)).is_none());
    }
}
