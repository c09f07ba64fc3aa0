//! The governor's decision: the clock until the next look, from what is left of the job and what it runs at now.
//!
//! The remaining problem is planned anew each time, start fixed at now; the plan's beginning is what the job runs at. Two things stand
//! before the plan: a job that could not finish in time even so goes to full clock, and a clock is not moved for little.

use super::steady::run_at;
use super::{MARGIN, Situation, guaranteed_speed, margin_h, sure_end_h};
use crate::plan::{self, Candidate, Objective, Outcome, Plan, PlanError, Problem, Slot};

/// What keeps the clock from moving too often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Time to the next decision, in hours.
    pub interval_h: f64,
    /// A clock stays at least this long, in hours.
    pub dwell_h: f64,
    /// A clock moves by at least so much, in MHz.
    pub min_change_mhz: u32,
    /// What follows a budget that cannot be kept.
    pub over_budget: OverBudget,
}

/// What follows a budget that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverBudget {
    /// The clock of least carbon.
    Least,
    /// Full clock.
    Full,
    /// The clock that it has.
    Stay,
}

/// What the job runs at, and what is surely left of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The level that is set (an index into the candidate's levels); none where the set clock is none of them.
    pub level: Option<usize>,
    /// For how long it has been, in hours.
    pub for_h: f64,
    /// Work that may be left, in hours at full clock: counted with [`guaranteed_speed`], where the candidate's `work_h` goes
    /// by the profile's word.
    pub sure_work_h: f64,
    /// All of the job's work, in hours at full clock: what is kept in hand goes by it.
    pub whole_work_h: f64,
    /// What has been emitted of the budget, in grams.
    pub spent_g: f64,
}

/// The clock until the next look.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Index into the candidate's levels; none is full clock without a lock.
    pub level: Option<usize>,
    /// Why, in a few words.
    pub reason: &'static str,
    /// The budget cannot be kept.
    pub over_budget: bool,
    /// What the rest of the job comes to by the plan; none where there is none.
    pub plan: Option<Plan>,
}

/// Nothing moves for less than this part of what the job still emits (or, by its objective, takes).
const WORTH: f64 = 0.02;

/// A governor that misses a look must not cost a deadline: what is decided has to hold for so many intervals.
const LOOKS_AHEAD: f64 = 2.0;

/// Decides the clock until the next look. `band` is the grid's lower and upper series where the forecast has one, cut as the
/// candidate's slots are.
///
/// # Errors
/// A figure of the situation is out of its range.
pub fn reconsider(
    situation: &Situation,
    standing: &Standing,
    rules: &Rules,
    band: Option<(&[Slot], &[Slot])>,
) -> Result<Decision, PlanError> {
    let full = |reason| Decision { level: None, reason, over_budget: false, plan: None };
    let by_h = situation.limit_h.min(situation.deadline_h.unwrap_or(f64::INFINITY)) - margin_h(standing.whole_work_h);
    if by_h <= standing.sure_work_h {
        return Ok(full("past the point of no return: full clock to the end"));
    }
    let Some(rest) = rest_of(situation, standing, by_h)? else {
        return Ok(full("no clock but the highest is in time, or the grid is not known so far"));
    };
    let over_budget = rest.over_budget;
    match rules.over_budget {
        OverBudget::Full if over_budget => {
            return Ok(Decision { over_budget, ..full("the budget cannot be kept, and on_budget says full clock") });
        }
        OverBudget::Stay if over_budget => {
            let reason = "the budget cannot be kept, and on_budget keeps the clock";
            return Ok(Decision { over_budget, level: standing.level, ..full(reason) });
        }
        _ => {}
    }
    let window_h = rules.dwell_h.max(rules.interval_h);
    let first = first_level(situation.candidate, &rest.best, standing.level, window_h, rules.interval_h);
    let in_time = |level: &usize| is_in_time(situation, standing, rules, *level, by_h);
    let Some(wanted) = first.and_then(|first| slowest_in_time(situation.candidate, first, in_time)) else {
        return Ok(full("near the point of no return: full clock"));
    };
    let stays = match standing.level.filter(in_time) {
        Some(current) if current != wanted => reason_to_stay(situation, standing, rules, &rest, (current, wanted), by_h, band)?,
        _ => None,
    };
    let (level, reason) = match stays {
        Some(reason) => (standing.level, reason),
        None => (Some(wanted), rest.reason),
    };
    Ok(Decision { level, reason, over_budget, plan: Some(rest.best) })
}

/// The plan for what is left.
struct Rest {
    problem: Problem,
    best: Plan,
    reason: &'static str,
    over_budget: bool,
}

/// Plans what is left; `None` where nothing but full clock is in time.
fn rest_of(situation: &Situation, standing: &Standing, by_h: f64) -> Result<Option<Rest>, PlanError> {
    let candidate = situation.candidate;
    let end_h = sure_end_h(candidate, situation.measured, standing.sure_work_h, by_h);
    let problem = |objective, budget_g| Problem {
        work_gpu_h: f64::from(candidate.workers) * candidate.work_h,
        candidates: vec![candidate.clone()],
        objective,
        deadline_h: Some(end_h),
        budget_g,
    };
    // A part of the whole budget is kept in hand: a run that takes a little longer than the model emits a little more.
    let in_hand = |left_g: f64| (standing.spent_g + left_g) * MARGIN / (1.0 + MARGIN);
    let wanted = problem(situation.objective, situation.budget_g.map(|left_g| (left_g - in_hand(left_g)).max(0.0)));
    if let Outcome::Feasible(best) = plan::plan(&wanted)? {
        let reason = match situation.objective {
            Objective::Performance => "least carbon in time",
            Objective::Carbon => "fastest within the budget",
            Objective::Ppc => "best performance per carbon",
        };
        return Ok(Some(Rest { problem: wanted, best, reason, over_budget: false }));
    }
    let Some(left_g) = situation.budget_g else { return Ok(None) };
    let least = problem(Objective::Performance, None);
    let Outcome::Feasible(best) = plan::plan(&least)? else { return Ok(None) };
    let over_budget = best.carbon_g > left_g;
    let reason = if over_budget { "the budget cannot be kept: least carbon" } else { "least carbon, to keep within the budget" };
    Ok(Some(Rest { problem: least, best, reason, over_budget }))
}

/// Whether a job that runs at a level until the look after next can still be done in time at full clock.
fn is_in_time(situation: &Situation, standing: &Standing, rules: &Rules, level: usize, by_h: f64) -> bool {
    let ahead_h = (LOOKS_AHEAD * rules.interval_h).min(standing.sure_work_h);
    let done_h = guaranteed_speed(situation.candidate, level, situation.measured) * ahead_h;
    ahead_h + standing.sure_work_h - done_h <= by_h
}

/// Why the present clock stays although the plan begins with another.
fn reason_to_stay(
    situation: &Situation,
    standing: &Standing,
    rules: &Rules,
    rest: &Rest,
    (current, wanted): (usize, usize),
    by_h: f64,
    band: Option<(&[Slot], &[Slot])>,
) -> Result<Option<&'static str>, PlanError> {
    let mhz = |level: usize| situation.candidate.levels[level].clock_mhz;
    let kept = run_at(situation, current)?.filter(|kept| kept.end_h <= by_h);
    let keeps = |budget_g: Option<f64>, kept: &Plan| budget_g.is_none_or(|budget_g| kept.carbon_g <= budget_g);
    // To a slower clock for the budget's sake a job goes at once, for what is kept in hand of it, too.
    let budget_g = rest.problem.budget_g.or(situation.budget_g.filter(|_| !rest.over_budget));
    let presses = budget_g.is_some() && !kept.as_ref().is_some_and(|kept| keeps(budget_g, kept)) && mhz(wanted) < mhz(current);
    let kept = kept.filter(|kept| keeps(rest.problem.budget_g, kept));
    Ok(if standing.for_h < rules.dwell_h && !presses {
        Some("a clock stays for its dwell time")
    } else if mhz(current).abs_diff(mhz(wanted)) < rules.min_change_mhz {
        Some("too small a change of the clock")
    } else {
        match kept {
            Some(kept) if !is_worth_it(&rest.problem, &rest.best, &kept, band)? => Some("too little to win by another clock"),
            _ => None,
        }
    })
}

/// The level to run at first. Within a slot the plan's clocks may come in any order: the present one is kept for as long as
/// the slot has use for it. Else it is the level of most of the coming `window_h`: for less no clock is set. A faster one that the plan
/// wants in the next slot alone is not set in this one, if there is another look before it ends.
fn first_level(candidate: &Candidate, plan: &Plan, current: Option<usize>, window_h: f64, interval_h: f64) -> Option<usize> {
    let hours_until = |until_h: f64| {
        let mut levels: Vec<(usize, f64)> = Vec::new();
        for segment in plan.segments.iter().filter(|segment| segment.from_h < until_h) {
            let hours = segment.to_h.min(until_h) - segment.from_h;
            match levels.iter_mut().find(|(level, _)| *level == segment.level) {
                Some((_, sum)) => *sum += hours,
                None => levels.push((segment.level, hours)),
            }
        }
        levels
    };
    let slot_h = candidate.slots[0].hours;
    let here = hours_until(slot_h);
    let in_use = |level: usize| here.iter().find(|(here, _)| *here == level).map(|&(_, hours)| hours);
    if current.and_then(in_use).is_some_and(|hours| hours >= window_h) {
        return current;
    }
    // Ties go to the one that comes first.
    let most = |levels: &[(usize, f64)]| {
        levels.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(level, _)| level)
    };
    let first = most(&hours_until(window_h))?;
    let speed = |level: usize| candidate.levels[level].speed;
    let is_of_the_next = slot_h > interval_h && here.iter().all(|&(level, _)| speed(level) < speed(first));
    if is_of_the_next { current.filter(|&level| in_use(level).is_some()).or_else(|| most(&here)) } else { Some(first) }
}

/// `wanted`, or the slowest level above it that leaves the job in time.
fn slowest_in_time(candidate: &Candidate, wanted: usize, in_time: impl Fn(&usize) -> bool) -> Option<usize> {
    let speed = |level: usize| candidate.levels[level].speed;
    let faster = (0..candidate.levels.len()).filter(|&level| speed(level) >= speed(wanted) && in_time(&level));
    faster.min_by(|&a, &b| speed(a).total_cmp(&speed(b)))
}

/// Whether the plan beats the present clock `kept` to the job's end by enough, and surely, as far as the forecast tells.
fn is_worth_it(problem: &Problem, best: &Plan, kept: &Plan, band: Option<(&[Slot], &[Slot])>) -> Result<bool, PlanError> {
    // What the objective counts; less is better.
    let cost = |end_h: f64, carbon_g: f64| match problem.objective {
        Objective::Performance => carbon_g,
        Objective::Carbon => end_h,
        Objective::Ppc => end_h * carbon_g,
    };
    if cost(best.end_h, best.carbon_g) >= cost(kept.end_h, kept.carbon_g) * (1.0 - WORTH) {
        return Ok(false);
    }
    let Some((low, high)) = band else { return Ok(true) };
    for edge in [low, high] {
        let mut other = problem.clone();
        other.candidates[0].slots = edge.to_vec();
        let under = |run: &Plan| plan::evaluate(&other, 0, &run.segments);
        if cost(best.end_h, under(best)?.carbon_g) >= cost(kept.end_h, under(kept)?.carbon_g) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
