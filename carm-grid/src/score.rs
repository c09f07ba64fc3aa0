//! `carm-grid score`: how good the forecasts are.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Refusal;

/// Its options.
pub fn command() -> Command {
    Command::new("score").about("Score the forecasts against what was")
}

/// Does it.
pub fn run(_found: &ArgMatches) -> Result<ExitCode, Refusal> {
    Err(Refusal::new("score: not there yet"))
}
