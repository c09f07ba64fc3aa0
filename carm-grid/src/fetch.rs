//! `carm-grid fetch`: asks every zone's source and leaves what it says in the cache.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::exit::Refusal;

/// Its options.
pub fn command() -> Command {
    Command::new("fetch").about("Ask every zone's source, and leave what it says in the cache")
}

/// Does it.
pub fn run(_found: &ArgMatches) -> Result<ExitCode, Refusal> {
    Err(Refusal::new("fetch: not there yet"))
}
