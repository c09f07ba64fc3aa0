//! Reads the newest part of a ledger, bounded: whoever waits for the answer is at a prompt, or is slurmd before a job.
//!
//! A ledger grows for years. Of the newest months' files only the ends are read, no more bytes than the caller allows, and
//! only lines that hold the searched words are looked at as JSON. What lies further back is not found, and that is no error.

use std::path::Path;

use chrono::{DateTime, Months, Utc};
use memchr::memmem::Finder;

use super::Record;
use super::history::{EarlierRun, NEWEST, Workload, is_default_name, runs_that_tell};
use super::lines::for_each_line;
use super::read::{files_of_month, folder};

/// Runs of half a year ago tell little of today's.
const MONTHS: u32 = 6;

/// The least that is read of one file: where there are more files than the bound has room for, the least recently written
/// ones are left out.
const LEAST_OF_A_FILE: u64 = 64 << 10;

/// The runs that tell of this workload, newest first, from the newest files of a folder, until there are [`NEWEST`] or
/// `most_bytes` are read. A folder or file that is not there holds nothing.
///
/// # Errors
/// The folder cannot be read.
pub fn earlier_runs(dir: &Path, of: &Workload, now: DateTime<Utc>, most_bytes: u64) -> std::io::Result<Vec<EarlierRun>> {
    let Some(folder) = folder(dir)?.filter(|_| !is_default_name(of.name)) else { return Ok(Vec::new()) };
    // The name as JSON writes it, and the user's number.
    let finders = [serde_json::Value::from(of.name).to_string(), of.uid.to_string()].map(|key| Finder::new(&key).into_owned());
    let may_be = |line: &[u8]| finders.iter().all(|finder| finder.find(line).is_some());
    let is_of = |record: &Record| record.uid == Some(of.uid) && record.name.as_deref() == Some(of.name);
    let (mut left, mut records, mut runs) = (most_bytes, Vec::new(), Vec::new());
    for back in 0..MONTHS {
        let names = files_of_month(&folder, now - Months::new(back))?;
        let count = names.len() as u64;
        for (name, rest) in names.iter().zip((1..=count).rev()) {
            let most = (left / rest).max(LEAST_OF_A_FILE).min(left);
            if most == 0 {
                break;
            }
            let read = folder.file(name).and_then(|file| {
                for_each_line(file, most, |_, text| {
                    let record = text.filter(|line| may_be(line)).and_then(|line| Record::parse(line).ok());
                    records.extend(record.filter(is_of));
                })
            });
            // A file that cannot be read hides nothing of the others.
            left -= read.unwrap_or(0);
        }
        runs = runs_that_tell(&records, of);
        if runs.len() >= NEWEST || left == 0 {
            break;
        }
    }
    Ok(runs)
}
