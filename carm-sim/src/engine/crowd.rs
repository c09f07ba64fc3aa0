//! Who is at a site: running, waiting for room, or waiting for its time; and what Slurm would say of room there.

use std::collections::BTreeMap;

use carm::site::{Booking, booked};

/// So many waiting jobs are looked at in one pass: Slurm's `bf_max_job_test` (500 since 22.05).
pub(super) const DEPTH: usize = 500;

/// A running job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Occupant {
    pub job: usize,
    pub workers: u32,
    pub limit_end_h: f64,
}

/// A job that waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Waiting {
    pub workers: u32,
    pub limit_h: f64,
}

/// The jobs at a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Crowd {
    gpus: u32,
    pub(super) busy: u32,
    pub(super) running: Vec<Occupant>,
    /// In order: services (whose users wait) before training, then by submission.
    pub(super) queue: BTreeMap<(bool, usize), Waiting>,
    /// Those whose time has not come, and when it comes, h.
    pub(super) deferred: BTreeMap<usize, (f64, Waiting)>,
}

impl Crowd {
    pub(super) fn new(gpus: u32) -> Self {
        Self { gpus, busy: 0, running: Vec::new(), queue: BTreeMap::new(), deferred: BTreeMap::new() }
    }

    pub(super) fn free(&self) -> u32 {
        self.gpus - self.busy
    }

    /// GPUs that run jobs, or are waited for by jobs that want nothing but room.
    #[must_use]
    pub fn ahead_gpus(&self) -> u64 {
        let waiting: u64 = self.queue.values().map(|waiting| u64::from(waiting.workers)).sum();
        u64::from(self.busy) + waiting
    }

    /// The work of all jobs there, by their time limits, as far as it can fall into the coming hours: what `squeue` tells
    /// ([`carm::slurm::queue::gpu_hours`]), GPU-h.
    #[must_use]
    pub fn gpu_h(&self, now_h: f64, window_h: f64) -> f64 {
        let of = |workers: u32, left_h: f64| f64::from(workers) * left_h.clamp(0.0, window_h);
        let running: f64 = self.running.iter().map(|one| of(one.workers, one.limit_end_h - now_h)).sum();
        let waiting = self.queue.values().chain(self.deferred.values().map(|(_, one)| one));
        running + waiting.map(|one| of(one.workers, one.limit_h)).sum::<f64>()
    }

    /// The hours that deferred jobs have booked so that fewer than `gpus` are left, h after now ([`carm::site::booked`]).
    #[must_use]
    pub fn booked(&self, now_h: f64, gpus: u32, until_h: f64) -> Vec<(f64, f64)> {
        if self.deferred.is_empty() {
            return Vec::new();
        }
        let booking =
            |workers: u32, from_h, length_h: f64| Booking { gpus: u64::from(workers), from_h, length_h: length_h.max(0.0) };
        let running = self.running.iter().map(|one| booking(one.workers, Some(0.0), one.limit_end_h - now_h));
        let waiting = self.queue.values().take(DEPTH).map(|one| booking(one.workers, None, one.limit_h));
        let ahead: Vec<Booking> = running.chain(waiting).collect();
        let deferred = self.deferred.values();
        let deferred: Vec<Booking> =
            deferred.map(|(at_h, one)| booking(one.workers, Some((at_h - now_h).max(0.0)), one.limit_h)).collect();
        booked(&ahead, &deferred, u64::from(self.gpus), u64::from(gpus), until_h)
    }

    /// When a job submitted now would start if all ran to their limits and nobody were passed over: Slurm's backfill plan, h.
    #[must_use]
    pub fn room_h(&self, now_h: f64, gpus: u32, limit_h: f64) -> f64 {
        if self.queue.is_empty() && gpus <= self.free() {
            return now_h;
        }
        let mut plan = Timeline::of(self, now_h);
        for waiting in self.queue.values().take(DEPTH) {
            let at_h = plan.earliest(waiting.workers, waiting.limit_h);
            plan.reserve(at_h, waiting.limit_h, waiting.workers);
        }
        plan.earliest(gpus, limit_h)
    }
}

/// Free GPUs over time: from each instant on.
pub(super) struct Timeline(Vec<(f64, i64)>);

impl Timeline {
    pub(super) fn of(crowd: &Crowd, now_h: f64) -> Self {
        let mut ends: Vec<(f64, u32)> = crowd.running.iter().map(|one| (one.limit_end_h.max(now_h), one.workers)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = i64::from(crowd.free());
        let mut steps = vec![(now_h, free)];
        for (at_h, workers) in ends {
            free += i64::from(workers);
            match steps.last_mut() {
                Some(last) if last.0 == at_h => last.1 = free,
                _ => steps.push((at_h, free)),
            }
        }
        Self(steps)
    }

    /// The first instant from which so many GPUs are free for so long.
    pub(super) fn earliest(&self, gpus: u32, hours: f64) -> f64 {
        let needed = i64::from(gpus);
        let mut from = 0;
        for (i, &(at_h, free)) in self.0.iter().enumerate() {
            if at_h >= self.0[from].0 + hours && self.0[from].1 >= needed {
                break;
            }
            if free < needed {
                from = i + 1;
            }
        }
        self.0.get(from).map_or(f64::INFINITY, |step| step.0)
    }

    pub(super) fn reserve(&mut self, at_h: f64, hours: f64, gpus: u32) {
        if !at_h.is_finite() {
            return;
        }
        for cut_h in [at_h, at_h + hours] {
            let next = self.0.partition_point(|step| step.0 <= cut_h);
            if next > 0 && self.0[next - 1].0 < cut_h {
                self.0.insert(next, (cut_h, self.0[next - 1].1));
            }
        }
        let inside = self.0.iter_mut().filter(|step| step.0 >= at_h && step.0 < at_h + hours);
        inside.for_each(|step| step.1 -= i64::from(gpus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> Crowd {
        let mut crowd = Crowd::new(4);
        crowd.running =
            vec![Occupant { job: 0, workers: 2, limit_end_h: 3.0 }, Occupant { job: 1, workers: 1, limit_end_h: 1.0 }];
        crowd.busy = 3;
        crowd
    }

    #[test]
    fn room_is_where_the_limits_leave_it_behind_those_who_wait() {
        let mut crowd = crowd();
        assert_eq!((crowd.room_h(0.0, 1, 9.0), crowd.room_h(0.0, 2, 1.0), crowd.room_h(0.0, 4, 1.0)), (0.0, 1.0, 3.0));
        // A wide job waits until 3 and runs until 5; one of half an hour still fits before it.
        crowd.queue.insert((true, 2), Waiting { workers: 4, limit_h: 2.0 });
        assert_eq!((crowd.room_h(0.0, 1, 0.5), crowd.room_h(0.0, 1, 3.5)), (0.0, 5.0));
    }

    #[test]
    fn no_job_counts_for_more_than_the_hours_looked_at() {
        let mut crowd = crowd();
        crowd.deferred.insert(7, (9.0, Waiting { workers: 1, limit_h: 48.0 }));
        assert_eq!(crowd.gpu_h(0.5, 2.0), 2.0 * 2.0 + 0.5 + 2.0);
        assert_eq!(crowd.ahead_gpus(), 3);
    }
}
