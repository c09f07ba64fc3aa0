//! At submission: what carm-submit decides ([`carm::submission`]), told of the simulated queue instead of Slurm's.

use ::carm::plan::{Objective, Outcome, Plan, Problem, Request, Start, Tables};
use ::carm::site::least_speed;
use ::carm::submission::{Bounds, Busy, NEVER_H, Opening, Submission};

use super::Carm;
use crate::policy::{Asked, Decision, View};

/// Room within a minute is room at once, h: Slurm looks at its queue no more often.
const AT_ONCE_H: f64 = 1.0 / 60.0;

/// Decides at submission; where there is no plan the job starts at once at full clock.
pub fn decide(carm: &Carm, asked: &Asked, view: &View) -> Decision {
    planned(carm, asked, view).unwrap_or_else(|| Decision::at_home(asked, view.now_h, asked.limit_h()))
}

fn planned(carm: &Carm, asked: &Asked, view: &View) -> Option<Decision> {
    let (sites, openings): (Vec<usize>, Vec<Opening>) = openings(carm, asked, view).into_iter().unzip();
    let tables = openings.iter().map(|opening| Tables::new(&opening.candidate)).collect::<Result<Vec<_>, _>>().ok()?;
    let request = Request {
        objective: carm.objective(asked),
        deadline_h: asked.deadline_h().map(|deadline_h| deadline_h - view.now_h),
        budget_g: carm.budget_g(asked),
        work_gpu_h: f64::from(asked.gpus()) * asked.said_work_h(),
    };
    let mut submission = Submission::new(openings, tables, request, None);
    let plan = match submission.answer().ok()?.outcome {
        Outcome::Feasible(plan) => submission.at_once_instead(&plan).ok()?.unwrap_or(plan),
        Outcome::Infeasible(missed) if missed.least_carbon_g.is_some() => closest(&submission)?,
        Outcome::Infeasible(_) => return None,
    };
    let begin_h = submission.begin_h(&plan).ok()?;
    let (site, measured) = (sites[plan.candidate], submission.openings[plan.candidate].measured);
    let candidate = &submission.problem.candidates[plan.candidate];
    let limit_s = bounds(asked, view, site, candidate.workers).stretched_s(candidate, &plan, measured);
    Some(Decision {
        site,
        workers: candidate.workers,
        begin_h: view.now_h + begin_h,
        limit_h: limit_s.map_or(asked.limit_h(), |limit_s| limit_s as f64 / 3600.0),
        pieces: Vec::new(),
        paused: false,
    })
}

/// Best effort: the least carbon by the deadline where the budget is too small, else at once.
fn closest(submission: &Submission) -> Option<Plan> {
    submission.problem.budget_g?;
    let relaxed = Problem {
        budget_g: None,
        objective: Objective::Performance,
        deadline_h: Some(submission.problem.deadline_h.unwrap_or(NEVER_H)),
        ..submission.problem.clone()
    };
    submission.best(&relaxed).ok()?.plan()
}

/// The ways to run a job, each with its site, in the order of the sites.
fn openings(carm: &Carm, asked: &Asked, view: &View) -> Vec<(usize, Opening)> {
    let own = [asked.gpus()];
    let widths = if carm.levers.width && !asked.widths().is_empty() { asked.widths() } else { &own[..] };
    let sites = if carm.levers.placement { 0..view.sites() } else { asked.home()..asked.home() + 1 };
    let pairs = sites.flat_map(|site| widths.iter().map(move |&width| (site, width)));
    pairs
        .filter(|&(site, width)| width <= view.site(site).gpus)
        .filter_map(|(site, width)| Some((site, opening(carm, asked, view, site, width)?)))
        .collect()
}

fn opening(carm: &Carm, asked: &Asked, view: &View, site: usize, width: u32) -> Option<Opening> {
    let latest_h = if carm.levers.deferral { (asked.latest_start_h() - view.now_h).max(0.0) } else { 0.0 };
    let start = Start::Within { earliest_h: 0.0, latest_h };
    let asks = view.planner().ask_slurm;
    let full = asks && view.is_full(site, width);
    // Slurm tells whole seconds.
    let room_h = || ((view.room_h(site, width, asked.limit_h()) - view.now_h) * 3600.0).ceil() / 3600.0;
    let room_h = full.then(|| room_h().min(NEVER_H)).filter(|&room_h| room_h > AT_ONCE_H);
    // No further than a run can be.
    let slowest = view.levels(site, asked).iter().map(|level| level.speed).fold(1.0, f64::min);
    let throughput = view.width_throughput(site, asked, width)?;
    let longest_h = view.said_run_h(site, asked) / throughput / slowest;
    let last_h = latest_h.max(room_h.unwrap_or(0.0)) + longest_h + 1.0;
    let deadline_h = asked.deadline_h().map_or(f64::INFINITY, |deadline_h| deadline_h - view.now_h);
    let horizon_h = view.planner().horizon_s / 3600.0;
    // One that cannot be met any more is planned without.
    let needs_h = if deadline_h > room_h.unwrap_or(0.0) { last_h.min(deadline_h + 1e-6) } else { last_h };
    let length_h = needs_h.min(horizon_h);
    let mut candidate = view.offer(site, asked, width, (asked.said_work_h(), start), length_h)?.candidate;
    if !carm.levers.clocks {
        candidate.levels.retain(|level| level.speed == 1.0);
    }
    let measured = view.measured(site, asked);
    candidate.max_run_h = bounds(asked, view, site, width).longest_run_h(&candidate, measured);
    let window_h = view.planner().max_delay_s / 3600.0;
    let least_speed = if asks && candidate.levels.len() > 1 {
        least_speed(view.queue_gpu_h(site, window_h), view.site(site).gpus, window_h)
    } else {
        0.0
    };
    let booked = if asks { view.booked(site, width, length_h) } else { Vec::new() };
    let share = view.site(site).onsite_share(f64::from(width));
    let band = view.band(site, length_h, share);
    (!candidate.slots.is_empty()).then_some(Opening { candidate, measured, band, busy: Busy { room_h, least_speed, booked } })
}

/// What bounds a job's run: its user's limit, and the partition's.
fn bounds(asked: &Asked, view: &View, site: usize, width: u32) -> Bounds {
    let seconds = |hours: f64| (hours * 3600.0 - 1e-6).ceil() as u64;
    Bounds {
        given_s: Some(seconds(asked.limit_h())),
        default_s: None,
        max_s: view.max_time_h(site).map(seconds),
        max_known: true,
        deadline_h: None,
        work_h: asked.said_work_h(),
        guessed: false,
        own_width: width == asked.gpus(),
    }
}
