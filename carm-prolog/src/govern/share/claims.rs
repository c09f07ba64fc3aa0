//! The claims of a site's nodes on its on-site power, and the arithmetic of them: what all jobs count on never adds up to more than all
//! of it, at any instant, although nodes look at different moments, cannot reach the file, go down and come back.
//!
//! - A node's jobs count on what it was granted last. It is granted no more than what the others' last grants leave.
//! - A job on several nodes counts on its GPUs' part, so that its nodes agree without a word, from [`SETTLE`] intervals after its start on. It
//!   is announced at once: by then every other node has made room.
//! - A node that cannot reach the file, or whose governor is away, keeps what it has for a moment, then no more of it than its GPUs' part
//!   ([`Without`], [`HEEDED`]).
//! - Where the file was torn nobody knows what others still count on: nothing is granted until that is no more than their part.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::count::HEEDED;

/// A node that has not claimed for so many intervals is down: its claim is free.
const STALE: f64 = 10.0;

/// From so many intervals after its start on a job on several nodes counts on its part: one until it is announced, then until every other node
/// has looked or counts on no more than its own part, and one for nodes that do not agree on the start.
pub const SETTLE: f64 = HEEDED + 2.0;

/// The file.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// When it was begun anew in place of a torn one, milliseconds since 1970.
    #[serde(default)]
    anew_ms: Option<i64>,
    nodes: BTreeMap<String, Claim>,
}

/// One node's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Claim {
    /// Milliseconds since 1970.
    at_ms: i64,
    /// All GPUs of the node.
    gpus: f64,
    /// Those that run jobs of CARM's on this node alone.
    busy: f64,
    /// The part of the site's power that these count on, 0..=1.
    granted: f64,
    /// Jobs that run on other nodes, too, by id: the part of the site's power that the whole job counts on.
    #[serde(default)]
    jobs: BTreeMap<u32, f64>,
}

/// What a node claims for.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// All GPUs of the node.
    pub gpus: f64,
    /// Those that run jobs of CARM's on this node alone.
    pub busy: f64,
    /// Jobs on several nodes: the part of the site's power that the whole job counts on.
    pub jobs: BTreeMap<u32, f64>,
}

/// When a claim is made, and how often nodes look, both in milliseconds (since 1970).
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    pub now_ms: i64,
    pub interval_ms: f64,
}

impl Beat {
    /// How many intervals ago that was, or will be: clocks of nodes differ.
    pub fn intervals_since(self, at_ms: i64) -> f64 {
        (self.now_ms - at_ms).abs() as f64 / self.interval_ms
    }
}

impl Claims {
    /// In place of a torn file.
    pub fn anew(beat: Beat) -> Self {
        Self { anew_ms: Some(beat.now_ms), nodes: BTreeMap::new() }
    }

    /// A node's new claim: its jobs' part, by GPUs, of what the governed nodes may count on together; never more than what the
    /// others have not claimed.
    pub fn claim(&mut self, node: &str, wants: &Wants, site_gpus: f64, beat: Beat) -> f64 {
        // What is stale stands on for as long as others may hold what was granted beside it: its node has to see that.
        self.nodes.retain(|_, claim| Without::after(Some(claim.at_ms), beat) == Without::Last);
        self.nodes.remove(node);
        let live = |claim: &&Claim| beat.intervals_since(claim.at_ms) <= STALE;
        let others = |of: fn(&Claim) -> f64| self.nodes.values().filter(live).map(of).sum::<f64>();
        // Nodes without a governor keep their GPUs' part, and so do jobs on several nodes.
        let governed = ((others(|claim| claim.gpus) + wants.gpus) / site_gpus).min(1.0);
        let pool = (governed - self.announced(&wants.jobs, beat)).max(0.0);
        let fair = if wants.busy > 0.0 { pool * wants.busy / (others(|claim| claim.busy) + wants.busy) } else { 0.0 };
        let unsure = self.anew_ms.is_some_and(|at_ms| beat.intervals_since(at_ms) < HEEDED + 1.0);
        let granted = if unsure { 0.0 } else { fair.min(pool - others(|claim| claim.granted)).max(0.0) };
        let claim = Claim { at_ms: beat.now_ms, gpus: wants.gpus, busy: wants.busy, granted, jobs: wants.jobs.clone() };
        self.nodes.insert(node.to_owned(), claim);
        granted
    }

    /// What jobs on several nodes count on, each once: any of its nodes announces it.
    fn announced(&self, own: &BTreeMap<u32, f64>, beat: Beat) -> f64 {
        let mut jobs = own.clone();
        let live = self.nodes.values().filter(|claim| beat.intervals_since(claim.at_ms) <= STALE);
        for (&job, &share) in live.flat_map(|claim| &claim.jobs) {
            let known = jobs.entry(job).or_default();
            *known = known.max(share);
        }
        jobs.values().sum()
    }

    /// Whether a node's claim may still count with the others, by the file or by one that was torn.
    pub fn may_count(&self, node: &str, beat: Beat) -> bool {
        let recent = |at_ms: Option<i64>| at_ms.is_some() && Without::after(at_ms, beat) == Without::Last;
        recent(self.last(node)) || recent(self.anew_ms)
    }

    /// When a node claimed last, as far as the file tells.
    pub fn last(&self, node: &str) -> Option<i64> {
        self.nodes.get(node).map(|claim| claim.at_ms)
    }
}

/// What a node's jobs may count on that has no say in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// What they had ([`crate::count::onsite_share`]).
    Last,
    /// Their GPUs' part: the others reckon without this node.
    Part,
}

impl Without {
    /// By when the node claimed last.
    pub fn after(last_ms: Option<i64>, beat: Beat) -> Self {
        match last_ms.map(|at_ms| beat.intervals_since(at_ms)) {
            Some(intervals) if intervals < STALE + HEEDED => Self::Last,
            _ => Self::Part,
        }
    }
}

#[cfg(test)]
mod tests;
