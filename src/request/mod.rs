//! The carbon request: what a user asks of CARM for one job, from the option's text to the prolog's environment.
//!
//! One table ([`OPTIONS`]) feeds the plugin's registration, carm-submit's flags and the documentation; one struct
//! ([`CarbonRequest`]) holds the checked values; [`variables`] writes them to and reads them from `CARM_*`. Syntax is
//! decided here. Whether a request makes sense for a job (a deadline that has passed, a budget too small) is the
//! planner's and its callers' business: a script's value may be overridden, and a requeued job's deadline may be over.

mod options;
mod value;
pub mod variables;

pub use crate::plan::Objective;
pub use crate::text::printable;
pub use options::{Argument, CarbonOption, OPTIONS, OptionSpec};
pub use value::{JobName, OptionError, ProfileName, Suspend, Workers};

use chrono::{DateTime, TimeDelta, Utc};

use crate::quantity::Moment;

/// What a user asks of CARM for one job. Every field is a checked value; absent means that the user said nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CarbonRequest {
    /// Carbon budget in grams CO2e at the facility, of the whole job (of each task of an array).
    pub budget_g: Option<f64>,
    /// The budget as a share of what the same work would emit at full clock at once; without effect beside grams.
    pub budget_share: Option<f64>,
    /// Which formulation decides.
    pub objective: Option<Objective>,
    /// Finish by.
    pub deadline: Option<DateTime<Utc>>,
    /// Inference latency limit in seconds: makes the job a service.
    pub latency_s: Option<f64>,
    /// Expected run time in seconds at full clock with the requested GPUs.
    pub runtime_s: Option<u64>,
    /// The GPU workload profile.
    pub profile: Option<ProfileName>,
    /// GPU counts that the job can use.
    pub workers: Option<Workers>,
    /// The job checkpoints and may be paused.
    pub suspend: Option<Suspend>,
    /// The longest deferral that this user accepts, in seconds.
    pub max_delay_s: Option<f64>,
    /// CARM leaves this job alone.
    pub off: bool,
    /// What the later rounds of a throttled array take at full clock after a task's own, in seconds.
    pub later_s: Option<u64>,
    /// The job's work in seconds at full clock, as carm-submit assumed it.
    pub work_s: Option<u64>,
    /// The job's name, for its history in the ledger.
    pub name: Option<JobName>,
    /// When the job could have started, had carm-submit not deferred it.
    pub asked: Option<DateTime<Utc>>,
}

impl CarbonRequest {
    /// Takes one option's text. A later call for the same option wins, as on sbatch's command line; calling twice with
    /// the same text changes nothing.
    ///
    /// # Errors
    /// The value is malformed: the request is left as it was.
    pub fn set(&mut self, option: CarbonOption, text: Option<&str>, moment: &Moment) -> Result<(), OptionError> {
        value::set(self, option, text, moment)
    }

    /// Whether the user said nothing at all: then nothing of CARM's happens to the job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The objective that holds when the user named none: `carbon` with a budget, `performance` with a deadline or a
    /// latency limit, else the configuration's.
    #[must_use]
    pub fn objective_or(&self, configured: Objective) -> Objective {
        self.objective.unwrap_or(if self.has_budget() {
            Objective::Carbon
        } else if self.deadline.is_some() || self.latency_s.is_some() {
            Objective::Performance
        } else {
            configured
        })
    }

    /// Whether there is a budget, in grams or as a share.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.budget_g.is_some() || self.budget_share.is_some()
    }

    /// When a run has to end, so that the deadline holds: of a throttled array early enough for the rounds behind the first.
    /// Where that is over, its tasks hurry.
    #[must_use]
    pub fn run_deadline(&self) -> Option<DateTime<Utc>> {
        let later = i64::try_from(self.later_s.unwrap_or(0)).ok().and_then(TimeDelta::try_seconds)?;
        self.deadline?.checked_sub_signed(later)
    }

    /// Fills what this request leaves open from `weaker` (the environment below the command line, the script's lines
    /// below both).
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        Self {
            budget_g: self.budget_g.or(weaker.budget_g.filter(|_| !self.has_budget())),
            budget_share: self.budget_share.or(weaker.budget_share.filter(|_| !self.has_budget())),
            objective: self.objective.or(weaker.objective),
            deadline: self.deadline.or(weaker.deadline),
            latency_s: self.latency_s.or(weaker.latency_s),
            runtime_s: self.runtime_s.or(weaker.runtime_s),
            profile: self.profile.or(weaker.profile),
            workers: self.workers.or(weaker.workers),
            suspend: self.suspend.or(weaker.suspend),
            max_delay_s: self.max_delay_s.or(weaker.max_delay_s),
            off: self.off || weaker.off,
            later_s: self.later_s.or(weaker.later_s),
            work_s: self.work_s.or(weaker.work_s),
            name: self.name.or(weaker.name),
            asked: self.asked.or(weaker.asked),
        }
    }
}
