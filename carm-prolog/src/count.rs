//! Counts a job up to an instant: what its GPUs' journals have that its tally lacks goes into the tally, as one piece of the run.
//! The governor does so at every look, the epilog once more at the end; without a governor the whole run is one piece.

use carm::config::{Config, Site};
use carm::ledger::{Facility, Mark, Piece};
use carm::quantity::{format_instant, parse_instant};
use carm::site::Outlook;
use chrono::{DateTime, TimeDelta, Utc};

use crate::clocks::{Part, Seen};
use crate::state::JobState;
use crate::uptime::Uptime;

/// Below this a GPU is idle, and its clock tells nothing of what the job would run at.
const BUSY: f64 = 0.5;

/// Two clocks that differ by more over a piece of a run are no rounding: one of them was set.
const CLOCK_WAS_SET: TimeDelta = TimeDelta::seconds(2);

/// The site's surroundings of a GPU.
pub fn facility(config: &Config, site: Option<&Site>) -> Facility {
    Facility {
        host_watts: site.map_or(config.planner.host_watts, |site| site.host_watts),
        pue: site.map_or(config.planner.pue, |site| site.pue),
        embodied_g_per_gpu_h: site.map_or(0.0, |site| site.embodied_g_per_gpu_h),
    }
}

/// The clock that a job really runs at, of several GPUs the slowest: they wait for one another. None where all are idle.
pub fn clock_seen(looks: &[Seen]) -> Option<u32> {
    let busy = looks.iter().filter(|seen| seen.utilization.is_none_or(|part| part >= BUSY));
    busy.filter_map(|seen| seen.clock_mhz).min()
}

/// What a job is counted with.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    pub config: &'a Config,
    pub site: Option<&'a Site>,
    pub outlook: Option<&'a Outlook>,
}

impl Around<'_> {
    fn onsite_share(&self, gpus: f64) -> f64 {
        self.site.map_or(0.0, |site| site.onsite_share(gpus))
    }
}

/// Adds to a job's tally what has been used since it was last counted. `parts` are the journals' words, GPU by GPU as the job has
/// them; `clock_mhz` is what was seen to run.
pub fn count(state: &mut JobState, parts: &[Option<Part>], clock_mhz: Option<u32>, around: &Around, now: DateTime<Utc>) {
    let uptime = Uptime::of(now);
    let from = from(state, uptime.as_ref(), now);
    let mut fresh_j = 0.0;
    for (gpu, part) in state.gpus.iter().zip(parts) {
        // Two readings of a counter that fell in between tell nothing; with a governor's they tell nearly all.
        let Some(part) = part.filter(|part| !part.lost || state.governed.taken_up) else { continue };
        let counted_j = state.counted.joules.entry(gpu.uuid.clone()).or_default();
        fresh_j += (part.energy_j - *counted_j).max(0.0);
        *counted_j = counted_j.max(part.energy_j);
    }
    if parts.iter().any(|part| part.is_none_or(|part| part.lost)) {
        state.mark([Mark::EnergyLost]);
    }
    if parts.iter().flatten().any(|part| part.shared) {
        state.mark([Mark::SharedGpu]);
    }
    let gpus: f64 = parts.iter().map(|part| part.map_or(1.0, |part| part.share)).sum();
    let runs_at = clock_mhz.or(state.clock_mhz);
    let level = state.profile.as_ref().map(|profile| runs_at.map_or(profile.used.full, |mhz| profile.at(mhz)));
    let speed = level.map_or(1.0, |level| level.speed);
    let sure_speed = match &state.profile {
        Some(profile) if !profile.used.measured => {
            let full_mhz = f64::from(profile.used.full.clock_mhz.max(1));
            speed.min(runs_at.map_or(1.0, |mhz| f64::from(mhz) / full_mhz))
        }
        _ => speed,
    };
    let piece = Piece {
        from,
        to: now,
        gpu_energy_j: fresh_j,
        gpus,
        onsite_share: around.onsite_share(gpus),
        clock_mhz,
        speed,
        sure_speed,
        modelled_w: level.map(|level| gpus * level.watts),
    };
    state.counted.tally.add(&piece, &facility(around.config, around.site), around.outlook);
    state.counted.until = Some(format_instant(now));
    state.counted.uptime = uptime;
}

/// Since when the job has not been counted. Where the machine's clock was set meanwhile, the time that really passed counts:
/// none of it is lost, and none that never was is added.
fn from(state: &JobState, uptime: Option<&Uptime>, now: DateTime<Utc>) -> DateTime<Utc> {
    let from = counted_until(state, now);
    let passed = uptime.zip(state.counted.uptime.as_ref()).and_then(|(now, then)| now.since(then));
    match passed {
        Some(passed) if (now - from - passed).abs() > CLOCK_WAS_SET => now - passed,
        _ => from,
    }
}

/// Reckons a job on several nodes up to an instant: by its profile and the clock that is set, as each of its nodes does.
pub fn reckon(state: &mut JobState, around: &Around, now: DateTime<Utc>) {
    let from = reckoned_until(state, now);
    let Some(profile) = &state.profile else { return };
    let level = state.clock_mhz.map_or(profile.used.full, |mhz| profile.at(mhz));
    let full_mhz = f64::from(profile.used.full.clock_mhz.max(1));
    let proportion = f64::from(level.clock_mhz) / full_mhz;
    let gpus = state.gpus.len() as f64;
    let piece = Piece {
        from,
        to: now,
        gpu_energy_j: gpus * level.watts * (now - from).as_seconds_f64().max(0.0),
        gpus,
        onsite_share: around.onsite_share(gpus),
        clock_mhz: None,
        speed: level.speed,
        sure_speed: if profile.used.measured { level.speed } else { level.speed.min(proportion) },
        modelled_w: None,
    };
    state.governed.reckoned.add(&piece, &facility(around.config, around.site), around.outlook);
    // Only its sums are wanted.
    state.governed.reckoned.steps.clear();
    state.governed.reckoned_until = Some(format_instant(now));
}

/// Until when a job has been counted.
pub fn counted_until(state: &JobState, now: DateTime<Utc>) -> DateTime<Utc> {
    parse_instant(state.counted.until.as_deref().unwrap_or(&state.start)).unwrap_or(now)
}

/// Until when a job on several nodes has been reckoned.
pub fn reckoned_until(state: &JobState, now: DateTime<Utc>) -> DateTime<Utc> {
    let until = state.governed.reckoned_until.as_deref().or(state.began.as_deref()).unwrap_or(&state.start);
    parse_instant(until).unwrap_or(now)
}

/// Whether a day is full: then what has been counted is booked, and a new span begins.
pub fn is_due(state: &JobState, now: DateTime<Utc>) -> bool {
    let since = state.counted.since.as_deref().unwrap_or(&state.start);
    parse_instant(since).is_ok_and(|since| now - since >= TimeDelta::days(1))
}

/// Begins a new span after a line was booked.
pub fn begin_span(state: &mut JobState, now: DateTime<Utc>) {
    let counted = &mut state.counted;
    let tally = std::mem::take(&mut counted.tally);
    let (carbon_g, work_s, sure_s) = counted.before;
    counted.before = (carbon_g + tally.carbon_g, work_s + tally.work_done_s, sure_s + tally.sure_work_s);
    counted.booked_j = counted.joules.clone();
    counted.since = Some(format_instant(now));
    state.governed.clock_changes = 0;
}
