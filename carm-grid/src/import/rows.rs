//! Values by time, in any order: put in order, held against each other, and made whole, or refused.

use std::collections::BTreeMap;

use carm::grid::trace::in_range;
use carm::quantity::{counted, format_duration, format_instant};
use carm::request::printable;
use chrono::{DateTime, TimeDelta, Utc};

use super::steps::{Turn, Values, common_step, is_jittered, minute};

/// A column of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    Carbon,
    Share,
    Onsite,
}

impl Column {
    /// Its name in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Self::Carbon => "carbon_g_per_kwh",
            Self::Share => "renewable_share",
            Self::Onsite => "onsite_w",
        }
    }
}

/// The gaps that are listed before they are only counted.
const TOLD: usize = 5;

/// What a file says.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// What the values are, for the head of the trace.
    pub about: String,
    /// How long a value holds, where the file tells.
    pub step: Option<TimeDelta>,
    /// Whether on-site power below zero counts as zero.
    clamp: bool,
    clamped: usize,
    columns: BTreeMap<Column, Values>,
}

/// Words of tables for a value that is not there.
const NONE: [&str; 7] = ["", "nan", "null", "none", "na", "n/a", "-"];

/// A cell's number; none where it says that there is none.
pub fn number(text: &str) -> Result<Option<f64>, String> {
    let text = text.trim();
    if NONE.iter().any(|none| text.eq_ignore_ascii_case(none)) {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.map(Some).ok_or_else(|| format!("'{}': not a number", printable(text)))
}

/// A trace's values without a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    pub about: String,
    /// What was filled, for the head of the trace.
    pub filled: Vec<String>,
    pub times: Vec<DateTime<Utc>>,
    pub columns: Vec<(Column, Vec<f64>)>,
}

impl Rows {
    /// None yet, of what is said of them.
    pub fn about(about: String, clamp: bool) -> Self {
        Self { about, clamp, ..Self::default() }
    }

    /// Takes a value; none is a gap. One that stands twice must be the same.
    pub fn take(&mut self, column: Column, at: DateTime<Utc>, value: Option<f64>) -> Result<(), String> {
        let Some(mut value) = value else { return Ok(()) };
        if column == Column::Onsite && value < 0.0 {
            if !self.clamp {
                return Err(format!(
                    "{} '{value}': below zero, as an inverter's own draw at night; --clamp counts it as zero",
                    column.name()
                ));
            }
            value = 0.0;
            self.clamped += 1;
        }
        let value = in_range(column.name(), value).map_err(|hint| format!("{} '{value}': {hint}", column.name()))?;
        let before = self.columns.entry(column).or_default().insert(at, value);
        match before {
            Some(before) if before != value => {
                let (name, at) = (column.name(), format_instant(at));
                Err(format!("{name}: two values for {at}: {before} and {value}; take the wrong one out"))
            }
            _ => Ok(()),
        }
    }

    /// The columns on common times, without gaps.
    pub fn whole(mut self, fill: Option<TimeDelta>, longest: bool, remarks: &mut Vec<String>) -> Result<Whole, String> {
        if self.clamped > 0 {
            let values = counted(self.clamped, "value");
            remarks.push(format!("{values} of {} below zero counted as zero", Column::Onsite.name()));
        }
        let main = self.columns.first_key_value().map(|(column, _)| *column).ok_or("no values")?;
        let step = self.regular(main, remarks)?;
        let mut filled = Vec::new();
        for (column, values) in &mut self.columns {
            filled.extend(fill.iter().flat_map(|&most| filled_up(*column, values, step, most)));
        }
        remarks.extend(filled.iter().cloned());
        let values = self.columns.remove(&main).unwrap_or_default();
        let gaps = gaps(&values, step);
        let mut times: Vec<DateTime<Utc>> = values.keys().copied().collect();
        if !gaps.is_empty() {
            let told = told(main, &gaps);
            if !longest {
                let way_out =
                    "--fill=DURATION draws a line across gaps up to so long, --longest keeps the longest stretch without one";
                return Err(format!("{told}; {way_out}"));
            }
            times = longest_stretch(&times, step);
            remarks.push(format!(
                "{told}; kept from {} to {}",
                format_instant(times[0]),
                format_instant(times[times.len() - 1] + step)
            ));
        }
        if times.len() < 2 {
            return Err("two rows in a row at least".to_owned());
        }
        let of =
            |values: &BTreeMap<DateTime<Utc>, f64>| times.iter().map(|at| values.get(at).copied()).collect::<Option<Vec<f64>>>();
        let mut columns = Vec::new();
        columns.extend(of(&values).map(|values| (main, values)));
        for (column, values) in &self.columns {
            match of(values) {
                Some(values) => columns.push((*column, values)),
                None => remarks.push(format!("{}: not for all times of {}; left out", column.name(), main.name())),
            }
        }
        Ok(Whole { about: self.about, filled, times, columns })
    }

    /// Puts times on whole minutes and on one step, where the file's jitter or change; that step.
    fn regular(&mut self, main: Column, remarks: &mut Vec<String>) -> Result<TimeDelta, String> {
        let times = |columns: &BTreeMap<Column, Values>| -> Vec<_> {
            columns.get(&main).into_iter().flatten().map(|(at, _)| *at).collect()
        };
        if is_jittered(&times(&self.columns)) {
            for (column, values) in &mut self.columns {
                let count = values.len();
                *values = std::mem::take(values).into_iter().map(|(at, value)| (minute(at), value)).collect();
                if values.len() < count {
                    return Err(format!("{}: two values in one minute; times jitter by seconds", column.name()));
                }
            }
            remarks.push("times jitter by seconds; each counts as the nearest whole minute".to_owned());
        }
        let times = times(&self.columns);
        if let Some(step) = self.step {
            return Ok(step);
        }
        if let Some(turn) = Turn::of(&times) {
            self.columns.values_mut().for_each(|values| turn.shorten(values));
            remarks.push(turn.remark());
            return Ok(turn.short);
        }
        common_step(&times).ok_or_else(|| "two rows at least, to tell the step".to_owned())
    }
}

type Gap = (DateTime<Utc>, DateTime<Utc>);

fn gaps(values: &BTreeMap<DateTime<Utc>, f64>, step: TimeDelta) -> Vec<Gap> {
    let times: Vec<DateTime<Utc>> = values.keys().copied().collect();
    times.windows(2).filter(|pair| pair[1] - pair[0] > step).map(|pair| (pair[0] + step, pair[1])).collect()
}

fn told(column: Column, gaps: &[Gap]) -> String {
    let gap = |(from, to): &Gap| format!("{} to {}", format_instant(*from), format_instant(*to));
    let shown: Vec<String> = gaps.iter().take(TOLD).map(gap).collect();
    let more = gaps.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let count = if gaps.len() == 1 { "a gap".to_owned() } else { format!("{} gaps", gaps.len()) };
    format!("{}: {count}: {}{more}", column.name(), shown.join(", "))
}

/// Fills the gaps that are no longer than `most` with a straight line, and says so.
fn filled_up(column: Column, values: &mut BTreeMap<DateTime<Utc>, f64>, step: TimeDelta, most: TimeDelta) -> Vec<String> {
    let mut said = Vec::new();
    for (from, to) in gaps(values, step).into_iter().filter(|(from, to)| *to - *from <= most) {
        let before = from - step;
        let (Some(&first), Some(&last)) = (values.get(&before), values.get(&to)) else { continue };
        let whole = (to - before).as_seconds_f64();
        let (mut at, mut count) = (from, 0);
        while at < to {
            values.insert(at, first + (last - first) * (at - before).as_seconds_f64() / whole);
            at += step;
            count += 1;
        }
        let span = format_duration((to - from).as_seconds_f64());
        let steps = if count == 1 { "step" } else { "steps" };
        said.push(format!("{}: filled from {} for {span} ({count} {steps}), a line", column.name(), format_instant(from)));
    }
    said
}

fn longest_stretch(times: &[DateTime<Utc>], step: TimeDelta) -> Vec<DateTime<Utc>> {
    let stretches = times.chunk_by(|a, b| *b - *a <= step);
    let length = |stretch: &&[DateTime<Utc>]| stretch[stretch.len() - 1] - stretch[0];
    // The latest of equally long ones.
    stretches.max_by_key(length).unwrap_or_default().to_vec()
}
