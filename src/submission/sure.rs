//! A plan that surely meets its deadline: it starts early enough for the clocks that it is planned with.
//!
//! What counts on the node, counts here ([`crate::govern::guaranteed_speed`]): a plan that the node would not carry out is none.

use crate::govern::{guaranteed_speed, length_and_loss_h, margin_h};
use crate::plan::{
    self, Candidate, Level, Outcome, Plan, PlanError, Prepared, Problem, Request, Run, Start, Tables, plan_whole_seconds_prepared,
};

/// What rounding to whole seconds may take, in hours: half a second.
const SLIP_H: f64 = 0.5 / 3600.0;

/// The best plan that starts on a whole second and surely meets its deadline. `tables` and `measured` have an entry for each of the
/// problem's candidates.
///
/// It starts no later than full clock from then on would be done with [`margin_h`] in hand: Slurm takes a moment to start a job. Where the
/// best of those plans goes by speeds that nobody measured, and would not surely meet the deadline, the best is sought among the plans
/// that never run slower than some level and start early enough for that level. A request that nothing so careful meets is planned
/// as if all were sure: it never fails for this alone. As long as one candidate can be so careful, no other is chosen that cannot.
///
/// # Errors
/// If the problem is malformed.
pub fn plan_surely(problem: &Problem, tables: &[Tables], measured: &[bool]) -> Result<Outcome, PlanError> {
    let all: Vec<usize> = (0..problem.candidates.len()).collect();
    let asked = Asked { problem, tables, measured };
    let Some(deadline_h) = problem.deadline_h else { return asked.plan(&all, |c| c.start) };
    let in_time = |&i: &usize| early_enough(&problem.candidates[i], 0.0, deadline_h).is_some();
    let mut passes = vec![all.iter().copied().filter(in_time).collect(), all.clone()];
    passes.dedup();
    for candidates in passes.iter().filter(|candidates| !candidates.is_empty()) {
        let outcome = asked.surely(candidates, deadline_h)?;
        if matches!(outcome, Outcome::Feasible(_)) {
            return Ok(outcome);
        }
    }
    asked.plan(&all, |c| c.start)
}

/// The arguments of [`plan_surely`].
struct Asked<'p> {
    problem: &'p Problem,
    tables: &'p [Tables],
    measured: &'p [bool],
}

impl Asked<'_> {
    fn request(&self) -> Request {
        let Problem { objective, deadline_h, budget_g, work_gpu_h, .. } = *self.problem;
        Request { objective, deadline_h, budget_g, work_gpu_h }
    }

    /// The best plan at one of these candidates, with starts of their own.
    fn plan(&self, candidates: &[usize], start: impl Fn(&Candidate) -> Start) -> Result<Outcome, PlanError> {
        let prepared = |&i: &usize| {
            let c = &self.problem.candidates[i];
            Prepared { tables: &self.tables[i], run: Run { work_h: c.work_h, start: start(c), max_run_h: c.max_run_h } }
        };
        let prepared: Vec<Prepared> = candidates.iter().map(prepared).collect();
        let mut outcome = plan_whole_seconds_prepared(&prepared, &self.request())?;
        if let Outcome::Feasible(plan) = &mut outcome {
            plan.candidate = candidates[plan.candidate];
        }
        Ok(outcome)
    }

    /// The best plan at one of these candidates that keeps to the margin and to what is sure of the clocks; a candidate that has no
    /// time for the margin goes without.
    fn surely(&self, candidates: &[usize], deadline_h: f64) -> Result<Outcome, PlanError> {
        let outcome = self.plan(candidates, |c| early_enough(c, 0.0, deadline_h).unwrap_or(c.start))?;
        let Outcome::Feasible(best) = &outcome else { return Ok(outcome) };
        if self.measured[best.candidate] || is_sure(&self.problem.candidates[best.candidate], best, deadline_h) {
            return Ok(outcome);
        }
        let ways = self.ways(candidates, deadline_h)?;
        let prepared: Vec<Prepared> = ways.iter().map(|way| Prepared { tables: &way.tables, run: way.run }).collect();
        let sure = plan_whole_seconds_prepared(&prepared, &self.request())?;
        // A budget may be too small for what is sure: then it decides, as it does on the node.
        let Outcome::Feasible(mut plan) = sure else { return Ok(outcome) };
        let way = &ways[plan.candidate];
        plan.candidate = way.candidate;
        plan.segments.iter_mut().for_each(|segment| segment.level = way.levels[segment.level]);
        Ok(Outcome::Feasible(plan))
    }
}

/// Whether a plan keeps the guarantee: whether it could still end in time at full clock, should it be as far behind as it may.
fn is_sure(candidate: &Candidate, plan: &Plan, deadline_h: f64) -> bool {
    let loss = |s: &plan::Segment| (s.to_h - s.from_h) * (1.0 - guaranteed_speed(candidate, s.level, false));
    plan.start_h + plan.segments.iter().map(loss).sum::<f64>() <= latest_h(candidate, deadline_h) + SLIP_H
}

/// The last start at full clock that keeps the margin, in hours.
fn latest_h(candidate: &Candidate, deadline_h: f64) -> f64 {
    deadline_h - margin_h(candidate.work_h) - candidate.work_h
}

/// The starts that are early enough for a run that falls so far behind full clock; `None` if there is none.
fn early_enough(candidate: &Candidate, loss_h: f64, deadline_h: f64) -> Option<Start> {
    let last_h = latest_h(candidate, deadline_h) - loss_h;
    match candidate.start {
        Start::Fixed(at_h) => (at_h <= last_h).then_some(candidate.start),
        Start::Within { earliest_h, latest_h } => {
            (earliest_h <= last_h).then_some(Start::Within { earliest_h, latest_h: latest_h.min(last_h) })
        }
    }
}

/// A candidate without its slowest levels, and the starts that are early enough for the others.
struct Way {
    candidate: usize,
    /// The candidate's levels that it has.
    levels: Vec<usize>,
    tables: Tables,
    run: Run,
}

impl Asked<'_> {
    fn ways(&self, candidates: &[usize], deadline_h: f64) -> Result<Vec<Way>, PlanError> {
        let mut ways = Vec::new();
        for &index in candidates {
            let candidate = &self.problem.candidates[index];
            let all: Vec<usize> = (0..candidate.levels.len()).collect();
            let run = Run { work_h: candidate.work_h, start: candidate.start, max_run_h: candidate.max_run_h };
            if self.measured[index] {
                let start = early_enough(candidate, 0.0, deadline_h).unwrap_or(candidate.start);
                ways.push(Way { candidate: index, levels: all, tables: self.tables[index].clone(), run: Run { start, ..run } });
                continue;
            }
            let mut by_speed = all;
            let levels = &candidate.levels;
            by_speed.sort_by(|&a, &b| levels[b].speed.total_cmp(&levels[a].speed));
            for slowest in 0..by_speed.len() {
                let level = by_speed[slowest];
                // Of levels that are equally fast all belong.
                if by_speed.get(slowest + 1).is_some_and(|&next| levels[next].speed == levels[level].speed) {
                    continue;
                }
                let loss_h = length_and_loss_h(candidate, level).1;
                let start = match early_enough(candidate, loss_h, deadline_h) {
                    Some(start) => start,
                    None if loss_h <= 0.0 => candidate.start,
                    None => continue,
                };
                if Some(start) == early_enough(candidate, 0.0, deadline_h) {
                    // What is faster starts no later.
                    ways.retain(|way: &Way| way.candidate != index);
                }
                let has: Vec<usize> = by_speed[..=slowest].to_vec();
                let own: Vec<Level> = has.iter().map(|&level| levels[level]).collect();
                let tables = Tables::new(&Candidate { levels: own, slots: candidate.slots.clone(), ..*candidate })?;
                ways.push(Way { candidate: index, levels: has, tables, run: Run { start, ..run } });
            }
        }
        Ok(ways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Objective, Slot};
    use proptest::prelude::*;

    fn candidate(grid: &[f64], work_h: f64, start: Start) -> Candidate {
        let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
        Candidate {
            slots: grid.iter().map(|&g| Slot::grid(1.0, g)).collect(),
            levels: vec![level(1000, 140.0, 0.6), level(2000, 300.0, 1.0), level(1500, 180.0, 0.8)],
            workers: 1,
            work_h,
            host_watts: 0.0,
            pue: 1.0,
            onsite_g_per_kwh: 0.0,
            start,
            max_run_h: None,
        }
    }

    fn by(deadline_h: f64, candidates: Vec<Candidate>) -> Problem {
        let (objective, deadline_h) = (Objective::Performance, Some(deadline_h));
        Problem { work_gpu_h: candidates[0].work_h, candidates, objective, deadline_h, budget_g: None }
    }

    fn surely(problem: &Problem, measured: bool) -> Outcome {
        let tables: Vec<Tables> = problem.candidates.iter().map(|c| Tables::new(c).expect("a candidate")).collect();
        plan_surely(problem, &tables, &vec![measured; tables.len()]).expect("a problem")
    }

    const ANY_TIME: Start = Start::Within { earliest_h: 0.0, latest_h: 24.0 };

    #[test]
    fn a_plan_starts_early_enough_for_its_clocks() {
        // Four hours at 1500 MHz by the model take five, and would leave it 1.25 h behind; 7 min more are kept in hand.
        let grid = [200.0, 200.0, 200.0, 200.0, 100.0, 100.0, 100.0, 100.0, 100.0];
        let problem = by(9.0, vec![candidate(&grid, 4.0, ANY_TIME)]);
        let bold = surely(&problem, true).plan().expect("a plan");
        assert!((bold.start_h, bold.end_h) == (4.0, 9.0), "{bold:?}");
        let plan = surely(&problem, false).plan().expect("a plan");
        assert!((plan.start_h - (9.0 - 0.12 - 4.0 - 1.25)).abs() < 1.0 / 3600.0 && plan.segments[0].level == 2, "{plan:?}");
        assert!(is_sure(&problem.candidates[0], &plan, 9.0));
    }

    #[test]
    fn a_plan_leaves_slurm_a_moment_to_start_the_job() {
        let problem = by(9.0, vec![candidate(&[900.0, 900.0, 900.0, 900.0, 800.0, 1.0, 1.0, 1.0, 1.0], 4.0, ANY_TIME)]);
        for measured in [true, false] {
            let plan = surely(&problem, measured).plan().expect("a plan");
            assert!((plan.start_h - 4.88).abs() < 1.0 / 3600.0, "{plan:?}");
        }
    }

    #[test]
    fn a_place_that_could_be_late_is_left_for_one_that_is_surely_in_time() {
        // The cleaner place has room for four hours' work from 5:00 on, which leaves nothing in hand.
        let late = Start::Within { earliest_h: 5.0, latest_h: 24.0 };
        let candidates = vec![candidate(&[50.0; 9], 4.0, late), candidate(&[300.0; 9], 4.0, ANY_TIME)];
        for measured in [true, false] {
            let plan = surely(&by(9.0, candidates.clone()), measured).plan().expect("a plan");
            assert_eq!(plan.candidate, 1, "{plan:?}");
            // It is better than none.
            let budget = Problem { budget_g: Some(100.0), ..by(9.0, candidates.clone()) };
            let plan = surely(&budget, measured).plan().expect("a plan");
            assert_eq!((plan.candidate, plan.start_h), (0, 5.0), "{plan:?}");
        }
    }

    #[test]
    fn full_clock_stays_a_way_where_no_time_is_left() {
        let problem = by(4.0, vec![candidate(&[100.0; 4], 4.0, ANY_TIME)]);
        let plan = surely(&problem, false).plan().expect("a plan");
        assert!(plan.segments.iter().all(|segment| segment.level == 1), "{plan:?}");
        assert!(matches!(surely(&by(3.9, problem.candidates), false), Outcome::Infeasible(_)));
    }

    proptest! {
        #[test]
        fn no_request_fails_for_what_nobody_measured_and_no_plan_beats_the_models(
            grid in prop::collection::vec(20.0..800.0_f64, 12),
            other in prop::collection::vec(20.0..800.0_f64, 12),
            work_h in 0.5..4.0_f64,
            deadline_h in 0.5..12.0_f64,
            measured: bool,
        ) {
            let problem = by(deadline_h, vec![candidate(&grid, work_h, ANY_TIME), candidate(&other, work_h * 1.1, ANY_TIME)]);
            let tables: Vec<Tables> = problem.candidates.iter().map(|c| Tables::new(c).expect("a candidate")).collect();
            let bold = plan::plan_whole_seconds(&problem).expect("a problem");
            let sure = plan_surely(&problem, &tables, &[measured, false]).expect("a problem");
            match (bold, sure) {
                (Outcome::Feasible(bold), Outcome::Feasible(sure)) => {
                    let candidate = &problem.candidates[sure.candidate];
                    prop_assert!(sure.end_h <= deadline_h + 1e-9);
                    // Two starts a second apart may trade places.
                    prop_assert!(sure.carbon_g >= bold.carbon_g * (1.0 - 1e-3), "{} {}", sure.carbon_g, bold.carbon_g);
                    let again = plan::evaluate(&problem, sure.candidate, &sure.segments).expect("a run");
                    prop_assert!((again.carbon_g - sure.carbon_g).abs() <= 1e-9 * sure.carbon_g);
                    let at_full_clock = sure.segments.iter().all(|segment| candidate.levels[segment.level].speed == 1.0);
                    let sure_enough = (measured && sure.candidate == 0) || at_full_clock;
                    prop_assert!(sure_enough || is_sure(candidate, &sure, deadline_h), "{sure:?}");
                }
                (bold, sure) => prop_assert_eq!(bold, sure),
            }
        }
    }
}
