//! Reads ledger files; a line that cannot be read is counted and named, never fatal.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Months, Utc};

use super::{RECORD_VERSION, Record};
use crate::text::parser_message;

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
}

/// Reads every ledger file of a folder, in the order of their names. A folder that is not there holds nothing.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn read_dir(dir: &Path) -> std::io::Result<Reading> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Reading::default()),
        Err(error) => return Err(error),
    };
    paths.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    paths.sort();
    let mut all = Reading::default();
    for path in paths {
        let one = read_file(&path, |_| true)?;
        all.records.extend(one.records);
        all.bad.extend(one.bad);
    }
    count_once(&mut all.records);
    Ok(all)
}

/// Reads one ledger file, keeping the records that `keep` wants.
///
/// # Errors
/// The file cannot be read.
pub fn read_file(path: &Path, keep: impl Fn(&Record) -> bool) -> std::io::Result<Reading> {
    read_lines(path, |_| true, keep)
}

/// The lines of one job in the files of every node of a folder, of the month of `at` and the month before. A folder or a
/// file that is not there holds nothing.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn of_job(dir: &Path, cluster: &str, job: u32, at: DateTime<Utc>) -> std::io::Result<Vec<Record>> {
    let months = [at, at - Months::new(1)].map(|at| at.format(".%Y-%m.jsonl").to_string());
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // A month of a busy cluster is long: only lines that may be the job's are read as JSON.
    let (id, spaced) = (format!("\"job\":{job},"), format!("\"job\": {job},"));
    let may_be = |line: &[u8]| std::str::from_utf8(line).is_ok_and(|line| line.contains(&id) || line.contains(&spaced));
    let mut records = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_str().is_some_and(|name| months.iter().any(|month| name.ends_with(month))) {
            records.extend(read_lines(&path, may_be, |record| record.job == job && record.cluster == cluster)?.records);
        }
    }
    count_once(&mut records);
    records.sort_by(|a, b| (a.run, &a.node).cmp(&(b.run, &b.node)));
    Ok(records)
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

fn read_lines(path: &Path, may_be: impl Fn(&[u8]) -> bool, keep: impl Fn(&Record) -> bool) -> std::io::Result<Reading> {
    let mut reading = Reading::default();
    let mut reader = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    let mut line = 0;
    loop {
        text.clear();
        if reader.read_until(b'\n', &mut text)? == 0 {
            return Ok(reading);
        }
        line += 1;
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() || !may_be(trimmed) {
            continue;
        }
        let cause = match serde_json::from_slice::<Record>(trimmed) {
            Ok(record) if record.version <= RECORD_VERSION => {
                if keep(&record) {
                    reading.records.push(record);
                }
                continue;
            }
            Ok(record) => format!("version {} is newer than this program's {RECORD_VERSION}", record.version),
            Err(error) => parser_message(&error.to_string()),
        };
        reading.bad.push(BadLine { path: path.to_owned(), line, cause });
    }
}
