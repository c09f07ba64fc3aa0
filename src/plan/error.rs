//! What is wrong with a problem that cannot be planned at all: the field, its value and what is expected.
//!
//! A request that is well formed but cannot be met is no error; it is [`super::Infeasible`].

use thiserror::Error;

/// A number, list or combination of them that no plan can be made from.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number is not finite or outside its range.
    #[error("{field}: '{value}' is out of range; expected {expected}")]
    OutOfRange {
        /// Path of the field, such as `candidates[1].slots[4].g_per_kwh`.
        field: String,
        /// What stood there.
        value: f64,
        /// What may stand there, with its unit.
        expected: &'static str,
    },
    /// A list that needs at least one entry has none.
    #[error("{field}: is empty; expected {expected}")]
    Empty {
        /// Path of the list.
        field: String,
        /// What belongs in it.
        expected: &'static str,
    },
    /// An objective lacks the number that it is about.
    #[error("objective '{objective}': no {needs} is given; {expected}")]
    Missing {
        /// The objective's name.
        objective: &'static str,
        /// The field that it needs.
        needs: &'static str,
        /// The way out.
        expected: &'static str,
    },
    /// An index points past the end of its list.
    #[error("{field}: {index} is no entry of the {count} there are")]
    NoSuchEntry {
        /// What the index is called.
        field: &'static str,
        /// The index.
        index: usize,
        /// How many entries there are.
        count: usize,
    },
    /// A list of stretches is not one that a job can run: out of order, overlapping or outside the slots.
    #[error("segments[{index}]: {what}")]
    BadSegment {
        /// Which stretch.
        index: usize,
        /// What is wrong with it and what is expected.
        what: &'static str,
    },
}
