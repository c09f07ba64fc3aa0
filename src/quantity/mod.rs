//! Quantities as people write them: masses, durations, Slurm times, instants.
//!
//! Each parser takes text that a user (or an attacker) wrote and gives a checked value or an error that says what was
//! expected. Nothing here reads the time or the time zone: [`Moment`] carries both in.

mod duration;
mod instant;
mod mass;
mod past;
mod slurm_time;

pub use duration::{format_duration, parse_duration, rough_duration};
pub use instant::{Moment, format_instant, parse_deadline, parse_instant, parse_trace_time};
pub use mass::{format_mass, parse_mass};
pub use past::parse_past;
pub use slurm_time::{SlurmTime, format_slurm_time, parse_slurm_time};

/// What is wrong with a piece of text that should have been a quantity: the cause, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}; give {expected}")]
pub struct QuantityError {
    /// What is wrong, in a few words.
    pub cause: String,
    /// What would have been accepted, as a table of examples.
    pub expected: &'static str,
}

impl QuantityError {
    fn new(cause: impl Into<String>, expected: &'static str) -> Self {
        Self { cause: cause.into(), expected }
    }
}

/// A plain decimal number: digits with at most one point. No sign, no exponent, no `nan`, no `inf`: Rust's own parser
/// takes all of these, and none of them is a mass or a duration.
fn parse_plain_number(text: &str) -> Option<f64> {
    let well_formed = text.len() <= 24
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.bytes().filter(|&b| b == b'.').count() <= 1;
    if well_formed { text.parse().ok() } else { None }
}

/// Splits `1.5kg` into `1.5` and `kg`.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_has_no_sign_exponent_or_name() {
        for good in ["0", "12", "1.5", ".5", "5."] {
            assert!(parse_plain_number(good).is_some(), "{good}");
        }
        for bad in ["", ".", "-1", "+1", "1e3", "nan", "inf", "1.2.3", "1 ", "0x10", "1234567890123456789012345", "٣"] {
            assert!(parse_plain_number(bad).is_none(), "{bad}");
        }
    }
}
