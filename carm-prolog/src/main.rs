//! carm-prolog: CARM on the GPU node.
//!
//! Run by slurmd as root around every job, so it keeps three promises before any other: it ends in time ([`bounded`]), it
//! exits 0 whatever happens to carbon (anything else drains the node), and a job without carbon options costs nothing.

mod booking;
mod bounded;
mod cli;
mod clocks;
mod decide;
mod epilog;
mod gpu;
mod gres;
mod job;
mod limit;
mod logging;
mod prolog;
mod resolve;
mod state;
mod upkeep;

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

use carm::config::Config;
use chrono::Utc;
use clap::Parser;

use cli::{Cli, Verb};
use job::Job;

fn main() -> ExitCode {
    if std::env::var_os("SLURM_SCRIPT_CONTEXT").is_some() {
        // Under slurmd nothing may fail: not an argument, not a panic.
        let _ = catch_unwind(|| Cli::try_parse().map(run));
        return ExitCode::SUCCESS;
    }
    run(Cli::parse())
}

fn run(cli: Cli) -> ExitCode {
    let context = std::env::var("SLURM_SCRIPT_CONTEXT").unwrap_or_default();
    let Some(verb) = cli.verb.or_else(|| Verb::from_context(&context)) else {
        eprintln!("carm-prolog: nothing to do: name a verb (prolog, epilog, reset, status), see carm-prolog --help");
        return ExitCode::from(2);
    };
    let done = match verb {
        Verb::Prolog { .. } | Verb::Epilog { .. } => {
            let _ = catch_unwind(|| around_job(&verb, &cli.config));
            return ExitCode::SUCCESS;
        }
        Verb::Reset { all } => by_hand(&cli.config).and_then(|config| upkeep::reset(&config, all)),
        Verb::Status { json } => by_hand(&cli.config).and_then(|config| upkeep::status(&config, json)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carm-prolog: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The prolog or epilog of one job: the parent watches the time, the child works.
fn around_job(verb: &Verb, config_path: &Path) {
    let (config, fault) = configuration(config_path);
    let job = Job::read(|name| std::env::var(name).ok());
    let Ok(job) = job.inspect_err(|cause| start_log(&config, || log::error!("{cause}"))) else { return };
    if !prolog::concerns(&job, &config) {
        return;
    }
    logging::start(&config.node.log);
    let now = Utc::now();
    let (name, bounded) = match verb {
        Verb::Prolog { bounded } => ("prolog", *bounded),
        _ => ("epilog", matches!(verb, Verb::Epilog { bounded: true })),
    };
    if bounded {
        bounded::detach();
        if let Some(fault) = fault {
            log::error!("{fault}; going by the built-in configuration");
        }
        let done = if name == "prolog" { prolog::run(&job, &config, now) } else { epilog::run(&job, &config, now) };
        if let Err(error) = done {
            log::warn!("job {}: {name}: {error:#}; the job runs at default clocks", job.id);
        }
        return;
    }
    let arguments: [OsString; 4] = ["--config".into(), config_path.into(), name.into(), "--bounded".into()];
    match bounded::run(&arguments, bounded::BOUND) {
        Ok(bounded::End::Done) => {}
        Ok(bounded::End::Stuck) => {
            log::error!(
                "job {}: {name}: the driver did not answer within {} s; the job goes on",
                job.id,
                bounded::BOUND.as_secs()
            );
            if name == "epilog"
                && let Err(error) = epilog::book_without_driver(&job, &config, now)
            {
                log::error!("job {}: booking: {error:#}", job.id);
            }
        }
        Err(error) => log::error!("job {}: {name}: starting the bounded child: {error}", job.id),
    }
}

/// The configuration, or the built-in one where the file is missing or wrong: what an epilog owes must be given back even
/// when an admin has just broken the file.
fn configuration(path: &Path) -> (Config, Option<String>) {
    match Config::load(path) {
        Ok(config) => (config, None),
        Err(error) => {
            let absent = path == Path::new(carm::config::DEFAULT_PATH) && !path.exists();
            (Config::embedded(0), (!absent).then(|| error.to_string()))
        }
    }
}

/// By hand a wrong configuration is an error; a missing default one is not.
fn by_hand(path: &Path) -> anyhow::Result<Config> {
    if path == Path::new(carm::config::DEFAULT_PATH) && !path.exists() {
        return Ok(Config::embedded(0));
    }
    // Warnings of what is done by hand belong on the terminal.
    env_logger::Builder::new().filter_level(log::LevelFilter::Warn).format_timestamp(None).format_target(false).init();
    Ok(Config::load(path)?)
}

fn start_log(config: &Config, say: impl FnOnce()) {
    logging::start(&config.node.log);
    say();
}
