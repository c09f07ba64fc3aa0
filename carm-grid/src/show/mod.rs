//! `carm-grid show`: now and the coming days of a zone, as plans see them: a chart, and the best times for runs of some hours; for
//! programs as JSON or CSV.

mod csv;
mod draw;
mod json;
mod look;
mod windows;

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use carm::quantity::parse_duration;
use chrono::TimeDelta;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::exit::{REFUSED, Refusal, show, terminal, warn};
use crate::{cli, given};
use look::Look;

/// Its options.
pub fn command() -> Command {
    Command::new("show")
        .about("Show now and the coming days of zones: intensity, renewable share, the best times to run")
        .arg(
            Arg::new("zones").value_name("ZONE").num_args(0..).help(
                "Zones of the configuration, or trace files (a name that ends in .csv or has a slash) [default: all zones]",
            ),
        )
        .arg(
            Arg::new("for")
                .long("for")
                .value_name("DURATION")
                .default_value("3d")
                .help("How far to look ahead, 1h to 14d; no further than the data and CARM's forecast from them go"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).conflicts_with("csv").help("One JSON object"))
        .arg(Arg::new("csv").long("csv").action(ArgAction::SetTrue).help("One line a step, with a header"))
}

/// Does it.
pub fn run(found: &ArgMatches) -> Result<ExitCode, Refusal> {
    let length = length(found.get_one::<String>("for").map_or("3d", String::as_str))?;
    let (looks, refusals) = looks(found, length)?;
    for refusal in &refusals {
        warn(refusal.message());
    }
    let text = if found.get_flag("json") {
        json::text(&looks)?
    } else if found.get_flag("csv") {
        csv::text(&looks)?
    } else {
        let terminal = terminal(&std::io::stdout());
        let mut text = String::new();
        for (index, look) in looks.iter().enumerate() {
            let between = if index > 0 { "\n" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{between}{}", draw::lines(look, terminal).join("\n"));
        }
        text
    };
    show(&text)?;
    Ok(if refusals.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

fn length(text: &str) -> Result<TimeDelta, Refusal> {
    let seconds = parse_duration(text).map_err(|error| Refusal::new(format!("--for: '{text}': {error}")))?;
    if !(3_600.0..=14.0 * 86_400.0).contains(&seconds) {
        return Err(Refusal::new(format!("--for: '{text}' is out of range; give 1h to 14d")));
    }
    Ok(TimeDelta::seconds(seconds as i64))
}

/// What there is to show, and why some zones have nothing: one of them is no reason to hide the others.
fn looks(found: &ArgMatches, length: TimeDelta) -> Result<(Vec<Look>, Vec<Refusal>), Refusal> {
    let words: Vec<&String> = found.get_many::<String>("zones").into_iter().flatten().collect();
    let now = cli::now(found)?;
    let files_alone = !words.is_empty() && words.iter().all(|word| given::is_file(word));
    let setup = if files_alone { None } else { Some(cli::setup(found)?) };
    let mut results = Vec::new();
    if let (Some(setup), true) = (&setup, words.is_empty()) {
        let of =
            |zone| given::of_zone(&setup.config, zone, now).and_then(|given| Look::of(given, Some(&setup.config), now, length));
        results.extend(setup.config.zones.iter().map(of));
    }
    for word in words {
        let given = match &setup {
            Some(setup) if !given::is_file(word) => given::of_zone(&setup.config, setup.zone(word, "show")?, now),
            _ => given::of_file(Path::new(word)),
        };
        let config = setup.as_ref().map(|setup| &setup.config);
        results.push(given.and_then(|given| Look::of(given, config, now, length)));
    }
    let (mut looks, mut refusals) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(look) => looks.push(look),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Ok((looks, refusals))
}
