//! From what the sites offer and what Slurm says of them to the planner's problem.

use std::path::{Path, PathBuf};

use anyhow::Context;
use carm::config::{Clocks, Config, DEFAULT_PATH};
use carm::plan::{self, Plan, Request, Start};
use carm::request::{Objective, ProfileName};
use carm::site::Offer;
use carm::slurm::gpus::GpuRequest;
use carm::slurm::job::Fact;
use carm::slurm::partition::Partition;
use carm::submission::{Bounds, Busy, CYCLE_H, NEVER_H, Opening, Patience, Submission};
use chrono::{DateTime, Utc};

use crate::busy::Load;
use crate::decide;
use crate::exit::{Obstacle, Refusal};
use crate::explain::local;
use crate::gather::Gathered;
use crate::history;
use crate::limits::Policy;
use crate::offers::{Asked, NoOffer, Offered};
use crate::places::{self, Place};
use crate::script::variable;
use crate::slurm::Installed;
use crate::warning::Warning;

/// The assumed run time at full clock with the requested GPUs, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// In seconds.
    pub seconds: u64,
    /// Who says so.
    pub from: Basis,
}

/// Where a run time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// An option of the user's.
    Option(&'static str),
    /// So many earlier runs: a guess.
    History {
        /// How many.
        runs: usize,
    },
}

impl Work {
    /// Whether it is a run time, and no time limit alone.
    pub fn is_predicted(&self) -> bool {
        self.from != Basis::Option("--time")
    }
}

impl std::fmt::Display for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Option(option) => write!(f, "from {option}"),
            Self::History { runs } => f.write_str(&history::told(*runs)),
        }
    }
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
    /// Where the grid's figures come from.
    pub grid: crate::offers::GridData,
    /// Its card's throughput relative to other cards, by the profile.
    pub throughput: f64,
    /// What bounds the run.
    pub bounds: Bounds,
    /// What waits for the same GPUs, where Slurm tells.
    pub load: Option<Load>,
}

/// A problem and all that its answer has to be told with.
#[derive(Debug)]
pub struct Assembled {
    /// The present instant, to which the planner's hours count.
    pub now: DateTime<Utc>,
    /// For the planner.
    pub submission: Submission,
    /// What the planner need not know, one for each of its candidates.
    pub choices: Vec<Choice>,
    /// The objective, as users say it.
    pub objective: Objective,
    /// The assumed run time.
    pub work: Work,
    /// The GPUs that the job requests.
    pub requested: u32,
    /// The option that sets the deadline, where there is one.
    pub deadline_option: &'static str,
    /// Of a job with the objective `performance` that names no deadline: how much later than at the earliest it may end.
    pub patience: Option<Patience>,
    /// When those jobs have ended that it waits for, by their time limits.
    pub after: Option<DateTime<Utc>>,
}

impl Assembled {
    /// Sets the deadline of a job that names none: its earliest end and its patience. Where nothing fits, none is too late.
    pub fn set_deadline(&mut self) -> anyhow::Result<()> {
        if let Some(patience) = self.patience {
            let earliest_h = self.submission.earliest_end_h().context("planning the earliest end")?;
            self.submission.problem.deadline_h = Some(earliest_h.map_or(NEVER_H, |end_h| end_h + patience.hours));
        }
        Ok(())
    }

    /// Sets a budget that is a share of the same work at full clock at once, in grams.
    pub fn set_budget(&mut self, share: f64) -> anyhow::Result<f64> {
        let at_once = decide::run_now(self, |own, _| own)?;
        let at_once = at_once.context("--carbon-budget: the grid's data end before the run would at full clock; give a mass")?;
        let budget_g = share * at_once.carbon_g;
        self.submission.problem.budget_g = Some(budget_g);
        Ok(budget_g)
    }

    /// The hours before a plan's end that others have booked at its site, as far as it keeps clear of them.
    pub fn booked(&self, plan: &Plan) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let booked = self.submission.booked(plan.candidate);
        booked.iter().filter(|span| span.0 < plan.end_h).map(|&(from, to)| (self.instant(from), self.instant(to))).collect()
    }

    /// What waits behind a candidate, as far as it takes clocks from its plan.
    pub fn load(&self, candidate: usize) -> Option<&Load> {
        let choice = &self.choices[candidate];
        let (all, heeded) = (&self.submission.openings[candidate].candidate, &self.submission.problem.candidates[candidate]);
        choice.load.as_ref().filter(|_| heeded.levels.len() < all.levels.len())
    }

    /// Where Slurm expects room only later, and from when on: `north from 2026-05-01 14:20`.
    pub fn rooms(&self) -> Vec<String> {
        let places = self.choices.iter().zip(&self.submission.openings);
        let mut rooms: Vec<String> = places
            .filter_map(|(choice, opening)| {
                let at = self.instant(opening.busy.room_h?.min(NEVER_H));
                if self.after == Some(at) {
                    return None; // that is no word on room
                }
                Some(format!("{} from {}", choice.site, local(at)))
            })
            .collect();
        rooms.dedup();
        rooms
    }
}

/// The configuration file's: `--config`, else `CARM_CONFIG`, else the installed one; `None` without any.
pub fn configured(flag: Option<&Path>) -> Option<anyhow::Result<Config>> {
    let named = flag.map(Path::to_owned).or_else(|| variable("CARM_CONFIG").map(PathBuf::from));
    let path = named.or_else(|| Some(PathBuf::from(DEFAULT_PATH)).filter(|path| path.exists()))?;
    Some(Config::load(&path).map_err(anyhow::Error::from))
}

/// When a job may begin: not before `--begin`, not after its user's patience; `hurried`: no later than it can.
pub fn start(config: &Config, gathered: &Gathered, now: DateTime<Utc>, hurried: bool) -> Start {
    let (request, job) = (&gathered.request, &gathered.job);
    let hours = |instant: DateTime<Utc>| Offer::hours_until(now, instant);
    let earliest_h = job.begin.known().map_or(0.0, |&begin| hours(begin).max(0.0));
    if request.latency_s.is_some() || hurried {
        return Start::Fixed(earliest_h);
    }
    let patience_h = request.max_delay_s.unwrap_or(config.planner.max_delay_s) / 3600.0;
    // Slurm gives a job up as soon as its limit no longer fits before --deadline.
    let last_h = match (job.deadline.known(), given_s(gathered)) {
        (Some(&deadline), Some(limit_s)) => hours(deadline) - gathered.later_h - limit_s as f64 / 3600.0 - CYCLE_H,
        _ => f64::INFINITY,
    };
    Start::Within { earliest_h, latest_h: patience_h.min(last_h).max(earliest_h) }
}

/// The same start, by then at the latest, or as soon as it may.
fn no_later(start: Start, by_h: f64) -> Start {
    match start {
        Start::Fixed(at) => Start::Fixed(at),
        Start::Within { earliest_h, latest_h } => Start::Within { earliest_h, latest_h: latest_h.min(by_h).max(earliest_h) },
    }
}

/// Assembles the problem from what the sites offer and what Slurm says of them.
pub fn assemble(
    config: &Config,
    gathered: &Gathered,
    asked: (Asked, Work),
    offers: Vec<Result<Offered, NoOffer>>,
    installed: &Installed,
    policy: &Policy,
    warnings: &mut Vec<Warning>,
) -> Result<Assembled, Obstacle> {
    let ((Asked { now, gpus, work_h, latency_ms, .. }, work), request, job) = (asked, &gathered.request, &gathered.job);
    let objective = request.objective_or(config.planner.objective);
    let hours = |instant: DateTime<Utc>| Offer::hours_until(now, instant);

    let deadlines = [("--carbon-deadline", request.deadline), ("--deadline", job.deadline.known().copied())];
    let deadlines = deadlines.into_iter().filter_map(|(option, instant)| Some((option, hours(instant?) - gathered.later_h)));
    let deadline = deadlines.reduce(|first, second| if second.1 < first.1 { second } else { first });

    let (mut openings, mut tables, mut choices) = (Vec::new(), Vec::new(), Vec::new());
    let mut cards: Vec<(Option<String>, Option<f64>)> = Vec::new();
    let mut elsewhere: Vec<String> = Vec::new();
    let mut unplanned: Option<anyhow::Error> = None;
    for (site, offered) in config.sites.iter().zip(offers) {
        let placed = offered.and_then(|offered| {
            let least = offered.widths.first().map_or(gpus.count, |(candidate, _, _)| candidate.workers);
            let least = GpuRequest { count: least, ..gpus.clone() };
            let applicant = |cluster: Option<&str>, partition: &Partition| policy.applicant(cluster, partition);
            let place = places::place(config, offered.site, job, &least, &installed.partitions, Some(&applicant));
            let place = place.map_err(|reason| NoOffer::Unplanned(anyhow::anyhow!(reason)))?;
            Ok((place, offered))
        });
        let (place, mut offered) = match placed {
            Ok(placed) => placed,
            Err(NoOffer::Elsewhere(reason)) => {
                elsewhere.push(format!("{}: {reason}", site.name));
                continue;
            }
            Err(NoOffer::Unplanned(error)) => {
                warnings.push(Warning::SiteLeftOut { site: site.name.clone(), reason: format!("{error:#}") });
                unplanned.get_or_insert(error);
                continue;
            }
        };
        // Sites of one zone have its doubts in common.
        for doubt in std::mem::take(&mut offered.doubts) {
            let warning = Warning::GridData(doubt);
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        if !offered.lacks.is_empty() {
            warnings.push(Warning::ScalingUnknown { profile: offered.profile.to_string(), counts: offered.lacks.clone() });
        }
        if let (Some(made_for), Some(has)) = (&offered.made_for.0, &site.gpu)
            && made_for != has
        {
            warnings.push(Warning::OtherCard { profile: offered.profile.to_string(), site: site.name.clone() });
        }
        cards.push(offered.made_for.clone());
        if installed.without_plugin() || config.node.clocks == Clocks::Off {
            // Nobody will move this job's clocks.
            offered.keep_full_clock()?;
        }
        for (mut candidate, table, band) in std::mem::take(&mut offered.widths) {
            // `--time=UNLIMITED` suppresses the partition's DefaultTime.
            let default_s = place.default_time_s.filter(|_| job.time_limit == Fact::Unsaid);
            let own_s = given_s(gathered).or(default_s);
            let share_s = own_s.zip(config.submit.stretch_limit).map(|(own_s, share)| (own_s as f64 * (1.0 + share)) as u64);
            let is_slower = candidate.levels.len() > 1 || candidate.work_h > work_h * (1.0 + 1e-9);
            let wants_more = is_slower && latency_ms.is_none() && own_s.is_some() && share_s != own_s;
            // A dry run without Slurm has no partition to be held to.
            let mut max_known = place.limits_known || !installed.slurm;
            let mut allowed_s = None;
            if wants_more && max_known && installed.slurm {
                match policy.longest_s(&place, candidate.workers) {
                    Ok(longest_s) => allowed_s = longest_s,
                    Err(reason) => {
                        max_known = false;
                        let warning = Warning::NoStretch(reason);
                        if !warnings.contains(&warning) {
                            warnings.push(warning);
                        }
                    }
                }
            }
            let bounds = Bounds {
                given_s: given_s(gathered),
                default_s: default_s.map(|s| s.min(allowed_s.unwrap_or(s))),
                max_s: [place.max_time_s, allowed_s, share_s].into_iter().flatten().min(),
                max_known,
                deadline_h: job.deadline.known().map(|&deadline| hours(deadline)),
                work_h,
                guessed: matches!(work.from, Basis::History { .. }),
                own_width: candidate.workers == gpus.count,
            };
            if let (Basis::History { runs: 1 }, Some((_, deadline_h))) = (work.from, deadline) {
                // One run is no evidence for a start after which the time limit no longer fits.
                let limit_h = bounds.unstretched_s().or(bounds.max_s).map_or(f64::INFINITY, |s| s as f64 / 3600.0);
                candidate.start = no_later(candidate.start, deadline_h - limit_h - CYCLE_H);
            }
            // A service is as long as its limit.
            candidate.max_run_h = if latency_ms.is_some() { None } else { bounds.longest_run_h(&candidate, offered.measured) };
            choices.push(Choice {
                site: site.name.clone(),
                place: place.clone(),
                profile: offered.profile.clone(),
                grid: offered.grid.clone(),
                throughput: offered.made_for.1.unwrap_or(1.0),
                bounds,
                load: None,
            });
            openings.push(Opening { candidate, measured: offered.measured, band, busy: Busy::default() });
            tables.push(table);
        }
    }
    if openings.is_empty() {
        let nowhere = || anyhow::anyhow!("no configured site takes this job ({})", elsewhere.join("; "));
        return Err(Obstacle::Fault(unplanned.unwrap_or_else(nowhere)));
    }
    if cards.iter().any(|(gpu, throughput)| throughput.is_none() && cards.iter().any(|(other, _)| other != gpu)) {
        warnings.push(Warning::ThroughputUnknown);
    }
    let asked = Request {
        objective: match objective {
            Objective::Performance => plan::Objective::Performance,
            Objective::Carbon => plan::Objective::Carbon,
            Objective::Ppc => plan::Objective::Ppc,
        },
        deadline_h: deadline.map(|(_, hours)| hours),
        budget_g: request.budget_g,
        work_gpu_h: f64::from(gpus.count) * work_h,
    };
    let deadline_option = deadline.map_or("", |(option, _)| option);
    let submission = Submission::new(openings, tables, asked, latency_ms);
    let run_h = work.is_predicted().then_some(work_h);
    let has_dependency = job.dependency != Fact::Unsaid;
    let patience = || Patience::of(request.max_delay_s.map(|s| s / 3600.0), run_h, has_dependency, &config.planner);
    let lacks_deadline = objective == Objective::Performance && deadline.is_none() && latency_ms.is_none();
    let patience = lacks_deadline.then(patience);
    Ok(Assembled { now, submission, choices, objective, work, requested: gpus.count, deadline_option, patience, after: None })
}

/// Refuses an objective without the constraint that it is about.
pub fn check_objective(objective: Objective, gathered: &Gathered) -> Result<(), Refusal> {
    let request = &gathered.request;
    match objective {
        Objective::Carbon if !request.has_budget() => {
            Err(Refusal::wrong("--carbon-objective: 'carbon' needs a budget; give --carbon-budget, such as --carbon-budget=500g"))
        }
        _ => Ok(()),
    }
}

fn given_s(gathered: &Gathered) -> Option<u64> {
    gathered.job.time_limit.known().and_then(|limit| limit.seconds())
}
