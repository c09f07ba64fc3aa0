//! The cluster, event by event: jobs arrive, wait for their time and for room, start, change their clock, pause, end, or are ended.
//!
//! Each site schedules in order of submission, with backfill on time limits: EASY, or as Slurm plans it. Between two events nothing
//! changes but the grid, so energy, carbon and work are integrated over the site's slots from event to event (`meter`).

mod crowd;
mod event;
mod live;
mod meter;
mod schedule;

pub use crowd::Crowd;

use crate::account::{PolicyRun, SlotSum};
use crate::foresight::Foresight;
use crate::policy::{Action, Asked, Decision, Next, Policy, View};
use crate::world::World;
use crowd::{Occupant, Waiting};
use event::{Calendar, What};
use live::{Live, Phase};

/// Instants closer than this, h, are the same.
const SAME_H: f64 = 1e-9;

/// Jobs that end so much after their deadline, h (some milliseconds), have met it: sums of many steps round.
const ON_TIME_H: f64 = 1e-6;

/// Runs one policy over one episode. `tick` is called once a job that has ended.
#[must_use]
pub fn run(world: &World, policy: &dyn Policy, tick: &dyn Fn()) -> PolicyRun {
    let mut engine = Engine::new(world, policy, tick);
    while let Some(now_h) = engine.calendar.next_instant() {
        engine.now_h = now_h;
        while let Some((job, what)) = engine.calendar.at(now_h) {
            engine.happens(job, what);
        }
        engine.schedule_all();
    }
    engine.finish()
}

struct Engine<'w> {
    world: &'w World,
    policy: &'w dyn Policy,
    tick: &'w dyn Fn(),
    foresight: Foresight<'w>,
    now_h: f64,
    calendar: Calendar,
    live: Vec<Live>,
    crowds: Vec<Crowd>,
    slots: Vec<Vec<SlotSum>>,
    /// Sites where somebody came or went.
    stirred: Vec<bool>,
    /// Sums and counts of said run times: short jobs, long jobs.
    said: [(f64, f64); 2],
}

impl<'w> Engine<'w> {
    fn new(world: &'w World, policy: &'w dyn Policy, tick: &'w dyn Fn()) -> Self {
        let mut calendar = Calendar::default();
        world.jobs.iter().enumerate().for_each(|(job, at)| calendar.add(at.submit_h, job, What::Arrives));
        Self {
            world,
            policy,
            tick,
            foresight: Foresight::of(world),
            now_h: 0.0,
            calendar,
            live: world.jobs.iter().enumerate().map(|(job, of)| Live::new(job, of)).collect(),
            crowds: world.sites.iter().map(|place| Crowd::new(place.site.gpus)).collect(),
            slots: world.sites.iter().map(|place| vec![SlotSum::default(); place.borders_h.len()]).collect(),
            stirred: vec![false; world.sites.len()],
            said: [(0.0, 0.0); 2],
        }
    }

    fn view(&self) -> View<'_> {
        let mean = |(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { 1.0 };
        let means = (mean(self.said[0]), mean(self.said[1]));
        View::new(self.now_h, self.world, &self.foresight, &self.crowds, means)
    }

    fn happens(&mut self, job: usize, what: What) {
        match what {
            What::Arrives => self.arrive(job),
            What::Eligible if self.live[job].phase == Phase::Deferred => self.queue(job),
            What::Ends(version) if self.live[job].version == version => self.end(job, false),
            What::Killed(version) if self.live[job].version == version => self.end(job, true),
            What::Looks(version) if self.live[job].version == version => self.look(job),
            _ => {}
        }
    }

    fn arrive(&mut self, job: usize) {
        let asked = Asked::of(&self.world.jobs[job]);
        let class = &mut self.said[usize::from(asked.said_work_h() >= crate::policy::SHORT_H)];
        *class = (class.0 + asked.said_work_h(), class.1 + 1.0);
        let Decision { site, workers, begin_h, limit_h, pieces, paused } = self.policy.submit(&asked, &self.view());
        let live = &mut self.live[job];
        (live.site, live.workers, live.limit_h, live.pieces) = (site, workers, limit_h, pieces);
        (live.record.site, live.record.limit_h) = (site, limit_h);
        let begin_h = begin_h.max(self.now_h);
        live.record.eligible_h = begin_h;
        if paused {
            live.phase = Phase::Paused;
            live.version += 1;
            self.calendar.add(begin_h, job, What::Looks(live.version));
        } else if begin_h > self.now_h + SAME_H {
            live.phase = Phase::Deferred;
            self.crowds[site].deferred.insert(job, (begin_h, Waiting { workers, limit_h }));
            self.calendar.add(begin_h, job, What::Eligible);
        } else {
            self.queue(job);
        }
    }

    /// It waits for room from now on.
    fn queue(&mut self, job: usize) {
        let live = &mut self.live[job];
        live.phase = Phase::Waiting;
        live.version += 1;
        let (site, workers, limit_h) = (live.site, live.workers, live.limit_h - live.record.ran_h);
        let crowd = &mut self.crowds[site];
        crowd.deferred.remove(&job);
        crowd.queue.insert((self.world.jobs[job].service.is_none(), job), Waiting { workers, limit_h });
        self.stirred[site] = true;
    }

    /// It has got its GPUs.
    fn start(&mut self, job: usize) {
        let live = &mut self.live[job];
        if live.record.start_h.is_nan() {
            live.record.start_h = self.now_h;
        }
        live.phase = Phase::Running;
        live.metered_h = self.now_h;
        live.slot = self.world.sites[live.site].slot(self.now_h);
        live.level = None;
        live.limit_end_h = self.now_h + live.limit_h - live.record.ran_h;
        self.look(job);
    }

    /// The policy looks at it.
    fn look(&mut self, job: usize) {
        self.meter(job);
        let live = &self.live[job];
        let at = live.at_work(Asked::of(&self.world.jobs[job]));
        let Next { action, look_h } = self.policy.look(&at, &self.view());
        let look_h = if look_h <= self.now_h + SAME_H { f64::INFINITY } else { look_h };
        let running = live.phase == Phase::Running;
        match action {
            Action::Run { level, workers } if running && workers == live.workers => self.set_level(job, level, look_h),
            Action::Run { workers, .. } => {
                if running {
                    self.leave(job);
                    self.live[job].record.pauses += 1;
                }
                self.live[job].workers = workers;
                self.queue(job);
            }
            Action::Pause => {
                if running {
                    self.leave(job);
                    self.live[job].record.pauses += 1;
                }
                let live = &mut self.live[job];
                live.phase = Phase::Paused;
                live.version += 1;
                // A pause without an end is no decision: it looks again with the next slot.
                let look_h = if look_h.is_finite() { look_h } else { self.now_h + 1.0 };
                self.calendar.add(look_h, job, What::Looks(live.version));
            }
        }
    }

    fn set_level(&mut self, job: usize, level: usize, look_h: f64) {
        let live = &mut self.live[job];
        if live.level != Some(level) {
            live.record.clock_changes += u32::from(live.level.is_some());
            (live.level, live.level_since_h) = (Some(level), self.now_h);
        }
        live.version += 1;
        let place = &self.world.sites[live.site];
        let per_h = place.work_per_h(live.workload, level, live.workers, live.gpus);
        let ends_h = match self.world.jobs[job].service {
            Some(_) => live.limit_end_h,
            None => self.now_h + (live.work_left_h / per_h).max(0.0),
        };
        if ends_h <= live.limit_end_h + SAME_H {
            self.calendar.add(ends_h, job, What::Ends(live.version));
        } else {
            self.calendar.add(live.limit_end_h, job, What::Killed(live.version));
        }
        if look_h < ends_h.min(live.limit_end_h) - SAME_H {
            self.calendar.add(look_h, job, What::Looks(live.version));
        }
    }

    /// It gives its GPUs back.
    fn leave(&mut self, job: usize) {
        let (site, workers) = (self.live[job].site, self.live[job].workers);
        self.meter_all(site);
        let crowd = &mut self.crowds[site];
        crowd.running.retain(|one| one.job != job);
        crowd.busy -= workers;
        self.live[job].level = None;
        self.stirred[site] = true;
    }

    fn end(&mut self, job: usize, killed: bool) {
        self.meter(job);
        self.leave(job);
        let deadline_h = self.world.jobs[job].deadline_h;
        let live = &mut self.live[job];
        live.phase = Phase::Done;
        live.version += 1;
        live.record.end_h = self.now_h;
        live.record.workers = live.workers;
        live.record.killed = killed;
        live.record.late = deadline_h.is_some_and(|deadline_h| killed || self.now_h > deadline_h + ON_TIME_H);
        (self.tick)();
    }

    fn enter(&mut self, job: usize) {
        let live = &self.live[job];
        let (site, workers) = (live.site, live.workers);
        let limit_end_h = self.now_h + live.limit_h - live.record.ran_h;
        self.meter_all(site);
        let crowd = &mut self.crowds[site];
        crowd.busy += workers;
        crowd.running.push(Occupant { job, workers, limit_end_h });
    }

    fn finish(self) -> PolicyRun {
        PolicyRun {
            policy: self.policy.name().to_owned(),
            records: self.live.into_iter().map(|live| live.record).collect(),
            slots: self.slots,
        }
    }
}
