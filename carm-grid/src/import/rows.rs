//! Values by time, in any order: put in order, held against each other, and made whole, or refused.

use std::collections::BTreeMap;

use carm::quantity::{format_duration, format_instant};
use chrono::{DateTime, TimeDelta, Utc};

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
    columns: BTreeMap<Column, BTreeMap<DateTime<Utc>, f64>>,
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
    pub fn about(about: String) -> Self {
        Self { about, ..Self::default() }
    }

    /// Takes a value. One that stands twice must be the same.
    pub fn take(&mut self, column: Column, at: DateTime<Utc>, value: f64) -> Result<(), String> {
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
        let step = self.step.or_else(|| self.common_step()).ok_or("two rows at least, to tell the step")?;
        let main = self.columns.first_key_value().map(|(column, _)| *column).ok_or("no values")?;
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

    /// The most frequent distance of two values; the shortest of equally frequent ones.
    fn common_step(&self) -> Option<TimeDelta> {
        let (_, values) = self.columns.first_key_value()?;
        let mut counts: BTreeMap<TimeDelta, usize> = BTreeMap::new();
        let times: Vec<&DateTime<Utc>> = values.keys().collect();
        for pair in times.windows(2) {
            *counts.entry(*pair[1] - *pair[0]).or_default() += 1;
        }
        counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(step, _)| step)
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
