//! A trace: CSV with a header, RFC 3339 times, and at least one of carbon intensity, renewable share and on-site power.
//!
//! Checked row by row, so that an error names its line. A trace says what it holds and nothing more: times before the
//! first row or after the last are "no data".

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::signal::{Signal, Step};
use crate::quantity::{counted, parse_trace_time};
use crate::request::printable;

const CARBON: &str = "carbon_g_per_kwh";
/// The band of a forecast: optional, both or neither.
const LOW: &str = "carbon_low_g_per_kwh";
const HIGH: &str = "carbon_high_g_per_kwh";
const SHARE: &str = "renewable_share";
const ONSITE: &str = "onsite_w";

/// Above this an intensity is in another unit: the dirtiest plants emit some 2,000 g/kWh (lignite, marginal).
const MAX_G_PER_KWH: f64 = 10_000.0;

/// One trace: signals that share their instants.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Grid carbon intensity in g/kWh.
    pub carbon_g_per_kwh: Option<Signal>,
    /// Renewable share of the grid's power, 0..1.
    pub renewable_share: Option<Signal>,
    /// On-site generation in watts.
    pub onsite_w: Option<Signal>,
}

/// What is wrong with a trace; the text names file, line and value.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what is expected.
        cause: String,
    },
}

impl Trace {
    /// Reads a trace from a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// The first fault, with its line: no header, an unknown column, a time that is not RFC 3339 or has no zone, a time
    /// that does not rise (duplicate), a gap longer than the trace's common step, a value that is no number, negative or
    /// out of its range, a missing value, fewer than two rows.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, TraceError> {
        Rows::read(bytes, path)?.into_trace()
    }
}

/// The rows as read, each column apart.
struct Rows<'a> {
    path: &'a Path,
    times: Vec<DateTime<Utc>>,
    lines: Vec<u64>,
    carbon: Option<Vec<f64>>,
    low: Option<Vec<f64>>,
    high: Option<Vec<f64>>,
    share: Option<Vec<f64>>,
    onsite: Option<Vec<f64>>,
}

impl<'a> Rows<'a> {
    fn read(bytes: &[u8], path: &'a Path) -> Result<Self, TraceError> {
        let refuse = |line: u64, cause: String| TraceError::Line { path: path.to_owned(), line, cause };
        // Spreadsheets write a byte order mark in front of UTF-8.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(bytes);
        let broken = |error: &csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            let cause = match error.kind() {
                csv::ErrorKind::Utf8 { .. } => "not UTF-8 text".to_owned(),
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("{} where the header names {expected_len}", counted(*len, "value"))
                }
                other => format!("not CSV: {other:?}"),
            };
            refuse(line, cause)
        };
        let headers = reader.headers().map_err(|e| broken(&e))?.clone();
        let known = [("time", 0), (CARBON, 1), (SHARE, 2), (ONSITE, 3), (LOW, 4), (HIGH, 5)];
        let mut columns = [None; 6];
        for (index, name) in headers.iter().enumerate() {
            let Some(&(_, column)) = known.iter().find(|(known, _)| *known == name) else {
                let cause = format!(
                    "column '{}' is unknown; a trace has time and one or more of {CARBON}, {SHARE}, {ONSITE}",
                    printable(name)
                );
                return Err(refuse(1, cause));
            };
            if columns[column].replace(index).is_some() {
                return Err(refuse(1, format!("column '{name}' stands twice")));
            }
        }
        let Some(time_column) = columns[0] else {
            return Err(refuse(1, format!("no column 'time'; the first line names the columns: time,{CARBON}")));
        };
        if columns[1..4].iter().all(Option::is_none) {
            return Err(refuse(1, format!("no column beside 'time'; give one or more of {CARBON}, {SHARE}, {ONSITE}")));
        }
        if columns[4].is_some() != columns[5].is_some() || columns[4].is_some() && columns[1].is_none() {
            return Err(refuse(1, format!("{LOW} and {HIGH} stand together, beside {CARBON}; give all three or {CARBON} alone")));
        }
        let mut rows = Self {
            path,
            times: Vec::new(),
            lines: Vec::new(),
            carbon: columns[1].map(|_| Vec::new()),
            low: columns[4].map(|_| Vec::new()),
            high: columns[5].map(|_| Vec::new()),
            share: columns[2].map(|_| Vec::new()),
            onsite: columns[3].map(|_| Vec::new()),
        };
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|e| broken(&e))? {
            let line = record.position().map_or(0, csv::Position::line);
            let text = record.get(time_column).unwrap_or_default();
            let time = parse_trace_time(text).ok_or_else(|| {
                refuse(line, format!("time '{}': not RFC 3339 with a zone; write 2026-05-01T18:00:00Z", printable(text)))
            })?;
            if let Some(&last) = rows.times.last()
                && time <= last
            {
                let what = if time == last { "stands twice" } else { "is before the line above" };
                return Err(refuse(line, format!("time {} {what}; times must rise", printable(text))));
            }
            rows.times.push(time);
            rows.lines.push(line);
            let cells = [
                (CARBON, columns[1], &mut rows.carbon),
                (SHARE, columns[2], &mut rows.share),
                (ONSITE, columns[3], &mut rows.onsite),
                (LOW, columns[4], &mut rows.low),
                (HIGH, columns[5], &mut rows.high),
            ];
            for (name, column, values) in cells {
                if let (Some(column), Some(values)) = (column, values) {
                    values.push(value(name, record.get(column).unwrap_or_default()).map_err(|cause| refuse(line, cause))?);
                }
            }
            if let (Some(carbon), Some(low), Some(high)) = (&rows.carbon, &rows.low, &rows.high)
                && let (Some(&carbon), Some(&low), Some(&high)) = (carbon.last(), low.last(), high.last())
                && !(low..=high).contains(&carbon)
            {
                return Err(refuse(line, format!("{CARBON} {carbon}: outside its own band, {low} to {high}")));
            }
        }
        Ok(rows)
    }

    fn into_trace(self) -> Result<Trace, TraceError> {
        let Some(step) = common_step(&self.times) else {
            let line = self.lines.last().copied().unwrap_or(1);
            let cause = "a trace needs two rows at least: the last value holds for the common step".to_owned();
            return Err(TraceError::Line { path: self.path.to_owned(), line, cause });
        };
        if let Some(at) = self.times.windows(2).position(|pair| pair[1] - pair[0] > step) {
            let (before, after) = (self.times[at], self.times[at + 1]);
            let cause = format!("a gap: {} follows {}, but the common step is {} s", after, before, step.num_seconds());
            return Err(TraceError::Line { path: self.path.to_owned(), line: self.lines[at + 1], cause });
        }
        let end = self.times[self.times.len() - 1] + step;
        let steps = |values: Option<Vec<f64>>| -> Option<Vec<Step>> {
            Some(self.times.iter().zip(values?).map(|(&from, value)| Step::exact(from, value)).collect())
        };
        let mut carbon = steps(self.carbon);
        if let (Some(carbon), Some(low), Some(high)) = (&mut carbon, self.low, self.high) {
            for (step, (low, high)) in carbon.iter_mut().zip(low.into_iter().zip(high)) {
                (step.low, step.high) = (low, high);
            }
        }
        let signal = |steps: Option<Vec<Step>>| Signal::new(steps?, end);
        Ok(Trace {
            carbon_g_per_kwh: signal(carbon),
            renewable_share: signal(steps(self.share)),
            onsite_w: signal(steps(self.onsite)),
        })
    }
}

fn value(column: &str, text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Err(format!("{column}: the value is missing"));
    }
    let value: f64 = text.parse().map_err(|_| format!("{column} '{}': not a number", printable(text)))?;
    in_range(column, value).map_err(|hint| format!("{column} '{}': {hint}", printable(text)))
}

/// A value of a column.
///
/// # Errors
/// It is no number or out of the column's range: what the column holds.
pub fn in_range(column: &str, value: f64) -> Result<f64, &'static str> {
    let (high, hint) = match column {
        SHARE => (1.0, "a share is from 0 to 1 (45 % is 0.45)"),
        CARBON | LOW | HIGH => (MAX_G_PER_KWH, "carbon intensity is in grams per kWh, from 0 to 10000"),
        _ => (1e12, "on-site power is in watts, zero or more"),
    };
    if (0.0..=high).contains(&value) { Ok(value) } else { Err(hint) }
}

/// The most frequent distance between two rows; the shorter of two equally frequent ones. `None` below two rows.
fn common_step(times: &[DateTime<Utc>]) -> Option<TimeDelta> {
    let mut counts = std::collections::BTreeMap::new();
    for pair in times.windows(2) {
        *counts.entry(pair[1] - pair[0]).or_insert(0_usize) += 1;
    }
    // max_by_key keeps the last of equals; the reversed walk makes that the shortest.
    counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Trace, TraceError> {
        Trace::parse(text.as_bytes(), Path::new("de.csv"))
    }

    fn message(text: &str) -> String {
        parse(text).expect_err("a fault").to_string()
    }

    #[test]
    fn a_trace_holds_its_columns_and_the_last_value_holds_for_the_common_step() {
        let trace =
            parse("time,carbon_g_per_kwh,onsite_w\n2026-05-01T00:00:00Z,100,0\n2026-05-01T01:00Z,200,50.5\n").expect("a trace");
        let carbon = trace.carbon_g_per_kwh.expect("carbon");
        assert_eq!(carbon.steps().iter().map(|s| s.value).collect::<Vec<_>>(), [100.0, 200.0]);
        assert_eq!(carbon.end(), parse_trace_time("2026-05-01T02:00Z").expect("a time"));
        assert_eq!(trace.onsite_w.expect("on-site").steps()[1].value, 50.5);
        assert_eq!(trace.renewable_share, None);
    }

    #[test]
    fn a_forecast_may_carry_its_band() {
        let head = "time,carbon_g_per_kwh,carbon_low_g_per_kwh,carbon_high_g_per_kwh\n";
        let trace = parse(&format!("{head}2026-05-01T00:00Z,100,90,130\n2026-05-01T01:00Z,200,200,200\n")).expect("a trace");
        let carbon = trace.carbon_g_per_kwh.expect("carbon");
        assert_eq!((carbon.steps()[0].low, carbon.steps()[0].high, carbon.has_band()), (90.0, 130.0, true));
        let outside = message(&format!("{head}2026-05-01T00:00Z,100,110,130\n"));
        assert_eq!(outside, "de.csv:2: carbon_g_per_kwh 100: outside its own band, 110 to 130");
        assert!(message("time,carbon_g_per_kwh,carbon_low_g_per_kwh\n").contains("stand together"));
    }

    #[test]
    fn windows_line_ends_a_byte_order_mark_and_an_offset_are_read() {
        let trace = parse("\u{feff}time,renewable_share\r\n2026-05-01T02:00:00+02:00,0.4\r\n2026-05-01T03:00:00+02:00,0.5\r\n");
        let share = trace.expect("a trace").renewable_share.expect("share");
        assert_eq!(share.start(), parse_trace_time("2026-05-01T00:00Z").expect("a time"));
    }

    #[test]
    fn every_fault_names_its_line_and_the_way_out() {
        let head = "time,carbon_g_per_kwh\n2026-05-01T00:00Z,100\n2026-05-01T01:00Z,100\n2026-05-01T02:00Z,100\n";
        for (rows, expected) in [
            (
                "2026-05-01T04:00Z,100\n",
                "de.csv:5: a gap: 2026-05-01 04:00:00 UTC follows 2026-05-01 02:00:00 UTC, but the common step is 3600 s",
            ),
            ("2026-05-01T02:00Z,100\n", "de.csv:5: time 2026-05-01T02:00Z stands twice; times must rise"),
            ("2026-05-01T01:30Z,100\n", "de.csv:5: time 2026-05-01T01:30Z is before the line above; times must rise"),
            ("2026-05-01T03:00,100\n", "de.csv:5: time '2026-05-01T03:00': not RFC 3339 with a zone; write 2026-05-01T18:00:00Z"),
            ("2026-05-01T03:00Z,-1\n", "de.csv:5: carbon_g_per_kwh '-1': carbon intensity is in grams per kWh, from 0 to 10000"),
            (
                "2026-05-01T03:00Z,250000\n",
                "de.csv:5: carbon_g_per_kwh '250000': carbon intensity is in grams per kWh, from 0 to 10000",
            ),
            (
                "2026-05-01T03:00Z,NaN\n",
                "de.csv:5: carbon_g_per_kwh 'NaN': carbon intensity is in grams per kWh, from 0 to 10000",
            ),
            ("2026-05-01T03:00Z,\n", "de.csv:5: carbon_g_per_kwh: the value is missing"),
            ("2026-05-01T03:00Z,a\n", "de.csv:5: carbon_g_per_kwh 'a': not a number"),
            ("2026-05-01T03:00Z\n", "de.csv:5: 1 value where the header names 2"),
        ] {
            assert_eq!(message(&format!("{head}{rows}")), expected);
        }
        assert!(message("time,renewable_share\n2026-05-01T00:00Z,45\n").ends_with("a share is from 0 to 1 (45 % is 0.45)"));
        assert!(message("time,carbon_kg_per_kwh\n").contains("column 'carbon_kg_per_kwh' is unknown"));
        assert!(message("2026-05-01T00:00Z,1\n").contains("is unknown"));
        assert!(message("time\n").contains("no column beside 'time'"));
        assert!(message("").contains("no column 'time'"));
        assert!(message("time,onsite_w\n2026-05-01T00:00Z,1\n").contains("two rows at least"));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_with_their_line() {
        let error = Trace::parse(b"time,onsite_w\n\xff\xfe,1\n", Path::new("x.csv")).expect_err("not UTF-8");
        assert_eq!(error.to_string(), "x.csv:2: not UTF-8 text");
    }

    #[test]
    fn a_trace_of_400_000_rows_is_read_whole() {
        let start = parse_trace_time("2020-01-01T00:00Z").expect("a time");
        let mut text = String::from("time,carbon_g_per_kwh\n");
        for row in 0..400_000 {
            let time = start + TimeDelta::minutes(5 * row);
            text.push_str(&format!("{},{}\n", time.format("%Y-%m-%dT%H:%MZ"), row % 500));
        }
        assert_eq!(parse(&text).expect("a trace").carbon_g_per_kwh.expect("carbon").steps().len(), 400_000);
    }
}
