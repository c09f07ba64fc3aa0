//! Whether a line is in the ledger already: its writer may have been killed, or stuck, after it wrote the line.

use std::io::ErrorKind;
use std::path::Path;

use chrono::{DateTime, Months, Utc};
use memchr::memmem;

use super::lines::for_each_line;
use super::{LedgerError, Record, file_name};
use crate::files::Folder;

/// A line is written again soon after the first attempt, or after a time in which its file could not grow: it stands near the end.
const MOST_BYTES: u64 = 4 << 20;

/// Whether the end of a node's newest files holds a line of the job that `is` accepts.
///
/// # Errors
/// A file is there and cannot be read.
pub fn has_line(dir: &Path, node: &str, job: u32, at: DateTime<Utc>, is: impl Fn(&Record) -> bool) -> Result<bool, LedgerError> {
    let io = |path: &Path, cause| LedgerError::Io { path: path.to_owned(), cause };
    let is_absent = |error: &std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let folder = match Folder::open(dir) {
        Ok(folder) => folder,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(io(dir, error)),
    };
    let (key, spaced) = (format!("\"job\":{job},"), format!("\"job\": {job},"));
    let may_be = |line: &[u8]| [&key, &spaced].iter().any(|key| memmem::find(line, key.as_bytes()).is_some());
    let mut found = false;
    for month in [at, at - Months::new(1)] {
        let name = file_name(node, month);
        match folder.file(name.as_ref()) {
            Ok(file) => {
                _ = for_each_line(file, MOST_BYTES, |_, line| {
                    let record = line.filter(|line| may_be(line)).and_then(|line| serde_json::from_slice::<Record>(line).ok());
                    found |= record.is_some_and(|record| record.job == job && is(&record));
                })
                .map_err(|error| io(&dir.join(&name), error))?
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(io(&dir.join(&name), error)),
        }
    }
    Ok(found)
}
