//! Takes and gives back GPUs: the journal first, then the driver, under the GPU's lock.
//!
//! Several jobs may be on one GPU (shards, MPS): the fastest wish wins, and a job that wishes nothing wishes full clock.
//! Full clock is what the card had before CARM: the driver's own range, or the site's lock (`restore_mhz`), which is
//! neither exceeded nor forgotten. While somebody else is on a GPU ([`shared::foreign`]) it has full clock, whatever its jobs wish.

use std::path::Path;

use anyhow::{Result, bail};
use carm::config::{Clocks, Node};
use serde::{Deserialize, Serialize};

use crate::govern::alive;
use crate::gpu::{Driver, GpuError};
use crate::shared;
use crate::state::{GpuState, Holder, IdleCounter, LockedGpu, Store};

/// A range of clocks, in MHz.
pub type Range = (u32, u32);

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The clock range is locked up to this.
    Locked(u32),
    /// No lock of CARM's: full clock.
    Full,
    /// The clocks were left as they are; the text says why.
    Untouched(String),
}

/// A GPU that was taken.
#[derive(Debug)]
pub struct Held {
    pub applied: Applied,
    /// Another job is on it.
    pub shared: bool,
    /// What else is on it, and keeps it at full clock.
    pub foreign: Option<String>,
    /// Why its energy counter cannot be trusted to the job's end.
    pub unmetered: Option<GpuError>,
}

/// What a look at a GPU showed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seen {
    pub clock_mhz: Option<u32>,
    pub power_w: Option<f64>,
    /// 0..=1.
    pub utilization: Option<f64>,
    pub throttled: bool,
    /// The highest clock that CARM's lock allows, for all jobs on the GPU together; none without a lock.
    pub lock_mhz: Option<u32>,
    /// The driver failed when a clock was set last: what holds is not known.
    pub unsure: bool,
}

/// A job's part of a GPU that was given back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its joules, as far as they are known.
    pub energy_j: f64,
    /// Some of them are not.
    pub lost: bool,
    /// They are power samples summed up: the card has no counter.
    pub sampled: bool,
    /// Its part of the GPU, 0..=1, by energy.
    pub share: f64,
    pub shared: bool,
}

impl Part {
    /// All of a GPU's energy, where its journal does not tell.
    pub fn alone(energy_j: f64) -> Self {
        Self { energy_j, lost: false, sampled: false, share: 1.0, shared: false }
    }
}

/// Clocks of a card that a lock may use: its own, within the site's lock.
pub fn usable(clocks_mhz: Vec<u32>, restore_mhz: Option<Range>) -> Vec<u32> {
    let (lowest, highest) = restore_mhz.unwrap_or((0, u32::MAX));
    clocks_mhz.into_iter().filter(|mhz| (lowest..=highest).contains(mhz)).collect()
}

/// Puts a job on a GPU with its wished clock (none: full) and sets what the GPU's jobs together wish. A job that is `metered`
/// keeps the driver loaded to its end, locked or not: an energy counter lives no longer than the driver.
pub fn hold(
    store: &Store,
    driver: &dyn Driver,
    uuid: &str,
    (job, wish_mhz): (u32, Option<u32>),
    metered: bool,
    node: &Node,
) -> Result<Held> {
    let mut gpu = store.gpu(uuid)?;
    gpu.drop_gone(Some(job));
    if !share_out(&mut gpu.state, driver) {
        gpu.state.lose();
    }
    end_holders(&mut gpu, job);
    gpu.state.add(job, wish_mhz);
    store.write_idle_counter(uuid, None)?;
    let unmetered = if metered { keep_counter(&mut gpu, driver, node).err() } else { None };
    if unmetered.is_some() {
        gpu.state.holders.iter_mut().filter(|holder| holder.job == job).for_each(|holder| holder.lost = true);
    }
    let shared = gpu.state.present().count() > 1;
    let applied = apply(&mut gpu, driver, node)?;
    if matches!(applied, Applied::Untouched(_)) {
        // Nobody decides for such a job any more: what may be locked all the same is to be taken off.
        gpu.state.wish(job, None);
        gpu.save()?;
    }
    Ok(Held { applied, shared, foreign: gpu.state.foreign.clone(), unmetered })
}

/// Ends what other jobs hold, where each GPU of the node has one job: then those whose place is taken have lost their epilog. One that
/// still has a step is suspended, or Slurm's files say something else than what Slurm does.
fn end_holders(gpu: &mut LockedGpu, job: u32) {
    let is_exclusive = gpu.store().shared_gpus().is_some_and(|noted| noted.cause.is_none());
    if !is_exclusive || gpu.state.present().all(|holder| holder.job == job) {
        return;
    }
    let with_steps = alive::jobs_with_steps(Path::new("/proc"));
    let uuid = gpu.state.uuid.clone();
    // A measurement by hand has no step.
    let is_here = |id: u32| id == job || id == crate::profile::JOB || with_steps.contains(&id);
    for holder in gpu.state.holders.iter_mut().filter(|holder| !holder.is_over && !is_here(holder.job)) {
        log::warn!("gpu {uuid}: job {} is over without an epilog: job {job} has its GPU", holder.job);
        holder.is_over = true;
    }
}

/// Counts what a GPU used before its job was put on it, from an earlier reading of its counter on.
pub fn credit(store: &Store, uuid: &str, job: u32, since_j: Option<f64>) -> Result<()> {
    let mut gpu = store.gpu(uuid)?;
    let used_j = gpu.state.counter_j.zip(since_j).map_or(0.0, |(now_j, since_j)| (now_j - since_j).max(0.0));
    let is_alone = gpu.state.present().count() == 1;
    for holder in gpu.state.holders.iter_mut().filter(|holder| is_alone && holder.job == job) {
        holder.energy_j += used_j;
        holder.total_j += used_j;
    }
    gpu.save()
}

/// Notes the counter of a GPU that no job is on: so the energy of one whose prolog hangs in the driver is known all the same.
pub fn note_idle(store: &Store, uuid: &str, joules: f64) {
    let counter = IdleCounter { version: 0, at: chrono::Utc::now(), joules };
    if let Err(error) = store.write_idle_counter(uuid, Some(counter)) {
        log::debug!("gpu {uuid}: {error:#}");
    }
}

/// Takes a job off a GPU and puts the clocks back as the jobs that are left wish, or as they were. Gives the job's part;
/// none for a job that the journal does not know.
pub fn release(store: &Store, driver: Option<&dyn Driver>, uuid: &str, job: u32, node: &Node) -> Result<Option<Part>> {
    let mut gpu = store.gpu(uuid)?;
    gpu.drop_gone(Some(job));
    if !driver.is_some_and(|driver| share_out(&mut gpu.state, driver)) {
        gpu.state.lose();
    }
    let part = part_of(&gpu.state, job);
    gpu.state.holders.retain(|holder| holder.job != job);
    if let (Some(joules), None) = (gpu.state.counter_j, gpu.state.present().next()) {
        note_idle(store, uuid, joules);
    }
    match driver {
        Some(driver) => give_back(&mut gpu, driver, node)?,
        // Without a driver there is nothing to put back now; the journal keeps what is owed.
        None => gpu.save()?,
    }
    Ok(part)
}

/// Brings a GPU to what its living holders wish: after a prolog or epilog that did not come to its end.
pub fn settle(store: &Store, driver: &dyn Driver, uuid: &str, node: &Node) -> Result<()> {
    let mut gpu = store.gpu(uuid)?;
    share_out_and_drop_gone(&mut gpu, driver);
    give_back(&mut gpu, driver, node)
}

/// Looks at a GPU: shares out what it has used, and brings it to what those wish who are still there, where somebody has gone or the driver
/// failed at it before.
pub fn look(store: &Store, driver: &dyn Driver, uuid: &str, node: &Node) -> Result<Seen> {
    let mut gpu = store.gpu(uuid)?;
    if share_out_and_drop_gone(&mut gpu, driver) || gpu.state.holders.is_empty() || is_foreign_new(&mut gpu, driver, node) {
        give_back(&mut gpu, driver, node)?;
    } else if owes(&gpu.state, node) {
        apply(&mut gpu, driver, node)?;
    } else {
        gpu.save()?;
    }
    Ok(Seen {
        clock_mhz: driver.sm_clock_mhz(uuid).ok(),
        power_w: driver.power_w(uuid).ok(),
        utilization: driver.utilization(uuid).ok(),
        throttled: driver.throttled(uuid).unwrap_or(false),
        lock_mhz: gpu.state.locked_mhz.filter(|&range| range != GpuState::UNKNOWN).map(|(_, highest)| highest),
        unsure: owes(&gpu.state, node),
    })
}

/// A job's part of a GPU up to now: its last, so that what cannot be read now is lost.
pub fn read_part(store: &Store, driver: &dyn Driver, uuid: &str, job: u32) -> Result<Option<Part>> {
    let mut gpu = store.gpu(uuid)?;
    let is_read = share_out(&mut gpu.state, driver);
    gpu.save()?;
    let is_present = gpu.state.present().any(|holder| holder.job == job);
    Ok(part_of(&gpu.state, job).map(|part| Part { lost: part.lost || is_present && !is_read, ..part }))
}

/// A job's part of a GPU as its journal has it.
pub fn part_of(gpu: &GpuState, job: u32) -> Option<Part> {
    let holder = gpu.holders.iter().find(|holder| holder.job == job)?;
    Some(Part { sampled: gpu.sampled.is_some(), ..part(holder) })
}

/// Changes the wish of a job that is on a GPU.
pub fn wish(store: &Store, driver: &dyn Driver, uuid: &str, (job, wish_mhz): (u32, Option<u32>), node: &Node) -> Result<Applied> {
    let mut gpu = store.gpu(uuid)?;
    gpu.state.wish(job, wish_mhz);
    apply(&mut gpu, driver, node)
}

/// A lock of CARM's that is no longer in force because another hand has taken it off: nothing is owed any more, nor wished for the job.
pub fn forget_lock(store: &Store, uuid: &str, job: u32) -> Result<()> {
    let mut gpu = store.gpu(uuid)?;
    gpu.state.locked_mhz = None;
    gpu.state.wish(job, None);
    gpu.save()
}

/// Whether somebody else has come to a GPU that is to be slowed, or has gone.
fn is_foreign_new(gpu: &mut LockedGpu, driver: &dyn Driver, node: &Node) -> bool {
    let (uuid, before) = (gpu.state.uuid.clone(), gpu.state.foreign.take());
    watch(gpu, driver, node);
    match (&before, &gpu.state.foreign) {
        (None, Some(foreign)) => log::info!("gpu {uuid}: {foreign}, is on it: full clock while it is there"),
        (Some(_), None) => log::info!("gpu {uuid}: nobody else is on it any more"),
        _ => return false,
    }
    true
}

/// Looks who else is on a GPU that is to be slowed.
fn watch(gpu: &mut LockedGpu, driver: &dyn Driver, node: &Node) {
    gpu.state.foreign = None;
    if wished(&gpu.state, node).is_some() {
        gpu.state.foreign = shared::foreign(gpu.store(), &gpu.state, driver);
    }
    if gpu.state.foreign.is_some() {
        gpu.state.holders.iter_mut().filter(|holder| !holder.is_over).for_each(|holder| holder.shared = true);
    }
}

/// Whether the driver failed at what is wished: a lock of which nobody knows whether it was set, or one that was not taken off.
fn owes(gpu: &GpuState, node: &Node) -> bool {
    gpu.locked_mhz == Some(GpuState::UNKNOWN) || gpu.locked_mhz.is_some() && wished(gpu, node).is_none()
}

/// Shares out what a GPU has used, as far as it can be read now. Gives whether it can.
fn share_out(gpu: &mut GpuState, driver: &dyn Driver) -> bool {
    let counter_j = reading(gpu, driver);
    gpu.share_out(counter_j);
    counter_j.is_some()
}

/// The same, and drops the holders that are gone without an epilog. Gives whether any was.
fn share_out_and_drop_gone(gpu: &mut LockedGpu, driver: &dyn Driver) -> bool {
    let is_read = share_out(&mut gpu.state, driver);
    let before = gpu.state.holders.len();
    gpu.drop_gone(None);
    let is_any_gone = gpu.state.holders.len() < before;
    if is_any_gone && !is_read {
        gpu.state.lose();
    }
    is_any_gone
}

/// The energy counter; where the card has none, its power samples summed up.
fn reading(gpu: &mut GpuState, driver: &dyn Driver) -> Option<f64> {
    match driver.energy_j(&gpu.uuid) {
        Ok(joules) => Some(joules),
        Err(error) if error.refused => Some(gpu.sample(driver.power_w(&gpu.uuid).ok()?, chrono::Utc::now())),
        Err(_) => None,
    }
}

/// Gives up every job's hold on a GPU and puts its clocks back: at boot, or by an admin's hand. Gives whether a lock was owed.
pub fn reset(store: &Store, driver: &dyn Driver, uuid: &str, node: &Node) -> Result<bool> {
    let mut gpu = store.gpu(uuid)?;
    let owed = gpu.state.locked_mhz.is_some();
    gpu.state.holders.clear();
    match apply(&mut gpu, driver, node)? {
        Applied::Untouched(cause) => bail!("{cause}"),
        Applied::Full | Applied::Locked(_) => Ok(owed),
    }
}

fn part(holder: &Holder) -> Part {
    let share = if holder.total_j > 0.0 { holder.energy_j / holder.total_j } else { 1.0 };
    Part { energy_j: holder.energy_j, lost: holder.lost, sampled: false, share, shared: holder.shared }
}

/// Applies what is left to wish; what fails stays owed in the journal, for the next epilog, prolog or reset.
fn give_back(gpu: &mut LockedGpu, driver: &dyn Driver, node: &Node) -> Result<()> {
    if let Applied::Untouched(cause) = apply(gpu, driver, node)? {
        log::error!(
            "gpu {}: {cause}; its clocks stay as they are until the next prolog, epilog or carm-prolog reset",
            gpu.state.uuid
        );
    }
    Ok(())
}

/// The clock that a GPU's jobs together wish: the fastest of their wishes; none is full clock, as while somebody else is on it.
fn wished(gpu: &GpuState, node: &Node) -> Option<u32> {
    if node.clocks == Clocks::Off {
        return None;
    }
    let mut wishes = gpu.present().filter(|_| gpu.foreign.is_none()).map(|holder| holder.wish_mhz);
    wishes.try_fold(0, |fastest, wish| Some(fastest.max(wish?))).filter(|&mhz| mhz > 0)
}

/// Brings the GPU to what its holders wish.
fn apply(gpu: &mut LockedGpu, driver: &dyn Driver, node: &Node) -> Result<Applied> {
    watch(gpu, driver, node);
    let done = match wished(&gpu.state, node) {
        Some(mhz) => lock(gpu, driver, mhz, node).map(|()| Applied::Locked(mhz)),
        None => unlock(gpu, driver, node).map(|()| Applied::Full),
    };
    if gpu.state.holders.is_empty() && gpu.state.locked_mhz.is_none() {
        let_unload(&mut gpu.state, driver);
    }
    gpu.save()?;
    Ok(done.unwrap_or_else(|error| Applied::Untouched(format!("{error:#}"))))
}

fn lock(gpu: &mut LockedGpu, driver: &dyn Driver, mhz: u32, node: &Node) -> Result<()> {
    let uuid = gpu.state.uuid.clone();
    if driver.mig(&uuid)? {
        bail!("MIG is on, and its instances share the GPU's clocks");
    }
    stay_loaded(gpu, driver)?;
    let lowest_mhz = usable(driver.clocks_mhz(&uuid)?, node.restore_mhz).first().copied().unwrap_or(mhz).min(mhz);
    // Journalled before the driver is asked: whoever is killed in between leaves a reset owed, never a lock forgotten.
    let before = gpu.state.locked_mhz.replace((lowest_mhz, mhz));
    gpu.save()?;
    // A range from the lowest clock up keeps the card's idle states; equal bounds would hold it awake.
    let locked = driver.lock(&uuid, lowest_mhz, mhz);
    if let Err(error) = &locked {
        // Refused is surely not done; any other failure may have been, so a reset stays owed.
        gpu.state.locked_mhz = if error.refused { before } else { Some(GpuState::UNKNOWN) };
    }
    Ok(locked?)
}

fn unlock(gpu: &mut LockedGpu, driver: &dyn Driver, node: &Node) -> Result<()> {
    if gpu.state.locked_mhz.is_some() {
        match node.restore_mhz {
            Some((lowest, highest)) => driver.lock(&gpu.state.uuid, lowest, highest)?,
            None => driver.unlock(&gpu.state.uuid)?,
        }
        gpu.state.locked_mhz = None;
    }
    Ok(())
}

/// Keeps the driver loaded, and so the energy counter. With `clocks = "off"` only a governor may do that, as the driver's client.
fn keep_counter(gpu: &mut LockedGpu, driver: &dyn Driver, node: &Node) -> Result<(), GpuError> {
    if node.clocks == Clocks::On {
        return stay_loaded(gpu, driver);
    }
    if Store::is_governed(node) || driver.persistent(&gpu.state.uuid)? {
        return Ok(());
    }
    Err(GpuError {
        call: "reading energy".into(),
        cause: "persistence mode is off, and clocks = \"off\" leaves it so".into(),
        refused: true,
        busy: false,
    })
}

/// With persistence mode off the driver unloads with its last client and forgets every lock and its energy counter; so it is
/// switched on, and the journal remembers to switch it off.
fn stay_loaded(gpu: &mut LockedGpu, driver: &dyn Driver) -> Result<(), GpuError> {
    let uuid = gpu.state.uuid.clone();
    if driver.persistent(&uuid)? {
        return Ok(());
    }
    gpu.state.persistence_switched = true;
    let cause = |error: anyhow::Error| GpuError {
        call: "journalling persistence mode".into(),
        cause: format!("{error:#}"),
        refused: true,
        busy: false,
    };
    gpu.save().map_err(cause)?;
    driver.set_persistent(&uuid, true).inspect_err(|_| gpu.state.persistence_switched = false)
}

fn let_unload(gpu: &mut GpuState, driver: &dyn Driver) {
    if gpu.persistence_switched {
        match driver.set_persistent(&gpu.uuid, false) {
            Ok(()) => gpu.persistence_switched = false,
            Err(error) => log::warn!("gpu {}: {error}; persistence mode stays on", gpu.uuid),
        }
    }
}

#[cfg(test)]
mod tests {
    use carm::config::Config;

    use super::*;

    #[test]
    fn the_fastest_wish_wins_and_no_wish_is_full_clock() {
        let holders = |wishes: &[Option<u32>]| {
            let mut gpu = GpuState::default();
            wishes.iter().zip(1..).for_each(|(&wish, job)| gpu.add(job, wish));
            gpu
        };
        assert_eq!(wished(&holders(&[]), &Config::embedded(0).node), None);
        assert_eq!(wished(&holders(&[Some(900), Some(1500)]), &Config::embedded(0).node), Some(1500));
        assert_eq!(wished(&holders(&[Some(900), None]), &Config::embedded(0).node), None);
    }

    #[test]
    fn foreign_process_means_full_clock() {
        let mut gpu = GpuState::default();
        gpu.add(7, Some(900));
        gpu.foreign = Some("process 1 (python) of job 9".into());
        assert_eq!(wished(&gpu, &Config::embedded(0).node), None);
    }

    #[test]
    fn the_sites_own_lock_bounds_every_clock() {
        assert_eq!(usable(vec![210, 900, 1500, 2100], None), [210, 900, 1500, 2100]);
        assert_eq!(usable(vec![210, 900, 1500, 2100], Some((300, 1600))), [900, 1500]);
    }
}
