//! What figures and marks are called in front of people.

use carm::ledger::{Exit, Intensity, Mark};
use carm::quantity::decimals;
use chrono::{DateTime, Local, Utc};

/// An instant in local time.
pub fn local(instant: DateTime<Utc>) -> String {
    instant.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

/// An instant in local time, for a narrow column.
pub fn local_short(instant: DateTime<Utc>) -> String {
    instant.with_timezone(&Local).format("%-d %b %H:%M").to_string()
}

/// From when to when, in local time; the day once where it is the same.
pub fn local_span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let to_local = to.with_timezone(&Local);
    let same_day = from.with_timezone(&Local).date_naive() == to_local.date_naive();
    format!("{} to {}", local(from), if same_day { to_local.format("%H:%M").to_string() } else { local(to) })
}

/// Milliseconds since 1970 as an instant.
pub fn instant(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// An energy with three digits and its unit.
pub fn energy(kwh: f64) -> String {
    let (value, unit) = match kwh.abs() {
        v if v >= 999.5 => (kwh / 1e3, "MWh"),
        v if v >= 0.9995 || v == 0.0 => (kwh, "kWh"),
        _ => (kwh * 1e3, "Wh"),
    };
    format!("{} {unit}", decimals(value, digits(value)))
}

/// Decimals that leave three digits.
pub fn digits(value: f64) -> usize {
    match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    }
}

/// A part as a percentage; what is small is not nothing.
pub fn percent(part: f64) -> String {
    match (part * 100.0).abs() {
        v if v > 0.0 && v < 0.5 => "under 1 %".to_owned(),
        v if v < 100.0 && v > 99.5 => "over 99 %".to_owned(),
        _ => format!("{} %", decimals(part * 100.0, 0)),
    }
}

/// Which intensity carbon is made of.
pub fn intensity(intensity: Intensity) -> &'static str {
    match intensity {
        Intensity::Average => "average",
        Intensity::Marginal => "marginal",
    }
}

/// How a job ended.
pub fn exit(exit: Option<Exit>) -> String {
    match exit {
        None => "ended, exit not recorded".to_owned(),
        Some(exit) if exit.is_success() => "completed (exit code 0)".to_owned(),
        Some(Exit { code, signal: 0 }) => format!("failed (exit code {code})"),
        Some(Exit { signal, .. }) => format!("ended by signal {signal}"),
    }
}

/// A mark as the ledger names it.
pub fn mark_name(mark: Mark) -> String {
    serde_json::to_value(mark).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What a mark means to whoever reads the figures.
pub fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::NoProlog => {
            "the prolog never ran or could not take the job up: nothing before its end is known, and nothing is booked"
        }
        Mark::LimitUnknown => "full clock, because the time limit was not known",
        Mark::WorkUnknown => "full clock, because the run time was not known (--carbon-runtime tells it)",
        Mark::RequestRefused => "full clock, because the carbon request could not be used",
        Mark::NoGrid => "no grid data: carbon of this time is not counted, which does not mean that there was none",
        Mark::EnergyLost => "a GPU's energy is not known, and is not counted",
        Mark::SharedGpu => "another job was on one of the GPUs; its energy is split evenly",
        Mark::ClocksUntouched => "a clock was wanted and could not be set",
        Mark::OverBudget => "the budget could not be met at any clock",
        Mark::LatencyUnknown => "full clock, because the profile tells no latency of this card",
        Mark::Unconfigured => "the node's configuration could not be used: no clock was set, no carbon counted",
        Mark::CutShort => "prolog or epilog was cut short: what is missing is not known",
        Mark::NoEpilog => "the epilog never came; the account was closed when the job was found gone",
        Mark::OtherHand => "something other than CARM moved the clocks",
        Mark::Throttled => "the card slowed itself down: heat or a power limit",
        Mark::ClocksOff => "full clock, because the node only measures (clocks = \"off\")",
        Mark::Other => "a mark of a later release",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energies_have_three_digits_and_the_unit_that_suits_them() {
        for (kwh, text) in [
            (0.0, "0.00 kWh"),
            (-0.0, "0.00 kWh"),
            (-0.000_000_1, "0.00 Wh"),
            (0.000_45, "0.45 Wh"),
            (0.25, "250 Wh"),
            (1.234, "1.23 kWh"),
            (45.67, "45.7 kWh"),
            (12_345.6, "12.3 MWh"),
        ] {
            assert_eq!(energy(kwh), text);
        }
    }

    #[test]
    fn a_small_part_is_not_nothing() {
        assert_eq!([-0.0, 0.0, 0.001, 0.126, 0.999, 1.0].map(percent), ["0 %", "0 %", "under 1 %", "13 %", "over 99 %", "100 %"]);
    }
}
