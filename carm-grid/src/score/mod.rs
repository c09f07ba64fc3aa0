//! `carm-grid score`: how good CARM's forecast is on data that are past: how far off by lead time, and what plans made with it save
//! of what they would save if the future were known. docs/forecast.md explains the figures.

mod misses;
mod rival;
mod saving;
mod text;

use std::path::Path;
use std::process::ExitCode;

use carm::grid::Signal;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;

use crate::exit::{Refusal, show, warn};
use crate::given::{self, Given};
use crate::{asking, cli};

/// As much of the data is only learnt from, unless there is less than twice as much.
const LEARNT_FROM: TimeDelta = TimeDelta::days(35);
/// Less than this tells nothing.
const LEAST: TimeDelta = TimeDelta::days(14);

/// Its options.
pub fn command() -> Command {
    Command::new("score")
        .about("Score CARM's forecast on what was: misses by lead time, and the saving that plans made with it keep")
        .arg(
            Arg::new("zone").long("zone").value_name("FILE|NAME").action(ArgAction::Append).help(
                "A trace file (its name ends in .csv or has a slash), or a zone of the configuration; any number of times [default: all zones]",
            ),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON object"))
}

/// Does it.
pub fn run(found: &ArgMatches) -> Result<ExitCode, Refusal> {
    let scored: Vec<Score> = {
        let given = given(found)?;
        asking::at_once(&given, score).into_iter().collect::<Result<_, _>>()?
    };
    if found.get_flag("json") {
        let object = serde_json::json!({ "version": 1, "zones": scored });
        show(&format!("{object:#}\n"))?;
    } else {
        show(&text::table(&scored))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn given(found: &ArgMatches) -> Result<Vec<Given>, Refusal> {
    let Some(words) = found.get_many::<String>("zone") else {
        let setup = cli::setup(found)?;
        let all = setup.config.zones.iter().map(|zone| given::of_zone(&setup.config, zone, setup.now));
        // One without data is no reason to leave the others out.
        let (good, bad): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
        bad.into_iter().filter_map(Result::err).for_each(|refusal| warn(refusal.message()));
        return Ok(good.into_iter().flatten().collect());
    };
    let of = |word: &String| match given::is_file(word) {
        true => given::of_file(Path::new(word)),
        false => {
            let setup = cli::setup(found)?;
            given::of_zone(&setup.config, setup.zone(word, "--zone")?, setup.now)
        }
    };
    words.map(of).collect()
}

/// How the forecast does on one zone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    zone: String,
    source: String,
    /// Where scoring starts: the first forecast was made here.
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    misses: misses::Misses,
    savings: Vec<saving::Saving>,
}

/// Scores one zone.
fn score(given: &Given) -> Result<Score, Refusal> {
    let refuse = |cause: String| Refusal::new(format!("zone '{}': {cause}", given.name));
    let signal = given.carbon_g_per_kwh.as_ref().ok_or_else(|| refuse("no carbon_g_per_kwh to score".to_owned()))?;
    // What the source forecast is no truth.
    let end = given.observed_until.map_or(signal.end(), |observed| observed.clamp(signal.start(), signal.end()));
    let days = (end - signal.start()).num_hours() as f64 / 24.0;
    if end - signal.start() < LEAST {
        return Err(refuse(format!("{days:.1} days of observations; scoring takes {} at least", LEAST.num_days())));
    }
    let truth = until(signal, end).ok_or_else(|| refuse("no observations".to_owned()))?;
    let learnt_from = LEARNT_FROM.min((end - signal.start()) / 2);
    let from = signal.start() + TimeDelta::hours(learnt_from.num_hours());
    let planning = |error: carm::plan::PlanError| refuse(format!("planning: {error}"));
    Ok(Score {
        zone: given.name.clone(),
        source: given.source.clone(),
        from,
        to: end,
        misses: misses::of(&truth, from),
        savings: saving::of(&truth, from).map_err(planning)?,
    })
}

/// A signal up to an instant.
fn until(signal: &Signal, end: DateTime<Utc>) -> Option<Signal> {
    let steps = signal.steps().iter().take_while(|step| step.from < end).copied().collect();
    Signal::new(steps, end)
}
