//! `carm-grid import`: files of others as traces.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Refusal;

/// Its options.
pub fn command() -> Command {
    Command::new("import").about("Turn a file of another program into a trace")
}

/// Does it.
pub fn run(_found: &ArgMatches) -> Result<ExitCode, Refusal> {
    Err(Refusal::new("import: not there yet"))
}
