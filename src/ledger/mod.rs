//! The ledger: what jobs used and emitted. One append-only JSON-lines file per node and month; writer and reader here,
//! and the join of lines to runs and jobs.
//!
//! A line is one job's run on one node, or a day of it, keyed by cluster, job, run and node. Lines are only ever added; a torn or foreign
//! line costs itself and nothing else.

mod history;
mod join;
mod line;
mod lines;
mod once;
mod parts;
mod range;
mod read;
mod recent;
mod record;
mod span;
mod tally;
mod write;

pub use crate::grid::Intensity;
pub use history::{EarlierRun, NEWEST, Prediction, Workload, predict, runs_that_tell};
pub use join::{Job, NodeRun, Note, Run, join};
pub use line::{Gpus, Levels, Line, Text};
pub use lines::{MOST_FILE_BYTES, MOST_FILES, MOST_LINE_BYTES};
pub use once::has_line;
pub use parts::{Exit, Gpu, GridStep, LevelUsed, Mark, Meter, ProfileUsed, Step};
pub use read::{BadLine, Reading, of_job, read_dir};
pub use recent::earlier_runs;
pub use record::{RECORD_VERSION, Record};
pub use span::Span;
pub use tally::{Facility, Piece, Tally};
pub use write::{LedgerError, append, file_name};

#[cfg(test)]
mod tests;
