//! From a gathered submission to the planner's problem: configuration, profiles, signals, one candidate per site.

use std::path::{Path, PathBuf};

use anyhow::Context;
use carm::config::{Config, DEFAULT_PATH};
use carm::plan::{self, Problem, Start};
use carm::profile::{Profile, Profiles};
use carm::request::{Objective, ProfileName};
use carm::site::{Ask, Offer, Outlook, offer};
use carm::slurm::gpus::GpuRequest;
use carm::slurm::job::Fact;
use chrono::{DateTime, Utc};

use crate::exit::{Obstacle, Refusal};
use crate::gather::Gathered;
use crate::limit::Bounds;
use crate::places::{self, Place};
use crate::script::variable;
use crate::slurm::Installed;
use crate::warning::Warning;

/// The assumed run time at full clock with the requested GPUs, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// In seconds.
    pub seconds: u64,
    /// The option that says so.
    pub from: &'static str,
}

/// A candidate's other half: what the planner does not need to know.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The site's name.
    pub site: String,
    /// How sbatch is told.
    pub place: Place,
    /// The profile used there.
    pub profile: ProfileName,
    /// Whether its figures were measured for this card.
    pub measured: bool,
    /// Where the grid's figures come from.
    pub grid_source: String,
    /// What bounds the run.
    pub bounds: Bounds,
}

/// A problem and all that its answer has to be told with.
#[derive(Debug)]
pub struct Assembled {
    /// The present instant, to which the planner's hours count.
    pub now: DateTime<Utc>,
    /// For the planner.
    pub problem: Problem,
    /// One for each of the problem's candidates.
    pub choices: Vec<Choice>,
    /// The objective, as users say it.
    pub objective: Objective,
    /// The assumed run time.
    pub work: Work,
    /// The option that sets the deadline, where there is one.
    pub deadline_option: &'static str,
}

/// The configuration: `--config`, else `CARM_CONFIG`, else the installed one, else the embedded default.
pub fn configuration(flag: Option<&Path>, utc_offset_s: i32) -> anyhow::Result<Config> {
    let named = flag.map(Path::to_owned).or_else(|| variable("CARM_CONFIG").map(PathBuf::from));
    match named {
        Some(path) => Ok(Config::load(&path)?),
        None if Path::new(DEFAULT_PATH).exists() => Ok(Config::load(Path::new(DEFAULT_PATH))?),
        None => Ok(Config::embedded(utc_offset_s)),
    }
}

/// Assembles the problem.
pub fn assemble(
    config: &Config,
    gathered: &Gathered,
    (gpus, work): (&GpuRequest, Work),
    installed: &Installed,
    now: DateTime<Utc>,
    warnings: &mut Vec<Warning>,
) -> Result<Assembled, Obstacle> {
    let (request, job) = (&gathered.request, &gathered.job);
    let objective = request.objective_or(config.planner.objective);
    check_objective(objective, gathered)?;
    let work_h = work.seconds as f64 / 3600.0;
    let given_s = job.time_limit.known().and_then(|limit| limit.seconds());
    let hours = |instant: DateTime<Utc>| Offer::hours_until(now, instant);

    let earliest_h = job.begin.known().map_or(0.0, |&begin| hours(begin).max(0.0));
    let patience_h = request.max_delay_s.unwrap_or(config.planner.max_delay_s) / 3600.0;
    // Slurm gives a job up as soon as its limit no longer fits before --deadline.
    let last_h = match (job.deadline.known(), given_s) {
        (Some(&deadline), Some(limit_s)) => hours(deadline) - limit_s as f64 / 3600.0,
        _ => f64::INFINITY,
    };
    let start = Start::Within { earliest_h, latest_h: patience_h.min(last_h).max(earliest_h) };

    let (profiles, faults) = match config.profiles_dir() {
        Some(folder) => Profiles::load(&folder),
        None => (Profiles::builtin(), Vec::new()),
    };
    warnings.extend(faults.iter().map(|fault| Warning::ProfileFile(fault.to_string())));

    let mut candidates = Vec::new();
    let mut choices: Vec<Choice> = Vec::new();
    let mut cards: Vec<(Option<String>, Option<f64>)> = Vec::new();
    let mut no_data: Option<anyhow::Error> = None;
    for (index, site) in config.sites.iter().enumerate() {
        let mut leave_out = |reason: String| warnings.push(Warning::SiteLeftOut { site: site.name.clone(), reason });
        let place = match places::place(config, index, job, gpus, installed.partitions.as_deref()) {
            Ok(place) => place,
            Err(reason) => {
                leave_out(reason);
                continue;
            }
        };
        let profile = match profile_for(&profiles, request.profile.as_ref(), site.profile.as_ref(), site.gpu.as_deref()) {
            Ok(profile) => profile,
            Err(unknown) if request.profile.is_some() => return Err(Refusal::wrong(unknown).into()),
            Err(unknown) => {
                leave_out(unknown);
                continue;
            }
        };
        let outlook = match Outlook::load(config, site, now) {
            Ok(outlook) => outlook,
            Err(error) => {
                leave_out(error.to_string());
                no_data.get_or_insert(error.into());
                continue;
            }
        };
        let ask = Ask { now, gpus: gpus.count, work_h, start, max_run_h: None };
        let offered = offer((index, site), &outlook, profile, &config.planner, &ask, gpus.count);
        let mut candidate = offered.context("assembling the plan").map_err(Obstacle::Fault)?.candidate;
        if installed.without_plugin() {
            // Nobody will move this job's clocks.
            candidate.levels = candidate.full_clock().map(|level| candidate.levels[level]).into_iter().collect();
        }
        let measured = profile.measured && profile.gpu.is_some() && profile.gpu == site.gpu;
        if let (Some(made_for), Some(has)) = (&profile.gpu, &site.gpu)
            && made_for != has
        {
            warnings.push(Warning::OtherCard { profile: profile.name.to_string(), site: site.name.clone() });
        }
        let bounds = Bounds {
            given_s,
            default_s: place.default_time_s,
            max_s: place.max_time_s,
            // A dry run without Slurm has no partition to be held to.
            max_known: place.limits_known || !installed.slurm,
            work_h,
        };
        candidate.max_run_h = bounds.longest_run_h(&candidate, measured);
        cards.push((profile.gpu.clone(), profile.throughput));
        candidates.push(candidate);
        choices.push(Choice {
            site: site.name.clone(),
            place,
            profile: profile.name.clone(),
            measured,
            grid_source: outlook.source,
            bounds,
        });
    }
    if candidates.is_empty() {
        return Err(Obstacle::Fault(no_data.unwrap_or_else(|| anyhow::anyhow!("no configured site takes this job"))));
    }
    if cards.iter().any(|(gpu, throughput)| throughput.is_none() && cards.iter().any(|(other, _)| other != gpu)) {
        warnings.push(Warning::ThroughputUnknown);
    }
    let deadlines = [("--carbon-deadline", request.deadline), ("--deadline", job.deadline.known().copied())];
    let deadlines = deadlines.into_iter().filter_map(|(option, instant)| Some((option, hours(instant?))));
    let deadline = deadlines.reduce(|first, second| if second.1 < first.1 { second } else { first });
    let problem = Problem {
        candidates,
        objective: match objective {
            Objective::Performance => plan::Objective::Performance,
            Objective::Carbon => plan::Objective::Carbon,
            Objective::Ppc => plan::Objective::Ppc,
        },
        deadline_h: deadline.map(|(_, hours)| hours),
        budget_g: request.budget_g,
        work_gpu_h: f64::from(gpus.count) * work_h,
    };
    Ok(Assembled { now, problem, choices, objective, work, deadline_option: deadline.map_or("", |(option, _)| option) })
}

fn check_objective(objective: Objective, gathered: &Gathered) -> Result<(), Refusal> {
    let request = &gathered.request;
    match objective {
        Objective::Carbon if request.budget_g.is_none() => {
            Err(Refusal::wrong("--carbon-objective: 'carbon' needs a budget; give --carbon-budget, such as --carbon-budget=500g"))
        }
        Objective::Performance if request.deadline.is_none() && gathered.job.deadline == Fact::Unsaid => Err(Refusal::wrong(
            "--carbon-objective: 'performance' needs a deadline or a latency limit; give --carbon-deadline or --carbon-latency",
        )),
        _ => Ok(()),
    }
}

fn profile_for<'p>(
    profiles: &'p Profiles,
    requested: Option<&ProfileName>,
    of_site: Option<&ProfileName>,
    gpu: Option<&str>,
) -> Result<&'p Profile, String> {
    match requested.or(of_site) {
        Some(name) => profiles.find(name, gpu).ok_or_else(|| profiles.unknown(name)),
        None => {
            let generic = carm::profile::generic().name;
            profiles.find(&generic, gpu).ok_or_else(|| profiles.unknown(&generic))
        }
    }
}
