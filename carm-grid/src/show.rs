//! `carm-grid show`: the coming days of a zone, for people and programs.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Refusal;

/// Its options.
pub fn command() -> Command {
    Command::new("show").about("Show the coming days of a zone")
}

/// Does it.
pub fn run(_found: &ArgMatches) -> Result<ExitCode, Refusal> {
    Err(Refusal::new("show: not there yet"))
}
