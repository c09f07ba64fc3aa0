//! Reads ledger files; a line that cannot be read is counted and named, never fatal.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Months, Utc};
use memchr::memmem::Finder;

use super::Record;
use super::lines::{MOST_FILE_BYTES, MOST_FILES, MOST_LINE_BYTES, for_each_line};
use crate::files::Folder;

/// A line that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: String,
}

/// What a ledger holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The lines that could be read, in order.
    pub records: Vec<Record>,
    /// Those that could not.
    pub bad: Vec<BadLine>,
    /// Files that could not be read, and why.
    pub bad_files: Vec<(PathBuf, String)>,
}

/// What [`of_job`] reads at most: a prolog or the governor waits for it.
const MOST_BYTES_OF_JOB: u64 = 1 << 30;

/// More lines are none of one job's: a thousand nodes for a hundred days.
const MOST_LINES_OF_JOB: usize = 100_000;

/// Reads every ledger file of a folder, in the order of their names. A folder that is not there holds nothing.
///
/// # Errors
/// The folder cannot be read.
pub fn read_dir(dir: &Path) -> std::io::Result<Reading> {
    let mut reading = Reading::default();
    let Some(folder) = folder(dir)? else { return Ok(reading) };
    for name in folder.names(MOST_FILES, |name| Path::new(name).extension().is_some_and(|ending| ending == "jsonl"))? {
        let path = dir.join(&name);
        let read = folder.file(&name).and_then(|file| {
            for_each_line(file, MOST_FILE_BYTES, |line, text| match text.map_or_else(too_long, Record::parse) {
                Ok(record) => reading.records.push(record),
                Err(cause) => reading.bad.push(BadLine { path: path.clone(), line, cause }),
            })
        });
        if let Err(error) = read {
            reading.bad_files.push((path, error.to_string()));
        }
    }
    count_once(&mut reading.records);
    Ok(reading)
}

/// The lines of one job in the files of every node of a folder, of the month of `at` and the month before. A folder or a
/// file that is not there holds nothing; of large files the ends are read.
///
/// # Errors
/// The folder cannot be read.
pub fn of_job(dir: &Path, cluster: &str, job: u32, at: DateTime<Utc>) -> std::io::Result<Reading> {
    let mut reading = Reading::default();
    let Some(folder) = folder(dir)? else { return Ok(reading) };
    // A month of a busy cluster is long: only lines that may be the job's are read as JSON.
    let finders = [format!("\"job\":{job},"), format!("\"job\": {job},")].map(|key| Finder::new(&key).into_owned());
    let may_be = |line: &[u8]| finders.iter().any(|finder| finder.find(line).is_some());
    let mut left = MOST_BYTES_OF_JOB;
    for month in [at, at - Months::new(1)] {
        let names = files_of_month(&folder, month)?;
        for (name, rest) in names.iter().zip((1..=names.len() as u64).rev()) {
            let read = folder.file(name).and_then(|file| {
                for_each_line(file, left / rest, |_, text| {
                    let record = text.filter(|line| may_be(line)).and_then(|line| Record::parse(line).ok());
                    let of_job = record.filter(|record| record.job == job && record.cluster == cluster);
                    reading.records.extend(of_job.filter(|_| reading.records.len() < MOST_LINES_OF_JOB));
                })
            });
            match read {
                Ok(bytes) => left -= bytes,
                Err(error) => reading.bad_files.push((dir.join(name), error.to_string())),
            }
        }
    }
    let records = &mut reading.records;
    count_once(records);
    records.sort_by(|a, b| (a.run, &a.node).cmp(&(b.run, &b.node)));
    Ok(reading)
}

/// Opens a ledger's folder; none where it is not there.
pub(super) fn folder(dir: &Path) -> std::io::Result<Option<Folder>> {
    match Folder::open(dir) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every node's file of a month, the last written first.
pub(super) fn files_of_month(folder: &Folder, at: DateTime<Utc>) -> std::io::Result<Vec<OsString>> {
    let ending = at.format(".%Y-%m.jsonl").to_string();
    let mut names = folder.names(MOST_FILES, |name| name.to_str().is_some_and(|name| name.ends_with(&ending)))?;
    names.sort_by_cached_key(|name| std::cmp::Reverse(folder.modified(name)));
    Ok(names)
}

fn too_long() -> Result<Record, String> {
    Err(format!("longer than {MOST_LINE_BYTES} bytes"))
}

/// Leaves one line for each span of a run, the last that was written: whoever writes a line may be killed before it can note
/// that, and then it is written again.
pub(super) fn count_once<R: std::borrow::Borrow<Record>>(records: &mut Vec<R>) {
    type Span = (String, u32, u32, String, Option<String>, Option<String>);
    let span = |record: &Record| -> Span {
        let (cluster, node) = (record.cluster.clone(), record.node.clone());
        (cluster, record.job, record.run, node, record.start.clone(), record.since.clone())
    };
    let mut seen = HashSet::new();
    let mut last: Vec<bool> = records.iter().rev().map(|record| seen.insert(span(record.borrow()))).collect();
    records.retain(|_| last.pop().unwrap_or(true));
}
