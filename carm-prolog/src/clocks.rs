//! Takes and gives back GPUs: the journal first, then the driver, under the GPU's lock.
//!
//! Several jobs may be on one GPU (shards, MPS): the fastest wish wins, and a job that wishes nothing wishes full clock.

use anyhow::Result;
use carm::ledger::Mark;

use crate::gpu::{Driver, GpuError};
use crate::state::{Holder, LockedGpu, Store};

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The clock range is locked up to this.
    Locked(u32),
    /// No lock: full clock.
    Full,
    /// The clocks were left alone.
    Untouched,
}

/// Puts a job on a GPU with its wished clock (none: full) and sets what the GPU's jobs together wish. Gives what was done
/// and whether the GPU is shared.
pub fn hold(store: &Store, driver: &dyn Driver, uuid: &str, job: u32, wish_mhz: Option<u32>) -> Result<(Applied, bool)> {
    let mut gpu = store.gpu(uuid)?;
    gpu.state.holders.retain(|holder| holder.job != job);
    gpu.state.holders.push(Holder { job, wish_mhz, peak: 1 });
    let count = u32::try_from(gpu.state.holders.len()).unwrap_or(u32::MAX);
    for holder in &mut gpu.state.holders {
        holder.peak = holder.peak.max(count);
    }
    let applied = apply(&mut gpu, driver, None)?;
    Ok((applied, count > 1))
}

/// Takes a job off a GPU and puts the clocks back as the jobs that are left wish, or as they were. Gives the most jobs that
/// were on the GPU while this one was; 1 for a job that the journal does not know.
pub fn release(store: &Store, driver: Option<&dyn Driver>, uuid: &str, job: u32, restore_mhz: Option<(u32, u32)>) -> Result<u32> {
    let mut gpu = store.gpu(uuid)?;
    let peak = gpu.state.holders.iter().find(|holder| holder.job == job).map_or(1, |holder| holder.peak);
    gpu.state.holders.retain(|holder| holder.job != job);
    match driver {
        Some(driver) => _ = apply(&mut gpu, driver, restore_mhz)?,
        // Without a driver there is nothing to put back now; the journal keeps what is owed.
        None => gpu.save()?,
    }
    Ok(peak)
}

/// Gives up every job's hold on a GPU and puts its clocks back: at boot, or by an admin's hand.
pub fn reset(store: &Store, driver: &dyn Driver, uuid: &str, restore_mhz: Option<(u32, u32)>) -> Result<bool> {
    let mut gpu = store.gpu(uuid)?;
    let owed = gpu.state.locked_mhz.is_some();
    gpu.state.holders.clear();
    apply(&mut gpu, driver, restore_mhz)?;
    Ok(owed)
}

/// The clock that a GPU's jobs together wish: the fastest of their wishes; none is full clock.
fn wished(holders: &[Holder]) -> Option<u32> {
    holders.iter().map(|holder| holder.wish_mhz).try_fold(0, |fastest, wish| Some(fastest.max(wish?))).filter(|&mhz| mhz > 0)
}

/// Brings the GPU to what its holders wish.
fn apply(gpu: &mut LockedGpu, driver: &dyn Driver, restore_mhz: Option<(u32, u32)>) -> Result<Applied> {
    let uuid = gpu.state.uuid.clone();
    match wished(&gpu.state.holders) {
        Some(mhz) => {
            if let Err(error) = ready(gpu, driver) {
                log::warn!("gpu {uuid}: {error:#}; the job runs at default clocks");
                gpu.save()?;
                return Ok(Applied::Untouched);
            }
            let lowest_mhz = match driver.clocks_mhz(&uuid) {
                Ok(clocks) => clocks.first().copied().unwrap_or(mhz).min(mhz),
                Err(error) => {
                    log::warn!("gpu {uuid}: {error}; the job runs at default clocks");
                    gpu.save()?;
                    return Ok(Applied::Untouched);
                }
            };
            let before = gpu.state.locked_mhz.replace((lowest_mhz, mhz));
            gpu.save()?;
            // A range from the lowest clock up keeps the card's idle states; equal bounds would hold it awake.
            match driver.lock(&uuid, lowest_mhz, mhz) {
                Ok(()) => Ok(Applied::Locked(mhz)),
                Err(error) => {
                    log::warn!("gpu {uuid}: {error}; the job runs at default clocks");
                    gpu.state.locked_mhz = before;
                    undo_persistence(gpu, driver);
                    gpu.save()?;
                    Ok(Applied::Untouched)
                }
            }
        }
        None => {
            if gpu.state.locked_mhz.is_some() {
                match restore(driver, &uuid, restore_mhz) {
                    Ok(()) => gpu.state.locked_mhz = None,
                    // The journal keeps what is owed: the next epilog, prolog or reset tries again.
                    Err(error) => log::error!("gpu {uuid}: {error}; its clocks stay locked until carm-prolog reset"),
                }
            }
            if gpu.state.locked_mhz.is_none() {
                undo_persistence(gpu, driver);
            }
            gpu.save()?;
            Ok(if gpu.state.locked_mhz.is_none() { Applied::Full } else { Applied::Untouched })
        }
    }
}

/// Whether a lock may be set and would last. With persistence mode off the driver unloads with its last client and forgets
/// every lock; so it is switched on, and the journal remembers to switch it off.
fn ready(gpu: &mut LockedGpu, driver: &dyn Driver) -> Result<()> {
    let uuid = gpu.state.uuid.clone();
    if driver.mig(&uuid)? {
        let cause = "MIG is on, and its instances share the GPU's clocks".to_owned();
        return Err(GpuError { call: "locking clocks".to_owned(), cause, refused: true }.into());
    }
    if !driver.persistent(&uuid)? {
        // Journalled before the driver is asked, like the lock itself.
        gpu.state.persistence_switched = true;
        gpu.save()?;
        driver.set_persistent(&uuid, true).inspect_err(|_| gpu.state.persistence_switched = false)?;
    }
    Ok(())
}

fn undo_persistence(gpu: &mut LockedGpu, driver: &dyn Driver) {
    if gpu.state.persistence_switched {
        match driver.set_persistent(&gpu.state.uuid, false) {
            Ok(()) => gpu.state.persistence_switched = false,
            Err(error) => log::warn!("gpu {}: {error}; persistence mode stays on", gpu.state.uuid),
        }
    }
}

fn restore(driver: &dyn Driver, uuid: &str, restore_mhz: Option<(u32, u32)>) -> Result<(), GpuError> {
    match restore_mhz {
        Some((lowest, highest)) => driver.lock(uuid, lowest, highest),
        None => driver.unlock(uuid),
    }
}

/// The mark that goes with what was done.
pub fn mark(applied: Applied, wish_mhz: Option<u32>) -> Option<Mark> {
    (applied == Applied::Untouched && wish_mhz.is_some()).then_some(Mark::ClocksUntouched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_wish_wins_and_no_wish_is_full_clock() {
        let holder = |wish_mhz| Holder { job: 1, wish_mhz, peak: 1 };
        assert_eq!(wished(&[]), None);
        assert_eq!(wished(&[holder(Some(900)), holder(Some(1500))]), Some(1500));
        assert_eq!(wished(&[holder(Some(900)), holder(None)]), None);
    }
}
