//! `carm-grid import`: files of others as a trace: exports of Electricity Maps' data portal, data files of the carbon-aware-sdk, and
//! tables of anything. What a file does not tell for certain (units, time zone, which of several) is asked for, never guessed.

mod clock;
mod electricity_maps;
mod rows;
mod sdk;
mod steps;
mod table;
mod unit;
mod write;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use carm::grid::Trace;
use carm::quantity::parse_duration;
use chrono::TimeDelta;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::exit::{Refusal, show, warn};
use clock::Clock;
use rows::Rows;
use unit::Unit;

/// Its options.
pub fn command() -> Command {
    let option =
        |name: &'static str, value: &'static str, help: &'static str| Arg::new(name).long(name).value_name(value).help(help);
    Command::new("import")
        .about("Turn a file of another program into a trace")
        .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)).help("The file"))
        .arg(option("out", "FILE", "Where to write the trace [default: standard output]").value_parser(value_parser!(PathBuf)))
        .arg(option(
            "column",
            "NAME",
            "A table: the values' column, by its header; Electricity Maps: lifecycle [default] or direct",
        ))
        .arg(option("location", "NAME", "carbon-aware-sdk: which location, where the file has several"))
        .arg(
            option("unit", "UNIT", "A table: g/kWh, kg/MWh, lb/MWh, t/MWh; share, percent; W, kW, MW")
                .value_parser(|text: &str| text.parse::<Unit>()),
        )
        .arg(
            option("time-zone", "ZONE", "Of times that name none: UTC, an offset such as +01:00, or local (as TZ says)")
                .value_parser(|text: &str| text.parse::<Clock>()),
        )
        .arg(option("fill", "DURATION", "Fill gaps up to so long with a straight line, and name them in the trace"))
        .arg(Arg::new("clamp").long("clamp").action(ArgAction::SetTrue).help("Count on-site power below zero as zero"))
        .arg(Arg::new("longest").long("longest").action(ArgAction::SetTrue).help("Keep the longest stretch without a gap"))
        .after_help(AFTER_HELP)
}

const AFTER_HELP: &str = "\
  carm-grid import DE_2024_hourly.csv --out de.csv
  carm-grid import test-data.json --location eastus --out eastus.csv
  carm-grid import meter.csv --unit kW --time-zone +01:00 --fill 2h --out roof.csv
  carm-grid import inverter.csv --column 'PV power' --unit W --clamp --out roof.csv
  TZ=Europe/Berlin carm-grid import meter.csv --unit kW --time-zone local --out roof.csv
";

/// What the command line says of the file.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub column: Option<String>,
    pub clamp: bool,
    pub location: Option<String>,
    pub unit: Option<Unit>,
    pub clock: Option<Clock>,
}

/// Does it.
pub fn run(found: &ArgMatches) -> Result<ExitCode, Refusal> {
    let Some(path) = found.get_one::<PathBuf>("file") else { return Err(Refusal::new("import: name a file")) };
    let bytes = std::fs::read(path).map_err(|error| Refusal::new(format!("import: {}: {error}", path.display())))?;
    let said = Said {
        column: found.get_one::<String>("column").cloned(),
        clamp: found.get_flag("clamp"),
        location: found.get_one::<String>("location").cloned(),
        unit: found.get_one::<Unit>("unit").copied(),
        clock: found.get_one::<Clock>("time-zone").copied(),
    };
    let fill = found.get_one::<String>("fill").map(|text| fill(text)).transpose()?;
    let (text, remarks) = import(&bytes, path, &said, fill, found.get_flag("longest"))
        .map_err(|cause| Refusal::new(format!("import: {}: {cause}", path.display())))?;
    remarks.iter().for_each(|remark| warn(format!("{}: {remark}", path.display())));
    match found.get_one::<PathBuf>("out") {
        Some(out) => {
            std::fs::write(out, text).map_err(|error| Refusal::new(format!("import: writing {}: {error}", out.display())))?;
        }
        None => show(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn fill(text: &str) -> Result<TimeDelta, Refusal> {
    let seconds = parse_duration(text).map_err(|error| Refusal::new(format!("--fill: '{text}': {error}")))?;
    if !(0.0..=7.0 * 86_400.0).contains(&seconds) {
        return Err(Refusal::new(format!("--fill: '{text}' is out of range; a line across more than 7d tells nothing")));
    }
    Ok(TimeDelta::milliseconds((seconds * 1e3) as i64))
}

/// The trace's text, and what its user should know; the error is the cause, with the way out.
fn import(
    bytes: &[u8],
    path: &Path,
    said: &Said,
    fill: Option<TimeDelta>,
    longest: bool,
) -> Result<(String, Vec<String>), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8 text; convert it first (iconv)".to_owned())?;
    // .NET and spreadsheets write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut remarks = Vec::new();
    let is_json = text.trim_start().starts_with(['{', '[']);
    let is_portal = !is_json && electricity_maps::is_header(text.lines().next().unwrap_or_default());
    let refuse =
        |given: bool, option: &str, kind: &str| if given { Err(format!("{option} means nothing for {kind}")) } else { Ok(()) };
    let rows: Rows = if is_json {
        refuse(said.column.is_some(), "--column", "a carbon-aware-sdk file")?;
        refuse(said.unit.is_some(), "--unit", "a carbon-aware-sdk file: its ratings are in g/kWh")?;
        sdk::read(text, said, &mut remarks)?
    } else if is_portal {
        refuse(said.unit.is_some(), "--unit", "an Electricity Maps export: its header names the units")?;
        refuse(said.clock.is_some(), "--time-zone", "an Electricity Maps export: its times are UTC")?;
        refuse(said.location.is_some(), "--location", "an Electricity Maps export: it has one zone")?;
        electricity_maps::read(text, said, &mut remarks)?
    } else {
        refuse(said.location.is_some(), "--location", "a table")?;
        table::read(text, said)?
    };
    let whole = rows.whole(fill, longest, &mut remarks)?;
    let written = write::text(&whole, path);
    // What is written is read before it is given away: nobody finds out later.
    Trace::parse(written.as_bytes(), Path::new("the trace")).map_err(|error| error.to_string())?;
    Ok((written, remarks))
}

#[cfg(test)]
mod tests;
