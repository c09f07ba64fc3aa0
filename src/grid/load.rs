//! Reads the trace files that the configuration names.

use std::path::Path;

use super::trace::{Trace, TraceError};
use crate::files;

/// A larger file is no trace: a year in steps of a minute is 21 MB.
const MOST_BYTES: u64 = 256 << 20;

/// Reads one trace file.
///
/// # Errors
/// The file cannot be read, or a line of it is wrong.
pub fn trace(path: &Path) -> Result<Trace, TraceError> {
    let bytes = files::read(path, MOST_BYTES).map_err(|cause| TraceError::Read { path: path.to_owned(), cause })?;
    Trace::parse(&bytes, path)
}
