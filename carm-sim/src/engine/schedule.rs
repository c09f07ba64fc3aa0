//! Who starts: in order, and past a job that must wait those that do not make it wait longer (EASY backfill; Lifka, "The ANL/IBM SP
//! scheduling system", JSSPP 1995).

use super::Engine;
use super::crowd::{Crowd, DEPTH};

impl Engine<'_> {
    /// Starts whoever can at all sites where somebody came or went.
    pub(super) fn schedule_all(&mut self) {
        while let Some(site) = self.stirred.iter().position(|&stirred| stirred) {
            self.stirred[site] = false;
            for job in starters(&self.crowds[site], self.now_h) {
                let key = (self.world.jobs[job].service.is_none(), job);
                self.crowds[site].queue.remove(&key);
                self.enter(job);
                self.start(job);
            }
        }
    }
}

/// The jobs that start now, in order.
fn starters(crowd: &Crowd, now_h: f64) -> Vec<usize> {
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
