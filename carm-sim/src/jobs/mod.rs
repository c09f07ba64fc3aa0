//! Jobs: what is submitted, when, and what is asked of it. Read from traces in the formats in which clusters publish them, or made up;
//! [`rules`] makes a scenario's jobs of them, [`service`] its inference.

mod made_up;
mod pai;
mod philly;
pub mod rules;
mod sacct;
pub mod service;
mod swf;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::scenario::JobSource;

/// A job of an episode. Instants are hours after the episode's begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// When it is submitted.
    pub submit_h: f64,
    /// GPUs requested.
    pub gpus: u32,
    /// Its work: run time at full clock with the requested GPUs on a card of throughput 1, h. Nobody knows it before the job
    /// has ended.
    pub work_h: f64,
    /// What its user says of that.
    pub said_work_h: f64,
    /// The user's time limit, h.
    pub limit_h: f64,
    /// Finish by.
    pub deadline_h: Option<f64>,
    /// The longest deferral that its user accepts, h.
    pub max_delay_h: f64,
    /// The carbon budget, g.
    pub budget_g: Option<f64>,
    /// Other GPU counts that it can use.
    pub widths: Vec<u32>,
    /// Its workload: an index into [`crate::world::World::workloads`].
    pub workload: usize,
    /// The site that its user would have chosen.
    pub home: usize,
    /// Inference: runs from submission to its time limit.
    pub service: Option<service::Demand>,
}

impl Job {
    /// GPU-hours at full clock: PPC's numerator.
    #[must_use]
    pub fn work_gpu_h(&self) -> f64 {
        f64::from(self.gpus) * self.work_h
    }
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Its name there.
    pub name: String,
    /// Hours after the trace's begin.
    pub submit_h: f64,
    /// Processors, by the trace's own measure.
    pub units: f64,
    /// How long it ran, h.
    pub run_h: f64,
    /// The time limit that its user gave, h.
    pub limit_h: Option<f64>,
    /// A deadline, h after submission.
    pub deadline_after_h: Option<f64>,
}

/// A trace of jobs, in the order of submission.
#[derive(Debug, Clone, PartialEq)]
pub struct JobTrace {
    /// The jobs.
    pub submissions: Vec<Submission>,
    /// When the trace begins, where it has dates.
    pub begins: Option<DateTime<Utc>>,
    /// The rows that could not be read, where there are some: of accounting, whose job names may hold anything.
    pub skipped: Option<Skipped>,
}

/// Rows that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub rows: usize,
    /// What is wrong with the first: file, line and value.
    pub first: String,
}

impl Skipped {
    /// One more.
    fn count(skipped: &mut Option<Self>, fault: &JobsError) {
        skipped.get_or_insert_with(|| Self { rows: 0, first: fault.to_string() }).rows += 1;
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rows {
            1 => write!(f, "{}; this row is skipped", self.first),
            rows => write!(f, "{}; {rows} such rows are skipped", self.first),
        }
    }
}

/// What is wrong with a job trace; the text names file, line and value.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what is expected.
        cause: String,
    },
}

/// Reads a job trace. A file whose name ends in `.gz` is unpacked.
///
/// # Errors
/// The file cannot be read, or a line of it is wrong.
pub fn read(source: JobSource, path: &Path) -> Result<JobTrace, JobsError> {
    let unread = |cause| JobsError::Read { path: path.to_owned(), cause };
    let bytes = std::fs::read(path).map_err(unread)?;
    let text = if path.extension().is_some_and(|ending| ending == "gz") {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut text).map_err(unread)?;
        text
    } else if source == JobSource::Sacct {
        // Job names are in whatever encoding their users had.
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        String::from_utf8(bytes).map_err(|error| unread(std::io::Error::other(error)))?
    };
    parse(source, &text, path)
}

/// Reads a job trace from its text; `path` is for messages.
///
/// # Errors
/// A line is wrong.
pub fn parse(source: JobSource, text: &str, path: &Path) -> Result<JobTrace, JobsError> {
    let mut trace = match source {
        JobSource::Pai => pai::parse(text, path)?,
        JobSource::Philly => philly::parse(text, path)?,
        JobSource::Sacct => sacct::parse(text, path)?,
        JobSource::Swf => swf::parse(text, path)?,
        JobSource::MadeUp => JobTrace { submissions: Vec::new(), begins: None, skipped: None },
    };
    trace.submissions.sort_by(|a, b| a.submit_h.total_cmp(&b.submit_h));
    Ok(trace)
}

/// A CSV table by the names of its columns, its faults by line.
struct Table<'a> {
    path: &'a Path,
    columns: csv::StringRecord,
    reader: csv::Reader<&'a [u8]>,
}

impl<'a> Table<'a> {
    fn open(text: &'a str, path: &'a Path, delimiter: u8, needed: &[&str]) -> Result<Self, JobsError> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).quoting(delimiter == b',').from_reader(text.as_bytes());
        let columns = reader.headers().map_err(|error| fault(path, 1, error))?.clone();
        let table = Self { path, columns, reader };
        match needed.iter().find(|name| table.column(name).is_none()) {
            Some(missing) => Err(fault(path, 1, format!("no column {missing}; give a header with {}", needed.join(", ")))),
            None => Ok(table),
        }
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.trim().eq_ignore_ascii_case(name))
    }

    /// The next row, with its line.
    fn next(&mut self) -> Result<Option<(csv::StringRecord, u64)>, JobsError> {
        let mut row = csv::StringRecord::new();
        match self.reader.read_record(&mut row) {
            Ok(true) => {
                let line = row.position().map_or(0, csv::Position::line);
                Ok(Some((row, line)))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                Err(fault(self.path, line, error))
            }
        }
    }
}

fn fault(path: &Path, line: u64, cause: impl std::fmt::Display) -> JobsError {
    JobsError::Line { path: path.to_owned(), line, cause: cause.to_string() }
}

/// A number of 0 or more.
fn number(path: &Path, line: u64, what: &str, text: &str) -> Result<f64, JobsError> {
    match text.trim().parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err(fault(path, line, format!("{what}: '{}': not a number of 0 or more", carm::request::printable(text)))),
    }
}

pub(crate) use made_up::made_up;
