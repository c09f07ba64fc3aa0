//! One run of sbatch, srun or salloc: what was asked so far, and what follows from it once all options are read.
//!
//! Syntax and normalised form are the library's ([`CarbonRequest`], [`variables`]); here stands only whose options count.

use std::sync::{Mutex, MutexGuard, PoisonError};

use carm::quantity::Moment;
use carm::request::{CarbonOption, CarbonRequest, OptionError, variables};
use chrono::{DateTime, Local, Utc};

use crate::arguments::Arguments;

/// What the options of this process are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A job that is being submitted or allocated.
    Submission,
    /// A step of the job that this process runs in.
    Step,
}

/// The state between Slurm's calls.
#[derive(Debug)]
pub struct Session {
    place: Place,
    arguments: Arguments,
    /// One moment for the whole run, so that an option taken twice means the same twice.
    now: DateTime<Utc>,
    request: CarbonRequest,
}

/// What to do when all options are read.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// For prolog and epilog.
    pub job_control: Vec<(&'static str, String)>,
    /// For the job itself.
    pub environment: Vec<(&'static str, String)>,
    /// One line for the user.
    pub notice: Option<&'static str>,
}

static SESSION: Mutex<Option<Session>> = Mutex::new(None);

/// The session of this process. A panic caught in an earlier call does not poison it for the next one.
pub fn session() -> MutexGuard<'static, Option<Session>> {
    SESSION.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Begins with nothing asked.
    pub fn new(place: Place, arguments: Arguments) -> Self {
        Self { place, arguments, now: Utc::now(), request: CarbonRequest::default() }
    }

    /// Takes one occurrence of an option; the last one wins.
    pub fn take(&mut self, option: CarbonOption, text: Option<&str>) -> Result<(), OptionError> {
        // The first of two readings of an hour that the change to winter time repeats: a deadline is never late by it.
        // (chrono's own `earliest` gives the second one where TZ holds a rule and not a zone's name.)
        let local = |wall: chrono::NaiveDateTime| {
            let readings = wall.and_local_timezone(Local);
            readings.earliest().into_iter().chain(readings.latest()).map(|time| time.to_utc()).min()
        };
        self.request.set(option, text, &Moment { now: self.now, local: &local })
    }

    /// What follows, now that all options are read. Nothing, where nothing was asked.
    pub fn outcome(&self) -> Outcome {
        if self.request.is_empty() {
            return Outcome::default();
        }
        if !self.arguments.enabled {
            return Outcome {
                notice: Some("CARM is switched off on this host: carbon options are ignored"),
                ..Outcome::default()
            };
        }
        match self.place {
            Place::Submission if self.request.off => {
                let off = CarbonRequest { off: true, ..CarbonRequest::default() };
                Outcome { job_control: variables::write(&off), ..Outcome::default() }
            }
            Place::Submission => Outcome {
                job_control: variables::write(&self.request),
                environment: variables::write_job_environment(&self.request),
                notice: None,
            },
            Place::Step => Outcome {
                notice: Some("carbon options belong to the job, which keeps its own: on a step inside it they change nothing"),
                ..Outcome::default()
            },
        }
    }
}
