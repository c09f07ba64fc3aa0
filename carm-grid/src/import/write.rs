//! The trace as text, with lines in front of it that say where it comes from and what was filled.

use std::fmt::Write as _;
use std::path::Path;

use carm::request::printable;
use chrono::SecondsFormat;

use super::rows::Whole;

/// The trace.
pub fn text(whole: &Whole, from: &Path) -> String {
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("# from {} by carm-grid import: {}\n", printable(&name), whole.about);
    for filled in &whole.filled {
        let _ = writeln!(text, "# {filled}");
    }
    let names: Vec<&str> = whole.columns.iter().map(|(column, _)| column.name()).collect();
    let _ = writeln!(text, "time,{}", names.join(","));
    for (index, time) in whole.times.iter().enumerate() {
        text += &time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        for (_, values) in &whole.columns {
            let _ = write!(text, ",{}", rounded(values[index]));
        }
        text.push('\n');
    }
    text
}

/// To twelve significant figures: 45 % is 0.45, and not 0.45000000000000001.
fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}
