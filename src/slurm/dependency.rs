//! `--dependency`: the jobs that a job waits for, and from when on, by squeue's word, it waits for them no longer.
//!
//! squeue is asked with [`FORMAT`] about the jobs at hand, and about those that they wait for themselves ([`Dependency::unknown`]).
//! It goes by time limits, so jobs end earlier rather than later than is told here. A job that squeue does not know has ended.

use chrono::{NaiveDateTime, TimeDelta};

use crate::quantity::{SlurmTime, parse_slurm_time};

/// The fields.
pub const FORMAT: &str = "JobArrayID:|,StartTime:|,EndTime:|,TimeLimit:|,Dependency:|";

/// The states of a job that has not ended.
pub const STATES: &str = "PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING";

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// One of the conditions is enough.
    any: bool,
    conditions: Vec<Condition>,
}

/// An event of another job's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    /// `7`, or `7_3` of an array.
    id: String,
    /// Its start, and so many minutes more; else its end.
    after_start: Option<u32>,
}

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// `7`, `7_3`, or `7_[4-9]` of an array's tasks that wait.
    id: String,
    /// When it started or is to start, local time.
    start: Option<NaiveDateTime>,
    /// When it ends, at the latest.
    end: Option<NaiveDateTime>,
    limit: Option<TimeDelta>,
    waits_for: Option<Dependency>,
}

/// From when on a job waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clear {
    /// It waits for nothing.
    Now,
    /// From then on, local time, at the latest.
    From(NaiveDateTime),
    /// Nobody knows.
    Unknown,
}

/// No chain of jobs is followed further: one that waits for itself would have no end.
const MOST_LINKS: usize = 32;

impl Dependency {
    /// Reads an option's value, or squeue's word for it; `None` for what is no job's start or end (`singleton`, `expand`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let any = text.contains('?');
        let mut conditions = Vec::new();
        for one in text.split(['?', ',']) {
            let one = one.split('(').next().unwrap_or_default(); // squeue: afterok:7(unfulfilled)
            let (kind, ids) = one.split_once(':')?;
            let of_start = match kind.trim().to_ascii_lowercase().as_str() {
                "after" => true,
                "afterany" | "afterok" | "afternotok" | "aftercorr" | "afterburstbuffer" => false,
                _ => return None,
            };
            for id in ids.split(':') {
                let (id, minutes) = id.split_once('+').unwrap_or((id, "0"));
                let id = id.strip_suffix("_*").unwrap_or(id);
                if id.is_empty() || !id.bytes().all(|c| c.is_ascii_digit() || c == b'_') {
                    return None;
                }
                let minutes = minutes.parse().ok()?;
                conditions.push(Condition { id: id.to_owned(), after_start: of_start.then_some(minutes) });
            }
        }
        Some(Self { any, conditions })
    }

    /// The jobs that it names, and those that these wait for, as far as squeue was not asked about them (`asked`).
    #[must_use]
    pub fn unknown(&self, jobs: &[Waited], asked: &[String]) -> Vec<String> {
        let further = jobs.iter().filter_map(|job| job.waits_for.as_ref());
        let conditions = std::iter::once(self).chain(further).flat_map(|dependency| &dependency.conditions);
        let mut ids: Vec<String> = conditions.map(|condition| condition.id.clone()).filter(|id| !asked.contains(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// From when on the job waits no longer, if squeue's answers are these.
    #[must_use]
    pub fn clear(&self, jobs: &[Waited]) -> Clear {
        let unknown = (Clear::Unknown, Clear::Unknown);
        let mut spans = vec![unknown; jobs.len()];
        for _ in 0..MOST_LINKS {
            let next: Vec<(Clear, Clear)> = jobs.iter().map(|job| job.span(jobs, &spans)).collect();
            if next == spans {
                break;
            }
            spans = next;
        }
        self.met(jobs, &spans)
    }

    fn met(&self, jobs: &[Waited], spans: &[(Clear, Clear)]) -> Clear {
        let conditions = self.conditions.iter().map(|condition| condition.met(jobs, spans));
        let all_or_any = if self.any { conditions.min() } else { conditions.max() };
        all_or_any.unwrap_or(Clear::Unknown)
    }
}

impl Condition {
    fn met(&self, jobs: &[Waited], spans: &[(Clear, Clear)]) -> Clear {
        let tasks = jobs.iter().zip(spans).filter(|(job, _)| job.is(&self.id));
        let of_task = |&(start, end): &(Clear, Clear)| match self.after_start {
            Some(minutes) => start.later(TimeDelta::minutes(minutes.into())),
            None => end,
        };
        tasks.map(|(_, span)| of_task(span)).max().unwrap_or(Clear::Now)
    }
}

impl Waited {
    /// Whether an id means it, or its array.
    fn is(&self, id: &str) -> bool {
        let array = self.id.split(['_', '+']).next().unwrap_or_default();
        let waits = self.id.contains('[');
        self.id == id || array == id || waits && id.split('_').next() == Some(array)
    }

    /// When it starts and ends, if the others do then.
    fn span(&self, jobs: &[Waited], spans: &[(Clear, Clear)]) -> (Clear, Clear) {
        let start = match (self.start, &self.waits_for) {
            (Some(start), _) => Clear::From(start),
            // Slurm estimates no start for it; it starts after those that it waits for.
            (None, Some(dependency)) => dependency.met(jobs, spans),
            (None, None) => Clear::Unknown,
        };
        let end = match (self.end, self.limit, start) {
            (Some(end), ..) => Clear::From(end),
            (None, Some(limit), Clear::From(_)) => start.later(limit),
            _ => Clear::Unknown,
        };
        (start, end)
    }
}

impl Clear {
    fn later(self, by: TimeDelta) -> Self {
        match self {
            Self::From(instant) => instant.checked_add_signed(by).map_or(Self::Unknown, Self::From),
            other => other,
        }
    }
}

/// Reads squeue's answer; lines that are no jobs are skipped.
#[must_use]
pub fn read_waited(text: &str) -> Vec<Waited> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<Waited> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[id, start, end, limit, waits_for, ..] = fields.as_slice() else { return None };
    if !id.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let limit = match parse_slurm_time(limit) {
        Ok(SlurmTime::Seconds(seconds)) => i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds),
        _ => None,
    };
    Some(Waited {
        id: id.to_owned(),
        start: start.parse().ok(),
        end: end.parse().ok(),
        limit,
        waits_for: Dependency::parse(waits_for),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(text: &str) -> Clear {
        Clear::From(text.parse().expect("a time"))
    }

    fn clear(dependency: &str, squeue: &str) -> Clear {
        Dependency::parse(dependency).expect(dependency).clear(&read_waited(squeue))
    }

    const QUEUE: &str = "7|2026-05-01T10:00:00|2026-05-01T14:00:00|4:00:00|(null)|
8_3|2026-05-01T09:00:00|2026-05-01T11:00:00|2:00:00|(null)|
8_[4-9]|2026-05-01T12:00:00|2026-05-01T15:30:00|3:30:00|(null)|
9|N/A|N/A|1:00:00|afterok:7(unfulfilled)|
10|N/A|N/A|UNLIMITED|afterany:9(unfulfilled)|
11|N/A|N/A|1:00:00|afterok:11(unfulfilled)|
";

    #[test]
    fn a_job_waits_for_the_end_or_the_start_of_those_that_it_names() {
        for (dependency, expected) in [
            ("afterok:7", from("2026-05-01T14:00:00")),
            ("after:7", from("2026-05-01T10:00:00")),
            ("after:7+90", from("2026-05-01T11:30:00")),
            ("afterok:7:8", from("2026-05-01T15:30:00")),
            ("afterany:8_3", from("2026-05-01T15:30:00")), // its array's waiting tasks are one line
            ("afterok:8_*", from("2026-05-01T15:30:00")),
            ("afterok:7?afterany:8", from("2026-05-01T14:00:00")),
            ("afterok:5", Clear::Now),
            ("afterok:5,afternotok:7", from("2026-05-01T14:00:00")),
            ("afterok:9", from("2026-05-01T15:00:00")), // a chain
            ("afterok:10", Clear::Unknown),
            ("after:10", from("2026-05-01T15:00:00")),
            ("afterok:10?afterok:7", from("2026-05-01T14:00:00")),
            ("afterok:11", Clear::Unknown), // it waits for itself
        ] {
            assert_eq!(clear(dependency, QUEUE), expected, "{dependency}");
        }
    }

    #[test]
    fn what_is_no_start_or_end_of_a_job_is_left_unread() {
        for text in ["", "singleton", "expand:7", "afterok", "afterok:", "afterok:x", "after:7+soon", "7", "(null)"] {
            assert_eq!(Dependency::parse(text), None, "{text}");
        }
    }

    #[test]
    fn those_that_are_waited_for_are_asked_about_once() {
        let dependency = Dependency::parse("afterok:10:7").expect("a dependency");
        assert_eq!(dependency.unknown(&[], &[]), ["10", "7"]);
        let asked = ["10".to_owned(), "7".to_owned()];
        let jobs = read_waited("10|N/A|N/A|1:00|afterany:9(unfulfilled),afterok:7(unfulfilled)|\n");
        assert_eq!(dependency.unknown(&jobs, &asked), ["9"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(option in ".{0,60}", queue in "(.{0,40}\n){0,5}") {
            if let Some(dependency) = Dependency::parse(&option) {
                let _ = dependency.clear(&read_waited(&queue)); // it ends
            }
        }
    }
}
