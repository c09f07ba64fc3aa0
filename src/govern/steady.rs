//! The clock of a job with a piece of work to finish: one that holds to its end and surely ends in time.

use super::{Clock, Steady, choose, guaranteed_speed, least_carbon, margin_h};
use crate::plan::{self, Candidate, Level, Objective, Plan, PlanError, Problem, Slot};

/// A started job, seen from now (= 0 h).
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Where it runs: start fixed at now, `work_h` the work that is left.
    pub candidate: &'a Candidate,
    /// What is sought.
    pub objective: Objective,
    /// Finish by, hours from now.
    pub deadline_h: Option<f64>,
    /// When Slurm ends the job, hours from now.
    pub limit_h: f64,
    /// What is left of the carbon budget on these GPUs, in grams.
    pub budget_g: Option<f64>,
    /// Whether the levels' speeds were measured for this workload on this card. Where they were not, guarantees assume
    /// speed proportional to the clock.
    pub measured: bool,
}

/// The one clock that a job keeps to its end: among the levels that surely finish in time, least carbon (performance),
/// the fastest within the budget (carbon), or the best performance per carbon (ppc).
///
/// # Errors
/// A figure of the situation is out of its range.
pub fn steady_clock(situation: &Situation) -> Result<Clock, PlanError> {
    let candidate = situation.candidate;
    let by_h = situation.limit_h.min(situation.deadline_h.unwrap_or(f64::INFINITY)) - margin_h(candidate.work_h);
    let mut runs: Vec<Steady> = Vec::new();
    for level in 0..candidate.levels.len() {
        let surely_h = candidate.work_h / guaranteed_speed(candidate, level, situation.measured);
        if surely_h <= by_h
            && let Some(run) = run_at(situation, level)?
        {
            runs.push((level, run));
        }
    }
    if runs.is_empty() {
        return Ok(Clock::Full { reason: "there is no time to spare, or the grid is not known to the job's end" });
    }
    Ok(choose(runs, situation.budget_g, |runs| match situation.objective {
        Objective::Performance => ("least carbon by the deadline", least_carbon(runs)),
        Objective::Carbon => ("fastest within the budget", fastest(runs)),
        Objective::Ppc => ("best performance per carbon", best_ppc(runs)),
    }))
}

/// The run at one level from now on. The planner is shown that level alone, with the fastest one by which it measures work,
/// and the grid no further than the run: its tables for a week and twenty clocks would be twenty times what one run needs.
pub(super) fn run_at(situation: &Situation, level: usize) -> Result<Option<Plan>, PlanError> {
    let whole = situation.candidate;
    let fastest = |a: &&Level, b: &&Level| a.speed.total_cmp(&b.speed);
    let Some(top) = whole.levels.iter().max_by(fastest) else { return Ok(None) };
    let hours = whole.work_h / whole.levels[level].speed;
    let mut seen_h = 0.0;
    let starts_within = |slot: &&Slot| {
        let starts_h = seen_h;
        seen_h += slot.hours;
        starts_h <= hours
    };
    let candidate = Candidate {
        slots: whole.slots.iter().take_while(starts_within).copied().collect(),
        levels: vec![whole.levels[level], *top],
        workers: whole.workers,
        work_h: whole.work_h,
        host_watts: whole.host_watts,
        pue: whole.pue,
        onsite_g_per_kwh: whole.onsite_g_per_kwh,
        start: whole.start,
        max_run_h: whole.max_run_h,
    };
    let problem = Problem {
        work_gpu_h: f64::from(candidate.workers) * candidate.work_h,
        candidates: vec![candidate],
        objective: situation.objective,
        deadline_h: situation.deadline_h,
        budget_g: situation.budget_g,
    };
    let mut run = plan::constant(&problem, 0, 0, 0.0)?;
    run.iter_mut().flat_map(|run| &mut run.segments).for_each(|segment| segment.level = level);
    Ok(run)
}

/// Ties go to less carbon.
fn fastest(runs: &[Steady]) -> Option<&Steady> {
    runs.iter().min_by(|(_, a), (_, b)| a.end_h.total_cmp(&b.end_h).then(a.carbon_g.total_cmp(&b.carbon_g)))
}

/// The least product of turnaround and carbon; ties go to the earlier end.
fn best_ppc(runs: &[Steady]) -> Option<&Steady> {
    let product = |run: &Plan| run.end_h * run.carbon_g;
    runs.iter().min_by(|(_, a), (_, b)| product(a).total_cmp(&product(b)).then(a.end_h.total_cmp(&b.end_h)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Start;

    /// 2000 MHz: 300 W at speed 1; 1500: 180 W at 0.8; 1000: 140 W at 0.6. Best energy per work at 1500.
    fn candidate(slots: Vec<Slot>) -> Candidate {
        let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
        Candidate {
            slots,
            levels: vec![level(1000, 140.0, 0.6), level(1500, 180.0, 0.8), level(2000, 300.0, 1.0)],
            workers: 1,
            work_h: 1.0,
            host_watts: 0.0,
            pue: 1.0,
            onsite_g_per_kwh: 0.0,
            start: Start::Fixed(0.0),
            max_run_h: None,
        }
    }

    fn clock(situation: Situation) -> (Option<u32>, bool) {
        match steady_clock(&situation).expect("a situation") {
            Clock::Level { level, over_budget, .. } => (Some(situation.candidate.levels[level].clock_mhz), over_budget),
            Clock::Full { .. } => (None, false),
        }
    }

    fn situation(candidate: &Candidate) -> Situation<'_> {
        Situation {
            candidate,
            objective: Objective::Performance,
            deadline_h: Some(3.0),
            limit_h: 9.0,
            budget_g: None,
            measured: true,
        }
    }

    #[test]
    fn with_time_to_spare_the_job_runs_at_the_clock_of_least_carbon() {
        let flat = candidate(vec![Slot::grid(24.0, 400.0)]);
        assert_eq!(clock(situation(&flat)), (Some(1500), false));
    }

    #[test]
    fn a_job_past_its_point_of_no_return_runs_at_full_clock() {
        let flat = candidate(vec![Slot::grid(24.0, 400.0)]);
        assert_eq!(clock(Situation { deadline_h: Some(1.01), ..situation(&flat) }), (None, false));
        assert_eq!(clock(Situation { deadline_h: Some(-1.0), ..situation(&flat) }), (None, false));
        assert_eq!(clock(Situation { limit_h: 1.0, ..situation(&flat) }), (None, false));
    }

    #[test]
    fn guarantees_assume_speed_proportional_to_the_clock_where_nobody_measured() {
        // 1500 MHz takes 1.25 h by the model, 1.33 h for sure; with the margin of 0.03 h it needs 1.37 h.
        let flat = candidate(vec![Slot::grid(24.0, 400.0)]);
        let by = |deadline_h, measured| clock(Situation { deadline_h: Some(deadline_h), measured, ..situation(&flat) }).0;
        assert_eq!(by(1.3, true), Some(1500));
        assert_eq!(by(1.3, false), Some(2000));
        assert_eq!(by(1.4, false), Some(1500));
    }

    #[test]
    fn the_carbon_objective_takes_the_fastest_clock_within_the_budget() {
        // Full clock: 120 g; 1500 MHz: 90 g; 1000 MHz: 93.3 g.
        let flat = candidate(vec![Slot::grid(24.0, 400.0)]);
        let with = |budget| {
            clock(Situation { objective: Objective::Carbon, deadline_h: None, budget_g: Some(budget), ..situation(&flat) })
        };
        assert_eq!(with(130.0), (Some(2000), false));
        assert_eq!(with(100.0), (Some(1500), false));
        assert_eq!(with(121.0), (Some(1500), false), "a part of the budget is kept in hand");
        assert_eq!(with(91.0), (Some(1500), false));
        assert_eq!(with(80.0), (Some(1500), true));
    }

    #[test]
    fn on_site_power_that_covers_a_slow_clock_makes_it_the_greenest() {
        let sunny = candidate(vec![Slot { onsite_w: 140.0, ..Slot::grid(24.0, 400.0) }]);
        assert_eq!(clock(situation(&sunny)), (Some(1000), false));
    }

    #[test]
    fn a_run_seen_alone_is_the_run_that_the_whole_forecast_gives() {
        let slots = [300.0, 500.0, 100.0, 900.0].map(|g| Slot::grid(0.5, g)).to_vec();
        let whole = candidate(slots);
        for level in 0..3 {
            let problem = Problem {
                candidates: vec![whole.clone()],
                objective: Objective::Ppc,
                deadline_h: None,
                budget_g: None,
                work_gpu_h: 1.0,
            };
            let expected = plan::constant(&problem, 0, level, 0.0).expect("a problem");
            let alone = run_at(&situation(&whole), level).expect("a situation");
            assert_eq!(alone, expected, "level {level}");
            assert!(alone.is_some(), "level {level}");
        }
    }

    #[test]
    fn a_grid_that_is_not_known_to_the_jobs_end_leaves_full_clock() {
        let short = candidate(vec![Slot::grid(0.5, 400.0)]);
        assert_eq!(clock(situation(&short)), (None, false));
    }
}
