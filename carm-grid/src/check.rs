//! `carm-grid check`: whether each zone's source works, and what to do where it does not.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Refusal;

/// Its options.
pub fn command() -> Command {
    Command::new("check").about("Tell whether each zone's source works, and what to do where it does not")
}

/// Does it.
pub fn run(_found: &ArgMatches) -> Result<ExitCode, Refusal> {
    Err(Refusal::new("check: not there yet"))
}
