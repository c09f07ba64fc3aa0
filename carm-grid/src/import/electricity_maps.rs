//! Exports of Electricity Maps' data portal: CSV with one row a step of one zone, times in UTC without saying so in each row. The
//! header's words changed over the years; its columns are known by how they begin, in any case of letters.

use carm::request::printable;

use super::Said;
use super::clock::{Clock, Times};
use super::rows::{Column, Rows, number};

/// Whether a file's first line is such a header.
pub fn is_header(line: &str) -> bool {
    let line = line.trim_start_matches('"').to_lowercase();
    line.starts_with("datetime (utc)") && line.contains("carbon intensity")
}

/// Which of the two intensities `--column` names.
fn is_direct(said: &Said) -> Result<bool, String> {
    match said.column.as_deref() {
        None | Some("lifecycle") => Ok(false),
        Some("direct") => Ok(true),
        Some(other) => Err(format!("--column: '{}': of an Electricity Maps export give lifecycle or direct", printable(other))),
    }
}

struct Header {
    time: usize,
    carbon: usize,
    share: Option<usize>,
    zone: Option<usize>,
    estimated: Option<usize>,
}

impl Header {
    fn of(record: &csv::StringRecord, said: &Said) -> Result<Self, String> {
        let names: Vec<String> = record.iter().map(|name| name.trim().to_lowercase()).collect();
        let find = |test: &dyn Fn(&str) -> bool| names.iter().position(|name| test(name));
        let one = |test: &dyn Fn(&str) -> bool, what: &str| find(test).ok_or_else(|| format!("line 1: no column of {what}"));
        let carbon = |kinds: &'static [&'static str]| {
            move |name: &str| name.starts_with("carbon intensity") && kinds.iter().any(|kind| name.contains(kind))
        };
        let carbon = if is_direct(said)? {
            one(&carbon(&["(direct)"]), "the direct carbon intensity; --column=lifecycle takes the other")?
        } else {
            one(
                &carbon(&["(lca)", "(life cycle)", "(lifecycle)"]),
                "the life-cycle carbon intensity; --column=direct takes the other",
            )?
        };
        // gCO₂eq/kWh, with the small two or without. A name that says no unit is as good as another unit.
        if !(names[carbon].contains("gco") && names[carbon].contains("/kwh") && !names[carbon].contains("kgco")) {
            return Err(format!("line 1: '{}' does not say gCO₂eq/kWh", printable(&names[carbon])));
        }
        Ok(Self {
            time: one(&|name| name.starts_with("datetime (utc)"), "times")?,
            carbon,
            share: find(&|name| name.starts_with("renewable percentage") || name.starts_with("renewable energy percentage")),
            zone: find(&|name| name.starts_with("zone id")),
            estimated: find(&|name| name.starts_with("data estimated")),
        })
    }
}

/// Reads an export.
pub fn read(text: &str, said: &Said, remarks: &mut Vec<String>) -> Result<Rows, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header = Header::of(reader.headers().map_err(|error| format!("not CSV: {error}"))?, said)?;
    let which = if is_direct(said)? { "direct" } else { "life-cycle" };
    let mut rows = Rows::about(String::new(), said.clamp);
    let mut times = Times::by(Some(Clock::Utc));
    let (mut zone, mut count, mut estimated): (Option<String>, usize, usize) = (None, 0, 0);
    for record in reader.records() {
        let record = record.map_err(|error| format!("not CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |index: usize| record.get(index).unwrap_or_default();
        let here = |cause: String| format!("line {line}: {cause}");
        let at = times.read(cell(header.time)).map_err(here)?;
        if let Some(name) = header.zone.map(cell) {
            let known = zone.get_or_insert_with(|| name.to_owned());
            if known != name {
                let (known, name) = (printable(known), printable(name));
                return Err(here(format!("zone '{name}' after '{known}'; a trace has one zone: split the file")));
            }
        }
        count += 1;
        estimated += usize::from(header.estimated.is_some_and(|index| cell(index).eq_ignore_ascii_case("true")));
        // Empty fields are usual: they are gaps.
        let columns = [(Column::Carbon, Some(header.carbon), 1.0), (Column::Share, header.share, 0.01)];
        for (column, index, factor) in columns {
            let Some(index) = index else { continue };
            let value = number(cell(index)).map_err(here)?.map(|value| value * factor);
            // Of consumption, pumped hydro can make it a little more than all.
            let value = value.map(|value| if column == Column::Share { value.min(1.0) } else { value });
            rows.take(column, at, value).map_err(here)?;
        }
    }
    if estimated > 0 {
        remarks.push(format!("{estimated} of {count} rows are estimates, says the file; a trace cannot mark them"));
    }
    let zone = zone.map(|zone| format!(", zone {}", printable(&zone))).unwrap_or_default();
    rows.about = format!("Electricity Maps export{zone}, {which} carbon intensity");
    Ok(rows)
}
