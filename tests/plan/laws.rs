//! What must hold whatever the numbers: more choice is never worse, scales do not matter, prepared tables are no other planner.

use carm::plan::*;
use proptest::prelude::*;

use crate::cases;

const HAIR: f64 = 1.0 + 1e-9;

fn horizon(p: &Problem) -> f64 {
    p.candidates.iter().map(|c| c.slots.iter().map(|s| s.hours).sum()).fold(0.0, f64::max)
}

fn ask(p: &Problem, objective: Objective, deadline_h: Option<f64>, budget_g: Option<f64>) -> Option<Plan> {
    plan(&Problem { objective, deadline_h, budget_g, ..p.clone() }).unwrap().plan()
}

/// How good a plan is by each objective, less being better: carbon by a deadline, end within a budget, E x C. `None` is worst.
fn marks(p: &Problem, deadline: f64, budget: f64) -> [Option<f64>; 3] {
    [
        ask(p, Objective::Performance, Some(deadline), None).map(|q| q.carbon_g),
        ask(p, Objective::Carbon, None, Some(budget)).map(|q| q.end_h),
        ask(p, Objective::Ppc, None, None).map(|q| q.end_h * q.carbon_g),
    ]
}

fn no_worse(now: [Option<f64>; 3], before: [Option<f64>; 3]) -> Result<(), TestCaseError> {
    for (now, before) in now.into_iter().zip(before) {
        if let Some(before) = before {
            prop_assert!(now.is_some_and(|now| now <= before * HAIR + 1e-12), "{now:?} after {before}");
        }
    }
    Ok(())
}

/// A budget that some plans keep and some do not.
fn some_budget(p: &Problem, share: f64) -> f64 {
    ask(p, Objective::Performance, Some(1e9), None).map_or(1.0, |q| q.carbon_g * share)
}

proptest! {
    #![proptest_config(cases::config(400))]

    #[test]
    fn more_slack_never_emits_more((p, d, _) in cases::problem(8), more in 1.0..2.0f64) {
        let deadline = d * horizon(&p);
        let before = ask(&p, Objective::Performance, Some(deadline), None);
        let after = ask(&p, Objective::Performance, Some(deadline * more), None);
        if let Some(before) = before {
            prop_assert!(after.unwrap().carbon_g <= before.carbon_g * HAIR + 1e-12);
        }
    }

    #[test]
    fn a_larger_budget_never_ends_later((p, _, b) in cases::problem(8), more in 1.0..2.0f64) {
        let budget = some_budget(&p, b);
        if let Some(before) = ask(&p, Objective::Carbon, None, Some(budget)) {
            prop_assert!(ask(&p, Objective::Carbon, None, Some(budget * more)).unwrap().end_h <= before.end_h * HAIR);
        }
    }

    #[test]
    fn a_cleaner_forecast_never_emits_more((p, d, b) in cases::problem(8), k in 0..8usize, cleaner in 0.0..1.0f64) {
        let (deadline, budget) = (d * horizon(&p), some_budget(&p, b));
        let mut clean = p.clone();
        for c in &mut clean.candidates {
            let k = k % c.slots.len();
            c.slots[k].g_per_kwh *= cleaner;
        }
        no_worse(marks(&clean, deadline, budget), marks(&p, deadline, budget))?;
    }

    #[test]
    fn another_way_to_run_is_never_worse((p, d, b) in cases::problem(8), other in cases::candidate(8)) {
        let (deadline, budget) = (d * horizon(&p), some_budget(&p, b));
        let mut more = p.clone();
        more.candidates.insert(p.candidates.len() / 2, other);
        no_worse(marks(&more, deadline, budget), marks(&p, deadline, budget))?;
    }

    #[test]
    fn another_level_below_the_top_is_never_worse((p, d, b) in cases::problem(8), speed in 0.05..0.99f64, watts in 20.0..500.0f64) {
        let (deadline, budget) = (d * horizon(&p), some_budget(&p, b));
        let mut more = p.clone();
        for c in &mut more.candidates {
            c.levels.push(Level { clock_mhz: 500, watts, speed, latency_ms: None });
        }
        no_worse(marks(&more, deadline, budget), marks(&p, deadline, budget))?;
    }

    #[test]
    fn a_longer_longest_run_is_never_worse((p, d, b) in cases::problem(8), more in 1.0..2.0f64) {
        let (deadline, budget) = (d * horizon(&p), some_budget(&p, b));
        let mut longer = p.clone();
        for c in &mut longer.candidates {
            c.max_run_h = c.max_run_h.map(|h| h * more);
        }
        no_worse(marks(&longer, deadline, budget), marks(&p, deadline, budget))?;
    }

    #[test]
    fn the_unit_of_carbon_does_not_matter((p, _, _) in cases::problem(8), power in -3..4i32) {
        let by = 2f64.powi(power);
        let mut scaled = p.clone();
        for c in &mut scaled.candidates {
            c.onsite_g_per_kwh *= by;
            c.slots.iter_mut().for_each(|s| s.g_per_kwh *= by);
        }
        match (ask(&p, Objective::Ppc, None, None), ask(&scaled, Objective::Ppc, None, None)) {
            (Some(a), Some(b)) => {
                prop_assert_eq!((a.candidate, a.start_h, a.end_h), (b.candidate, b.start_h, b.end_h));
                prop_assert!((a.carbon_g * by - b.carbon_g).abs() <= 1e-9 * b.carbon_g);
            }
            (a, b) => prop_assert_eq!(a.is_some(), b.is_some()),
        }
    }

    #[test]
    fn evaluating_a_plan_gives_its_own_figures((p, _, _) in cases::problem(8)) {
        if let Some(plan) = ask(&p, Objective::Ppc, None, None) {
            let again = evaluate(&p, plan.candidate, &plan.segments).unwrap();
            prop_assert!((again.carbon_g - plan.carbon_g).abs() <= 1e-9 * plan.carbon_g);
            prop_assert!((again.energy_kwh - plan.energy_kwh).abs() <= 1e-9 * plan.energy_kwh);
            prop_assert!((again.estimated_share - plan.estimated_share).abs() <= 1e-9);
        }
    }

    #[test]
    fn prepared_tables_plan_the_same((p, d, _) in cases::problem(8)) {
        let tables: Vec<Tables> = p.candidates.iter().map(|c| Tables::new(c).unwrap()).collect();
        let prepared: Vec<Prepared> = tables.iter().zip(&p.candidates)
            .map(|(tables, c)| Prepared { tables, run: Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h } })
            .collect();
        let deadline_h = Some(d * horizon(&p));
        let request = Request { objective: Objective::Performance, deadline_h, budget_g: None, work_gpu_h: p.work_gpu_h };
        let problem = Problem { objective: Objective::Performance, deadline_h, ..p };
        let now = constant(&problem, 0, 0, 0.0).unwrap();
        prop_assert_eq!(constant_prepared(&prepared[0], 0, 0.0, problem.work_gpu_h).unwrap(), now);
        prop_assert_eq!(plan_prepared(&prepared, &request).unwrap(), plan(&problem).unwrap());
        prop_assert_eq!(frontier_prepared(&prepared, &Ends::EverySlot).unwrap(), frontier(&problem, &Ends::EverySlot).unwrap());
    }

    /// A run that starts a moment earlier ends a moment earlier, and the slots change on whole seconds: so there always is a plan.
    #[test]
    fn no_closed_hour_is_touched_by_starting_on_a_whole_second(
        (p, d, _) in cases::problem(12), closed in prop::collection::vec(prop::bool::weighted(0.4), 12), earliest_s in 0..9000u32,
        which in 0..3usize,
    ) {
        let [deadline_h, budget_g] = [(which != 1).then(|| d * horizon(&p)), (which == 1).then_some(1e9)];
        let objective = [Objective::Performance, Objective::Carbon, Objective::Ppc][which];
        let mut p = Problem { objective, deadline_h, budget_g, ..p };
        for c in &mut p.candidates {
            c.start = Start::Within { earliest_h: f64::from(earliest_s) / 3600.0, latest_h: 1e3 };
            for (slot, &closed) in c.slots.iter_mut().zip(&closed) {
                slot.hours = (slot.hours * 3600.0).round() * 1000.0 / 3.6e6; // as milliseconds, made into hours
                slot.closed |= closed;
            }
        }
        if let Outcome::Feasible(exact) = plan(&p).unwrap() {
            let rounded = plan_whole_seconds(&p).unwrap().plan();
            prop_assert!(rounded.is_some(), "{exact:?}");
            let rounded = rounded.unwrap();
            let seconds = rounded.start_h * 3600.0;
            prop_assert!((seconds - seconds.round()).abs() < 1e-5 && (rounded.start_h - exact.start_h).abs() < 1.0 / 3600.0);
        }
    }

    #[test]
    fn no_constant_clock_beats_the_plan((p, d, _) in cases::problem(8), at in 0.0..1.0f64) {
        let deadline = d * horizon(&p);
        let best = ask(&p, Objective::Performance, Some(deadline), None);
        for (i, c) in p.candidates.iter().enumerate() {
            let (earliest, latest) = crate::brute::starts(c);
            let start = earliest + at * (latest.min(deadline) - earliest).max(0.0);
            for l in 0..c.levels.len() {
                if let Some(run) = constant(&p, i, l, start).unwrap().filter(|r| r.end_h <= deadline) {
                    prop_assert!(best.as_ref().is_some_and(|b| b.carbon_g <= run.carbon_g * HAIR + 1e-12));
                }
            }
        }
    }

    #[test]
    fn no_finite_number_makes_the_planner_panic(
        mut p in cases::problem(4).prop_map(|q| q.0), which in 0..12usize, value in any::<f64>(), objective in 0..3usize,
    ) {
        let c = &mut p.candidates[0];
        match which {
            0 => c.slots[0].hours = value,
            1 => c.slots[0].g_per_kwh = value,
            2 => c.slots[0].onsite_w = value,
            3 => c.levels[0].watts = value,
            4 => c.levels[0].speed = value,
            5 => c.work_h = value,
            6 => c.host_watts = value,
            7 => c.pue = value,
            8 => c.start = Start::Fixed(value),
            9 => c.max_run_h = Some(value),
            10 => p.deadline_h = Some(value),
            _ => p.budget_g = Some(value),
        }
        p.objective = [Objective::Performance, Objective::Carbon, Objective::Ppc][objective];
        let _ = plan(&p);
        let _ = frontier(&p, &Ends::EverySlot);
    }
}
