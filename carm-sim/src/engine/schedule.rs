//! Who starts: in order, and past a job that must wait those that do not make it wait longer (EASY backfill; Lifka, "The ANL/IBM SP
//! scheduling system", JSSPP 1995), or those that Slurm's own backfill lets pass.

use super::Engine;
use super::crowd::{Crowd, DEPTH, Timeline};
use crate::scenario::Backfill;

impl Engine<'_> {
    /// Starts whoever can at all sites where somebody came or went.
    pub(super) fn schedule_all(&mut self) {
        while let Some(site) = self.stirred.iter().position(|&stirred| stirred) {
            self.stirred[site] = false;
            let (crowd, per_node) = (&self.crowds[site], self.world.sites[site].gpus_per_node);
            let starters = match self.world.backfill {
                Backfill::Easy => easy(crowd, self.now_h),
                Backfill::Slurm => slurm(crowd, per_node, self.now_h),
            };
            for job in starters {
                let key = (self.world.jobs[job].service.is_none(), job);
                self.crowds[site].queue.remove(&key);
                self.enter(job);
                self.start(job);
            }
        }
    }
}

/// The jobs that start now, in order, as Slurm's `sched/backfill` plans where nothing is set otherwise: everybody who waits is given a time, one after
/// the other, and nobody is held up by somebody behind. What is kept for a job that waits are whole nodes, for as long as its limit: Slurm's
/// map of the future knows nodes alone, and GPUs that the job would leave over are nobody's.
fn slurm(crowd: &Crowd, per_node: u32, now_h: f64) -> Vec<usize> {
    let (mut free, mut started) = (crowd.free(), Vec::new());
    let mut plan = Timeline::of(crowd, now_h);
    for (&(_, job), waiting) in crowd.queue.iter().take(DEPTH) {
        if free == 0 {
            break;
        }
        let at_h = plan.earliest(waiting.workers, waiting.limit_h);
        if at_h <= now_h {
            plan.reserve(now_h, waiting.limit_h, waiting.workers);
            free -= waiting.workers;
            started.push(job);
        } else {
            plan.reserve(at_h, waiting.limit_h, waiting.workers.div_ceil(per_node) * per_node);
        }
    }
    started
}

/// The jobs that start now, in order, by EASY.
fn easy(crowd: &Crowd, now_h: f64) -> Vec<usize> {
    let (mut free, mut started) = (crowd.free(), Vec::new());
    // Their limits end when they are over, if they start now.
    let mut ends: Vec<(f64, u32)> = Vec::new();
    let mut blocked: Option<(f64, u32)> = None;
    for (&(_, job), waiting) in crowd.queue.iter().take(DEPTH) {
        if free == 0 {
            break;
        }
        let end_h = now_h + waiting.limit_h;
        let fits = waiting.workers <= free;
        match &mut blocked {
            None if fits => {}
            None => {
                ends.extend(crowd.running.iter().map(|one| (one.limit_end_h, one.workers)));
                ends.sort_by(|a, b| a.0.total_cmp(&b.0));
                blocked = Some(shadow(&ends, free, waiting.workers));
                continue;
            }
            Some((shadow_h, spare)) => {
                if !fits || end_h > *shadow_h && waiting.workers > *spare {
                    continue;
                }
                if end_h > *shadow_h {
                    *spare -= waiting.workers;
                }
            }
        }
        free -= waiting.workers;
        ends.push((end_h, waiting.workers));
        started.push(job);
    }
    started
}

/// When the first that must wait has room by the others' limits, and how many GPUs it then leaves.
fn shadow(ends: &[(f64, u32)], mut free: u32, needed: u32) -> (f64, u32) {
    for &(at_h, workers) in ends {
        free += workers;
        if free >= needed {
            return (at_h, free - needed);
        }
    }
    (f64::INFINITY, 0)
}
