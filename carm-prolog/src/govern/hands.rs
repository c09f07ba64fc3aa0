//! Whether another hand is on a job's clocks. NVML cannot be asked for a lock: it is inferred from the clock under load.

use carm::ledger::Mark;

use super::Look;
use super::clock::STEP_MHZ;
use crate::clocks::{self, Seen};
use crate::state::JobState;

/// So many looks in a row must show another clock than the one that was set.
const STRANGE_LOOKS: u32 = 2;

/// Compares the clock under load with the one that was set.
pub(super) fn watch(look: &Look, state: &mut JobState, seen: &[Seen]) {
    if state.governed.hands_off {
        return;
    }
    let mut busy = seen.iter().filter(|seen| seen.utilization.is_some_and(|part| part >= 0.9) && !seen.throttled);
    let top_mhz = state.profile.as_ref().map(|profile| profile.used.full.clock_mhz);
    let strange = busy.find_map(|seen| {
        // By the lock, not by this job's wish: on a shared GPU the fastest of several holds.
        let (mhz, set_mhz) = (seen.clock_mhz?, seen.lock_mhz.or(top_mhz)?);
        let above = seen.lock_mhz.is_some() && mhz > set_mhz + 2 * STEP_MHZ;
        // Without a flag a card may still run a little below its lock; what is far below was locked so.
        let below = f64::from(mhz) < 0.85 * f64::from(set_mhz);
        (above || below).then_some((mhz, seen.lock_mhz))
    });
    let Some((mhz, lock_mhz)) = strange else {
        state.governed.strange_looks = 0;
        return;
    };
    state.governed.strange_looks += 1;
    if state.governed.strange_looks < STRANGE_LOOKS {
        return;
    }
    let set = lock_mhz.map_or("full clock".to_owned(), |mhz| format!("{mhz} MHz"));
    log::warn!(
        "job {}: its GPUs run at {mhz} MHz, and {set} was set: another hand is on the clocks; CARM lets them be",
        state.job
    );
    state.mark([Mark::OtherHand]);
    state.governed.hands_off = true;
    if lock_mhz.is_some_and(|set| mhz > set) {
        // CARM's lock is no longer in force: to reset would be to undo another's.
        for gpu in &state.gpus {
            if let Err(error) = clocks::forget_lock(look.store, &gpu.uuid) {
                log::warn!("gpu {}: {error:#}", gpu.uuid);
            }
        }
    }
}
