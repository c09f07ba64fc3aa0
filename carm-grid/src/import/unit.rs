//! Units of a column of numbers, and which of a trace's columns it is.

use std::str::FromStr;

use super::rows::Column;

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    GramsPerKwh,
    KgPerMwh,
    PoundsPerMwh,
    TonnesPerMwh,
    Share,
    Percent,
    Watts,
    Kilowatts,
    Megawatts,
}

const ALL: [(&str, Unit); 9] = [
    ("g/kWh", Unit::GramsPerKwh),
    ("kg/MWh", Unit::KgPerMwh),
    ("lb/MWh", Unit::PoundsPerMwh),
    ("t/MWh", Unit::TonnesPerMwh),
    ("share", Unit::Share),
    ("percent", Unit::Percent),
    ("W", Unit::Watts),
    ("kW", Unit::Kilowatts),
    ("MW", Unit::Megawatts),
];

impl Unit {
    /// The column that a value of this unit stands in, and the factor to that column's own unit.
    pub fn column(self) -> (Column, f64) {
        match self {
            Self::GramsPerKwh | Self::KgPerMwh => (Column::Carbon, 1.0),
            // The international avoirdupois pound is 0.45359237 kg exactly.
            Self::PoundsPerMwh => (Column::Carbon, 0.453_592_37),
            Self::TonnesPerMwh => (Column::Carbon, 1e3),
            Self::Share => (Column::Share, 1.0),
            Self::Percent => (Column::Share, 0.01),
            Self::Watts => (Column::Onsite, 1.0),
            Self::Kilowatts => (Column::Onsite, 1e3),
            Self::Megawatts => (Column::Onsite, 1e6),
        }
    }
}

impl FromStr for Unit {
    type Err = String;

    // The letters' case counts: mW is no MW.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || ALL.map(|(name, _)| name).join(", ");
        ALL.into_iter().find(|(name, _)| *name == text).map(|(_, unit)| unit).ok_or_else(|| format!("give one of {}", known()))
    }
}
