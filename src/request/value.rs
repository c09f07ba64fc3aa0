//! From an option's text to a checked value: one function, one error.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{Argument, CarbonOption, CarbonRequest};
use crate::plan::Objective;
use crate::quantity::{self, Moment, QuantityError, SlurmTime};
use crate::text::ascii;

/// The longest text taken from a user for one option, in bytes.
const MAX_TEXT: usize = 256;

/// The longest text of a job's name: 128 characters of four bytes, each escaped.
const MAX_NAME: usize = 128 * 4 * 3;

impl Objective {
    /// As users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Performance => "performance",
            Self::Carbon => "carbon",
            Self::Ppc => "ppc",
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Objective {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        match text {
            "performance" => Ok(Self::Performance),
            "carbon" => Ok(Self::Carbon),
            "ppc" => Ok(Self::Ppc),
            _ => Err(QuantityError { cause: "not an objective".into(), expected: "performance, carbon or ppc" }),
        }
    }
}

/// The name of a GPU workload profile: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. It is matched to a profile's `name` field and
/// never joined into a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileName(String);

impl ProfileName {
    /// A name that stands in the source and follows the rule.
    pub(crate) fn from_static(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ProfileName {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let well_formed = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(QuantityError {
                cause: "not a profile name".into(),
                expected: "up to 64 letters, digits, dots, underscores and dashes, such as resnet50-train",
            })
        }
    }
}

/// A job's name as the ledger's history is keyed by it: UTF-8, legible, 128 characters at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobName(String);

impl JobName {
    /// Any text becomes a job name: Slurm's own rule is laxer still.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(crate::text::job_name(text))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in ASCII, for a variable: `%E8` for a byte that is no printable ASCII character, and for `%`. No two names
    /// have the same.
    fn escaped(&self) -> String {
        let escape = |byte: u8| match byte {
            b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        self.0.bytes().map(escape).collect()
    }

    /// The name of an escaped text; what is no escape stands for itself.
    fn from_escaped(text: &str) -> Self {
        let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
        while let [byte, tail @ ..] = rest {
            let hex = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            (bytes, rest) = match (byte, tail) {
                (b'%', [high, low, behind @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                    bytes.extend(hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low));
                    (bytes, behind)
                }
                _ => {
                    bytes.push(*byte);
                    (bytes, tail)
                }
            };
        }
        Self::new(&String::from_utf8_lossy(&bytes))
    }
}

/// GPU counts that a job can use: rising, without duplicates, at least one, each from 1 to 1024.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers(Vec<u32>);

impl Workers {
    /// The counts, rising.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.0
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) if last > first && (last - first) as usize + 1 == self.0.len() => {
                write!(f, "{first}-{last}")
            }
            _ => f.write_str(&self.0.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

impl std::str::FromStr for Workers {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let refuse =
            || QuantityError { cause: "not a list of GPU counts".into(), expected: "1-8 or 1,2,4,8 (each from 1 to 1024)" };
        let count = |part: &str| -> Result<u32, QuantityError> {
            let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            let n = if digits { part.parse().map_err(|_| refuse())? } else { return Err(refuse()) };
            if (1..=1024).contains(&n) { Ok(n) } else { Err(refuse()) }
        };
        let mut counts = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((low, high)) => {
                    let (low, high) = (count(low)?, count(high)?);
                    if low > high {
                        return Err(refuse());
                    }
                    counts.extend(low..=high);
                }
                None => counts.push(count(part)?),
            }
        }
        counts.sort_unstable();
        counts.dedup();
        let workers = Self(counts);
        // Written out it must stay within the bound on a variable's text.
        if workers.to_string().len() > MAX_TEXT { Err(refuse()) } else { Ok(workers) }
    }
}

/// The job checkpoints and may be paused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspend {
    /// What one restart costs, in seconds at full clock; zero where the user named none.
    pub restart_cost_s: f64,
}

/// A malformed option: which, what was written, why not, and what would do. Its text is the one line that users see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{}: '{}': {reason}", .option.spec().flag, ascii(.text))]
pub struct OptionError {
    /// The option.
    pub option: CarbonOption,
    /// What was written.
    pub text: String,
    /// The cause and the way out.
    pub reason: QuantityError,
}

/// Slurm hands an option without argument to nested commands as the text `(null)`.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|t| !t.is_empty() && *t != "(null)")
}

/// The longest text of an option, in bytes.
pub(super) fn max_text(option: CarbonOption) -> usize {
    if option == CarbonOption::Name { MAX_NAME } else { MAX_TEXT }
}

pub(super) fn set(
    request: &mut CarbonRequest,
    option: CarbonOption,
    text: Option<&str>,
    moment: &Moment,
) -> Result<(), OptionError> {
    let refuse = |reason: QuantityError| OptionError { option, text: text.unwrap_or_default().to_owned(), reason };
    let text = match (option.spec().argument, given(text)) {
        (Argument::Required(_), None) => {
            return Err(refuse(QuantityError { cause: "a value is missing".into(), expected: option.spec().help }));
        }
        (_, Some(text)) if text.len() > max_text(option) => {
            return Err(refuse(QuantityError {
                cause: format!("longer than {} characters", max_text(option)),
                expected: option.spec().help,
            }));
        }
        (Argument::None, Some(_)) => {
            return Err(refuse(QuantityError { cause: "this option takes no value".into(), expected: "the option alone" }));
        }
        (_, text) => text.unwrap_or_default(),
    };
    (|| {
        match option {
            CarbonOption::Budget => {
                (request.budget_g, request.budget_share) = match quantity::parse_share(text) {
                    Some(share) => (None, Some(share?)),
                    None => (Some(quantity::parse_mass(text)?), None),
                }
            }
            CarbonOption::BudgetShare => request.budget_share = Some(share(text)?),
            CarbonOption::Objective => request.objective = Some(text.parse()?),
            CarbonOption::Deadline => request.deadline = Some(quantity::parse_deadline(text, moment)?),
            CarbonOption::Latency => request.latency_s = Some(positive_duration(text)?),
            CarbonOption::Runtime => request.runtime_s = Some(positive_slurm_time(text)?),
            CarbonOption::Profile => request.profile = Some(text.parse()?),
            CarbonOption::Workers => request.workers = Some(text.parse()?),
            CarbonOption::Suspend => {
                let restart_cost_s = if text.is_empty() { 0.0 } else { quantity::parse_duration(text)? };
                request.suspend = Some(Suspend { restart_cost_s });
            }
            CarbonOption::MaxDelay => request.max_delay_s = Some(quantity::parse_duration(text)?),
            CarbonOption::Off => request.off = true,
            CarbonOption::LaterS => request.later_s = Some(whole_seconds(text)?),
            CarbonOption::WorkS => request.work_s = Some(whole_seconds(text)?),
            CarbonOption::Name => request.name = Some(JobName::from_escaped(text)),
            CarbonOption::Asked => request.asked = Some(quantity::parse_instant(text)?),
        }
        Ok(())
    })()
    .map_err(refuse)
}

fn positive_duration(text: &str) -> Result<f64, QuantityError> {
    match quantity::parse_duration(text)? {
        seconds if seconds > 0.0 => Ok(seconds),
        _ => Err(QuantityError { cause: "zero".into(), expected: "a duration above zero, such as 50ms or 0.2s" }),
    }
}

fn positive_slurm_time(text: &str) -> Result<u64, QuantityError> {
    match quantity::parse_slurm_time(text)? {
        SlurmTime::Seconds(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(QuantityError { cause: "not a run time".into(), expected: "minutes, HH:MM:SS or D-HH, above zero" }),
    }
}

/// A share above 0 and up to 10, as it is written for the node.
fn share(text: &str) -> Result<f64, QuantityError> {
    let refuse = || QuantityError { cause: "not a share".into(), expected: "a number above 0 and up to 10" };
    let plain = text.len() <= 24 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|&share: &f64| plain && share > 0.0 && share <= 10.0).ok_or_else(refuse)
}

/// Whole seconds above zero and up to ten years: what carm-submit writes into its hidden options.
fn whole_seconds(text: &str) -> Result<u64, QuantityError> {
    let refuse = || QuantityError { cause: "not whole seconds".into(), expected: "seconds from 1 to 315360000" };
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(seconds) if digits && (1..=315_360_000).contains(&seconds) => Ok(seconds),
        _ => Err(refuse()),
    }
}

/// How each value is written: normalised (grams, seconds, RFC 3339 UTC), so that reading it needs neither the time nor
/// the time zone. `None`: the request does not name this option.
pub(super) fn normalised(request: &CarbonRequest, option: CarbonOption) -> Option<String> {
    let seconds = |s: f64| format!("{s}s");
    let whole = |instant: DateTime<Utc>| quantity::format_instant(instant);
    match option {
        CarbonOption::Budget => request.budget_g.map(|g| format!("{g}")),
        CarbonOption::BudgetShare => request.budget_share.map(|share| format!("{share}")),
        CarbonOption::Objective => request.objective.map(|o| o.name().to_owned()),
        CarbonOption::Deadline => request.deadline.map(whole),
        CarbonOption::Latency => request.latency_s.map(seconds),
        CarbonOption::Runtime => request.runtime_s.map(quantity::format_slurm_time),
        CarbonOption::Profile => request.profile.as_ref().map(ToString::to_string),
        CarbonOption::Workers => request.workers.as_ref().map(ToString::to_string),
        CarbonOption::Suspend => request.suspend.map(|s| seconds(s.restart_cost_s)),
        CarbonOption::MaxDelay => request.max_delay_s.map(seconds),
        CarbonOption::Off => request.off.then(|| "1".to_owned()),
        CarbonOption::LaterS => request.later_s.map(|s| s.to_string()),
        CarbonOption::WorkS => request.work_s.map(|s| s.to_string()),
        CarbonOption::Name => request.name.as_ref().map(JobName::escaped),
        CarbonOption::Asked => request.asked.map(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::parse_instant;

    fn set_one(option: CarbonOption, text: Option<&str>) -> Result<CarbonRequest, OptionError> {
        let moment = Moment { now: parse_instant("2026-05-01T00:00:00Z").expect("a time"), local: &|wall| Some(wall.and_utc()) };
        let mut request = CarbonRequest::default();
        request.set(option, text, &moment).map(|()| request)
    }

    #[test]
    fn the_last_value_wins_and_a_bad_one_changes_nothing() {
        let moment = Moment { now: parse_instant("2026-05-01T00:00:00Z").expect("a time"), local: &|wall| Some(wall.and_utc()) };
        let mut request = CarbonRequest::default();
        for text in ["5kg", "5kg", "2kg"] {
            request.set(CarbonOption::Budget, Some(text), &moment).expect(text);
        }
        assert_eq!(request.budget_g, Some(2000.0));
        request.set(CarbonOption::Budget, Some("lots"), &moment).expect_err("not a mass");
        assert_eq!(request.budget_g, Some(2000.0));
    }

    #[test]
    fn a_budget_is_a_mass_or_a_share() {
        let share = set_one(CarbonOption::Budget, Some("80%")).expect("a share");
        assert_eq!((share.budget_g, share.budget_share), (None, Some(0.8)));
        assert_eq!(share.objective_or(Objective::Ppc), Objective::Carbon);
        let mass = set_one(CarbonOption::Budget, Some("2kg")).expect("a mass");
        assert_eq!(share.clone().over(mass.clone()), share);
        assert_eq!(mass.clone().over(share), mass);
        let error = set_one(CarbonOption::Budget, Some("0%")).expect_err("nothing");
        assert_eq!(error.to_string(), "--carbon-budget: '0%': not a share; give a share such as 80%, above 0 %");
    }

    #[test]
    fn a_malformed_value_gives_one_line_with_option_value_and_way_out() {
        let error = set_one(CarbonOption::Budget, Some("5 apples")).expect_err("not a mass");
        assert_eq!(
            error.to_string(),
            "--carbon-budget: '5 apples': not a mass; give a mass such as 500g, 1.2kg or 0.3t (a bare number is grams)"
        );
        let error = set_one(CarbonOption::Profile, Some("../../etc/passwd")).expect_err("a path");
        assert!(error.to_string().starts_with("--carbon-profile: '../../etc/passwd': not a profile name; give"), "{error}");
    }

    #[test]
    fn user_text_cannot_break_the_line_of_a_message() {
        let error = set_one(CarbonOption::Objective, Some("ppc\nsbatch: error: \u{1b}[31mfake")).expect_err("not an objective");
        assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
        let long = "x".repeat(10_000);
        assert!(set_one(CarbonOption::Objective, Some(&long)).expect_err("long").to_string().len() < 400);
    }

    #[test]
    fn null_empty_and_the_text_null_are_no_argument() {
        for none in [None, Some(""), Some("(null)")] {
            assert_eq!(set_one(CarbonOption::Suspend, none).expect("no cost").suspend, Some(Suspend { restart_cost_s: 0.0 }));
            assert!(set_one(CarbonOption::Off, none).expect("off").off);
            assert!(set_one(CarbonOption::Budget, none).expect_err("missing").to_string().contains("a value is missing"));
        }
    }

    #[test]
    fn hostile_values_are_refused_by_every_option_that_takes_one() {
        let hostile = [
            "-1",
            "nan",
            "NaN",
            "inf",
            "1e99",
            "$(reboot)",
            "`id`",
            "a;b",
            "é",
            "\u{0}",
            "' or 1=1",
            "%s%n",
            "99999999999999999999",
        ];
        for spec in super::super::OPTIONS.iter().filter(|s| s.option != CarbonOption::Name) {
            for text in hostile {
                // A profile may well be called nan: it is a name, and only ever compared.
                let is_name = spec.option == CarbonOption::Profile && text.bytes().all(|b| b.is_ascii_alphanumeric());
                assert_eq!(set_one(spec.option, Some(text)).is_ok(), is_name, "--{}={text:?}", spec.flag);
            }
        }
    }

    #[test]
    fn job_names_are_escaped_and_come_back() {
        for (name, escaped) in [
            ("train v2", "train v2"),
            ("训练", "%E8%AE%AD%E7%BB%83"),
            ("ДА", "%D0%94%D0%90"),
            ("100%", "100%25"),
            ("%E8", "%25E8"),
        ] {
            let job = JobName::new(name);
            assert_eq!((job.as_str(), job.escaped().as_str()), (name, escaped));
            assert_eq!(JobName::from_escaped(escaped), job);
        }
        assert_eq!(JobName::from_escaped("50% %zz %E8").as_str(), "50% %zz \u{fffd}");
    }

    #[test]
    fn worker_counts_are_lists_and_ranges() {
        assert_eq!("1-4".parse::<Workers>().expect("range").counts(), [1, 2, 3, 4]);
        assert_eq!("8,1,2,2".parse::<Workers>().expect("list").counts(), [1, 2, 8]);
        for bad in ["0", "4-1", "1,", "-", "1-", "1-2000", "1,a", ""] {
            assert!(bad.parse::<Workers>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_budget_alone_means_carbon_and_a_deadline_alone_performance() {
        let budget = set_one(CarbonOption::Budget, Some("1kg")).expect("budget");
        let deadline = set_one(CarbonOption::Deadline, Some("now+1h")).expect("deadline");
        assert_eq!(budget.objective_or(Objective::Ppc), Objective::Carbon);
        assert_eq!(deadline.clone().objective_or(Objective::Ppc), Objective::Performance);
        assert_eq!(deadline.over(budget).objective_or(Objective::Ppc), Objective::Carbon);
        assert_eq!(CarbonRequest::default().objective_or(Objective::Ppc), Objective::Ppc);
    }
}
