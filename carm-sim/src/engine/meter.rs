//! The account of a running job: energy, carbon and work, slot by slot of its site.
//!
//! A job at a level draws P = PUE x workers x (GPU + host). The site's on-site power is divided among the GPUs that
//! run jobs, and no job gets more than it draws: that is the power that the site really saves. A CARM job decides by less: it counts on n of the
//! site's GPUs' share, as the governor does. Idle GPUs' own power is not counted.

use super::Engine;
use super::live::Phase;
use crate::account::Stretch;
use crate::jobs::service;
use crate::policy::service_ms;

impl Engine<'_> {
    /// Brings everybody's account at a site up to now, before on-site power is shared anew.
    pub(super) fn meter_all(&mut self, site: usize) {
        if self.world.sites[site].truth.onsite_w.is_some() {
            let jobs: Vec<usize> = self.crowds[site].running.iter().map(|one| one.job).collect();
            jobs.into_iter().for_each(|job| self.meter(job));
        }
    }

    /// Brings a job's account up to now.
    pub(super) fn meter(&mut self, job: usize) {
        let live = &mut self.live[job];
        let (from_h, now_h) = (live.metered_h, self.now_h);
        live.metered_h = now_h;
        let (Phase::Running, Some(level)) = (live.phase, live.level) else { return };
        if now_h <= from_h {
            return;
        }
        let (place, of) = (&self.world.sites[live.site], &self.world.jobs[job]);
        let power_w = place.power_w(live.workload, level, live.workers);
        let share = f64::from(live.workers) / f64::from(self.crowds[live.site].busy.max(live.workers));
        let mhz = f64::from(place.levels[live.workload][level].clock_mhz);
        let (record, sums) = (&mut live.record, &mut self.slots[live.site]);
        let mut at_h = from_h;
        loop {
            let slot_end_h = place.slot_end(live.slot);
            let to_h = slot_end_h.min(now_h);
            let hours = to_h - at_h;
            let onsite_w = (place.onsite_w[live.slot] * share).min(power_w);
            let (grid_kwh, onsite_kwh) = ((power_w - onsite_w) * hours / 1000.0, onsite_w * hours / 1000.0);
            let carbon_g = grid_kwh * place.g_per_kwh[live.slot] + onsite_kwh * place.truth.onsite_g_per_kwh;
            record.grid_kwh += grid_kwh;
            record.onsite_kwh += onsite_kwh;
            record.carbon_g += carbon_g;
            let sum = &mut sums[live.slot];
            sum.grid_kwh += grid_kwh;
            sum.onsite_kwh += onsite_kwh;
            sum.carbon_g += carbon_g;
            sum.busy_gpu_h += f64::from(live.workers) * hours;
            sum.mhz_gpu_h += mhz * f64::from(live.workers) * hours;
            if let Some(demand) = &of.service {
                let rate = demand.rate_at(at_h.midpoint(to_h) - of.submit_h);
                let answer_ms = service::answer_ms(service_ms(demand, &place.levels[live.workload], level), rate, demand.batch);
                record.latency_miss_h += if answer_ms > demand.latency_ms * (1.0 + 1e-9) { hours } else { 0.0 };
            }
            at_h = to_h;
            if slot_end_h > now_h {
                break;
            }
            live.slot += 1;
            if at_h >= now_h {
                break;
            }
        }
        let hours = now_h - from_h;
        let per_h = place.work_per_h(live.workload, level, live.workers, live.gpus);
        let sure = sure_speed(place, live.workload, level) / place.levels[live.workload][level].speed;
        record.ran_h += hours;
        live.work_left_h -= per_h * hours;
        live.said_left_h -= per_h * hours;
        live.sure_left_h -= per_h * sure * hours;
        match record.stretches.last_mut() {
            Some(last) if last.level == level && last.workers == live.workers && last.to_h == from_h => last.to_h = now_h,
            _ => record.stretches.push(Stretch { from_h, to_h: now_h, level, workers: live.workers }),
        }
    }
}

/// The speed of a level that a guarantee may count on ([`carm::govern::guaranteed_speed`]).
fn sure_speed(place: &crate::world::Place, workload: usize, level: usize) -> f64 {
    let levels = &place.levels[workload];
    if place.measured(workload) {
        return levels[level].speed;
    }
    let top = levels.iter().map(|level| level.clock_mhz).max().unwrap_or(1).max(1);
    levels[level].speed.min(f64::from(levels[level].clock_mhz) / f64::from(top))
}
