//! Decides: the planner's answer on a whole second, the time limit that it needs, and what it is to be compared with.

use anyhow::Context;
use carm::plan::{self, Candidate, Ends, FrontierPoint, Infeasible, Objective, Outcome, Plan, Problem, Reason};
use carm::quantity::format_mass;
use carm::site::Offer;
use carm::submission::{NEVER_H, earliest_h};
use chrono::{DateTime, TimeDelta, Utc};

use crate::assemble::Assembled;
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
    let now_run = run_now(&assembled, |own, _| own)?;
    let answer = assembled.submission.answer().context("planning")?;
    match answer.outcome {
        Outcome::Feasible(plan) => {
            match (answer.without_load, answer.without_room) {
                (_, true) => warnings.push(match (assembled.rooms(), assembled.after) {
                    (rooms, Some(after)) if rooms.is_empty() => Warning::DependencyTooLate(local(after)),
                    (rooms, _) => Warning::RoomTooLate(rooms),
                }),
                (true, false) => warnings.push(Warning::QueueTooLong),
                (false, false) => {}
            }
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

/// The plan, or a start at once where the forecast's error may undo what waiting would save.
fn worth_waiting(assembled: &Assembled, plan: Plan, warnings: &mut Vec<Warning>) -> anyhow::Result<Plan> {
    let submission = &assembled.submission;
    let Some(at_once) = submission.at_once_instead(&plan).context("planning a start at once")? else { return Ok(plan) };
    let range_g = submission.carbon_range(&plan).context("integrating the forecast's band")?;
    let high_g = range_g.map_or(plan.carbon_g, |(_, high_g)| high_g);
    warnings.push(Warning::NotWorthWaiting { carbon_g: plan.carbon_g, high_g });
    Ok(at_once)
}

/// What the job would come to if it paused, each resume adding so many hours of work; `None` where no such plan meets the
/// request.
pub fn paused(assembled: &Assembled, restart_h: f64) -> anyhow::Result<Option<Warning>> {
    let suspended = plan::plan_suspended(&assembled.submission.problem, restart_h).context("planning with pauses")?;
    let Outcome::Feasible(plan) = suspended.outcome else { return Ok(None) };
    let mut limit_g = plan.carbon_g;
    for candidate in &assembled.submission.problem.candidates {
        let least = plan::limit(candidate, Some(plan.end_h)).context("planning with pauses")?;
        limit_g = limit_g.min(least.unwrap_or(f64::INFINITY));
    }
    let end = local(assembled.instant(plan.end_h));
    Ok(Some(Warning::Paused { carbon_g: plan.carbon_g, end, resumes: suspended.resumes, limit_g }))
}

/// A plan with all that it is told with.
fn told(mut assembled: Assembled, plan: Plan, now_run: Option<Plan>) -> anyhow::Result<Decided> {
    let range_g = assembled.submission.carbon_range(&plan).context("integrating the forecast's band")?;
    let begin_h = assembled.submission.begin_h(&plan).context("planning as if there were room")?;
    let begin_s = (begin_h * 3600.0).round() as u64;
    let earliest_run = run_now(&assembled, |own, room_h| own.max(room_h.unwrap_or_default()))?;
    let choice = &assembled.choices[plan.candidate];
    let candidate = &assembled.submission.problem.candidates[plan.candidate];
    let measured = assembled.submission.openings[plan.candidate].measured;
    let limit_s = match assembled.submission.latency_ms {
        Some(_) => None,
        None => choice.bounds.stretched_s(candidate, &plan, measured),
    };
    if candidate.workers != assembled.requested {
        // From here on the work is that of the GPUs that it gets.
        assembled.work.seconds = (candidate.work_h * choice.throughput * 3600.0 - 1e-6).ceil().max(1.0) as u64;
    }
    Ok(Decided { assembled, plan, begin_s, now_run, earliest_run, range_g, limit_s, width: Vec::new() })
}

/// Full clock from a start that a candidate's own earliest start and its room (h after now) give; with the requested GPUs where they are
/// among its widths.
pub fn run_now(assembled: &Assembled, start_h: impl Fn(f64, Option<f64>) -> f64) -> anyhow::Result<Option<Plan>> {
    let problem = &assembled.submission.problem;
    let as_asked = problem.candidates.iter().position(|c| c.workers == assembled.requested).unwrap_or(0);
    let Some(level) = problem.candidates.get(as_asked).and_then(Candidate::full_clock) else { return Ok(None) };
    let own_h = earliest_h(assembled.submission.openings[as_asked].candidate.start);
    let start_h = start_h(own_h, assembled.submission.room_h(as_asked));
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
    let problem = &missed.assembled.submission.problem;
    if let Some(Unfit::Patience(plan)) = &missed.unfit {
        return Ok(Some(Plan::clone(plan)));
    }
    match missed.infeasible.reason {
        Reason::Budget | Reason::DeadlineAndBudget if missed.infeasible.least_carbon_g.is_some() => {
            let relaxed = Problem {
                budget_g: None,
                objective: Objective::Performance,
                deadline_h: Some(problem.deadline_h.unwrap_or(NEVER_H)),
                ..problem.clone()
            };
            Ok(missed.assembled.submission.best(&relaxed).context("planning without the budget")?.plan())
        }
        Reason::Horizon | Reason::MaxRun => Ok(None),
        // Planned, not taken for full clock from now on: the site may be closed now.
        _ if missed.assembled.submission.latency_ms.is_none() => {
            let relaxed = Problem { budget_g: Some(f64::MAX), objective: Objective::Carbon, deadline_h: None, ..problem.clone() };
            Ok(missed.assembled.submission.best(&relaxed).context("planning without the deadline")?.plan())
        }
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

impl Decided {
    /// When the job could start otherwise, where the plan defers it.
    pub fn deferred_from(&self) -> Option<DateTime<Utc>> {
        let earliest_h = earliest_h(self.assembled.submission.problem.candidates[self.plan.candidate].start);
        let deferred = (self.plan.start_h - earliest_h) * 3600.0 >= 1.0;
        deferred.then(|| self.assembled.instant(earliest_h))
    }

    /// Whether the plan starts only when Slurm expects room.
    pub fn waits_for_room(&self) -> bool {
        (self.begin_s as f64) < (self.plan.start_h * 3600.0).round()
    }
}

impl Assembled {
    /// The instant so many hours after now.
    pub fn instant(&self, hours: f64) -> DateTime<Utc> {
        Offer::instant(self.now, hours)
    }

    /// The least carbon by the end of each slot, where waiting longer emits less; no more points than a chart can show.
    pub fn frontier(&self) -> anyhow::Result<Vec<FrontierPoint>> {
        if self.submission.latency_ms.is_some() {
            return Ok(Vec::new()); // a service ends with its time limit
        }
        let mut points =
            plan::frontier_prepared(&self.submission.prepared(), &Ends::Some(200)).context("computing the frontier")?;
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
        let problem = &self.assembled.submission.problem;
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
                match &self.unfit {
                    Some(delay @ Unfit::Delay(_)) => {
                        let delay = delay.reason(&self.assembled);
                        let least = least.trim_start_matches("give ");
                        format!(
                            "--carbon-budget: '{budget}' is less than any plan{by} emits that starts soon enough; give {delay}, or a budget of {least}"
                        )
                    }
                    _ => format!("--carbon-budget: '{budget}' is less than any plan{by} emits; {least}"),
                }
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
