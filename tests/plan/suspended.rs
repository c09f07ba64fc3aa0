//! Suspended work: without a cost to resume against one linear program, with one against every pattern of pauses.

use carm::plan::*;
use proptest::prelude::*;

use crate::brute::{bounds, rate, starts};
use crate::cases;
use crate::simplex::{Program, Relation};

const CLOSE: f64 = 1e-9;

/// How a slot is used in a pattern: the program's rows for its hours.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Idle,
    Partly,
    Through,
}

fn hours(c: &Candidate, k: usize, by: f64) -> f64 {
    let b = bounds(c);
    if c.slots[k].closed { 0.0 } else { (b[k + 1].min(by) - b[k].max(starts(c).0)).max(0.0) }
}

fn least(c: &Candidate, uses: &[Use], work: f64, by: f64) -> Option<f64> {
    let l = c.levels.len();
    let n = uses.len() * l;
    let mut rows = vec![((0..n).map(|v| c.levels[v % l].speed).collect(), Relation::Exactly, work)];
    for (k, used) in uses.iter().enumerate() {
        let mut row = vec![0.0; n];
        row[k * l..(k + 1) * l].fill(1.0);
        let relation = if *used == Use::Through { Relation::Exactly } else { Relation::AtMost };
        rows.push((row, relation, if *used == Use::Idle { 0.0 } else { hours(c, k, by) }));
    }
    let cost = (0..n).map(|v| rate(c, v / l, &c.levels[v % l])).collect();
    Program { cost, rows }.minimise().map(|s| s.0.max(0.0))
}

fn free(c: &Candidate, by: f64) -> Option<f64> {
    least(c, &vec![Use::Partly; c.slots.len()], c.work_h, by)
}

/// The least over every pattern: whether the job runs across each boundary, and whether it also begins anew within each slot.
fn with_restarts(c: &Candidate, restart: f64, by: f64) -> Option<f64> {
    let k = c.slots.len();
    let mut best: Option<f64> = None;
    for across in 0..1u32 << (k - 1) {
        for anew in 0..1u32 << k {
            let on = |i: usize| i > 0 && i < k && across >> (i - 1) & 1 == 1;
            let mut uses = Vec::new();
            let mut runs = 0;
            for i in 0..k {
                let new = anew >> i & 1 == 1;
                let (before, after) = (on(i), on(i + 1));
                uses.push(match (before, after, new) {
                    (false, false, false) => Use::Idle,
                    (true, true, false) => Use::Through,
                    _ => Use::Partly,
                });
                runs += u32::from(!before && after) + u32::from(new && before == after);
            }
            let closed = (0..k).any(|i| uses[i] == Use::Through && c.slots[i].closed);
            if runs == 0 || closed {
                continue;
            }
            let work = c.work_h + f64::from(runs - 1) * restart;
            best = best.into_iter().chain(least(c, &uses, work, by)).reduce(f64::min);
        }
    }
    best
}

/// Checks a plan with pauses; returns the work done and the number of pauses.
fn check(c: &Candidate, plan: &Plan) -> (f64, usize) {
    let b = bounds(c);
    let (mut at, mut work, mut carbon, mut pauses) = (plan.start_h, 0.0, 0.0, 0);
    assert!(plan.start_h >= starts(c).0 - CLOSE);
    for s in &plan.segments {
        assert!(s.from_h >= at - 1e-12 && s.to_h > s.from_h);
        pauses += usize::from(s.from_h - at > CLOSE);
        at = s.to_h;
        work += c.levels[s.level].speed * (s.to_h - s.from_h);
        for k in 0..c.slots.len() {
            let hours = (s.to_h.min(b[k + 1]) - s.from_h.max(b[k])).max(0.0);
            assert!(!c.slots[k].closed || hours < CLOSE, "runs {hours} h in a closed slot");
            carbon += rate(c, k, &c.levels[s.level]) * hours;
        }
    }
    assert_eq!(at, plan.end_h);
    assert!((carbon - plan.carbon_g).abs() <= CLOSE * carbon + 1e-12);
    (work, pauses)
}

fn one() -> impl Strategy<Value = (Problem, f64, f64)> {
    cases::problem(5).prop_map(|(mut p, d, b)| {
        p.candidates.truncate(1);
        (p, d, b)
    })
}

proptest! {
    #![proptest_config(cases::config(400))]

    #[test]
    fn free_suspension_is_the_cheapest_work_of_all_slots((p, d, b) in one()) {
        let c = &p.candidates[0];
        let horizon = *bounds(c).last().unwrap();
        let deadline = d * horizon;
        let brute = free(c, deadline);
        let limit = limit(c, Some(deadline)).unwrap();
        if let (Some(limit), Some(brute)) = (limit, brute) {
            prop_assert!((limit - brute).abs() <= CLOSE * brute + 1e-12, "{limit} g, brute force {brute} g");
            let request = Problem { objective: Objective::Performance, deadline_h: Some(deadline), ..p.clone() };
            let plan = plan_suspended(&request, 0.0).unwrap().outcome.plan().unwrap();
            let (work, _) = check(c, &plan);
            prop_assert!((work - c.work_h).abs() <= CLOSE * work && plan.end_h <= deadline + CLOSE);
            prop_assert!(plan.carbon_g <= brute * (1.0 + CLOSE) + 1e-12);

            let budget = brute * b;
            let request = Problem { objective: Objective::Carbon, budget_g: Some(budget), ..p.clone() };
            if let Outcome::Feasible(plan) = plan_suspended(&request, 0.0).unwrap().outcome {
                check(c, &plan);
                prop_assert!(plan.carbon_g <= budget * (1.0 + CLOSE));
                // A hair earlier, not even the bound is within the budget.
                let before = free(c, plan.end_h - 1e-6);
                prop_assert!(before.is_none_or(|g| g > budget * (1.0 - CLOSE)), "{before:?} g of {budget} g a hair earlier");
            } else {
                prop_assert!(free(c, horizon * (1.0 - CLOSE)).is_none_or(|g| g >= budget * (1.0 - CLOSE)));
            }
            let request = Problem { objective: Objective::Ppc, ..p.clone() };
            let plan = plan_suspended(&request, 0.0).unwrap().outcome.plan().unwrap();
            check(c, &plan);
            for i in 1..=60 {
                let end = horizon * f64::from(i) / 60.0;
                if let Some(g) = free(c, end) {
                    prop_assert!(plan.end_h * plan.carbon_g <= end * g * (1.0 + CLOSE) + 1e-12);
                }
            }
        } else {
            prop_assert!(limit.is_none() || free(c, deadline * (1.0 + CLOSE)).is_some());
            prop_assert!(brute.is_none() || free(c, deadline * (1.0 - CLOSE)).is_none());
        }
    }

    #[test]
    fn the_limit_as_a_curve_is_the_limit_at_each_end((p, _, _) in one()) {
        let points = frontier_suspended(&p, &Ends::EverySlot).unwrap();
        for w in points.windows(2) {
            prop_assert!(w[1].carbon_g <= w[0].carbon_g * (1.0 + CLOSE));
        }
        for point in points {
            if let Some(brute) = free(&p.candidates[0], point.end_h) {
                prop_assert!((point.carbon_g - brute).abs() <= CLOSE * brute + 1e-12, "{point:?}, brute force {brute} g");
            }
        }
    }

    #[test]
    fn pausing_for_nothing_is_never_worse_than_running_on((p, _, _) in one()) {
        let Some(run) = plan(&p).unwrap().plan() else { return Ok(()) };
        let paused = plan_suspended(&p, 0.0).unwrap().outcome.plan().unwrap();
        prop_assert!(paused.end_h * paused.carbon_g <= run.end_h * run.carbon_g * (1.0 + CLOSE) + 1e-12);
    }
}

proptest! {
    #![proptest_config(cases::config(600))]

    #[test]
    fn the_bound_and_the_plan_enclose_the_best_pattern_of_pauses((p, d, _) in one(), share in prop_oneof![3 => 0.0..0.05f64, 1 => 0.05..0.5f64]) {
        let c = &p.candidates[0];
        let deadline = d * *bounds(c).last().unwrap();
        let restart = share * c.work_h;
        let request = Problem { objective: Objective::Performance, deadline_h: Some(deadline), ..p.clone() };
        let answer = plan_suspended(&request, restart).unwrap();
        match (answer.outcome, with_restarts(c, restart, deadline)) {
            (Outcome::Feasible(plan), brute) => {
                let (work, pauses) = check(c, &plan);
                prop_assert_eq!(pauses, answer.resumes);
                prop_assert!(work >= (c.work_h + pauses as f64 * restart) * (1.0 - CLOSE), "{work} h with {pauses} resumes");
                prop_assert!(answer.bound_g <= plan.carbon_g * (1.0 + CLOSE));
                if let Some(brute) = brute {
                    prop_assert!(answer.bound_g <= brute * (1.0 + CLOSE) + 1e-12, "bound {} g, best {brute} g", answer.bound_g);
                    prop_assert!(plan.carbon_g >= brute * (1.0 - CLOSE) - 1e-12, "plan {} g, best {brute} g", plan.carbon_g);
                    // No proof says that it is the best. Of 1,808 such instances (PROPTEST_RNG_SEED=7 PROPTEST_CASES=3000) it was in
                    // all but one, and there 2.7 % above.
                    prop_assert!(plan.carbon_g <= brute * 1.1 + 1e-12, "plan {} g, best {brute} g", plan.carbon_g);
                }
            }
            (Outcome::Infeasible(_), brute) => {
                prop_assert!(brute.is_none() || with_restarts(c, restart, deadline * (1.0 - CLOSE)).is_none());
            }
        }
    }
}

fn site(intensities: &[f64], work_h: f64) -> Problem {
    let candidate = Candidate {
        slots: intensities.iter().map(|&g| Slot::grid(1.0, g)).collect(),
        levels: vec![Level { clock_mhz: 2000, watts: 300.0, speed: 1.0, latency_ms: None }],
        workers: 1,
        work_h,
        host_watts: 0.0,
        pue: 1.0,
        onsite_g_per_kwh: 0.0,
        start: Start::Within { earliest_h: 0.0, latest_h: 1000.0 },
        max_run_h: None,
    };
    Problem {
        candidates: vec![candidate],
        objective: Objective::Performance,
        deadline_h: Some(intensities.len() as f64),
        budget_g: None,
        work_gpu_h: work_h,
    }
}

#[test]
fn a_job_that_pauses_for_nothing_runs_in_the_clean_hours_alone() {
    let answer = plan_suspended(&site(&[100.0, 500.0, 100.0, 500.0, 100.0], 2.5), 0.0).unwrap();
    let plan = answer.outcome.plan().unwrap();
    assert_eq!((plan.start_h, plan.end_h, answer.resumes), (0.0, 4.5, 2));
    assert!((plan.carbon_g - 75.0).abs() < 1e-9 && (answer.bound_g - 75.0).abs() < 1e-9);
}

#[test]
fn a_dear_restart_is_not_worth_a_pause() {
    let p = site(&[100.0, 120.0, 100.0, 500.0], 3.0);
    let answer = plan_suspended(&p, 1.0).unwrap();
    assert_eq!(answer.resumes, 0);
    assert!((answer.outcome.plan().unwrap().carbon_g - 96.0).abs() < 1e-9);
}

#[test]
fn a_cheap_restart_is_paid_to_skip_a_dirty_hour() {
    let p = site(&[100.0, 900.0, 100.0, 100.0], 2.5);
    let answer = plan_suspended(&p, 0.1).unwrap();
    assert_eq!(answer.resumes, 1);
    let carbon = answer.outcome.plan().unwrap().carbon_g;
    assert!((carbon - 0.3 * 100.0 * 2.6).abs() < 1e-9, "{carbon} g");
    assert!(answer.bound_g <= carbon && answer.bound_g > 0.9 * carbon);
}

#[test]
fn a_negative_restart_is_refused() {
    let said = plan_suspended(&site(&[100.0], 0.5), -1.0).unwrap_err().to_string();
    assert_eq!(said, "restart_h: '-1' is out of range; expected full-clock hours from 0 to 1e6");
}
