//! The runs of jobs on nodes, as the wrappers around prolog and epilog recorded them.

use std::collections::BTreeMap;
use std::path::Path;

use carm::slurm::hostlist;

/// Job, restarts, node.
pub type Key = (u32, u32, String);

/// One run of a job on one node. Times are Unix times in seconds.
#[derive(Debug, Clone)]
pub struct Run {
    pub key: Key,
    /// Slurm's indices.
    pub gpus: Vec<u32>,
    pub prologs: Vec<Script>,
    /// Slurm counts the next run already in the epilog of one that is requeued: they belong to the last prolog before them.
    pub epilogs: Vec<Script>,
}

/// A prolog or an epilog.
#[derive(Debug, Clone)]
pub struct Script {
    pub pid: u32,
    pub begin: f64,
    /// None: it was killed with its wrapper, as Slurm does at PrologEpilogTimeout.
    pub end: Option<f64>,
    pub code: Option<i32>,
}

impl Run {
    /// From the start of its first prolog to the end of its first whole epilog; without an epilog to `otherwise`. A later
    /// epilog is of a run without a prolog: a slurmd that starts again while a job is requeued runs none (22.05).
    pub fn span(&self, otherwise: f64) -> (f64, f64) {
        let begin = self.prologs.first().map_or(otherwise, |script| script.begin);
        (begin, self.epilogs.iter().find_map(|script| script.end).unwrap_or(otherwise))
    }

    /// Its prologs and epilogs.
    pub fn scripts(&self) -> impl Iterator<Item = (&'static str, &Script)> {
        self.prologs.iter().map(|script| ("prolog", script)).chain(self.epilogs.iter().map(|script| ("epilog", script)))
    }
}

/// Reads the wrappers' records.
pub fn read(path: &Path) -> Vec<Run> {
    let mut runs: BTreeMap<Key, Run> = BTreeMap::new();
    let mut last: BTreeMap<(u32, String), Key> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &[job, restarts, node, gpus, pid, verb, event, at, ..] = &words[..] else { panic!("runs: {line}") };
        let (job, restarts): (u32, u32) = (job.parse().expect("a job"), restarts.parse().expect("a count"));
        let (pid, at): (u32, f64) = (pid.parse().expect("a pid"), at.parse().expect("a time"));
        let key = match verb {
            "prolog" => (job, restarts, node.to_owned()),
            _ => match last.get(&(job, node.to_owned())) {
                Some(key) => key.clone(),
                // Of a job that was cancelled before its prolog.
                None => continue,
            },
        };
        last.insert((job, node.to_owned()), key.clone());
        let gpus = match gpus {
            "none" => Vec::new(),
            list => {
                hostlist::expand(&format!("[{list}]")).expect("indices").iter().map(|n| n.parse().expect("an index")).collect()
            }
        };
        let run = runs.entry(key.clone()).or_insert_with(|| Run { key, gpus, prologs: Vec::new(), epilogs: Vec::new() });
        let scripts = if verb == "prolog" { &mut run.prologs } else { &mut run.epilogs };
        match event {
            "begin" => scripts.push(Script { pid, begin: at, end: None, code: None }),
            _ => {
                if let Some(script) = scripts.iter_mut().rfind(|script| script.pid == pid) {
                    script.end = Some(at);
                    script.code = words.get(8).and_then(|code| code.parse().ok());
                }
            }
        }
    }
    runs.into_values().collect()
}
