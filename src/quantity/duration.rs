//! Durations with a unit (`50ms`, `0.2s`, `90m`, `24h`, `7d`), as in `--carbon-max-delay` and carm.toml.

use super::{QuantityError, parse_plain_number, split_unit};

const EXPECTED: &str = "a duration with its unit, such as 50ms, 0.2s, 90m, 24h, 7d or 2w";

/// The longest duration accepted, in seconds: ten years.
const MAX_S: f64 = 10.0 * 366.0 * 86_400.0;

/// The shortest duration above zero, in seconds. Written out in plain digits, as it travels to the node, anything
/// shorter would be longer than the numbers that are read.
const MIN_S: f64 = 1e-6;

/// Reads a duration in seconds. Units: `ms`, `s`, `m`, `h`, `d`, `w`. A bare number is refused: Slurm reads it as
/// minutes in one place and as seconds in another.
///
/// # Errors
/// Anything that is no number with one of these units, or that is over ten years or under a microsecond. Zero is a duration.
pub fn parse_duration(text: &str) -> Result<f64, QuantityError> {
    let not_a_duration = || QuantityError::new("not a duration", EXPECTED);
    let (number, unit) = split_unit(text);
    let number = parse_plain_number(number).ok_or_else(not_a_duration)?;
    // A division by a whole number is exact where a product with 0.001 is not.
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        "d" => number * 86_400.0,
        "w" => number * 604_800.0,
        "" => return Err(QuantityError::new("the unit is missing", EXPECTED)),
        _ => return Err(not_a_duration()),
    };
    if seconds > MAX_S {
        return Err(QuantityError::new("longer than ten years", EXPECTED));
    }
    if seconds > 0.0 && seconds < MIN_S {
        return Err(QuantityError::new("shorter than a microsecond", EXPECTED));
    }
    Ok(seconds)
}

/// A duration for people, to the second below an hour and to the minute above: `45 s`, `12 min 30 s`, `3 h 20 min`, `2 d 4 h`.
#[must_use]
pub fn format_duration(seconds: f64) -> String {
    // A negative or non-finite duration has no reading of its own; casts saturate, so neither can panic.
    let total = seconds.max(0.0).round() as u64;
    let (days, hours, minutes, secs) = (total / 86_400, total / 3_600 % 24, total / 60 % 60, total % 60);
    let two = |a: u64, unit_a: &str, b: u64, unit_b: &str| {
        if b == 0 { format!("{a} {unit_a}") } else { format!("{a} {unit_a} {b} {unit_b}") }
    };
    if days > 0 {
        two(days, "d", hours, "h")
    } else if hours > 0 {
        two(hours, "h", minutes, "min")
    } else if minutes > 0 {
        two(minutes, "min", secs, "s")
    } else {
        format!("{secs} s")
    }
}

/// A duration as people say it, in one unit: `20 s`, `5 min`, `3 h`, `4 d`. For ages and the like, where more would be noise.
#[must_use]
pub fn rough_duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 59.5 => (s.max(0.0), "s"),
        s if s < 59.5 * 60.0 => (s / 60.0, "min"),
        s if s < 47.5 * 3_600.0 => (s / 3_600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    format!("{} {unit}", super::decimals(value, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_seconds() {
        for (text, seconds) in [
            ("50ms", 0.05),
            ("0.001ms", 1e-6),
            ("0.2s", 0.2),
            ("90m", 5400.0),
            ("90min", 5400.0),
            ("24h", 86_400.0),
            ("7d", 604_800.0),
            ("2w", 1_209_600.0),
            ("0s", 0.0),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_because_its_unit_would_be_a_guess() {
        assert_eq!(parse_duration("90").expect_err("bare").cause, "the unit is missing");
        for bad in ["", "h", "-1h", "1e3s", "nan", "1 h", "5y", "1h30m", "999999d", "0.0009ms"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_shown_with_two_units_at_most() {
        assert_eq!(format_duration(45.2), "45 s");
        assert_eq!(format_duration(750.0), "12 min 30 s");
        assert_eq!(format_duration(12_000.0), "3 h 20 min");
        assert_eq!(format_duration(187_200.0), "2 d 4 h");
        assert_eq!(format_duration(-3.0), "0 s");
        assert_eq!(format_duration(f64::NAN), "0 s");
    }

    #[test]
    fn an_age_is_said_in_one_unit() {
        let said = [0.4, 59.0, 60.0, 3_500.0, 3_590.0, 10_800.0, 100_000.0, 200_000.0].map(rough_duration);
        assert_eq!(said, ["0 s", "59 s", "1 min", "58 min", "1 h", "3 h", "28 h", "2 d"]);
    }
}
