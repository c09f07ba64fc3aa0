//! The claims of a site's nodes on its on-site power, and the arithmetic of them: what all jobs count on never adds up to more than all
//! of it, at any instant, although nodes look at different moments, cannot reach the file, go down and come back.
//!
//! - A node's jobs count on what it was granted last, and before they knew it on what they had: both are held for them until the node's
//!   next look. It is granted no more than what the others leave.
//! - A job on several nodes has a claim of its own ([`Spread`]), which any of its nodes may change, for a later instant: by then all have seen
//!   it, and count on their GPUs' part of it without a word.
//! - A node that cannot reach the file, or whose governor is away, keeps what it has for a moment, then no more of it than its GPUs' part
//!   ([`Without`], [`HEEDED`]).
//! - Where the file was torn or is gone nobody knows what others still count on: nothing is granted until that is no more than their part.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Beat;
use super::held::{HEEDED, Next};

/// A node that has not claimed for so many intervals is down: its claim is free.
const STALE: f64 = 4.0;

/// So many intervals later every other node has made room for what the down one's GPUs may count on without a claim: one until it looks, five
/// until the last change of a job on several nodes is over, two until the next.
const ROOM: f64 = 8.0;

/// Changes of a job's share by less than this part of all on-site power are not worth agreeing on.
const WORTH: f64 = 0.01;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// When it was begun anew in place of a torn one, milliseconds since 1970.
    #[serde(default)]
    anew_ms: Option<i64>,
    nodes: BTreeMap<String, Claim>,
    /// Jobs on several nodes, by id.
    #[serde(default)]
    spread: BTreeMap<u32, Spread>,
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
    /// What the node's jobs counted on until then, beyond what is held for jobs on several nodes: a governor that was killed in between
    /// could not tell them.
    #[serde(default)]
    before: f64,
    /// Jobs that run on other nodes, too.
    #[serde(default)]
    spread: Vec<u32>,
}

impl Claim {
    /// What is held for the node.
    fn held(&self) -> f64 {
        self.granted.max(self.before)
    }
}

/// A job on several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Spread {
    /// GPUs on all its nodes, if each has as many as the one that has most.
    gpus: f64,
    /// The part of the site's power that it counts on from an instant on, milliseconds since 1970, and until then.
    from_ms: i64,
    share: f64,
    before: f64,
}

impl Spread {
    fn new(gpus: f64, beat: Beat) -> Self {
        Self { gpus, from_ms: beat.now_ms, share: 0.0, before: 0.0 }
    }

    /// Whether nobody counts on more than the share any more: a node that has not seen it has had its time.
    fn is_settled(&self, beat: Beat) -> bool {
        let patience = if self.share < self.before { HEEDED + 1.0 } else { 0.0 };
        beat.now_ms >= self.from_ms && beat.intervals_since(self.from_ms) >= patience
    }

    /// What is held for the job.
    fn held(&self, beat: Beat) -> f64 {
        if self.is_settled(beat) { self.share } else { self.share.max(self.before) }
    }

    /// The part of it that so many of its GPUs count on: now, and from when on another.
    fn portion(&self, gpus: f64, beat: Beat) -> Portion {
        let part = gpus / self.gpus.max(gpus);
        match beat.now_ms < self.from_ms {
            true => Portion { now: self.before * part, next: Some(Next { at_ms: self.from_ms, share: self.share * part }) },
            false => Portion { now: self.share * part, next: None },
        }
    }
}

/// What a node claims for.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// All GPUs of the node.
    pub gpus: f64,
    /// Those that run jobs of CARM's on this node alone.
    pub busy: f64,
    /// What these jobs count on.
    pub held: f64,
    /// Jobs on several nodes, by id.
    pub spread: BTreeMap<u32, SpreadWants>,
}

/// What a node claims for a job on several nodes.
#[derive(Debug, Clone, Copy)]
pub struct SpreadWants {
    /// Its GPUs on this node, those that it shares in part.
    pub gpus: f64,
    pub nodes: u32,
    /// What it counts on here.
    pub held: f64,
}

/// What a node's jobs may count on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Granted {
    /// The jobs on this node alone, together.
    pub alone: f64,
    /// This node's part of each job on several nodes.
    pub spread: BTreeMap<u32, Portion>,
}

/// This node's part of a job's share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Portion {
    pub now: f64,
    pub next: Option<Next>,
}

impl Claims {
    /// In place of a file that was torn, or is not there.
    pub fn anew(beat: Beat) -> Self {
        Self { anew_ms: Some(beat.now_ms), ..Self::default() }
    }

    /// A node's new claim: its jobs' part, by GPUs, of what the governed nodes may count on together; never more than what the
    /// others have not claimed.
    pub fn claim(&mut self, node: &str, wants: &Wants, site_gpus: f64, beat: Beat) -> Granted {
        self.forget(beat);
        self.nodes.remove(node);
        for (&job, wanted) in &wants.spread {
            let gpus = wanted.gpus * f64::from(wanted.nodes);
            let spread = self.spread.entry(job).or_insert_with(|| Spread::new(gpus, beat));
            spread.gpus = spread.gpus.max(gpus);
        }
        let live: Vec<&Claim> = self.nodes.values().filter(|claim| claim.is_live(beat)).collect();
        self.spread.retain(|job, _| wants.spread.contains_key(job) || live.iter().any(|claim| claim.spread.contains(job)));

        // Nodes without a governor keep their GPUs' part.
        let of_others = |of: fn(&Claim) -> f64| live.iter().copied().map(of).sum::<f64>();
        let pool = ((of_others(|claim| claim.gpus) + wants.gpus) / site_gpus).min(1.0);
        let busy = of_others(|claim| claim.busy) + wants.busy + self.spread.values().map(|spread| spread.gpus).sum::<f64>();
        let fair = |gpus: f64| if gpus > 0.0 { pool * gpus / busy } else { 0.0 };
        let held_by_others = of_others(Claim::held);
        let unsure = self.anew_ms.is_some_and(|at_ms| beat.intervals_since(at_ms) < HEEDED + 1.0);

        let left = pool - held_by_others - self.spread.values().map(|spread| spread.held(beat)).sum::<f64>();
        let alone = if unsure { 0.0 } else { fair(wants.busy).min(left).max(0.0) };
        let beyond = |(job, wanted): (&u32, &SpreadWants)| (wanted.held - self.held_here(*job, wanted.gpus, beat)).max(0.0);
        let before = wants.held + wants.spread.iter().map(beyond).sum::<f64>();
        let claim = Claim {
            at_ms: beat.now_ms,
            gpus: wants.gpus,
            busy: wants.busy,
            granted: alone,
            before,
            spread: wants.spread.keys().copied().collect(),
        };
        let left = pool - held_by_others - claim.held();
        if !unsure {
            self.agree(wants, left, site_gpus, fair, beat);
        }
        self.nodes.insert(node.to_owned(), claim);
        let portion = |(&job, wanted): (&u32, &SpreadWants)| Some((job, self.spread.get(&job)?.portion(wanted.gpus, beat)));
        Granted { alone, spread: wants.spread.iter().filter_map(portion).collect() }
    }

    /// Changes what a node's jobs on several nodes count on, where that is worth it and the last change is over. `left` is what nodes leave of it.
    fn agree(&mut self, wants: &Wants, left: f64, site_gpus: f64, fair: impl Fn(f64) -> f64, beat: Beat) {
        for &job in wants.spread.keys() {
            let held_by_others: f64 =
                self.spread.iter().filter(|(other, _)| **other != job).map(|(_, other)| other.held(beat)).sum();
            let Some(spread) = self.spread.get_mut(&job).filter(|spread| spread.is_settled(beat)) else { continue };
            // Not below its GPUs' part: a node that does not see the change goes on to count on that.
            let least = spread.share.min(spread.gpus / site_gpus);
            let share = fair(spread.gpus).min(left - held_by_others).max(least);
            if (share - spread.share).abs() >= WORTH {
                *spread = Spread { from_ms: beat.after_next_look_ms(), share, before: spread.share, ..*spread };
            }
        }
    }

    /// Forgets nodes that are long down, and jobs on several nodes of which no node is at work: those count on no more than their GPUs' part.
    fn forget(&mut self, beat: Beat) {
        // What is stale stands on for as long as others may hold what was granted beside it: its node has to see that.
        self.nodes.retain(|_, claim| Without::after(Some(claim.at_ms), beat) == Without::Last);
        let nodes = &self.nodes;
        self.spread.retain(|job, _| nodes.values().any(|claim| claim.is_live(beat) && claim.spread.contains(job)));
    }

    /// What is held here for a job on several nodes.
    fn held_here(&self, job: u32, gpus: f64, beat: Beat) -> f64 {
        self.spread.get(&job).map_or(0.0, |spread| spread.held(beat) * gpus / spread.gpus.max(gpus))
    }

    /// Whether a node's claim may still count with the others, by the file or by one that was torn.
    pub fn may_count(&self, node: &str, beat: Beat) -> bool {
        may_count(self.last(node), beat) || may_count(self.anew_ms, beat)
    }

    /// When a node claimed last, as far as the file tells.
    pub fn last(&self, node: &str) -> Option<i64> {
        self.nodes.get(node).map(|claim| claim.at_ms)
    }
}

impl Claim {
    fn is_live(&self, beat: Beat) -> bool {
        beat.intervals_since(self.at_ms) <= STALE
    }
}

/// Whether others may still count on what a claim left.
pub fn may_count(at_ms: Option<i64>, beat: Beat) -> bool {
    at_ms.is_some() && Without::after(at_ms, beat) == Without::Last
}

/// What a node's jobs may count on that has no say in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// What they had ([`super::held::counted_on`]).
    Last,
    /// Their GPUs' part: the others reckon without this node.
    Part,
}

impl Without {
    /// By when the node claimed last.
    pub fn after(last_ms: Option<i64>, beat: Beat) -> Self {
        match last_ms.map(|at_ms| beat.intervals_since(at_ms)) {
            Some(intervals) if intervals < STALE + ROOM => Self::Last,
            _ => Self::Part,
        }
    }
}

#[cfg(test)]
mod tests;
