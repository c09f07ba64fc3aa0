//! One candidate for the planner: a site, a GPU count, the profile's levels that may be used there.

use chrono::{DateTime, Utc};

use super::Outlook;
use crate::config::{Planner, Site};
use crate::grid::signal_hours;
use crate::plan::{Candidate, Level, Start};
use crate::profile::Profile;

/// What a job asks of every site.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The present instant, cut to a whole second by the caller.
    pub now: DateTime<Utc>,
    /// GPUs requested.
    pub gpus: u32,
    /// Run time in hours at full clock with the requested GPUs, on a card of throughput 1.
    pub work_h: f64,
    /// When it may begin.
    pub start: Start,
    /// The longest run that Slurm allows there, in hours.
    pub max_run_h: Option<f64>,
}

/// A candidate with the levels that its plans index into.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Index into the configuration's sites.
    pub site: usize,
    /// For the planner.
    pub candidate: Candidate,
}

/// A site that cannot take a job.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OfferError {
    /// The profile's scaling table lacks a count.
    #[error("profile '{profile}': its scaling table lacks {count} or {requested} GPUs; give both under [scaling]")]
    Scaling {
        /// The profile.
        profile: String,
        /// The count asked for.
        count: u32,
        /// The requested count.
        requested: u32,
    },
}

/// What a site offers a job at a GPU count.
///
/// # Errors
/// The profile's scaling table lacks the count: it is no candidate.
pub fn offer(
    (index, site): (usize, &Site),
    outlook: &Outlook,
    profile: &Profile,
    planner: &Planner,
    ask: &Ask,
    count: u32,
) -> Result<Offer, OfferError> {
    let relative = profile.relative_throughput(count, ask.gpus).ok_or_else(|| OfferError::Scaling {
        profile: profile.name.to_string(),
        count,
        requested: ask.gpus,
    })?;
    let until = ask.now + chrono::TimeDelta::milliseconds((planner.horizon_s * 1e3) as i64);
    let share = site.onsite_share(f64::from(count));
    Ok(Offer {
        site: index,
        candidate: Candidate {
            slots: outlook.slots(ask.now, until, share),
            levels: levels(profile, site.clock_floor_mhz),
            workers: count,
            work_h: ask.work_h / relative / profile.throughput.unwrap_or(1.0),
            host_watts: site.host_watts,
            pue: site.pue,
            onsite_g_per_kwh: outlook.onsite_g_per_kwh,
            start: ask.start,
            max_run_h: ask.max_run_h,
        },
    })
}

/// The profile's levels at or above the site's floor; the highest clock always stays.
fn levels(profile: &Profile, floor_mhz: Option<u32>) -> Vec<Level> {
    let floor_mhz = floor_mhz.unwrap_or(0).min(profile.top_clock_mhz());
    let allowed = profile.levels.iter().filter(|level| level.clock_mhz >= floor_mhz);
    allowed
        .map(|level| Level { clock_mhz: level.clock_mhz, watts: level.watts, speed: level.speed, latency_ms: level.latency_ms })
        .collect()
}

impl Offer {
    /// The instant so many hours after `now`, to the millisecond.
    #[must_use]
    pub fn instant(now: DateTime<Utc>, hours: f64) -> DateTime<Utc> {
        now + chrono::TimeDelta::milliseconds((hours * 3.6e6).round() as i64)
    }

    /// Hours from `now` to an instant, negative for one in the past.
    #[must_use]
    pub fn hours_until(now: DateTime<Utc>, instant: DateTime<Utc>) -> f64 {
        signal_hours(instant - now)
    }
}
