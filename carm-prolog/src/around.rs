//! Prolog and epilog as slurmd runs them: silent, in time, and successful. The parent watches the time, the child works.

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use carm::config::LogTarget;
use chrono::Utc;
use clap::Parser;

use crate::bounded::{self, End};
use crate::cli::{Cli, Verb};
use crate::job::Job;
use crate::settings::Settings;
use crate::{epilog, logging, prolog, settings, strict};

/// Which side of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Prolog,
    Epilog,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Prolog => "prolog",
            Self::Epilog => "epilog",
        }
    }
}

/// Waiting for GPUs that another prolog or epilog holds: in the child, within its bound; in the parent there is no time left.
const CHILD_PATIENCE: Duration = Duration::from_millis(1500);
const PARENT_PATIENCE: Duration = Duration::from_millis(50);

/// Under slurmd nothing may fail and nothing may be said: not of an argument, not of a panic.
pub fn under_slurmd(context: &str) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        logging::start(&LogTarget::Syslog);
        log::error!("a bug: {panic}");
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            logging::start(&LogTarget::Syslog);
            log::error!("its arguments in slurm.conf: {}", error.to_string().lines().next().unwrap_or_default());
            return ExitCode::SUCCESS;
        }
    };
    match cli.verb.or_else(|| Verb::from_context(context)) {
        Some(Verb::Prolog { bounded }) => job(Side::Prolog, bounded, &cli.config),
        Some(Verb::Epilog { bounded }) => job(Side::Epilog, bounded, &cli.config),
        // The others are for a unit, for hands and for boot; other contexts (PrologSlurmctld, a task's) have no GPU to set.
        Some(Verb::Govern | Verb::Reset { .. } | Verb::Status { .. } | Verb::Profile(_)) | None => {
            logging::start(&LogTarget::Syslog);
            log::error!("SLURM_SCRIPT_CONTEXT={}: carm-prolog works as Prolog and Epilog", carm::request::printable(context));
            ExitCode::SUCCESS
        }
    }
}

/// The prolog or epilog of one job. The parent always succeeds; a child that panics tells its parent so.
pub fn job(side: Side, bounded: bool, config: &Path) -> ExitCode {
    match catch_unwind(|| if bounded { work(side, config) } else { watch(side, config) }) {
        Err(_) if bounded => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn read_job() -> Result<Job, String> {
    // Text that is no UTF-8 must be seen, to be refused.
    Job::read(|name| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned()))
}

/// The parent: whether there is anything to do, and that it ends.
fn watch(side: Side, config_path: &Path) {
    let Settings { config, .. } = settings::read(config_path);
    let job = match read_job() {
        Ok(job) => job,
        Err(cause) => {
            logging::start(&strict::log_target(&config));
            log::error!("{}: {cause}", side.name());
            return;
        }
    };
    let concerns = match side {
        Side::Prolog => prolog::concerns_at_start(&job, &config),
        Side::Epilog => prolog::concerns(&job, &config),
    };
    if !concerns {
        return;
    }
    if let Err(fault) = strict::check(&config) {
        logging::start(&strict::log_target(&config));
        log::error!("job {}: {}: {fault}; GPUs are left alone", job.id, side.name());
        return;
    }
    let arguments: [OsString; 4] = ["--config".into(), config_path.into(), side.name().into(), "--bounded".into()];
    let cause = match bounded::run(&arguments, bounded::BOUND) {
        Ok(End::Done) => return,
        Ok(End::CutShort(cause)) => cause,
        Err(error) => format!("starting the bounded child: {error}"),
    };
    logging::start(&config.node.log);
    log::error!("job {}: {}: {cause}; the job goes on", job.id, side.name());
    let done = match side {
        Side::Prolog => prolog::cut_short(&job, &config, &cause, PARENT_PATIENCE),
        Side::Epilog => epilog::cut_short(&job, &config, PARENT_PATIENCE, Utc::now()),
    };
    if let Err(error) = done {
        log::error!("job {}: {}: {error:#}", job.id, side.name());
    }
}

/// The child: the work.
fn work(side: Side, config_path: &Path) {
    bounded::detach();
    let Settings { config, fault } = settings::read(config_path);
    let Ok(job) = read_job() else { return };
    if side == Side::Prolog && !prolog::takes_up(&job, &config) {
        return;
    }
    logging::start(&config.node.log);
    let now = Utc::now();
    let done = match side {
        Side::Prolog => prolog::run(&job, &config, fault, CHILD_PATIENCE, now),
        Side::Epilog => {
            if let Some(fault) = fault {
                log::error!("job {}: {fault}; no carbon is booked", job.id);
            }
            epilog::run(&job, &config, CHILD_PATIENCE, now)
        }
    };
    if let Err(error) = done {
        log::error!("job {}: {}: {error:#}", job.id, side.name());
    }
}
