//! The join: the lines of one run over nodes and days, the runs of one job over requeues.
//!
//! A span that stands twice (slurmd ran the epilog again) is counted once, the first that was written. What is missing is noted,
//! never guessed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::{Record, Span};
use crate::quantity::format_duration;

/// A job, added up over its runs and nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Slurm's cluster name.
    pub cluster: String,
    /// Slurm's job id.
    pub job: u32,
    /// Its runs, by their numbers.
    pub runs: Vec<Run>,
    /// What is missing or stands twice.
    pub notes: Vec<Note>,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// 0 for the first.
    pub run: u32,
    /// Its nodes, by name.
    pub nodes: Vec<NodeRun>,
}

/// The part of a run that was on one node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRun {
    /// Slurm's node name.
    pub node: String,
    /// The spans, added up.
    pub sum: Span,
    /// The lines, in the order of time; at least one.
    pub records: Vec<Record>,
}

/// Something that a reader of the sums must know.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Runs before this one have no lines.
    RunMissing {
        /// The run that is missing.
        run: u32,
    },
    /// The first line of a run on a node is not there.
    HeadMissing {
        /// The run.
        run: u32,
        /// The node.
        node: String,
    },
    /// A time within a run that no line covers.
    Gap {
        /// The run.
        run: u32,
        /// The node.
        node: String,
        /// How long, s.
        seconds: f64,
    },
    /// No line ends the run: it goes on, or its node went down.
    NeverClosed {
        /// The run.
        run: u32,
        /// The node.
        node: String,
    },
    /// A span stood twice, and was counted once.
    Twice {
        /// The run.
        run: u32,
        /// The node.
        node: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::RunMissing { run } => write!(f, "run {run} has no lines in this ledger"),
            Self::HeadMissing { run, node } => write!(f, "run {run} on {node}: its first lines are not in this ledger"),
            Self::Gap { run, node, seconds } => {
                write!(f, "run {run} on {node}: {} are in no line", format_duration(*seconds))
            }
            Self::NeverClosed { run, node } => {
                write!(f, "run {run} on {node}: no line ends it: it goes on, or the node went down")
            }
            Self::Twice { run, node } => write!(f, "run {run} on {node}: a span stands twice, and is counted once"),
        }
    }
}

impl Job {
    /// Its parts on nodes, run by run.
    pub fn parts(&self) -> impl Iterator<Item = &NodeRun> {
        self.runs.iter().flat_map(|run| &run.nodes)
    }

    /// Its lines.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.parts().flat_map(|part| &part.records)
    }

    /// A sum over all parts.
    pub fn total(&self, of: impl Fn(&Span) -> f64) -> f64 {
        self.parts().map(|part| of(&part.sum)).sum()
    }
}

/// Joins lines, given in the order in which they were written, to jobs. Lines with times that are none are left out, and
/// counted.
#[must_use]
pub fn join(records: Vec<Record>) -> (Vec<Job>, usize) {
    type Key = (String, u32, u32, String);
    let mut unreadable = 0;
    let mut seen = HashSet::new();
    let mut parts: BTreeMap<Key, Vec<(Span, Record)>> = BTreeMap::new();
    let mut twice: Vec<Key> = Vec::new();
    for record in records {
        let Ok(span) = Span::of(&record) else {
            unreadable += 1;
            continue;
        };
        let key = (record.cluster.clone(), record.job, record.run, record.node.clone());
        if seen.insert((key.clone(), span.begin_ms)) {
            parts.entry(key).or_default().push((span, record));
        } else {
            twice.push(key);
        }
    }
    for (key, lines) in &mut parts {
        // An epilog that finds nothing left of the prolog's is the second one.
        if lines.iter().any(|(span, _)| !span.is_bare()) {
            let before = lines.len();
            lines.retain(|(span, _)| !span.is_bare());
            twice.extend(std::iter::repeat_n(key.clone(), before - lines.len()));
        }
        lines.sort_by_key(|(span, _)| (span.begin_ms, span.end_ms));
    }

    let mut jobs: Vec<Job> = Vec::new();
    for ((cluster, job, run, node), lines) in parts {
        let (spans, records): (Vec<Span>, Vec<Record>) = lines.into_iter().unzip();
        let Some(sum) = spans.into_iter().reduce(|mut sum, next| {
            sum.add(next);
            sum
        }) else {
            continue;
        };
        let found = notes(&sum, run, &node);
        if jobs.last().is_none_or(|last| (&last.cluster, last.job) != (&cluster, job)) {
            jobs.push(Job { cluster, job, runs: Vec::new(), notes: Vec::new() });
        }
        let Some(joined) = jobs.last_mut() else { continue };
        joined.notes.extend(found);
        let part = NodeRun { node, sum, records };
        match joined.runs.last_mut().filter(|last| last.run == run) {
            Some(last) => last.nodes.push(part),
            None => joined.runs.push(Run { run, nodes: vec![part] }),
        }
    }
    for job in &mut jobs {
        let there: Vec<u32> = job.runs.iter().map(|run| run.run).collect();
        let missing = (0..there.last().copied().unwrap_or(0)).filter(|run| !there.contains(run)).take(8);
        job.notes.extend(missing.map(|run| Note::RunMissing { run }));
        let of_job = twice.iter().filter(|(cluster, id, ..)| (cluster, *id) == (&job.cluster, job.job));
        job.notes.extend(of_job.map(|(_, _, run, node)| Note::Twice { run: *run, node: node.clone() }));
    }
    (jobs, unreadable)
}

fn notes(sum: &Span, run: u32, node: &str) -> Vec<Note> {
    let node = node.to_owned();
    let mut notes = Vec::new();
    if !sum.headed {
        notes.push(Note::HeadMissing { run, node: node.clone() });
    }
    if sum.gap_s > 0.0 {
        notes.push(Note::Gap { run, node: node.clone(), seconds: sum.gap_s });
    }
    if !sum.closed {
        notes.push(Note::NeverClosed { run, node });
    }
    notes
}
