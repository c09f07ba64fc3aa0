//! Reads the newest part of a ledger, bounded: whoever waits for the answer is at a prompt, or is slurmd before a job.
//!
//! A ledger grows for years. Of the newest months' files only the ends are read, no more bytes than the caller allows, and
//! only lines that hold the searched words are looked at as JSON. What lies further back is not found, and that is no error.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Months, Utc};
use memchr::memmem::Finder;

use super::history::{EarlierRun, NEWEST, Workload, runs_that_tell};
use super::{RECORD_VERSION, Record};

/// Runs of half a year ago tell little of today's.
const MONTHS: u32 = 6;

/// The least that is read of one file: where there are more files than the bound has room for, the least recently written
/// ones are left out.
const LEAST_OF_A_FILE: u64 = 64 << 10;

/// The runs that tell of this workload, newest first, from the newest files of a folder, until there are [`NEWEST`] or
/// `most_bytes` are read. A folder or file that is not there holds nothing.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn earlier_runs(dir: &Path, of: &Workload, now: DateTime<Utc>, most_bytes: u64) -> std::io::Result<Vec<EarlierRun>> {
    let (mut left, mut records, mut runs) = (most_bytes, Vec::new(), Vec::new());
    for back in 0..MONTHS {
        let files = files_of_month(dir, now - Months::new(back))?;
        let count = files.len() as u64;
        for (file, rest) in files.iter().zip((1..=count).rev()) {
            let most = (left / rest).max(LEAST_OF_A_FILE).min(left);
            left -= read_end(file, most, of, &mut records)?;
        }
        runs = runs_that_tell(&records, of);
        if runs.len() >= NEWEST || left == 0 {
            break;
        }
    }
    Ok(runs)
}

/// Every node's file of a month, the last written first.
fn files_of_month(dir: &Path, at: DateTime<Utc>) -> std::io::Result<Vec<PathBuf>> {
    let ending = at.format(".%Y-%m.jsonl").to_string();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(&ending)) {
            let written = entry.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((written, entry.path()));
        }
    }
    files.sort_by(|a, b| b.cmp(a));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Adds the lines of a workload among the last `most` bytes of a file; how many bytes were read.
fn read_end(path: &Path, most: u64, of: &Workload, records: &mut Vec<Record>) -> std::io::Result<u64> {
    if most == 0 {
        return Ok(0);
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let from = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    // A file that grows meanwhile is not read past the bound.
    file.take(most).read_to_end(&mut text)?;
    // The first line is cut, but where the file begins with it.
    let begins = if from == 0 { 0 } else { memchr::memchr(b'\n', &text).map_or(text.len(), |at| at + 1) };
    let lines = text.get(begins..).unwrap_or_default();
    records.extend(lines_of(lines, of).filter_map(|line| {
        let record = serde_json::from_slice::<Record>(line).ok()?;
        (record.version <= RECORD_VERSION && record.uid == Some(of.uid) && record.name.as_deref() == Some(of.name))
            .then_some(record)
    }));
    Ok(text.len() as u64)
}

/// The lines that hold the name as JSON writes it and the user's number.
fn lines_of<'a>(text: &'a [u8], of: &Workload) -> impl Iterator<Item = &'a [u8]> {
    let name = Finder::new(&serde_json::Value::from(of.name).to_string()).into_owned();
    let uid = Finder::new(&of.uid.to_string()).into_owned();
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = name.find(rest)?;
            let begin = memchr::memrchr(b'\n', &rest[..at]).map_or(0, |end| end + 1);
            let end = memchr::memchr(b'\n', &rest[at..]).map_or(rest.len(), |end| at + end);
            let line = &rest[begin..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if uid.find(line).is_some() {
                return Some(line);
            }
        }
    })
}
