//! A table of anything: the time in the first column, the value in the second, or in the one that `--column` names. The unit comes
//! from the command line; so does the clock of times that name no zone.

use carm::quantity::counted;
use carm::request::printable;

use super::Said;
use super::clock::Times;
use super::rows::{Rows, number};

/// Reads the two columns.
pub fn read(text: &str, said: &Said) -> Result<Rows, String> {
    let unit =
        said.unit.ok_or("the unit is not clear; give --unit: g/kWh, kg/MWh, lb/MWh, t/MWh, share, percent, W, kW or MW")?;
    let (column, factor) = unit.column();
    let delimiter = delimiter(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut rows = Rows::about(format!("a table, {}", column.name()), said.clamp);
    let mut times = Times::by(said.clock);
    let mut layout: Option<(usize, usize)> = None;
    for record in reader.records() {
        let record = record.map_err(|error| format!("not CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let here = |cause: String| format!("line {line}: {cause}");
        let time = record.get(0).unwrap_or_default();
        let (count, index) = match layout {
            Some(layout) => layout,
            None => {
                // A header has no digit where a time stands.
                let is_header = !time.starts_with(|first: char| first.is_ascii_digit());
                let index = value_column(&record, is_header, said).map_err(here)?;
                layout = Some((record.len(), index));
                if is_header {
                    continue;
                }
                (record.len(), index)
            }
        };
        if record.len() != count {
            return Err(here(format!("{} where the first line has {count}", counted(record.len(), "cell"))));
        }
        let at = times.read(time).map_err(here)?;
        // Semicolons go with decimal commas.
        let cell = record.get(index).unwrap_or_default();
        let cell = if delimiter == b';' { cell.replace(',', ".") } else { cell.to_owned() };
        let value = number(&cell).map_err(here)?.map(|value| value * factor);
        rows.take(column, at, value).map_err(here)?;
    }
    Ok(rows)
}

/// Where the values stand: the second of two columns, or the one that `--column` names.
fn value_column(first: &csv::StringRecord, is_header: bool, said: &Said) -> Result<usize, String> {
    let names = || first.iter().skip(1).map(printable).collect::<Vec<_>>().join(", ");
    match (said.column.as_deref(), first.len()) {
        (None, 2) => Ok(1),
        (None, count) if is_header && count > 2 => {
            Err(format!("{count} columns; name the values' own: --column, one of {}", names()))
        }
        (None, count) => Err(format!("{}; two are read: a time and a value", counted(count, "column"))),
        (Some(_), _) if !is_header => Err("--column: there is no header to look for a name in".to_owned()),
        (Some(name), _) => {
            let found = first.iter().skip(1).position(|known| known.eq_ignore_ascii_case(name.trim()));
            found
                .map(|index| index + 1)
                .ok_or_else(|| format!("--column: '{}': no such column; give one of {}", printable(name), names()))
        }
    }
}

fn delimiter(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty()).unwrap_or_default();
    [b';', b'\t'].into_iter().find(|&mark| first.as_bytes().contains(&mark)).unwrap_or(b',')
}
