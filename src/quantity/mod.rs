//! Quantities as people write them: masses, durations, Slurm times, instants.
//!
//! Each parser takes text that a user (or an attacker) wrote and gives a checked value or an error that says what was
//! expected. Nothing here reads the time or the time zone: [`Moment`] carries both in.

mod duration;
mod instant;
mod mass;
mod past;
mod slurm_clock;
mod slurm_time;

pub use duration::{format_duration, parse_duration, rough_duration};
pub use instant::{Moment, format_instant, parse_deadline, parse_instant, parse_time, parse_trace_time};
pub use mass::{format_mass, parse_mass, parse_share};
pub use past::parse_past;
pub use slurm_clock::parse_slurm_clock;
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

/// A number with fixed decimals. What rounds to zero has no sign: no `-0`, no `-0.00`.
#[must_use]
pub fn decimals(value: f64, count: usize) -> String {
    let text = format!("{value:.count$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|b| matches!(b, b'0' | b'.')) => zero.to_owned(),
        _ => text,
    }
}

/// A sum that is 0 where there is nothing to add: `Iterator::sum` of no floats is -0 from Rust 1.83 on.
#[must_use]
pub fn total(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |sum, value| sum + value)
}

/// A count with its noun: `1 job`, `2 jobs`. For nouns whose plural ends in -s.
#[must_use]
pub fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    // A count is no negative number.
    match count.try_into().unwrap_or(0) {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
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
    fn zero_has_no_sign() {
        for (value, count, text) in
            [(-0.0, 0, "0"), (-0.0, 2, "0.00"), (-0.004, 2, "0.00"), (-0.4, 0, "0"), (-0.006, 2, "-0.01"), (-5.0, 0, "-5")]
        {
            assert_eq!(decimals(value, count), text);
        }
        let nothing: f64 = [0.0_f64; 0].iter().sum();
        assert_eq!([nothing, -0.0].map(format_mass), ["0.00 g", "0.00 g"]);
        assert_eq!((rough_duration(-0.4), format_mass(-0.000_1).as_str()), ("0 s".to_owned(), "0.000 g"));
        assert!(total([]).is_sign_positive() && total([-0.0]).is_sign_positive());
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "job")), ["0 jobs", "1 job", "2 jobs"]);
        assert_eq!(counted(1_usize, "line"), "1 line");
    }

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
