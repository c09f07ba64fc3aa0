//! Decides: the planner's answer on a whole second, the time limit that it needs, and what it is to be compared with.

use anyhow::Context;
use carm::govern::plan_surely;
use carm::plan::{
    self, Candidate, Ends, FrontierPoint, Infeasible, Objective, Outcome, Plan, Prepared, Problem, Reason, Request, Run, Tables,
};
use carm::quantity::format_mass;
use carm::site::Offer;
use chrono::{DateTime, TimeDelta, Utc};

use crate::assemble::{Assembled, Choice, Heed};
use crate::busy::earliest_h;
use crate::explain::local;
use crate::unfit::{self, Unfit};
use crate::warning::Warning;

/// A plan that can be carried out.
#[derive(Debug)]
pub struct Decided {
    /// What was planned.
    pub assembled: Assembled,
    /// The plan, its start on a whole second.
    pub plan: Plan,
    /// When Slurm is told that it may begin, in whole seconds from now; 0: as soon as there is room.
    pub begin_s: u64,
    /// The same job started now at the highest clock, at the first site that it allows; `None` where the forecast ends
    /// before that run would.
    pub now_run: Option<Plan>,
    /// The same as soon as Slurm expects room there: what the plan is to be compared with.
    pub earliest_run: Option<Plan>,
    /// Its carbon at both edges of the forecast's band, in grams, where the forecast carries one.
    pub range_g: Option<(f64, f64)>,
    /// The time limit to set, in seconds; `None`: the job's own is long enough.
    pub limit_s: Option<u64>,
    /// The options that set its number of GPUs, where that is not the requested one.
    pub width: Vec<String>,
}

/// A request that nothing meets.
#[derive(Debug)]
pub struct Missed {
    /// What was planned.
    pub assembled: Assembled,
    /// By how much it misses.
    pub infeasible: Infeasible,
    /// What stands in its way, where it fits nowhere.
    pub unfit: Option<Unfit>,
    /// As in [`Decided`].
    pub now_run: Option<Plan>,
}

/// Plans.
pub fn decide(
    mut assembled: Assembled,
    best_effort: bool,
    warnings: &mut Vec<Warning>,
) -> anyhow::Result<Result<Decided, Box<Missed>>> {
    let now_run = run_now(&assembled, |choice, _| earliest_h(choice.start))?;
    match outcome(&mut assembled, warnings)? {
        Outcome::Feasible(plan) => {
            let plan = worth_waiting(&assembled, plan, warnings)?;
            Ok(Ok(told(assembled, plan, now_run)?))
        }
        Outcome::Infeasible(infeasible) => {
            let unfit = unfit::cause(&assembled, &infeasible)?;
            let missed = Missed { assembled, infeasible, unfit, now_run };
            let closest = if best_effort { closest(&missed)? } else { None };
            let Some(plan) = closest else { return Ok(Err(Box::new(missed))) };
            warnings.push(Warning::BestEffort(missed.reason()));
            Ok(Ok(told(missed.assembled, plan, missed.now_run)?))
        }
    }
}

/// The best plan, given how busy Slurm says it is. A request that would fail for that alone is planned without: an estimate
/// costs no job.
fn outcome(assembled: &mut Assembled, warnings: &mut Vec<Warning>) -> anyhow::Result<Outcome> {
    assembled.heed(Heed { room: true, load: true, booked: true })?;
    let mut outcome = best(assembled, &assembled.problem)?;
    for weaker in [
        Heed { room: true, load: true, booked: false },
        Heed { room: true, load: false, booked: false },
        Heed { room: false, load: false, booked: false },
    ] {
        let heeds = assembled.heeds;
        let gives_in = heeds.booked && !weaker.booked || heeds.load && !weaker.load || heeds.room && !weaker.room;
        if matches!(outcome, Outcome::Feasible(_)) || !gives_in {
            continue;
        }
        assembled.heed(weaker)?;
        outcome = best(assembled, &assembled.problem)?;
        if matches!(outcome, Outcome::Feasible(_)) {
            match (weaker.room, weaker.load) {
                // Others' plans are no business of a job that has to run beside them: Slurm's queue decides who is first.
                (true, true) => {}
                (true, false) => warnings.push(Warning::QueueTooLong),
                (false, _) => warnings.push(Warning::RoomTooLate(assembled.rooms())),
            }
        }
    }
    Ok(outcome)
}

/// When Slurm is to be told that the job may begin. A plan that starts where Slurm expects room would have started earlier, had
/// there been room: the job may begin then, and the estimate does not hold it back.
fn begin_s(assembled: &Assembled, plan: &Plan) -> anyhow::Result<u64> {
    let whole_s = |hours: f64| (hours * 3600.0).round() as u64;
    let starts_s = whole_s(plan.start_h);
    match assembled.room_h(plan.candidate) {
        Some(room_h) if starts_s <= whole_s(room_h) => {
            let own = Candidate {
                start: assembled.choices[plan.candidate].start,
                ..assembled.problem.candidates[plan.candidate].clone()
            };
            let earliest_s = whole_s(earliest_h(own.start));
            let tables = Tables::new(&own).context("planning as if there were room")?;
            let alone = Problem { candidates: vec![own], ..assembled.problem.clone() };
            let measured = assembled.choices[plan.candidate].measured;
            let freely = match assembled.latency_ms {
                Some(_) => None,
                None => plan_surely(&alone, &[tables], &[measured]).context("planning as if there were room")?.plan(),
            };
            Ok(freely.map_or(earliest_s, |freely| whole_s(freely.start_h)).min(starts_s))
        }
        _ => Ok(starts_s),
    }
}

/// The plan, or a start at once where the forecast's error may undo what waiting would save.
fn worth_waiting(assembled: &Assembled, plan: Plan, warnings: &mut Vec<Warning>) -> anyhow::Result<Plan> {
    let Some((_, high_g)) = carbon_range(assembled, &plan)? else { return Ok(plan) };
    let at_upper_edge = |plan: &Plan| match assembled.band(plan.candidate) {
        Some((low, high)) => Ok(plan::carbon_range(&assembled.problem, plan, &low, &high)?.1),
        None => Ok(plan.carbon_g),
    };
    let instead = plan::start_at_once_instead(&assembled.problem, &plan, at_upper_edge).context("planning a start at once")?;
    Ok(match instead {
        Some(at_once) => {
            warnings.push(Warning::NotWorthWaiting { carbon_g: plan.carbon_g, high_g });
            at_once
        }
        None => plan,
    })
}

/// The plan's carbon at both edges of the forecast's band, where it carries one. A service waits for nothing, and is not asked.
fn carbon_range(assembled: &Assembled, plan: &Plan) -> anyhow::Result<Option<(f64, f64)>> {
    let band = assembled.band(plan.candidate).filter(|_| assembled.latency_ms.is_none());
    let range = band.map(|(low, high)| plan::carbon_range(&assembled.problem, plan, &low, &high));
    range.transpose().context("integrating the forecast's band")
}

/// The best plan of a problem that differs from the assembled one in its request alone.
fn best(assembled: &Assembled, problem: &Problem) -> anyhow::Result<Outcome> {
    match assembled.latency_ms {
        Some(limit_ms) => plan::plan_service(problem, Some(limit_ms)),
        None => plan_surely(problem, &assembled.tables, &assembled.measured()),
    }
    .context("planning")
}

/// What the job would come to if it paused, each resume adding so many hours of work; `None` where no such plan meets the
/// request.
pub fn paused(assembled: &Assembled, restart_h: f64) -> anyhow::Result<Option<Warning>> {
    let suspended = plan::plan_suspended(&assembled.problem, restart_h).context("planning with pauses")?;
    let Outcome::Feasible(plan) = suspended.outcome else { return Ok(None) };
    let mut limit_g = plan.carbon_g;
    for candidate in &assembled.problem.candidates {
        let least = plan::limit(candidate, Some(plan.end_h)).context("planning with pauses")?;
        limit_g = limit_g.min(least.unwrap_or(f64::INFINITY));
    }
    let end = local(assembled.instant(plan.end_h));
    Ok(Some(Warning::Paused { carbon_g: plan.carbon_g, end, resumes: suspended.resumes, limit_g }))
}

/// A plan with all that it is told with.
fn told(mut assembled: Assembled, plan: Plan, now_run: Option<Plan>) -> anyhow::Result<Decided> {
    let range_g = carbon_range(&assembled, &plan)?;
    let begin_s = begin_s(&assembled, &plan)?;
    let earliest_run = run_now(&assembled, |choice, room_h| earliest_h(choice.start).max(room_h.unwrap_or_default()))?;
    let choice = &assembled.choices[plan.candidate];
    let candidate = &assembled.problem.candidates[plan.candidate];
    let limit_s = match assembled.latency_ms {
        Some(_) => None,
        None => choice.bounds.stretched_s(candidate, &plan, choice.measured),
    };
    if candidate.workers != assembled.requested {
        // From here on the work is that of the GPUs that it gets.
        assembled.work.seconds = (candidate.work_h * choice.throughput * 3600.0 - 1e-6).ceil().max(1.0) as u64;
    }
    Ok(Decided { assembled, plan, begin_s, now_run, earliest_run, range_g, limit_s, width: Vec::new() })
}

/// Full clock from a start that a candidate's choice and its room (h after now) give; with the requested GPUs where they are
/// among its widths.
fn run_now(assembled: &Assembled, start_h: impl Fn(&Choice, Option<f64>) -> f64) -> anyhow::Result<Option<Plan>> {
    let problem = &assembled.problem;
    let as_asked = problem.candidates.iter().position(|c| c.workers == assembled.requested).unwrap_or(0);
    let Some(level) = problem.candidates.get(as_asked).and_then(Candidate::full_clock) else { return Ok(None) };
    let start_h = start_h(&assembled.choices[as_asked], assembled.room_h(as_asked));
    run_at_full_clock(problem, as_asked, level, start_h)
}

fn run_at_full_clock(problem: &Problem, candidate: usize, level: usize, start_h: f64) -> anyhow::Result<Option<Plan>> {
    // With the one level that it needs: the planner prepares every level that it is given.
    let from = &problem.candidates[candidate];
    let only = Candidate { slots: from.slots.clone(), levels: vec![from.levels[level]], ..*from };
    let alone = Problem { candidates: vec![only], ..*problem };
    let run = plan::constant(&alone, 0, 0, start_h).context("planning a run at full clock")?;
    Ok(run.map(|mut run| {
        run.candidate = candidate;
        run.segments.iter_mut().for_each(|segment| segment.level = level);
        run
    }))
}

/// The plan that misses by least: the least carbon by the deadline where the budget is too small, the earliest end where
/// the deadline is too near.
fn closest(missed: &Missed) -> anyhow::Result<Option<Plan>> {
    let problem = &missed.assembled.problem;
    if let Some(Unfit::Patience(plan)) = &missed.unfit {
        return Ok(Some(Plan::clone(plan)));
    }
    match missed.infeasible.reason {
        Reason::Budget | Reason::DeadlineAndBudget if missed.infeasible.least_carbon_g.is_some() => {
            let relaxed = Problem {
                budget_g: None,
                objective: Objective::Performance,
                deadline_h: Some(problem.deadline_h.unwrap_or(HORIZON_H)),
                ..problem.clone()
            };
            Ok(best(&missed.assembled, &relaxed)?.plan())
        }
        Reason::Horizon | Reason::MaxRun => Ok(None),
        _ => {
            let mut earliest: Option<Plan> = None;
            for candidate in 0..problem.candidates.len() {
                let Some(level) = problem.candidates[candidate].full_clock() else { continue };
                let start_h = (earliest_h(problem.candidates[candidate].start) * 3600.0 - 1e-5).ceil() / 3600.0;
                if let Some(plan) = run_at_full_clock(problem, candidate, level, start_h)?
                    && earliest.as_ref().is_none_or(|kept| plan.end_h < kept.end_h)
                {
                    earliest = Some(plan);
                }
            }
            Ok(earliest)
        }
    }
}

/// Longer than any forecast, h: a deadline that binds nothing.
pub const HORIZON_H: f64 = 1e5;

impl Decided {
    /// When the job could start otherwise, where the plan defers it.
    pub fn deferred_from(&self) -> Option<DateTime<Utc>> {
        let earliest_h = earliest_h(self.assembled.problem.candidates[self.plan.candidate].start);
        let deferred = (self.plan.start_h - earliest_h) * 3600.0 >= 1.0;
        deferred.then(|| self.assembled.instant(earliest_h))
    }

    /// Whether the plan starts only when Slurm expects room.
    pub fn waits_for_room(&self) -> bool {
        (self.begin_s as f64) < (self.plan.start_h * 3600.0).round()
    }
}

/// What is asked, whoever is asked.
pub fn request(problem: &Problem) -> Request {
    Request {
        objective: problem.objective,
        deadline_h: problem.deadline_h,
        budget_g: problem.budget_g,
        work_gpu_h: problem.work_gpu_h,
    }
}

impl Assembled {
    /// The candidates with their tables.
    pub fn prepared(&self) -> Vec<Prepared<'_>> {
        let run = |c: &Candidate| Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h };
        let pairs = self.problem.candidates.iter().zip(&self.tables);
        pairs.map(|(candidate, tables)| Prepared { tables, run: run(candidate) }).collect()
    }

    /// Of each candidate, whether its profile was measured there.
    pub fn measured(&self) -> Vec<bool> {
        self.choices.iter().map(|choice| choice.measured).collect()
    }

    /// The instant so many hours after now.
    pub fn instant(&self, hours: f64) -> DateTime<Utc> {
        Offer::instant(self.now, hours)
    }

    /// The least carbon by the end of each slot, where waiting longer emits less; no more points than a chart can show.
    pub fn frontier(&self) -> anyhow::Result<Vec<FrontierPoint>> {
        if self.latency_ms.is_some() {
            return Ok(Vec::new()); // a service ends with its time limit
        }
        let mut points = plan::frontier_prepared(&self.prepared(), &Ends::Some(200)).context("computing the frontier")?;
        points.dedup_by(|later, earlier| later.carbon_g >= earlier.carbon_g);
        Ok(points)
    }
}

impl Missed {
    /// The end that would meet the budget.
    pub fn earliest_end(&self) -> Option<DateTime<Utc>> {
        self.infeasible.earliest_end_h.map(|hours| self.assembled.instant(hours))
    }

    /// Why nothing meets the request, by how much it misses, and the way out, in one line.
    pub fn reason(&self) -> String {
        let problem = &self.assembled.problem;
        let deadline = problem.deadline_h.map(|hours| local(self.assembled.instant(hours))).unwrap_or_default();
        // Rounded up, so that what the line tells the user to give is enough.
        let least = self.infeasible.least_carbon_g.map(|g| format!("{} at least", format_mass(rounded_up(g))));
        let next_minute = |end: DateTime<Utc>| end + TimeDelta::milliseconds(59_999);
        let earliest = self.earliest_end().map(|end| format!("{} at the earliest", local(next_minute(end))));
        let option = self.assembled.deadline_option;
        let way_out = |options: [Option<String>; 2]| options.into_iter().flatten().collect::<Vec<_>>().join(", or ");
        match self.infeasible.reason {
            Reason::Deadline if problem.deadline_h.is_some_and(|hours| hours <= 0.0) => {
                let now = local(self.assembled.now);
                format!("{option}: '{deadline}' is in the past; give a time after {now}")
            }
            Reason::Deadline => {
                let end = earliest.map(|end| format!("give {end}")).unwrap_or_default();
                format!("{option}: '{deadline}' is before the job could end at full clock; {end}")
            }
            Reason::Budget => {
                let budget = format_mass(problem.budget_g.unwrap_or_default());
                let least = least.map(|least| format!("give {least}")).unwrap_or_default();
                let by = if problem.deadline_h.is_some() { " by the deadline" } else { "" };
                format!("--carbon-budget: '{budget}' is less than any plan{by} emits; {least}")
            }
            Reason::Latency => "--carbon-latency: no clock of the profile answers within it; give a longer limit".to_owned(),
            Reason::DeadlineAndBudget => {
                let budget = format_mass(problem.budget_g.unwrap_or_default());
                let options = way_out([
                    least.map(|least| format!("a budget of {least}")),
                    earliest.map(|end| format!("a deadline of {end}")),
                ]);
                format!("--carbon-budget: '{budget}' cannot be kept by the deadline '{deadline}'; give {options}")
            }
            Reason::MaxRun => {
                "the run is longer than the partition allows even at full clock; give a partition with a longer MaxTime"
                    .to_owned()
            }
            Reason::Horizon => self.unfit.as_ref().map(|unfit| unfit.reason(&self.assembled)).unwrap_or_default(),
        }
    }
}

/// Up to the third significant figure.
fn rounded_up(grams: f64) -> f64 {
    if grams <= 0.0 {
        return grams;
    }
    let step = 10_f64.powf(grams.log10().floor() - 2.0);
    (grams / step * (1.0 + 1e-12)).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::rounded_up;

    #[test]
    fn what_a_message_tells_to_give_is_never_too_little() {
        assert_eq!(rounded_up(309.4), 310.0);
        assert_eq!(rounded_up(1234.0), 1240.0);
        assert!((rounded_up(0.012_31) - 0.0124).abs() < 1e-12);
        assert_eq!(rounded_up(0.0), 0.0);
    }
}
