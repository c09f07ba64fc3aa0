//! What was possible: the least carbon of each job alone, as if the cluster were its own ([`carm::plan::limit`]): it may pause for nothing, change its
//! clock at will, run at the best of all sites and widths, counts on all of a site's on-site power, and the future is known. No policy that keeps the deadlines emits less; together
//! the jobs can hardly emit as little, least of all where they share a roof.
//!
//! A job without a deadline may take as long as its user's patience and the slowest clock. The bound that knows how many GPUs there are is
//! [`crate::capacity`].

use carm::plan::{self, Candidate, Start};

use crate::jobs::Job;
use crate::jobs::service::Demand;
use crate::policy;
use crate::world::{Place, World};

/// The sum of all jobs' own limits, g. Whoever cannot meet its deadline counts with what the least limit without one is.
#[must_use]
pub fn per_job_g(world: &World) -> f64 {
    world.jobs.iter().map(|job| job_g(world, job)).sum()
}

/// The least carbon of one job, g.
#[must_use]
pub fn job_g(world: &World, job: &Job) -> f64 {
    let least = |by_h: f64| {
        let sites = world.sites.iter().filter(|place| place.site.gpus >= job.gpus);
        sites.filter_map(|place| at(world, place, job, by_h)).fold(f64::INFINITY, f64::min)
    };
    if let Some(demand) = &job.service {
        return service_g(&world.sites[job.home], job, demand);
    }
    let patience_h = patient_until_h(world, job);
    let kept = least(job.deadline_h.unwrap_or(patience_h));
    let late = if kept.is_finite() { kept } else { least(patience_h) };
    if late.is_finite() { late } else { 0.0 }
}

/// The latest end of a job without a deadline, h: its user's patience, the slowest clock, and a day.
#[must_use]
pub fn patient_until_h(world: &World, job: &Job) -> f64 {
    let slowest = world.sites.iter().flat_map(|place| &place.levels[job.workload]).map(|level| level.speed).fold(1.0, f64::min);
    job.submit_h + job.max_delay_h + job.work_h / slowest + 24.0
}

fn at(world: &World, place: &Place, job: &Job, by_h: f64) -> Option<f64> {
    let profile = &place.profiles[job.workload];
    let own = [job.gpus];
    let widths = if job.widths.is_empty() { &own[..] } else { &job.widths };
    // Whole milliseconds around the job's own: a bound must not lack one.
    let instant = |ms: f64| world.start + chrono::TimeDelta::milliseconds(ms as i64);
    let (now, until) = (instant((job.submit_h * 3.6e6 + 1e-3).floor()), instant((by_h * 3.6e6 - 1e-3).ceil()));
    let slots = place.truth.slots(now, until, 1.0);
    if slots.is_empty() {
        return None;
    }
    let of = |&width: &u32| {
        let throughput = profile.relative_throughput(width, job.gpus)? * profile.throughput.unwrap_or(1.0);
        let candidate = Candidate {
            slots: slots.clone(),
            levels: place.levels[job.workload].clone(),
            workers: width,
            work_h: job.work_h / throughput,
            host_watts: place.site.host_watts,
            pue: place.site.pue,
            onsite_g_per_kwh: place.site.onsite_g_per_kwh,
            start: Start::Within { earliest_h: 0.0, latest_h: 1e6 },
            max_run_h: None,
        };
        plan::limit(&candidate, None).ok().flatten()
    };
    widths.iter().filter(|&&width| width <= place.site.gpus).filter_map(of).reduce(f64::min)
}

/// The least power of a service, W, at the clocks that answer in time; at full clock if none does.
#[must_use]
pub fn service_w(place: &Place, job: &Job, demand: &Demand) -> f64 {
    let levels = &place.levels[job.workload];
    let mut allowed = policy::answering(demand, levels, place.measured(job.workload));
    if allowed.is_empty() {
        allowed.push(place.full_clock(job.workload));
    }
    allowed.iter().map(|&level| place.power_w(job.workload, level, job.gpus)).fold(f64::INFINITY, f64::min)
}

/// A service runs all its time; in each slot at the clock of least carbon among those that answer in time.
fn service_g(place: &Place, job: &Job, demand: &Demand) -> f64 {
    let least_w = service_w(place, job, demand);
    let end_h = job.submit_h + job.limit_h;
    let (mut at_h, mut slot, mut grams) = (job.submit_h, place.slot(job.submit_h), 0.0);
    while at_h < end_h {
        let to_h = place.slot_end(slot).min(end_h);
        let onsite_w = place.onsite_w[slot].min(least_w);
        let cheaper = place.g_per_kwh[slot].min(place.site.onsite_g_per_kwh);
        let rate = ((least_w - onsite_w) * place.g_per_kwh[slot] + onsite_w * cheaper) / 1000.0;
        grams += rate * (to_h - at_h);
        (at_h, slot) = (to_h, slot + 1);
    }
    grams
}
