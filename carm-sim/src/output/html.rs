//! The page: one self-contained file with the charts. `Results::kept` has the first episode's world and every policy's slots for it.

use crate::run::Results;

/// The page, or why there is none.
///
/// # Errors
/// Always: the page is not drawn yet.
pub fn page(_results: &Results) -> Result<String, &'static str> {
    Err("the page is not drawn yet; give --json or --csv")
}
