//! What the capacity-aware bound is worked out for: an episode reduced to blocks of time, the room at each site in each of them, and what
//! each job needs. Every reduction here loosens the bound or leaves it alone; none tightens it.
//!
//! - **Blocks** are the slots of all sites' signals together. Slots of the same grid intensities are one block of up to an hour, with their mean
//!   on-site power: carbon is convex in both powers, so the mean of a block never costs more than what happened in it.
//! - **A job** may be worked on from its submission until its deadline at any site, width and clock that it can use, in any mix, with pauses and moves for
//!   nothing, as if all were known beforehand. In a block that its submission or deadline cuts it has that part of the block.
//! - **The latest end** of a job is its deadline, or, without one, its user's patience and the slowest clock
//!   ([`bound::patient_until_h`]); later where first come, first served ends it later. So that schedule is always among those that are
//!   allowed, and there always is a bound.
//! - **A job that its time limit ends** under first come, first served counts with the work that it did there.
//! - **Services** run when they run under first come, first served, at the least power that answers in time: they take their GPUs and their
//!   power away from the rest.

use crate::bound;
use crate::engine;
use crate::policy;
use crate::world::{Place, World};

use super::way::{Kind, kinds};

/// Slots are put together up to this, h.
const LONGEST_BLOCK_H: f64 = 1.0;

/// Instants closer than this, h, are the same.
const SAME_H: f64 = 1e-9;

/// An episode, reduced.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Where blocks begin, h; and the end of the last.
    pub borders_h: Vec<f64>,
    /// By site.
    pub rooms: Vec<Room>,
    /// The ways of working that some of the jobs share.
    pub kinds: Vec<Kind>,
    /// The training jobs.
    pub needs: Vec<Need>,
}

/// A site, by blocks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Room {
    /// GPU-hours that services leave.
    pub gpu_h: Vec<f64>,
    /// The least grid intensity of the block, g/kWh.
    pub grid_g_per_kwh: Vec<f64>,
    /// That of on-site power, where there is some and it is less; else the grid's.
    pub onsite_g_per_kwh: Vec<f64>,
    /// On-site energy, kWh.
    pub onsite_kwh: Vec<f64>,
    /// What services draw, kWh.
    pub service_kwh: Vec<f64>,
}

/// What a training job needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Whose: an index into [`World::jobs`].
    pub job: usize,
    /// Its ways of working: an index into [`Instance::kinds`].
    pub kind: usize,
    /// It takes so many times the GPUs and the power of its kind's ways.
    pub units: f64,
    /// Work, hours at full clock.
    pub work_h: f64,
    /// From then on, h.
    pub from_h: f64,
    /// Until then, h.
    pub by_h: f64,
    /// The first block that it may use.
    pub first: usize,
    /// The block after its last.
    pub end: usize,
}

impl Instance {
    /// Of an episode.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let fcfs = policy::named(policy::FCFS).map(|fcfs| engine::run(world, fcfs.as_ref(), &|| {})).unwrap_or_default();
        let (kinds, kind_of) = kinds(world);
        let mut needs: Vec<Need> = Vec::new();
        for (record, kind) in fcfs.records.iter().zip(kind_of) {
            let job = &world.jobs[record.job];
            let Some((kind, units)) = kind.filter(|_| job.service.is_none()) else { continue };
            let place = &world.sites[record.site];
            let per_h = place.work_per_h(job.workload, place.full_clock(job.workload), job.gpus, job.gpus);
            needs.push(Need {
                job: record.job,
                kind,
                units,
                work_h: if record.killed { job.work_h.min(record.ran_h * per_h) } else { job.work_h },
                from_h: job.submit_h,
                by_h: job.deadline_h.unwrap_or_else(|| bound::patient_until_h(world, job)).max(record.end_h),
                first: 0,
                end: 0,
            });
        }
        let last_h =
            fcfs.records.iter().map(|record| record.end_h).chain(needs.iter().map(|need| need.by_h)).fold(SAME_H, f64::max);
        let borders_h = borders(&world.sites, last_h);
        for need in &mut needs {
            need.first = borders_h.partition_point(|&border| border <= need.from_h).saturating_sub(1);
            need.end =
                borders_h.partition_point(|&border| border < need.by_h - SAME_H).max(need.first + 1).min(borders_h.len() - 1);
        }
        let mut rooms: Vec<Room> = world.sites.iter().map(|place| Room::of(place, &borders_h)).collect();
        for record in &fcfs.records {
            let job = &world.jobs[record.job];
            if let Some(demand) = &job.service {
                let place = &world.sites[record.site];
                let power_kw = bound::service_w(place, job, demand) / 1000.0;
                rooms[record.site].serve(&borders_h, (record.start_h, record.end_h), f64::from(job.gpus), power_kw);
            }
        }
        Self { borders_h, rooms, kinds, needs }
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.borders_h.len() - 1
    }

    /// The hours of a block that a job may use.
    #[must_use]
    pub fn open_h(&self, need: &Need, block: usize) -> f64 {
        (self.borders_h[block + 1].min(need.by_h) - self.borders_h[block].max(need.from_h)).max(0.0)
    }
}

impl Room {
    fn of(place: &Place, borders_h: &[f64]) -> Self {
        let mut room = Self::default();
        for ends in borders_h.windows(2) {
            let (mut at_h, mut slot) = (ends[0], place.slot(ends[0]));
            let (mut least, mut onsite_kwh) = (f64::INFINITY, 0.0);
            while at_h < ends[1] {
                let to_h = place.slot_end(slot).min(ends[1]);
                least = least.min(place.g_per_kwh[slot]);
                onsite_kwh += place.onsite_w[slot] * (to_h - at_h) / 1000.0;
                (at_h, slot) = (to_h, slot + 1);
            }
            room.gpu_h.push(f64::from(place.site.gpus) * (ends[1] - ends[0]));
            room.grid_g_per_kwh.push(least);
            room.onsite_g_per_kwh.push(if onsite_kwh > 0.0 { place.truth.onsite_g_per_kwh.min(least) } else { least });
            room.onsite_kwh.push(onsite_kwh);
        }
        room.service_kwh = vec![0.0; room.gpu_h.len()];
        room
    }

    /// Between which prices a kilowatt-hour lies in each block, g: on-site and grid.
    pub(super) fn kwh_limits(&self) -> impl Iterator<Item = (f64, f64)> {
        self.onsite_g_per_kwh.iter().copied().zip(self.grid_g_per_kwh.iter().copied())
    }

    /// A service runs there.
    fn serve(&mut self, borders_h: &[f64], (from_h, to_h): (f64, f64), gpus: f64, power_kw: f64) {
        for (block, ends) in borders_h.windows(2).enumerate() {
            let hours = (ends[1].min(to_h) - ends[0].max(from_h)).max(0.0);
            self.gpu_h[block] = (self.gpu_h[block] - gpus * hours).max(0.0);
            self.service_kwh[block] += power_kw * hours;
        }
    }
}

/// Where blocks begin, and the end of the last.
fn borders(sites: &[Place], last_h: f64) -> Vec<f64> {
    let inside = |border: &f64| *border > SAME_H && *border < last_h - SAME_H;
    let mut all: Vec<f64> = sites.iter().flat_map(|place| place.borders_h.iter().copied().filter(inside)).collect();
    all.push(0.0);
    all.push(last_h);
    all.sort_unstable_by(f64::total_cmp);
    all.dedup_by(|b, a| *b - *a <= SAME_H);
    let mut kept: Vec<f64> = Vec::new();
    for ends in all.windows(2) {
        let same = |from_h: f64| {
            sites.iter().all(|place| {
                let at = |at_h: f64| place.g_per_kwh[place.slot(at_h + SAME_H)];
                at(from_h) == at(ends[0])
            })
        };
        if !kept.last().is_some_and(|&from_h| ends[1] - from_h <= LONGEST_BLOCK_H + SAME_H && same(from_h)) {
            kept.push(ends[0]);
        }
    }
    kept.push(last_h);
    kept
}
