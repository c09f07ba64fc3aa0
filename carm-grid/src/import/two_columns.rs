//! Two columns of anything: times and values, with or without a header. The unit comes from the command line; so does the clock of
//! times that name no zone.

use carm::request::printable;

use super::Said;
use super::clock::Times;
use super::rows::Rows;

/// Reads the columns.
pub fn read(text: &str, said: &Said) -> Result<Rows, String> {
    let unit =
        said.unit.ok_or("the unit is not clear; give --unit: g/kWh, kg/MWh, lb/MWh, t/MWh, share, percent, W, kW or MW")?;
    let (column, factor) = unit.column();
    let delimiter = delimiter(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut rows = Rows::about(format!("two columns, {}", column.name()));
    let mut times = Times::by(said.clock);
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| format!("not CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let here = |cause: String| format!("line {line}: {cause}");
        let [time, value] = [0, 1].map(|index| record.get(index).unwrap_or_default());
        if record.len() != 2 {
            return Err(here(format!("{} columns; two are read: a time and a value", record.len())));
        }
        // A header has no digit where a time stands.
        if index == 0 && !time.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let at = times.read(time).map_err(here)?;
        if value.is_empty() {
            continue;
        }
        // Semicolons go with decimal commas.
        let number = if delimiter == b';' { value.replace(',', ".") } else { value.to_owned() };
        let value: f64 = number.parse().map_err(|_| here(format!("'{}': not a number", printable(value))))?;
        rows.take(column, at, value * factor).map_err(here)?;
    }
    Ok(rows)
}

fn delimiter(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty()).unwrap_or_default();
    [b';', b'\t'].into_iter().find(|&mark| first.as_bytes().contains(&mark)).unwrap_or(b',')
}
