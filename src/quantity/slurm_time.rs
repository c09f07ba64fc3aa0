//! Slurm's way to write a run time (`--time`, `--carbon-runtime`), as sbatch(1) lists it.

use super::QuantityError;

const EXPECTED: &str = "a Slurm time: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS";

/// The longest time accepted, in seconds: ten years.
const MAX_S: u64 = 10 * 366 * 86_400;

/// A time limit as Slurm knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlurmTime {
    /// Seconds.
    Seconds(u64),
    /// `UNLIMITED`, `INFINITE` or `-1`.
    Unlimited,
}

impl SlurmTime {
    /// The seconds, or `None` where there is no limit.
    #[must_use]
    pub fn seconds(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            Self::Unlimited => None,
        }
    }
}

/// Reads `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes`,
/// `days-hours:minutes:seconds`, `UNLIMITED`, `INFINITE` and `-1`, as sbatch(1) defines `--time`.
///
/// # Errors
/// Any other form, or over ten years.
pub fn parse_slurm_time(text: &str) -> Result<SlurmTime, QuantityError> {
    let refuse = || QuantityError::new("not a Slurm time", EXPECTED);
    if text.eq_ignore_ascii_case("unlimited") || text.eq_ignore_ascii_case("infinite") || text == "-1" {
        return Ok(SlurmTime::Unlimited);
    }
    let number = |part: &str| -> Result<u64, QuantityError> {
        if part.is_empty() || part.len() > 9 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        part.parse().map_err(|_| refuse())
    };
    let seconds = match text.split_once('-') {
        Some((days, rest)) => {
            // `1-` is a day: time_str2secs counts what it finds (22.05 to 26.05).
            let rest = if rest.is_empty() { "0" } else { rest };
            let parts = rest.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
            let rest_s = match parts[..] {
                [h] => h * 3_600,
                [h, m] => h * 3_600 + m * 60,
                [h, m, s] => h * 3_600 + m * 60 + s,
                _ => return Err(refuse()),
            };
            number(days)? * 86_400 + rest_s
        }
        None => {
            let parts = text.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
            match parts[..] {
                [m] => m * 60,
                [m, s] => m * 60 + s,
                [h, m, s] => h * 3_600 + m * 60 + s,
                _ => return Err(refuse()),
            }
        }
    };
    if seconds > MAX_S {
        return Err(QuantityError::new("longer than ten years", EXPECTED));
    }
    Ok(SlurmTime::Seconds(seconds))
}

/// Writes seconds as Slurm shows a limit: `[D-]HH:MM:SS`.
#[must_use]
pub fn format_slurm_time(seconds: u64) -> String {
    let (days, hours, minutes, secs) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    if days > 0 { format!("{days}-{hours:02}:{minutes:02}:{secs:02}") } else { format!("{hours:02}:{minutes:02}:{secs:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_that_sbatch_lists_is_read() {
        for (text, seconds) in [
            ("90", 5_400),
            ("2:30", 150),
            ("08:00:00", 28_800),
            ("1-12", 129_600),
            ("1-", 86_400),
            ("1-12:30", 131_400),
            ("1-12:30:15", 131_415),
            ("0", 0),
        ] {
            assert_eq!(parse_slurm_time(text), Ok(SlurmTime::Seconds(seconds)), "{text}");
        }
        for text in ["UNLIMITED", "infinite", "-1"] {
            assert_eq!(parse_slurm_time(text), Ok(SlurmTime::Unlimited), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for bad in
            ["", ":", "1:2:3:4", "-", "1-:", "-2", "1-2-3", "2h", "nan", "1.5", "1:", " 5", "99999999999", "9999-00", "5;id"]
        {
            let error = parse_slurm_time(bad).expect_err(bad);
            assert!(error.to_string().contains("HH:MM:SS"), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0..MAX_S) {
            prop_assert_eq!(parse_slurm_time(&format_slurm_time(seconds)), Ok(SlurmTime::Seconds(seconds)));
        }
    }
}
