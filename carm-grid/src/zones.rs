//! `carm-grid zones`: what the sources know.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Refusal;

/// Its options.
pub fn command() -> Command {
    Command::new("zones").about("List what a source knows")
}

/// Does it.
pub fn run(_found: &ArgMatches) -> Result<ExitCode, Refusal> {
    Err(Refusal::new("zones: not there yet"))
}
