//! Reads the trace files that the configuration names.

use std::path::Path;

use super::trace::{Trace, TraceError};

/// Reads one trace file.
///
/// # Errors
/// The file cannot be read, or a line of it is wrong.
pub fn trace(path: &Path) -> Result<Trace, TraceError> {
    let bytes = std::fs::read(path).map_err(|cause| TraceError::Read { path: path.to_owned(), cause })?;
    Trace::parse(&bytes, path)
}
