//! Appends a line, so that it is whole on disk or not there.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::Record;
use super::lines::MOST_LINE_BYTES;
use crate::files::Folder;
use crate::text;

/// A line could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The record is no JSON: a figure is not finite.
    #[error("job {job}: cannot be written as JSON: {cause}")]
    Record {
        /// The job.
        job: u32,
        /// Why.
        cause: serde_json::Error,
    },
}

/// The ledger file of a node for the month of an instant: `NODE.2026-05.jsonl`. Characters that are no part of a host name
/// become `_`: the node's name comes from the environment.
#[must_use]
pub fn file_name(node: &str, at: DateTime<Utc>) -> String {
    // 200: with month and ending it stays a legal file name.
    let safe: String =
        node.chars().take(200).map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    let safe = safe.trim_start_matches('.');
    format!("{}.{}.jsonl", if safe.is_empty() { "unnamed" } else { safe }, at.format("%Y-%m"))
}

/// Appends one line to the node's file of the month of `at`, and makes sure that it is on disk.
///
/// # Errors
/// The folder cannot be made, the file cannot be written, or the record holds a figure that JSON cannot.
pub fn append(dir: &Path, record: &Record, at: DateTime<Utc>) -> Result<PathBuf, LedgerError> {
    let name = file_name(&record.node, at);
    let path = dir.join(&name);
    let io = |cause| LedgerError::Io { path: path.clone(), cause };
    let json = |record: &Record| serde_json::to_string(record).map_err(|cause| LedgerError::Record { job: record.job, cause });
    let mut line = json(record)?;
    if line.len() > MOST_LINE_BYTES {
        // Only the grid can be so long: a trace of seconds over weeks.
        line = json(&Record { grid: Vec::new(), ..record.clone() })?;
    }
    let mut line = (text::json(&line) + "\n").into_bytes();
    // Who may read others' jobs is the admin's: an existing folder keeps its mode.
    let folder = Folder::open_or_make(dir, 0o750).map_err(|cause| LedgerError::Io { path: dir.to_owned(), cause })?;
    let mut file = folder.append(name.as_ref(), 0o640).map_err(io)?;
    if ends_torn(&mut file).map_err(io)? {
        line.insert(0, b'\n');
    }
    // One write: with O_APPEND lines of several writers do not mix.
    file.write_all(&line).and_then(|()| file.sync_data()).map_err(io)?;
    Ok(path)
}

/// Whether a crash left a line without its end.
fn ends_torn(file: &mut std::fs::File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last[0] != b'\n')
}
