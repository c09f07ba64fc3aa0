//! At submission: the best plan over all candidates, as carm-submit makes it.

use ::carm::govern::plan_surely;
use ::carm::plan::{self, Candidate, Objective, Outcome, Plan, PlanError, Problem, Slot, Start, Tables};
use ::carm::site::{close_between, fast_enough, least_speed};

use super::{Carm, limit};
use crate::policy::{Asked, Decision, View};

/// Room within a minute is room at once, h: Slurm looks at its queue no more often.
const AT_ONCE_H: f64 = 1.0 / 60.0;

/// Longer than any forecast, h.
const NEVER_H: f64 = 1e5;

/// One way to run a job, beside its candidate.
struct Choice {
    site: usize,
    candidate: Candidate,
    measured: bool,
    /// When Slurm has room, h after now, where that is later than the job's own start.
    room_h: Option<f64>,
    least_speed: f64,
    /// The hours that deferred jobs have booked, h after now.
    booked: Vec<(f64, f64)>,
    length_h: f64,
}

/// What of Slurm's word a plan keeps to, as in carm-submit.
#[derive(Clone, Copy)]
struct Heed {
    room: bool,
    load: bool,
    booked: bool,
}

/// From all of it to nothing: a request that would fail for that alone is planned without.
const HEEDS: [Heed; 4] = [
    Heed { room: true, load: true, booked: true },
    Heed { room: true, load: true, booked: false },
    Heed { room: true, load: false, booked: false },
    Heed { room: false, load: false, booked: false },
];

/// Decides at submission; where there is no plan the job starts at once at full clock.
pub fn decide(carm: &Carm, asked: &Asked, view: &View) -> Decision {
    let choices = choices(carm, asked, view);
    let Some(mut planned) = best(carm, asked, view, &choices) else {
        return Decision::at_home(asked, view.now_h, asked.limit_h());
    };
    if let Some(at_once) = worth_waiting(view, &choices, &planned) {
        planned.plan = at_once;
    }
    let Planned { plan, problem, heed } = planned;
    let (choice, candidate) = (&choices[plan.candidate], &problem.candidates[plan.candidate]);
    let own = Candidate { start: choice.candidate.start, ..candidate.clone() };
    let begin_h = begin_h((own, choice.measured), choice.room_h.filter(|_| heed.room), &plan, &problem);
    Decision {
        site: choice.site,
        workers: candidate.workers,
        begin_h: view.now_h + begin_h,
        limit_h: limit::stretched_h(asked, candidate, &plan, choice.measured, view.max_time_h(choice.site)),
        pieces: Vec::new(),
        paused: false,
    }
}

/// The ways to run a job, in the order of the sites.
fn choices(carm: &Carm, asked: &Asked, view: &View) -> Vec<Choice> {
    let own = [asked.gpus()];
    let widths = if carm.levers.width && !asked.widths().is_empty() { asked.widths() } else { &own[..] };
    let sites = if carm.levers.placement { 0..view.sites() } else { asked.home()..asked.home() + 1 };
    let pairs = sites.flat_map(|site| widths.iter().map(move |&width| (site, width)));
    pairs
        .filter(|&(site, width)| width <= view.site(site).gpus)
        .filter_map(|(site, width)| choice(carm, asked, view, site, width))
        .collect()
}

fn choice(carm: &Carm, asked: &Asked, view: &View, site: usize, width: u32) -> Option<Choice> {
    let latest_h = if carm.levers.deferral { (asked.latest_start_h() - view.now_h).max(0.0) } else { 0.0 };
    let start = Start::Within { earliest_h: 0.0, latest_h };
    let asks = view.planner().ask_slurm;
    let full = asks && view.is_full(site, width);
    let room_h =
        full.then(|| (view.room_h(site, width, asked.limit_h()) - view.now_h).min(NEVER_H)).filter(|&room_h| room_h > AT_ONCE_H);
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
    candidate.max_run_h = limit::longest_run_h(asked, &candidate, measured, view.max_time_h(site));
    let window_h = view.planner().max_delay_s / 3600.0;
    let least_speed = if asks && candidate.levels.len() > 1 {
        least_speed(view.queue_gpu_h(site, window_h), view.site(site).gpus, window_h)
    } else {
        0.0
    };
    let booked = if asks { view.booked(site, width, length_h) } else { Vec::new() };
    (!candidate.slots.is_empty()).then_some(Choice { site, candidate, measured, room_h, least_speed, booked, length_h })
}

/// The best plan, the problem that it is of, and what it keeps to.
struct Planned {
    plan: Plan,
    problem: Problem,
    heed: Heed,
}

/// The best plan, given how busy the sites are; one that would fail for that alone is planned without.
fn best(carm: &Carm, asked: &Asked, view: &View, choices: &[Choice]) -> Option<Planned> {
    let mut problem = Problem {
        candidates: choices.iter().map(|choice| choice.candidate.clone()).collect(),
        objective: carm.objective(asked),
        deadline_h: asked.deadline_h().map(|deadline_h| deadline_h - view.now_h),
        budget_g: carm.budget_g(asked),
        work_gpu_h: f64::from(asked.gpus()) * asked.said_work_h(),
    };
    let mut missed = None;
    let measured: Vec<bool> = choices.iter().map(|choice| choice.measured).collect();
    for heed in HEEDS {
        let candidates: Vec<Candidate> = choices.iter().map(|choice| heeding(choice, heed)).collect();
        if missed.is_some() && candidates == problem.candidates {
            continue;
        }
        problem.candidates = candidates;
        match surely(&problem, &measured).ok()? {
            Outcome::Feasible(plan) => return Some(Planned { plan, problem, heed }),
            Outcome::Infeasible(infeasible) => missed = Some(infeasible),
        }
    }
    // Best effort: the least carbon by the deadline where the budget is too small, else at once.
    missed.filter(|missed| missed.least_carbon_g.is_some() && problem.budget_g.is_some())?;
    let problem = Problem {
        budget_g: None,
        objective: Objective::Performance,
        deadline_h: Some(problem.deadline_h.unwrap_or(NEVER_H)),
        ..problem
    };
    let plan = plan::plan_whole_seconds(&problem).ok()?.plan()?;
    Some(Planned { plan, problem, heed: HEEDS[3] })
}

fn surely(problem: &Problem, measured: &[bool]) -> Result<Outcome, PlanError> {
    let tables = problem.candidates.iter().map(Tables::new).collect::<Result<Vec<_>, _>>()?;
    plan_surely(problem, &tables, measured)
}

/// A candidate that keeps to what Slurm says, as far as told.
fn heeding(choice: &Choice, heed: Heed) -> Candidate {
    let own = &choice.candidate;
    let start = match (choice.room_h.filter(|_| heed.room), own.start) {
        (Some(room_h), Start::Within { earliest_h, latest_h }) => {
            let earliest_h = earliest_h.max(room_h);
            Start::Within { earliest_h, latest_h: latest_h.max(earliest_h) }
        }
        _ => own.start,
    };
    let levels = if heed.load { fast_enough(&own.levels, choice.least_speed) } else { own.levels.clone() };
    Candidate { start, levels, slots: cut(&own.slots, choice, heed), ..*own }
}

fn cut(slots: &[Slot], choice: &Choice, heed: Heed) -> Vec<Slot> {
    close_between(slots.to_vec(), if heed.booked { &choice.booked } else { &[] })
}

/// The plan, or a start at once where the forecast's error may undo what waiting would save.
fn worth_waiting(view: &View, choices: &[Choice], planned: &Planned) -> Option<Plan> {
    let Planned { plan, problem, heed } = planned;
    let at_upper_edge = |plan: &Plan| {
        let choice = &choices[plan.candidate];
        let share = f64::from(problem.candidates[plan.candidate].workers) / f64::from(view.site(choice.site).gpus);
        let Some((low, high)) = view.band(choice.site, choice.length_h, share.min(1.0)) else { return Ok(plan.carbon_g) };
        let (low, high) = (cut(&low, choice, *heed), cut(&high, choice, *heed));
        Ok(plan::carbon_range(problem, plan, &low, &high)?.1)
    };
    // Without a band there is no error to undo anything.
    view.band(choices[plan.candidate].site, choices[plan.candidate].length_h, 1.0)?;
    plan::start_at_once_instead(problem, plan, at_upper_edge).ok().flatten()
}

/// When Slurm is told that the job may begin, h after now. A plan that starts where Slurm expects room would have started earlier, had there
/// been room: the job may begin then, and the estimate does not hold it back.
fn begin_h((own, measured): (Candidate, bool), room_h: Option<f64>, plan: &Plan, problem: &Problem) -> f64 {
    match room_h {
        Some(room_h) if plan.start_h <= room_h + 1.0 / 3600.0 => {
            let alone = Problem { candidates: vec![own], ..problem.clone() };
            let freely = surely(&alone, &[measured]).ok().and_then(Outcome::plan);
            freely.map_or(0.0, |freely| freely.start_h).min(plan.start_h)
        }
        _ => plan.start_h,
    }
}
