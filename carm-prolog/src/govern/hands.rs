//! Whether another hand is on a job's clocks. NVML cannot be asked for a lock: it is inferred from the clock under load.

use carm::config::Config;
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
    if state.governed.hands_off {
        return false;
    }
    let top_mhz = state.profile.as_ref().map(|profile| profile.used.full.clock_mhz);
    let uuids: Vec<String> = state.gpus.iter().map(|gpu| gpu.uuid.clone()).collect();
    let strange: Vec<Strange> = uuids.iter().filter_map(|uuid| strange(uuid, look.seen.get(uuid)?, top_mhz)).collect();
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
            Some(card) if card.is_above() => clocks::forget_lock(look.store, uuid),
            Some(_) => Ok(()),
            // Of a card that is idle nobody knows whose lock it has: CARM's stays owed.
            None if !look.seen.get(uuid).is_some_and(is_telling) => Ok(()),
            // It runs as CARM set it, and nobody will speed it up any more when time runs out.
            None => clocks::wish(look.store, look.driver, uuid, (state.job, None), config.node.restore_mhz).map(|_| ()),
        };
        if let Err(error) = done {
            log::warn!("gpu {uuid}: {error:#}");
        }
    }
    false
}

/// Whether a card's clock tells who set it.
fn is_telling(seen: &Seen) -> bool {
    !seen.throttled && seen.utilization.is_some_and(|part| part >= 0.9)
}

/// A busy card's clock, where it is not the one that was set.
fn strange<'a>(uuid: &'a str, seen: &Seen, top_mhz: Option<u32>) -> Option<Strange<'a>> {
    if !is_telling(seen) {
        return None;
    }
    // By the lock, not by this job's wish: on a shared GPU the fastest of several holds.
    let (mhz, set_mhz) = (seen.clock_mhz?, seen.lock_mhz.or(top_mhz)?);
    let above = seen.lock_mhz.is_some() && mhz > set_mhz + 2 * STEP_MHZ;
    // Without a flag a card may still run a little below its lock; what is far below was locked so.
    let below = f64::from(mhz) < 0.85 * f64::from(set_mhz);
    (above || below).then_some(Strange { uuid, mhz, lock_mhz: seen.lock_mhz })
}
