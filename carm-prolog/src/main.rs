//! carm-prolog: CARM on the GPU node.
//!
//! Run by slurmd as root around every job, so it keeps three promises before any other: it ends in time ([`bounded`]), it
//! exits 0 whatever happens to carbon (anything else drains the node), and a job without carbon options costs nothing.

mod around;
mod booking;
mod bounded;
mod brief;
mod cli;
mod clocks;
mod count;
mod decide;
mod deliver;
mod epilog;
mod exit;
mod govern;
mod gpu;
mod gres;
mod history;
mod job;
mod limit;
mod logging;
mod metrics;
mod modelled;
mod notify;
mod process;
mod profile;
mod prolog;
mod resolve;
mod settings;
mod share;
mod shared;
mod squeue;
mod state;
mod strict;
mod upkeep;
mod uptime;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Verb};

fn main() -> ExitCode {
    match std::env::var("SLURM_SCRIPT_CONTEXT") {
        Ok(context) => around::under_slurmd(&context),
        Err(_) => by_hand(Cli::parse()),
    }
}

fn by_hand(cli: Cli) -> ExitCode {
    let config = || settings::by_hand(&cli.config);
    let done = match cli.verb {
        Some(Verb::Prolog { bounded }) => return around::job(around::Side::Prolog, bounded, &cli.config),
        Some(Verb::Epilog { bounded }) => return around::job(around::Side::Epilog, bounded, &cli.config),
        Some(Verb::Deliver) => {
            deliver::run(&cli.config);
            return ExitCode::SUCCESS;
        }
        Some(Verb::Govern) => govern::run(&cli.config),
        Some(Verb::Reset { all }) => config().and_then(|config| upkeep::reset(&config, all)),
        Some(Verb::Status { prometheus: true, .. }) => {
            config().and_then(|config| upkeep::metrics(&config, &mut std::io::stdout().lock()))
        }
        Some(Verb::Status { json, .. }) => {
            config().and_then(|config| upkeep::status(&config, json, &mut std::io::stdout().lock()))
        }
        Some(Verb::Profile(arguments)) => match config().and_then(|config| profile::run(&config, &arguments)) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        None => {
            eprintln!(
                "carm-prolog: nothing to do: name a verb (prolog, epilog, govern, profile, reset, status), see carm-prolog --help"
            );
            return ExitCode::from(2);
        }
    };
    // Whoever reads along may stop reading: `carm-prolog status | head`.
    let closed = |error: &anyhow::Error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carm-prolog: {}", carm::text::legible_lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
