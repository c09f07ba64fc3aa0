//! `carm-prolog profile`: measures how fast a workload runs and what the card draws, clock by clock, and writes the profile.
//!
//! The sweep is the whole of it: lock a clock, let the same work run, read time and energy. The highest clock comes first and
//! last, and rounds go through all clocks, so that a card that warms up shows as drift and does not tilt the curve. What the
//! runs amount to is `levels`' business, the curve through them the library's.

mod arguments;
mod command;
mod file;
mod hold;
mod levels;
mod live;
mod meter;
mod stop;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use carm::config::{Clocks, Config};

pub use arguments::Arguments;
use file::{Output, Provenance};
use hold::Hold;
pub use hold::JOB;
use levels::Outcome;
use live::Progress;
use meter::Run;
use stop::{Stop, Stopped};

use crate::clocks;
use crate::gpu::{Driver, Nvml};

/// Measures, gives the clocks back, and writes. A signal ends it with the signal's own status.
pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode> {
    let may_lock = config.node.clocks == Clocks::On;
    ensure!(may_lock, "[node] clocks: 'off': profile locks GPU clocks; set clocks = \"on\" on the node to measure");
    let output = Output::of(arguments)?;
    let stop = Stop::listen()?;
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let cards = hold::choose(&nvml, arguments.gpus.as_deref())?;
    let clocks = arguments.clocks(&clocks::usable(nvml.clocks_mhz(&cards[0].uuid)?, config.node.restore_mhz))?;
    let progress = arguments.live.as_deref().map(Progress::open).transpose()?;
    let from = Provenance {
        model: cards[0].name.clone(),
        cards: cards.len(),
        driver: nvml.driver_version().unwrap_or_else(|_| "unknown".to_owned()),
        gpu: arguments.gpu.clone().or_else(|| config.site_of(None, "").and_then(|(_, site)| site.gpu.clone())),
    };
    let hold = Hold::take(config, &nvml, cards, clocks[0], progress.is_some())?;
    let uuids: Vec<&str> = hold.cards.iter().map(|card| card.uuid.as_str()).collect();
    say(&format!("{}: {} on {}, driver {}", arguments.name.as_str(), from.model, uuids.join(", "), from.driver));
    let swept = sweep(&hold, arguments, progress, &clocks, &stop);
    let given_back = hold.give_back();
    let (runs, again) = match swept {
        Err(error) => {
            if let Err(error) = given_back {
                log::error!("{error:#}");
            } else {
                say("clocks are given back");
            }
            let Some(Stopped(signal)) = error.downcast_ref() else { return Err(error) };
            log::warn!("{error}; no profile is written");
            return Ok(ExitCode::from(128 + signal));
        }
        Ok(swept) => swept,
    };
    let outcome = levels::outcome(&runs, &again);
    show(&outcome);
    let text = if outcome.levels.is_empty() { None } else { Some(file::text(arguments, &from, &outcome)?) };
    let text = text.ok_or_else(|| anyhow::anyhow!("no clock was reached; no profile is written"))?;
    output.write(&text)?;
    say(&format!("written: {}", output.name()));
    given_back?;
    Ok(ExitCode::SUCCESS)
}

/// All runs, and the last one, at the highest clock again.
fn sweep(
    hold: &Hold,
    arguments: &Arguments,
    mut progress: Option<Progress>,
    clocks: &[u32],
    stop: &Stop,
) -> Result<(Vec<Run>, Run)> {
    let mut measure = |clock_mhz: u32| match &mut progress {
        Some(progress) => {
            hold.set(clock_mhz)?;
            stop.sleep(arguments.warm_up)?;
            progress.measure(hold, arguments.window, clock_mhz, stop)
        }
        None => {
            hold.set(clock_mhz)?;
            command::run(hold, &arguments.command, arguments.show_output, clock_mhz, stop)
        }
    };
    let since = Instant::now();
    while arguments.live.is_none() && since.elapsed() < arguments.warm_up {
        whisper(&format!("warm-up: {} MHz ... ", clocks[0]));
        say(&told(&measure(clocks[0])?));
    }
    let rounds = (0..arguments.repeat).flat_map(|_| clocks.iter().copied());
    let plan: Vec<u32> = rounds.chain([clocks[0]]).collect();
    let mut runs = Vec::new();
    for (index, &clock_mhz) in plan.iter().enumerate() {
        whisper(&format!("{} of {}: {clock_mhz} MHz ... ", index + 1, plan.len()));
        let run = measure(clock_mhz).inspect_err(|_| say("no"))?;
        say(&told(&run));
        runs.push(run);
    }
    let again = runs.pop();
    ensure!(!runs.is_empty(), "nothing was measured");
    again.map(|again| (runs, again)).ok_or_else(|| anyhow::anyhow!("nothing was measured"))
}

fn told(run: &Run) -> String {
    let seen = run.seen_mhz.filter(|&seen| seen != run.clock_mhz).map_or(String::new(), |mhz| format!(", ran at {mhz} MHz"));
    format!("{:.4} s, {:.1} W{seen}", run.seconds, run.watts)
}

fn show(outcome: &Outcome) {
    let spread = |spread: Option<f64>| spread.map_or("-".to_owned(), levels::percent);
    say(&format!("{:>9}  {:>10} {:>7}  {:>7}  {:>8} {:>7}", "clock", "time", "+-", "speed", "power", "+-"));
    for level in outcome.levels.iter().rev() {
        say(&format!(
            "{:>5} MHz  {:>8.4} s {:>7}  {:>7.4}  {:>6.1} W {:>7}",
            level.clock_mhz,
            level.seconds,
            spread(level.seconds_spread),
            level.speed,
            level.watts,
            spread(level.watts_spread),
        ));
    }
    outcome.fit.iter().for_each(|fit| say(&format!("fit: {fit}")));
    file::best(outcome).iter().for_each(|best| say(best));
    outcome.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
}

/// A line on standard error. A reader who is gone must not stop the clocks from being given back.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn whisper(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}
