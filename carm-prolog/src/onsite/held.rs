//! What a job may count on, as its state keeps it from one look of the governor to the next.

use carm::config::{Config, Site};
use carm::quantity::parse_instant;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Beat;
use crate::state::JobState;

/// For so many intervals after it was granted a job counts on more on-site power than its GPUs' part: a governor that is away for longer makes
/// room for nobody.
pub const HEEDED: f64 = 2.0;

/// A job's part of its site's on-site power.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The part, 0..=1; none where it goes by its GPUs.
    #[serde(rename = "onsite_share")]
    pub share: Option<f64>,
    /// When that was granted, or seen to hold, RFC 3339 UTC; none is the job's start.
    #[serde(rename = "onsite_since", default)]
    pub since: Option<String>,
    /// Of a job on several nodes: what holds from a later instant on, as its nodes agreed.
    #[serde(rename = "onsite_next", default)]
    pub next: Option<Next>,
    /// The job's GPUs, those that it shares in part; none is all of them.
    #[serde(rename = "onsite_gpus", default)]
    pub gpus: Option<f64>,
}

/// A part that holds from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub share: f64,
}

/// So many GPUs' part of all of a site's on-site power.
pub fn gpus_part(gpus: f64, site: &Site) -> f64 {
    (gpus / f64::from(site.gpus)).min(1.0)
}

/// What a job counts on at an instant by what it was granted last; none where it goes by its GPUs.
pub fn counted_on(config: &Config, site: Option<&Site>, state: &JobState, at: DateTime<Utc>) -> Option<f64> {
    let held = &state.governed.onsite;
    let share = held.share?;
    let since = parse_instant(held.since.as_deref().unwrap_or(&state.start)).unwrap_or(at);
    Some(heed(share, held.next, since.timestamp_millis(), part_of(state, site), Beat::of(config.node.interval_s, at)))
}

/// What a job counted on through a span, at least.
pub fn counted_through(
    config: &Config,
    site: Option<&Site>,
    state: &JobState,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Option<f64> {
    let at = |at| counted_on(config, site, state, at);
    Some(at(from)?.min(at(to)?))
}

/// What of it is left to a job that no governor looks after any more.
pub fn kept_alone(config: &Config, site: Option<&Site>, state: &JobState, now: DateTime<Utc>) -> Option<f64> {
    Some(counted_on(config, site, state, now)?.min(part_of(state, site)))
}

fn part_of(state: &JobState, site: Option<&Site>) -> f64 {
    let gpus = state.governed.onsite.gpus.unwrap_or(state.gpus.len() as f64);
    site.map_or(0.0, |site| gpus_part(gpus, site))
}

/// Of a share that was granted at `since_ms`, and of what follows it, what holds now; `part` is that of the job's GPUs.
pub fn heed(share: f64, next: Option<Next>, since_ms: i64, part: f64, beat: Beat) -> f64 {
    let share = next.filter(|next| beat.now_ms >= next.at_ms).map_or(share, |next| next.share);
    if beat.intervals_since(since_ms) < HEEDED { share } else { share.min(part) }
}
