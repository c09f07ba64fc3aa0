//! What a user should know of a plan or a submission, one line each. A warning never advises what was already done.

use std::fmt;

use carm::quantity::{counted, decimals, format_mass, format_slurm_time};

use crate::rounds::Rounds;

/// A warning.
#[derive(Debug, Clone, PartialEq)]
pub enum Warning {
    /// sbatch has no plugin of CARM's, or does not say; why.
    NoPlugin(String),
    /// A question that Slurm did not answer in time.
    Unanswered {
        /// The question.
        question: String,
        /// What follows.
        consequence: &'static str,
    },
    /// How long the time limit may become is not known; why.
    NoStretch(String),
    /// Words that no known option begins with.
    UnknownOptions(Vec<String>),
    /// One of the configured sites cannot take the job.
    SiteLeftOut {
        /// The site.
        site: String,
        /// Why.
        reason: String,
    },
    /// A zone's data are too old, or not there.
    GridData(String),
    /// A profile's file cannot be used.
    ProfileFile(String),
    /// A site's profile was made for another card.
    OtherCard {
        /// The profile.
        profile: String,
        /// The site.
        site: String,
    },
    /// The workload runs on several card types whose relative throughput is not given.
    ThroughputUnknown,
    /// The user's run time is longer than the user's time limit.
    RuntimeOverLimit {
        /// The run time, in seconds.
        runtime_s: u64,
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The number of GPUs stays as requested.
    WidthKept {
        /// The GPUs.
        gpus: u32,
        /// Why.
        reason: String,
    },
    /// Counts that the job could use, and that its GPU request cannot be rewritten for.
    WidthsLeftOut {
        /// The counts.
        counts: Vec<u32>,
        /// Why, of the first.
        reason: String,
    },
    /// Counts that a profile's scaling table lacks.
    ScalingUnknown {
        /// The profile.
        profile: String,
        /// The counts.
        counts: Vec<u32>,
    },
    /// The plan's number of GPUs.
    WidthChosen {
        /// The GPUs.
        gpus: u32,
        /// Those requested.
        requested: u32,
        /// The options that set them.
        options: Vec<String>,
    },
    /// The job gets whole nodes.
    WholeNodes {
        /// The GPUs of all of them.
        gpus: u32,
    },
    /// The budget is a share of full clock at once.
    BudgetShare {
        /// The share.
        share: f64,
        /// What that is, in grams.
        budget_g: f64,
    },
    /// The plan has no pauses.
    NotPaused,
    /// The forecast's error may undo what waiting would save.
    NotWorthWaiting {
        /// Carbon of the plan that waits, in grams.
        carbon_g: f64,
        /// The same at the upper edge of the forecast's band.
        high_g: f64,
    },
    /// The request fails where the plan waits for Slurm to have room: it does not.
    RoomTooLate(Vec<String>),
    /// The request fails where the plan waits for the jobs that it depends on: it does not.
    DependencyTooLate(String),
    /// The request fails at clocks that keep up with the queue: it has slower ones.
    QueueTooLong,
    /// What pauses would save; the plan that is submitted has none.
    Paused {
        /// Carbon of the plan that pauses, in grams.
        carbon_g: f64,
        /// When it would end.
        end: String,
        /// How often it resumes.
        resumes: usize,
        /// The least carbon by the same end if resuming cost nothing, in grams.
        limit_g: f64,
    },
    /// Nothing meets the request; this comes closest.
    BestEffort(String),
    /// The plan's figures hold for each task of an array.
    EachTask,
    /// A throttled array's tasks run one behind the other.
    Rounds(Rounds),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlugin(why) => write!(f, "{why}; carbon options are dropped and the job runs at full clock"),
            Self::Unanswered { question, consequence } => {
                write!(f, "{question}: no answer; {consequence}")
            }
            Self::NoStretch(why) => write!(f, "{why}; the time limit is not raised"),
            Self::UnknownOptions(words) => write!(f, "{}: not an option that CARM knows; left to sbatch", words.join(", ")),
            Self::SiteLeftOut { site, reason } => write!(f, "site '{site}' is left out: {reason}"),
            Self::GridData(doubt) => f.write_str(doubt),
            Self::ProfileFile(cause) => write!(f, "{cause}; this profile is not used"),
            Self::OtherCard { profile, site } => {
                write!(
                    f,
                    "profile '{profile}' was made for another card than site '{site}' has; its figures are an estimate there"
                )
            }
            Self::ThroughputUnknown => {
                f.write_str("the sites' cards differ and no profile gives its throughput: they count as equally fast")
            }
            Self::RuntimeOverLimit { runtime_s, limit_s } => write!(
                f,
                "--carbon-runtime: '{}' is longer than the time limit {}; Slurm will end the job at its limit",
                format_slurm_time(*runtime_s),
                format_slurm_time(*limit_s)
            ),
            Self::WidthKept { gpus, reason } => {
                write!(f, "--carbon-workers: the job is planned at the {} that it requests: {reason}", counted(*gpus, "GPU"))
            }
            Self::WidthsLeftOut { counts, reason } => {
                write!(f, "--carbon-workers: {} left out: {reason}", listed(counts))
            }
            Self::ScalingUnknown { profile, counts } => {
                write!(
                    f,
                    "--carbon-workers: {} left out: the [scaling] of profile '{profile}' lacks it or the requested count",
                    listed(counts)
                )
            }
            Self::WidthChosen { gpus, requested, options } => {
                write!(f, "--carbon-workers: {} instead of {requested}: {}", counted(*gpus, "GPU"), options.join(" "))
            }
            Self::WholeNodes { gpus } => {
                write!(f, "the job gets whole nodes: planned for all of their {}", counted(*gpus, "GPU"))
            }
            Self::BudgetShare { share, budget_g } => write!(
                f,
                "--carbon-budget: {} % of {} at full clock at once: {}",
                decimals(share * 100.0, 0),
                format_mass(budget_g / share),
                format_mass(*budget_g)
            ),
            Self::NotPaused => f.write_str("--carbon-suspend: the job is planned as one run without a pause"),
            Self::NotWorthWaiting { carbon_g, high_g } => write!(
                f,
                "waiting would emit {}, but up to {} within the forecast's error: planned at once",
                format_mass(*carbon_g),
                format_mass(*high_g)
            ),
            Self::RoomTooLate(rooms) => write!(
                f,
                "Slurm expects room at {}, too late for the request: planned as if there were room at once",
                rooms.join(", at ")
            ),
            Self::DependencyTooLate(at) => write!(
                f,
                "the jobs that it depends on may take until {at}, too late for the request: planned as if they were done"
            ),
            Self::QueueTooLong => f.write_str(
                "no clock that keeps up with the work that waits meets the request: planned at slower ones, as if nothing waited",
            ),
            Self::Paused { resumes: 0, .. } => f.write_str("--carbon-suspend: pausing would save nothing here"),
            Self::Paused { carbon_g, end, resumes, limit_g } => write!(
                f,
                "--carbon-suspend: with {resumes} {} it would emit {} and end {end} (the limit by then, were resuming free: {}); \
                 the plan submitted has no pause",
                if *resumes == 1 { "pause" } else { "pauses" },
                format_mass(*carbon_g),
                format_mass(*limit_g)
            ),
            Self::BestEffort(cause) => write!(f, "{cause}; --best-effort: submitted with the plan that comes closest"),
            Self::EachTask => f.write_str("the plan holds for each task of the array"),
            Self::Rounds(rounds) => write!(f, "{rounds}"),
        }
    }
}

fn listed(counts: &[u32]) -> String {
    counts.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
