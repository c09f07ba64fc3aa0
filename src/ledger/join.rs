//! The join: the lines of one run over nodes and days, the runs of one job over requeues.
//!
//! A span that stands twice (slurmd ran the epilog again, or whoever wrote it was killed before it could note that) is counted
//! once, the last that was written. What is missing is noted, never guessed.

use std::collections::BTreeMap;
use std::fmt;

use super::{Record, Span};
use crate::quantity::{format_duration, total};

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
        total(self.parts().map(|part| of(&part.sum)))
    }
}

/// Joins lines, given in the order in which they were written, to jobs. Lines with times that are none are left out, and
/// counted.
#[must_use]
pub fn join(records: Vec<Record>) -> (Vec<Job>, usize) {
    type Key = (String, u32, u32, String);
    let mut unreadable = 0;
    let mut parts: BTreeMap<Key, Vec<(Span, Record)>> = BTreeMap::new();
    let mut twice: Vec<Key> = Vec::new();
    for record in records {
        let Ok(span) = Span::of(&record) else {
            unreadable += 1;
            continue;
        };
        let key = (record.cluster.clone(), record.job, record.run, record.node.clone());
        let lines = parts.entry(key.clone()).or_default();
        match lines.iter_mut().find(|(known, _)| known.begin_ms == span.begin_ms) {
            Some(before) => {
                *before = (span, record);
                twice.push(key);
            }
            None => lines.push((span, record)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counterfactual::Untold;
    use crate::ledger::{Exit, Intensity};

    /// The second half of a run of an hour, from the fixture, as a whole run of half an hour.
    fn record() -> Record {
        let line = include_str!("../../tests/fixtures/ledger-v2.jsonl");
        let record: Record = serde_json::from_str(line).expect("a record");
        Record { start: record.since.clone(), since: None, ..record }
    }

    /// A run of an hour in two lines.
    fn halves() -> [Record; 2] {
        let first = Record {
            start: Some("2026-05-01T00:00:00.000Z".into()),
            end: "2026-05-01T00:30:00.000Z".into(),
            closed: false,
            exit: None,
            grid: Vec::new(),
            carbon_g: 40.0,
            ..record()
        };
        let second = Record { start: first.start.clone(), since: Some(first.end.clone()), ..record() };
        [first, second]
    }

    fn one(records: Vec<Record>) -> Job {
        let (mut jobs, unreadable) = join(records);
        assert_eq!((jobs.len(), unreadable), (1, 0));
        jobs.remove(0)
    }

    #[test]
    fn the_lines_of_a_run_add_up_in_whatever_order_they_are() {
        let [first, second] = halves();
        let job = one(vec![second.clone(), first.clone()]);
        assert_eq!(job.notes, []);
        let sum = &one(vec![first, second]).runs[0].nodes[0].sum;
        assert_eq!(&job.runs[0].nodes[0].sum, sum);
        assert!(sum.is_whole());
        assert_eq!((sum.seconds, sum.carbon_g, sum.gpu_energy_j), (3600.0, 140.0, 2e6));
        assert_eq!((sum.work_done_s, sum.gpu_h, sum.embodied_g), (Some(2880.0), 1.0, 5.0));
        // Its grid is that of the closing line: 2 h at 300 g/kWh; k = 2e6 / 1548e3, 1.2 x (k 700 + 100) W for 2880 s.
        let told = sum.baselines(30.0).expect("told");
        let power_w = 1.2 * (2e6 / 1_548e3 * 700.0 + 100.0);
        assert!((told.full.carbon_g - power_w * 2880.0 / 3.6e6 * 300.0).abs() < 1e-9, "{told:?}");
    }

    #[test]
    fn nodes_and_requeues_stand_side_by_side() {
        let again = Record { run: 1, node: "solar2".into(), ..record() };
        let job = one(vec![record(), Record { node: "solar2".into(), ..record() }, again]);
        let shape: Vec<_> = job.runs.iter().map(|run| (run.run, run.nodes.len())).collect();
        assert_eq!((shape, job.notes.len()), (vec![(0, 2), (1, 1)], 0));
        assert_eq!(job.total(|sum| sum.carbon_g), 300.0);
        let (jobs, _) = join(vec![record(), Record { job: 2, ..record() }, Record { cluster: "d".into(), ..record() }]);
        assert_eq!(jobs.iter().map(|job| (job.cluster.as_str(), job.job)).collect::<Vec<_>>(), [("c", 1), ("c", 2), ("d", 1)]);
    }

    #[test]
    fn what_is_missing_or_twice_is_noted() {
        let [first, second] = halves();
        let (run, node) = (0, "solar1".to_owned());
        assert_eq!(one(vec![first.clone()]).notes, [Note::NeverClosed { run, node: node.clone() }]);
        assert_eq!(one(vec![second.clone()]).notes, [Note::HeadMissing { run, node: node.clone() }]);
        let late = Record { since: Some("2026-05-01T00:40:00.000Z".into()), ..second.clone() };
        assert_eq!(one(vec![first.clone(), late]).notes, [Note::Gap { run, node: node.clone(), seconds: 600.0 }]);
        assert_eq!(one(vec![Record { run: 1, ..record() }]).notes, [Note::RunMissing { run: 0 }]);

        let longer = Record { end: "2026-05-01T02:00:00.000Z".into(), carbon_g: 999.0, ..second.clone() };
        let bare = Record { start: None, since: None, exit: Some(Exit { code: 0, signal: 0 }), ..second.clone() };
        let job = one(vec![first, second, longer, bare]);
        assert_eq!(job.total(|sum| sum.carbon_g), 1039.0, "the last that was written");
        assert_eq!(job.notes, [Note::Twice { run, node: node.clone() }, Note::Twice { run, node }]);
    }

    #[test]
    fn a_run_is_compared_only_where_its_lines_carry_it() {
        let cause = |record: Record| one(vec![record]).runs[0].nodes[0].sum.baselines(30.0).expect_err("nothing to tell");
        assert_eq!(cause(Record { closed: false, ..record() }), Untold::Incomplete);
        assert_eq!(cause(Record { profile: None, ..record() }), Untold::NoProfile);
        assert_eq!(cause(Record { work_done_s: None, ..record() }), Untold::NoProfile);
        assert_eq!(cause(Record { gpus: Vec::new(), ..record() }), Untold::NoEnergy);
        assert_eq!(cause(Record { marks: vec![crate::ledger::Mark::NoGrid], ..record() }), Untold::NoGrid);
        // Without a grid the run's own pieces tell it, if it ran when it was asked for.
        assert_eq!(cause(Record { grid: Vec::new(), ..record() }), Untold::NoGrid);
        let at_once = Record { grid: Vec::new(), asked: None, intensity: Intensity::Marginal, ..record() };
        assert!(one(vec![at_once]).runs[0].nodes[0].sum.baselines(30.0).is_ok());
    }

    #[test]
    fn what_on_site_power_emits_is_read_from_the_runs_own_pieces() {
        // 1.2 x (1 MJ + 100 W for half an hour) = 1.416 MJ, of which 50 W x 1800 s = 0.09 MJ on-site; the fixture's carbon of the
        // piece is set so that these emit 25 g/kWh.
        let mut record = record();
        record.steps[0].carbon_g = (1.416e6 - 0.09e6) / 3.6e6 * 210.0 + 0.09e6 / 3.6e6 * 25.0;
        record.grid[0].onsite_w = 1e6;
        let sum = one(vec![record]).runs[0].nodes[0].sum.clone();
        let told = sum.baselines(999.0).expect("told");
        assert!((told.full.carbon_g / told.full.energy_kwh - 25.0).abs() < 1e-6, "{told:?}");
    }
}
