//! What a plan needs to know of a job, from the options that sbatch would see.
//!
//! Options come in layers (script, environment, command line), the later ones stronger. Each fact is said, unsaid or
//! unclear; an unclear one is never guessed: its callers leave the job as its user wrote it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use chrono::{DateTime, Utc};

use super::argv::Given;
use super::dependency::Dependency;
use super::gpus::{self, GpuRequest};
use super::grammar::Owner;
use super::hostlist;
use crate::quantity::{Moment, SlurmTime, parse_slurm_clock, parse_slurm_time};
use crate::request::printable;

/// Something that an option may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// The option is not given.
    Unsaid,
    /// The value.
    Is(T),
    /// The option is given, but what it comes to is open; the text says why.
    Unclear(String),
}

impl<T> Fact<T> {
    /// The value, where there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unsaid | Self::Unclear(_) => None,
        }
    }
}

/// The last value of each option.
#[derive(Debug, Clone, Default)]
pub struct Options(BTreeMap<String, Option<OsString>>);

impl Options {
    /// Lays options over those that are here.
    pub fn lay_over<'a>(&mut self, stronger: impl IntoIterator<Item = &'a Given>) {
        for option in stronger.into_iter().filter(|o| o.owner == Owner::Sbatch) {
            self.set(&option.name, option.value.clone());
        }
    }

    /// Sets one option, by its long name.
    pub fn set(&mut self, name: &str, value: Option<OsString>) {
        match name {
            // Pairs of opposites, and two of synonyms.
            "requeue" => _ = self.0.remove("no-requeue"),
            "no-requeue" => _ = self.0.remove("requeue"),
            "exclusive" => _ = self.0.remove("oversubscribe"),
            "oversubscribe" => _ = self.0.remove("exclusive"),
            _ => {}
        }
        let name = match name {
            "tasks-per-node" => "ntasks-per-node",
            "cluster" => "clusters",
            name => name,
        };
        self.0.insert(name.to_owned(), value);
    }

    /// Whether an option is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// An option's argument, where it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()?.to_str()
    }

    /// An option's argument as a whole number.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    /// Whether the job asks for whole nodes: `--exclusive`, which gives it all GPUs of theirs, whatever it asks for. With
    /// `user`, `mcs` or `topo` it shares its nodes with some (22.05 to 26.05).
    #[must_use]
    pub fn whole_nodes(&self) -> bool {
        let value = self.text("exclusive").unwrap_or_default();
        self.has("exclusive") && ["", "exclusive", "allocation"].iter().any(|whole| value.eq_ignore_ascii_case(whole))
    }

    /// The number of nodes, where it is fixed: `-N 2` or `2-2`; without it the tasks over the tasks of a node, or 1 for
    /// a job that says nothing of nodes and tasks.
    pub(super) fn nodes(&self) -> Option<u32> {
        match self.text("nodes") {
            Some(text) => match text.split_once('-') {
                Some((low, high)) => low.parse().ok().filter(|_| low == high),
                None => text.parse().ok(),
            },
            None if self.has("nodefile") => None,
            None if self.has("nodelist") => self.listed_nodes(),
            None if !self.has("ntasks") => Some(1),
            None => match (self.number("ntasks"), self.number("ntasks-per-node")) {
                (Some(tasks), Some(per_node)) if per_node > 0 => Some(tasks.div_ceil(per_node)),
                (Some(1), None) => Some(1),
                _ => None,
            },
        }
    }

    /// `--nodelist` without `--nodes`: as many nodes as it names (sbatch, 22.05 to 26.05). More tasks than these may take
    /// further nodes, and fewer leave some of them out.
    fn listed_nodes(&self) -> Option<u32> {
        let mut names = hostlist::expand(self.text("nodelist")?)?;
        names.sort_unstable();
        names.dedup();
        let listed = u32::try_from(names.len()).ok().filter(|&count| count > 0)?;
        let tasks = if self.has("ntasks") { self.number("ntasks")? } else { listed };
        match self.number("ntasks-per-node").filter(|&per_node| per_node > 0) {
            Some(per_node) if self.has("ntasks") => Some(tasks.div_ceil(per_node)).filter(|&nodes| nodes >= listed),
            _ => (tasks == listed).then_some(listed),
        }
    }

    /// The number of tasks: `-n`, or nodes times the tasks of a node (1 without).
    pub(super) fn tasks(&self) -> Option<u32> {
        if self.has("ntasks") {
            return self.number("ntasks");
        }
        let per_node = if self.has("ntasks-per-node") { self.number("ntasks-per-node")? } else { 1 };
        // Without any of the three a job that names a total of GPUs has as many tasks as these need.
        if !self.has("nodes") && !self.has("ntasks-per-node") && self.has("gpus") {
            return None;
        }
        self.nodes()?.checked_mul(per_node)
    }
}

/// A job as far as a plan is concerned.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name; `None`: the script's.
    pub name: Option<String>,
    /// `--time`.
    pub time_limit: Fact<SlurmTime>,
    /// `--begin`: it may not start before.
    pub begin: Fact<DateTime<Utc>>,
    /// `--deadline`: Slurm ends its wait where it could no longer end by then.
    pub deadline: Fact<DateTime<Utc>>,
    /// `--partition`, in its order.
    pub partitions: Vec<String>,
    /// `--clusters`, in its order.
    pub clusters: Vec<String>,
    /// `--constraint`.
    pub constraint: Option<String>,
    /// `--nodelist`.
    pub nodelist: Option<String>,
    /// `--exclude`.
    pub exclude: Option<String>,
    /// The GPUs that it asks for.
    pub gpus: Fact<GpuRequest>,
    /// `--array`.
    pub array: Option<String>,
    /// `--requeue` or `--no-requeue`.
    pub requeue: Option<bool>,
    /// `--dependency`: the jobs that it waits for.
    pub dependency: Fact<Dependency>,
    /// `--hold` or `--reservation`: an option by which another event decides when the job starts.
    pub awaits: Option<&'static str>,
    /// `--test-only`.
    pub test_only: bool,
}

impl Job {
    /// Reads the facts from an options' last values.
    #[must_use]
    pub fn read(options: &Options, moment: &Moment) -> Self {
        let list = |name| -> Vec<String> {
            options.text(name).unwrap_or_default().split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect()
        };
        let text = |name| options.text(name).map(str::to_owned);
        Self {
            name: text("job-name"),
            time_limit: fact(options, "time", time_limit),
            begin: fact(options, "begin", |text| parse_slurm_clock(text, moment).ok()),
            deadline: fact(options, "deadline", |text| parse_slurm_clock(text, moment).ok()),
            partitions: list("partition"),
            clusters: list("clusters"),
            constraint: text("constraint"),
            nodelist: text("nodelist").or_else(|| text("nodefile")),
            exclude: text("exclude"),
            gpus: gpus::gpu_request(options),
            array: text("array"),
            requeue: if options.has("requeue") { Some(true) } else { options.has("no-requeue").then_some(false) },
            dependency: fact(options, "dependency", Dependency::parse),
            awaits: ["hold", "reservation"].into_iter().find(|name| options.has(name)),
            test_only: options.has("test-only"),
        }
    }
}

fn fact<T>(options: &Options, name: &str, parse: impl Fn(&str) -> Option<T>) -> Fact<T> {
    if !options.has(name) {
        return Fact::Unsaid;
    }
    let text = options.text(name).unwrap_or_default();
    parse(text).map_or_else(|| Fact::Unclear(format!("--{name}={}", printable(text))), Fact::Is)
}

/// sbatch(1) of `--time`: "A time limit of zero requests that no time limit be imposed."
fn time_limit(text: &str) -> Option<SlurmTime> {
    let limit = parse_slurm_time(text).ok()?;
    Some(if limit == SlurmTime::Seconds(0) { SlurmTime::Unlimited } else { limit })
}

#[cfg(test)]
mod tests {
    use super::super::argv::divide;
    use super::super::grammar::Grammar;
    use super::*;
    use crate::quantity::parse_instant;
    use chrono::TimeDelta;

    fn read(line: &str) -> Job {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut options = Options::default();
        options.lay_over(&divide(&Grammar::built_in(&[]), &words).options);
        let now = parse_instant("2026-05-01T20:00:00Z").expect("a time");
        // One hour east of Greenwich.
        Job::read(&options, &Moment { now, local: &|wall| Some(wall.and_utc() - TimeDelta::hours(1)) })
    }

    #[test]
    fn the_last_value_of_an_option_holds() {
        let job = read("-t5 --time=10 -p a --partition b,c --requeue --no-requeue -J x --clusters=one --cluster two job.sh -t99");
        assert_eq!(job.time_limit, Fact::Is(SlurmTime::Seconds(600)));
        assert_eq!(job.partitions, ["b", "c"]);
        assert_eq!(job.clusters, ["two"]);
        assert_eq!((job.requeue, job.name.as_deref()), (Some(false), Some("x")));
    }

    #[test]
    fn a_begin_time_is_local() {
        for (text, expected) in [
            ("now+2hours", "2026-05-01T22:00:00Z"),
            ("now+60", "2026-05-01T20:01:00Z"),
            ("2026-05-02", "2026-05-01T23:00:00Z"),
            ("2026-05-02T06:30", "2026-05-02T05:30:00Z"),
            ("22:15", "2026-05-01T21:15:00Z"),
            ("20:15", "2026-05-02T19:15:00Z"),
            ("teatime", "2026-05-02T15:00:00Z"),
            ("05/03-09:00", "2026-05-03T08:00:00Z"),
        ] {
            let expected = parse_instant(expected).expect(expected);
            assert_eq!(read(&format!("--begin={text}")).begin, Fact::Is(expected), "{text}");
        }
        assert_eq!(read("--begin=lunch").begin, Fact::Unclear("--begin=lunch".into()));
    }

    #[test]
    fn a_time_limit_of_zero_is_none_and_nonsense_is_unclear() {
        assert_eq!(read("-t 0").time_limit, Fact::Is(SlurmTime::Unlimited));
        assert_eq!(read("-t 2h").time_limit, Fact::Unclear("--time=2h".into()));
        assert_eq!(read("-t UNLIMITED").time_limit, Fact::Is(SlurmTime::Unlimited));
    }

    #[test]
    fn a_number_of_days_alone_is_a_limit() {
        assert_eq!(read("--time=1-").time_limit, Fact::Is(SlurmTime::Seconds(86_400)));
    }

    #[test]
    fn a_job_that_awaits_another_event_says_which() {
        assert!(matches!(read("-d afterok:1").dependency, Fact::Is(_)));
        assert_eq!(read("--dependency=singleton").dependency, Fact::Unclear("--dependency=singleton".into()));
        assert_eq!(read("-H").awaits, Some("hold"));
        assert_eq!(read("-t5").awaits, None);
    }
}
