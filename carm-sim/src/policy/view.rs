//! What a policy sees: the present, what is known of the future, and how busy the sites are.

use std::rc::Rc;

use ::carm::config::Site;
use ::carm::plan::{Level, Slot, Start};
use ::carm::site::{Ask, Offer, Outlook, offer};

use super::Asked;
use crate::engine::Crowd;
use crate::foresight::{Foresight, Series};
use crate::scenario::Governor;
use crate::world::World;

/// The present, as a policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Now, h after the episode's begin.
    pub now_h: f64,
    world: &'a World,
    foresight: &'a Foresight<'a>,
    crowds: &'a [Crowd],
    /// The mean said run time of the jobs submitted so far, short (under 2 h) and long, h.
    pub mean_work_h: (f64, f64),
}

impl<'a> View<'a> {
    /// For the engine.
    #[must_use]
    pub fn new(now_h: f64, world: &'a World, foresight: &'a Foresight<'a>, crowds: &'a [Crowd], mean_work_h: (f64, f64)) -> Self {
        Self { now_h, world, foresight, crowds, mean_work_h }
    }

    /// How many sites there are.
    #[must_use]
    pub fn sites(&self) -> usize {
        self.world.sites.len()
    }

    /// A site as CARM's configuration has it.
    #[must_use]
    pub fn site(&self, site: usize) -> &'a Site {
        &self.world.sites[site].site
    }

    /// The partition's MaxTime, h.
    #[must_use]
    pub fn max_time_h(&self, site: usize) -> Option<f64> {
        self.world.sites[site].max_time_h
    }

    /// CARM's planner, as configured.
    #[must_use]
    pub fn planner(&self) -> &'a ::carm::config::Planner {
        &self.world.planner
    }

    /// CARM's governor, as configured.
    #[must_use]
    pub fn governor(&self) -> Governor {
        self.world.governor
    }

    /// The end of what is planned, h.
    #[must_use]
    pub fn horizon_h(&self) -> f64 {
        self.now_h + self.world.planner.horizon_s / 3600.0
    }

    /// Hours since Monday, 0:00, on the clocks there.
    #[must_use]
    pub fn hour_of_week(&self, site: usize, at_h: f64) -> f64 {
        let start = self.world.start.timestamp_millis() as f64 / 3.6e6;
        // 1970 began on a Thursday.
        (start + at_h + self.world.sites[site].utc_offset_h + 72.0).rem_euclid(168.0)
    }

    /// The levels of a job there.
    #[must_use]
    pub fn levels(&self, site: usize, asked: &Asked) -> &'a [Level] {
        &self.world.sites[site].levels[asked.workload()]
    }

    /// The fastest level there.
    #[must_use]
    pub fn full_clock(&self, site: usize, asked: &Asked) -> usize {
        self.world.sites[site].full_clock(asked.workload())
    }

    /// Whether the profile was measured on the card there.
    #[must_use]
    pub fn measured(&self, site: usize, asked: &Asked) -> bool {
        self.world.sites[site].measured(asked.workload())
    }

    /// How long the job would run there at full clock as wide as asked, by its user's word, h.
    #[must_use]
    pub fn said_run_h(&self, site: usize, asked: &Asked) -> f64 {
        asked.said_work_h()
            / self.world.sites[site].work_per_h(asked.workload(), self.full_clock(site, asked), asked.gpus(), asked.gpus())
    }

    /// Throughput of a width over that of the requested GPUs; none where the profile does not tell.
    #[must_use]
    pub fn width_throughput(&self, site: usize, asked: &Asked, workers: u32) -> Option<f64> {
        self.world.sites[site].profiles[asked.workload()].relative_throughput(workers, asked.gpus())
    }

    /// Facility power of a job, W.
    #[must_use]
    pub fn power_w(&self, site: usize, asked: &Asked, level: usize, workers: u32) -> f64 {
        self.world.sites[site].power_w(asked.workload(), level, workers)
    }

    /// The end of the present slot there, h.
    #[must_use]
    pub fn next_border_h(&self, site: usize) -> f64 {
        let place = &self.world.sites[site];
        place.slot_end(place.slot(self.now_h))
    }

    /// The grid's renewable share of now, 0 to 1, where it is known.
    #[must_use]
    pub fn renewable_share(&self, site: usize) -> Option<f64> {
        let place = &self.world.sites[site];
        place.renewable_share.get(place.slot(self.now_h)).copied()
    }

    /// On-site power of now, W.
    #[must_use]
    pub fn onsite_now_w(&self, site: usize) -> f64 {
        let place = &self.world.sites[site];
        place.onsite_w[place.slot(self.now_h)]
    }

    /// What is known of grid and roof, by hours.
    #[must_use]
    pub fn series(&self, site: usize) -> Rc<Series> {
        self.foresight.series(site, self.now_h)
    }

    /// The same, as CARM has it.
    #[must_use]
    pub fn outlook(&self, site: usize) -> Rc<Outlook> {
        self.foresight.outlook(site, self.now_h)
    }

    /// The planner's slots at the lower and the upper edge of the forecast's band, for some hours; none where it carries none.
    #[must_use]
    pub fn band(&self, site: usize, length_h: f64, share: f64) -> Option<(Vec<Slot>, Vec<Slot>)> {
        let now = self.world.instant(self.now_h);
        self.outlook(site).band(now, Offer::instant(now, length_h), share)
    }

    /// What a site offers a job from now on for some hours ([`carm::site::offer`]); none where its profile does not know the width.
    #[must_use]
    pub fn offer(&self, site: usize, asked: &Asked, workers: u32, (work_h, start): (f64, Start), length_h: f64) -> Option<Offer> {
        let place = &self.world.sites[site];
        let ask = Ask { now: self.world.instant(self.now_h), gpus: asked.gpus(), work_h, start, max_run_h: None };
        let planner = ::carm::config::Planner { horizon_s: length_h * 3600.0, ..self.world.planner.clone() };
        offer((site, &place.site), &self.outlook(site), &place.profiles[asked.workload()], &planner, &ask, workers).ok()
    }

    /// When Slurm would have room for a job, were it submitted now (`sbatch --test-only`), h.
    #[must_use]
    pub fn room_h(&self, site: usize, gpus: u32, limit_h: f64) -> f64 {
        self.crowds[site].room_h(self.now_h, gpus, limit_h)
    }

    /// Whether GPUs are taken or waited for so that so many more are too many.
    #[must_use]
    pub fn is_full(&self, site: usize, gpus: u32) -> bool {
        self.crowds[site].ahead_gpus() + u64::from(gpus) > u64::from(self.world.sites[site].site.gpus)
    }

    /// The hours that deferred jobs have booked there, h after now.
    #[must_use]
    pub fn booked(&self, site: usize, gpus: u32, until_h: f64) -> Vec<(f64, f64)> {
        self.crowds[site].booked(self.now_h, gpus, until_h)
    }

    /// The work of running and waiting jobs within the coming hours (`squeue`), GPU-h.
    #[must_use]
    pub fn queue_gpu_h(&self, site: usize, window_h: f64) -> f64 {
        self.crowds[site].gpu_h(self.now_h, window_h)
    }
}
