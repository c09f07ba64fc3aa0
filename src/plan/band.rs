//! What a forecast's error means for a plan: the range of its carbon, and whether waiting is worth it all the same.
//!
//! The planner itself plans on the expected values. A forecast may carry a band (a lower and an upper series); the same run is then
//! integrated against both, and a deferred start is kept only if it still wins where the forecast turns out at the upper edge of its
//! band: for the run at once too, for the same hour is as dirty for both. What is far is less sure than what is near, so waiting
//! has to win by what its hours are less sure than those at once.

use super::error::PlanError;
use super::evaluate;
use super::outcome::{Outcome, Plan};
use super::problem::{Candidate, Objective, Problem, Slot, Start};

/// A plan's carbon under the lower and the upper series of a forecast, in grams. Both are slots cut as the candidate's own are.
///
/// # Errors
/// The slots are out of range, or end before the plan does.
pub fn carbon_range(problem: &Problem, of: &Plan, low: &[Slot], high: &[Slot]) -> Result<(f64, f64), PlanError> {
    let under = |slots: &[Slot]| -> Result<f64, PlanError> {
        let mut other = problem.clone();
        other.candidates[of.candidate].slots = slots.to_vec();
        Ok(evaluate(&other, of.candidate, &of.segments)?.carbon_g)
    };
    Ok((under(low)?, under(high)?))
}

/// The better of two plans that start as early as may be, if the given one starts later and does not beat it at the upper edge of
/// the forecast's band: there it emits as much (performance), or its performance per carbon is no better (ppc). The two are the best
/// that `best` finds with the start at once, and with full clock alone as well: the one may be stretched into hours as doubtful as
/// those that are waited for, which full clock leaves alone. `best` is to be the planner that made the given plan.
///
/// `at_upper_edge` gives a plan's carbon there in grams: the second of [`carbon_range`], or the plan's own carbon where its candidate
/// has no band. `None` keeps the given plan. The carbon objective seeks the earliest end within a budget: there is nothing to wait for
/// in it.
///
/// # Errors
/// If the problem is malformed, or `best` or `at_upper_edge` fails.
pub fn start_at_once_instead(
    problem: &Problem,
    of: &Plan,
    best: impl Fn(&Problem) -> Result<Outcome, PlanError>,
    at_upper_edge: impl Fn(&Plan) -> Result<f64, PlanError>,
) -> Result<Option<Plan>, PlanError> {
    let earliest_h = |start: Start| match start {
        Start::Fixed(at) => at,
        Start::Within { earliest_h, .. } => earliest_h,
    };
    if problem.objective == Objective::Carbon || of.start_h <= earliest_h(problem.candidates[of.candidate].start) {
        return Ok(None);
    }
    let mut at_once = problem.clone();
    for candidate in &mut at_once.candidates {
        candidate.start = Start::Fixed(earliest_h(candidate.start));
    }
    let mut starts: Vec<Plan> = best(&at_once)?.plan().into_iter().collect();
    let full: Vec<Option<usize>> = at_once.candidates.iter().map(Candidate::full_clock).collect();
    for (candidate, &full) in at_once.candidates.iter_mut().zip(&full) {
        candidate.levels = full.map(|level| candidate.levels[level]).into_iter().collect();
    }
    starts.extend(best(&at_once)?.plan().map(|mut plan| {
        plan.segments.iter_mut().for_each(|segment| segment.level = full[plan.candidate].unwrap_or_default());
        plan
    }));
    let mark = |plan: &Plan| -> Result<f64, PlanError> {
        let grams = at_upper_edge(plan)?;
        Ok(if problem.objective == Objective::Ppc { plan.end_h * grams } else { grams })
    };
    let mut least = mark(of)?;
    let mut instead = None;
    for plan in starts {
        let mark = mark(&plan)?;
        if mark < least || mark == least && instead.is_none() {
            (least, instead) = (mark, Some(plan));
        }
    }
    Ok(instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Level, plan};

    /// One hour of work at one clock, 1000 W: dirty now, cleaner from the second hour on.
    fn problem(later_g_per_kwh: f64, objective: Objective) -> Problem {
        let candidate = Candidate {
            slots: slots(later_g_per_kwh),
            levels: vec![Level { clock_mhz: 2000, watts: 1000.0, speed: 1.0, latency_ms: None }],
            workers: 1,
            work_h: 1.0,
            host_watts: 0.0,
            pue: 1.0,
            onsite_g_per_kwh: 0.0,
            start: Start::Within { earliest_h: 0.0, latest_h: 24.0 },
            max_run_h: None,
        };
        Problem { candidates: vec![candidate], objective, deadline_h: Some(4.0), budget_g: None, work_gpu_h: 1.0 }
    }

    fn slots(later_g_per_kwh: f64) -> Vec<Slot> {
        vec![Slot::grid(1.0, 400.0), Slot::grid(9.0, later_g_per_kwh)]
    }

    fn best_plan(problem: &Problem) -> Plan {
        plan(problem).expect("a problem").plan().expect("a plan")
    }

    #[test]
    fn the_range_of_a_plan_is_its_own_run_under_both_edges() {
        let problem = problem(300.0, Objective::Performance);
        let waiting = best_plan(&problem);
        let range = carbon_range(&problem, &waiting, &slots(250.0), &slots(450.0)).expect("a range");
        assert_eq!((waiting.start_h, waiting.carbon_g), (1.0, 300.0));
        assert!((range.0 - 250.0).abs() < 1e-9 && (range.1 - 450.0).abs() < 1e-9, "{range:?}");
    }

    /// The start at once in place of waiting, with the hour of now and the later ones so dirty at the upper edge.
    fn instead(problem: &Problem, now_g: f64, later_g: f64) -> Option<Plan> {
        let high = vec![Slot::grid(1.0, now_g), Slot::grid(9.0, later_g)];
        let at_upper_edge = |plan: &Plan| Ok(carbon_range(problem, plan, &problem.candidates[0].slots, &high)?.1);
        start_at_once_instead(problem, &best_plan(problem), plan, at_upper_edge).expect("a problem")
    }

    #[test]
    fn waiting_that_the_error_may_undo_is_not_worth_it() {
        let problem = problem(300.0, Objective::Performance);
        let at_once = instead(&problem, 400.0, 450.0).expect("the start at once");
        assert_eq!((at_once.start_h, at_once.carbon_g), (0.0, 400.0));
        assert_eq!(instead(&problem, 400.0, 350.0), None);
    }

    #[test]
    fn an_error_that_the_run_at_once_has_as_well_undoes_nothing() {
        // The later hours are 450 at their upper edge, more than now is expected to be; but then now is 500.
        let problem = problem(300.0, Objective::Performance);
        assert_eq!(instead(&problem, 500.0, 450.0), None);
    }

    #[test]
    fn performance_per_carbon_waits_only_where_it_surely_gains() {
        // Twice the turnaround at 150 g: 300 against 400; at its upper edge of 210 g no longer.
        let problem = problem(150.0, Objective::Ppc);
        assert_eq!(best_plan(&problem).start_h, 1.0);
        assert_eq!(instead(&problem, 400.0, 190.0), None);
        assert!(instead(&problem, 400.0, 210.0).is_some());
        assert_eq!(instead(&problem, 430.0, 210.0), None);
    }

    #[test]
    fn a_start_that_cannot_be_at_once_is_kept() {
        let mut problem = problem(300.0, Objective::Performance);
        problem.candidates[0].slots[0].closed = true;
        assert_eq!(instead(&problem, 400.0, 450.0), None);
    }

    #[test]
    fn full_clock_at_once_is_held_against_waiting_too() {
        // A slow hour now and a fast half one later: the best at once as things are expected to be. At the upper edge it is dirtier than
        // the run that waits, 416 g and 400 g; but full clock now is 300 g, whatever comes.
        let mut problem = problem(100.0, Objective::Performance);
        problem.candidates[0].levels.insert(0, Level { clock_mhz: 1000, watts: 720.0, speed: 0.5, latency_ms: None });
        problem.candidates[0].slots[0].g_per_kwh = 300.0;
        let waiting = best_plan(&problem);
        assert_eq!((waiting.start_h, waiting.carbon_g), (1.0, 100.0));
        let at_once = instead(&problem, 300.0, 400.0).expect("the start at once");
        assert_eq!((at_once.end_h, at_once.carbon_g, at_once.segments[0].level), (1.0, 300.0, 1), "{at_once:?}");
        assert_eq!(instead(&problem, 300.0, 290.0), None);
    }
}
