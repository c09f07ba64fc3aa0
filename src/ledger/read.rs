//! Reads ledger files; a line that cannot be read is counted and named, never fatal.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{RECORD_VERSION, Record};

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
    Ok(all)
}

/// Reads one ledger file, keeping the records that `keep` wants.
///
/// # Errors
/// The file cannot be read.
pub fn read_file(path: &Path, keep: impl Fn(&Record) -> bool) -> std::io::Result<Reading> {
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
        if trimmed.is_empty() {
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
            Err(error) => error.to_string(),
        };
        reading.bad.push(BadLine { path: path.to_owned(), line, cause });
    }
}
