//! Prolog and epilog as slurmd runs them: silent, in time, and successful. The parent watches the time, the child works.

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use carm::config::{Config, LogTarget};
use chrono::Utc;
use clap::Parser;

use crate::bounded::{self, End};
use crate::cli::{Cli, Verb};
use crate::job::{GpuNames, Job};
use crate::settings::Settings;
use crate::state::{JobState, Store};
use crate::{deliver, epilog, logging, prolog, settings};

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

/// Waiting for lines to be delivered: the job does not need them, people and tests like them at once.
const DELIVERY: Duration = Duration::from_secs(1);
const LATE_DELIVERY: Duration = Duration::from_millis(100);

/// Under slurmd nothing may fail and nothing may be said: not of an argument, not of a panic.
pub fn under_slurmd(context: &str) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        logging::start_syslog();
        log::error!("a bug: {panic}");
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            logging::start_syslog();
            log::error!("its arguments in slurm.conf: {}", error.to_string().lines().next().unwrap_or_default());
            return ExitCode::SUCCESS;
        }
    };
    match cli.verb.or_else(|| Verb::from_context(context)) {
        Some(Verb::Prolog { bounded }) => job(Side::Prolog, bounded, &cli.config),
        Some(Verb::Epilog { bounded }) => job(Side::Epilog, bounded, &cli.config),
        Some(Verb::Deliver) => {
            deliver::run(&cli.config);
            ExitCode::SUCCESS
        }
        // The others are for a unit, for hands and for boot; other contexts (PrologSlurmctld, a task's) have no GPU to set.
        Some(Verb::Govern | Verb::Reset { .. } | Verb::Status { .. } | Verb::Profile(_)) | None => {
            logging::start_syslog();
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

/// The parent: whether there is anything to do, and that it ends. It reads and writes what is in memory alone.
fn watch(side: Side, config_path: &Path) {
    let known = settings::mirrored(config_path).map(|known| known.config);
    let arguments: [OsString; 4] = ["--config".into(), config_path.into(), side.name().into(), "--bounded".into()];
    let Ok(job) = read_job() else {
        // It knows where the log is.
        let _ = bounded::run(&arguments, bounded::BOUND);
        return;
    };
    // What the configuration said is sure to hold where a governor reads it again and again.
    let may_concern = |config: &Config| match side {
        _ if job.gpus != GpuNames::None && !Store::is_governed(&config.node) => true,
        Side::Prolog => prolog::concerns_at_start(&job, config),
        Side::Epilog => prolog::concerns(&job, config),
    };
    if !known.as_ref().map_or(job.gpus != GpuNames::None || job.is_carbon(), may_concern) {
        return;
    }
    let cause = match bounded::run(&arguments, bounded::BOUND) {
        Ok(End::Done) => return,
        Ok(End::CutShort(cause)) => cause,
        Err(error) => format!("starting the bounded child: {error}"),
    };
    let config = settings::mirrored(config_path).filter(|known| known.distrust.is_none()).map(|known| known.config);
    start_log(config.as_ref());
    log::error!("job {}: {}: {cause}; the job goes on", job.id, side.name());
    let Some(config) = config else { return };
    let store = Store::open(&config.node.state_dir, &job.node, PARENT_PATIENCE);
    let done = store.and_then(|store| match side {
        Side::Prolog => prolog::cut_short(&job, &store, &config, &cause).map(|()| None),
        Side::Epilog => Ok(epilog::cut_short(&job, &store, &config, Utc::now()).err()),
    });
    let homeless = done.unwrap_or_else(|error| {
        log::error!("job {}: {}: {error:#}", job.id, side.name());
        None
    });
    deliver(config_path, &config, homeless, LATE_DELIVERY);
}

fn start_log(config: Option<&Config>) {
    match config {
        Some(config) => logging::start(&config.node),
        None => logging::start_syslog(),
    }
}

/// The child: the work.
fn work(side: Side, config_path: &Path) {
    bounded::begin();
    let job = read_job();
    // A governor keeps what it has read in step with the file; an epilog gives clocks back before it reads any file.
    let known = settings::mirrored(config_path).filter(|known| side == Side::Epilog || Store::is_governed(&known.config.node));
    let Settings { config, fault, distrust } = known.unwrap_or_else(|| settings::read(config_path));
    logging::distrust_state_dir(distrust.is_some());
    logging::start(&config.node);
    let job = match job {
        Ok(job) => job,
        Err(cause) => {
            log::error!("{}: {cause}", side.name());
            return deliver::start(config_path, None, DELIVERY);
        }
    };
    let concerns = match side {
        Side::Prolog => prolog::takes_up(&job, &config),
        Side::Epilog => prolog::concerns(&job, &config),
    };
    if !concerns {
        return;
    }
    if let Some(fault) = distrust {
        log::error!("job {}: {}: {fault}; GPUs are left alone", job.id, side.name());
        return deliver::start(config_path, None, DELIVERY);
    }
    let homeless = match (Store::open(&config.node.state_dir, &job.node, CHILD_PATIENCE), side) {
        (Ok(store), Side::Prolog) => {
            if let Err(error) = prolog::run(&job, &config, fault, &store, Utc::now()) {
                log::error!("job {}: prolog: {error:#}", job.id);
            }
            None
        }
        (Ok(store), Side::Epilog) => epilog::run(&job, &config, &store, Utc::now()).err(),
        (Err(error), _) => {
            log::error!("job {}: {}: {error:#}", job.id, side.name());
            (side == Side::Epilog && job.is_carbon()).then(|| Box::new(JobState::without_prolog(&job)))
        }
    };
    deliver(config_path, &config, homeless, DELIVERY);
}

/// Has lines delivered that a governor does not deliver.
fn deliver(config_path: &Path, config: &Config, homeless: Option<Box<JobState>>, wait: Duration) {
    let has_lines = || matches!(config.node.log, LogTarget::File(_)) || deliver::spooled(&config.node.state_dir) > 0;
    if homeless.is_some() || !Store::is_governed(&config.node) && has_lines() {
        deliver::start(config_path, homeless.map(|state| *state), wait);
    }
}
