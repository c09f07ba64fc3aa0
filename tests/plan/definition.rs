//! The planner against brute force that shares no code with it.
//!
//! A plan is first checked to be one (its work, times, clocks and carbon re-integrated here), then to be no worse than
//! anything brute force finds. Both together make it the optimum.

use crate::{brute, cases};
use carm::plan::{Candidate, Ends, Objective, Outcome, Plan, Problem, frontier, plan};
use proptest::prelude::*;

const CLOSE: f64 = 1e-9;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= CLOSE * a.abs().max(b.abs()) + 1e-12
}

/// Checks that a plan can be carried out and that its figures are those of its segments.
pub fn check_plan(p: &Problem, plan: &Plan) {
    let c = &p.candidates[plan.candidate];
    let b = brute::bounds(c);
    let (earliest, latest) = brute::starts(c);
    assert!(
        plan.start_h >= earliest - CLOSE && plan.start_h <= latest + CLOSE,
        "starts at {} of {earliest}..{latest}",
        plan.start_h
    );
    assert!(plan.end_h <= b[b.len() - 1] + CLOSE);
    assert!(!plan.segments.is_empty());
    let (mut at, mut work, mut carbon, mut energy) = (plan.start_h, 0.0, 0.0, 0.0);
    let mut previous = None;
    for s in &plan.segments {
        assert_eq!(s.from_h, at, "segments are contiguous");
        assert!(s.to_h > s.from_h, "no segment is empty");
        assert_ne!(previous, Some(s.level), "neighbours differ");
        previous = Some(s.level);
        let level = &c.levels[s.level];
        let power = c.pue * f64::from(c.workers) * (level.watts + c.host_watts);
        assert!(close(s.power_w, power));
        let mut grams = 0.0;
        for k in 0..c.slots.len() {
            let hours = s.to_h.min(b[k + 1]) - s.from_h.max(b[k]);
            if hours > 0.0 {
                assert!(!c.slots[k].closed || hours < CLOSE, "runs in a closed slot");
                grams += brute::rate(c, k, level) * hours;
            }
        }
        assert!(
            close(s.carbon_g, grams),
            "segment: {} g said, {grams} g integrated",
            s.carbon_g
        );
        work += level.speed * (s.to_h - s.from_h);
        carbon += s.carbon_g;
        energy += power * (s.to_h - s.from_h) / 1000.0;
        at = s.to_h;
    }
    assert_eq!(at, plan.end_h);
    assert!(close(work, c.work_h), "does {work} h of {} h", c.work_h);
    assert!(close(plan.carbon_g, carbon) && close(plan.energy_kwh, energy));
    if let Some(most) = c.max_run_h {
        assert!(
            plan.end_h - plan.start_h <= most + CLOSE,
            "runs {} of {most} h",
            plan.end_h - plan.start_h
        );
    }
    match plan.ppc {
        Some(ppc) => assert!(close(ppc * plan.end_h * plan.carbon_g, p.work_gpu_h)),
        None => assert_eq!(plan.carbon_g, 0.0),
    }
}

fn horizon(candidates: &[Candidate]) -> f64 {
    candidates
        .iter()
        .map(|c| *brute::bounds(c).last().unwrap())
        .fold(0.0, f64::max)
}

fn solve(
    p: &Problem,
    objective: Objective,
    deadline_h: Option<f64>,
    budget_g: Option<f64>,
) -> Outcome {
    plan(&Problem {
        objective,
        deadline_h,
        budget_g,
        ..p.clone()
    })
    .unwrap()
}

proptest! {
    #![proptest_config(cases::config(600))]

    #[test]
    fn performance_emits_the_least_that_meets_the_deadline((p, d, _) in cases::problem(5)) {
        let deadline = d * horizon(&p.candidates);
        let brute = brute::least_carbon(&p.candidates, deadline);
        match solve(&p, Objective::Performance, Some(deadline), None) {
            Outcome::Feasible(plan) => {
                check_plan(&p, &plan);
                prop_assert!(plan.end_h <= deadline + CLOSE);
                // A work that just fits may be beyond the brute force's tolerance.
                if let Some(brute) = brute {
                    prop_assert!(plan.carbon_g <= brute * (1.0 + CLOSE) + 1e-12, "{} g, brute force {brute} g", plan.carbon_g);
                }
            }
            Outcome::Infeasible(miss) => {
                prop_assert!(brute::least_carbon(&p.candidates, deadline * (1.0 - CLOSE)).is_none());
                prop_assert!(miss.least_carbon_g.is_none());
                let earliest = brute::earliest_end(&p.candidates, None, f64::INFINITY);
                prop_assert_eq!(miss.earliest_end_h.is_some(), earliest.is_some());
                if let (Some(a), Some(b)) = (miss.earliest_end_h, earliest) {
                    prop_assert!(close(a, b), "{a} h, brute force {b} h");
                }
            }
        }
    }

    #[test]
    fn carbon_ends_as_early_as_its_budget_allows((p, _, b) in cases::problem(5)) {
        let Some(least) = brute::least_carbon(&p.candidates, f64::INFINITY) else {
            prop_assert!(matches!(solve(&p, Objective::Carbon, None, Some(1e9)), Outcome::Infeasible(_)));
            return Ok(());
        };
        let budget = b * least;
        match solve(&p, Objective::Carbon, None, Some(budget)) {
            Outcome::Feasible(plan) => {
                check_plan(&p, &plan);
                prop_assert!(plan.carbon_g <= budget, "{} g of {budget} g", plan.carbon_g);
                if let Some(brute) = brute::earliest_end(&p.candidates, Some(budget), f64::INFINITY) {
                    prop_assert!(plan.end_h <= brute + CLOSE * brute, "ends at {}, brute force at {brute}", plan.end_h);
                }
            }
            Outcome::Infeasible(miss) => {
                prop_assert!(b < 1.0 + CLOSE, "a budget of {b} x the least is said not to do");
                prop_assert!(close(miss.least_carbon_g.unwrap(), least));
                prop_assert!(miss.earliest_end_h.is_none());
            }
        }
    }

    #[test]
    fn ppc_is_the_greatest_there_is((p, d, b) in cases::problem(4)) {
        let deadline = (d > 0.7).then_some(d * horizon(&p.candidates));
        let by = deadline.unwrap_or(f64::INFINITY);
        let budget = (b < 1.3).then(|| brute::least_carbon(&p.candidates, by).map(|g| g * b.max(1.0 + 1e-6))).flatten();
        match solve(&p, Objective::Ppc, deadline, budget) {
            Outcome::Feasible(plan) => {
                check_plan(&p, &plan);
                prop_assert!(plan.end_h <= by + CLOSE);
                prop_assert!(budget.is_none_or(|b| plan.carbon_g <= b));
                if let Some(brute) = brute::least_product(&p.candidates, budget, by) {
                    let product = plan.end_h * plan.carbon_g;
                    prop_assert!(product <= brute * (1.0 + CLOSE) + 1e-12, "{product} h g, brute force {brute} h g");
                }
            }
            Outcome::Infeasible(_) => {
                prop_assert!(brute::least_carbon(&p.candidates, by * (1.0 - CLOSE)).is_none());
            }
        }
    }

    #[test]
    fn the_frontier_is_the_least_carbon_at_every_end((p, d, _) in cases::problem(5)) {
        let mut ends: Vec<f64> = p.candidates.iter().flat_map(|c| brute::bounds(c)[1..].to_vec()).collect();
        ends.push(d * horizon(&p.candidates));
        let points = frontier(&p, &Ends::At(ends.clone())).unwrap();
        for w in points.windows(2) {
            prop_assert!(w[0].end_h < w[1].end_h && w[1].carbon_g <= w[0].carbon_g * (1.0 + 1e-12), "{w:?}");
        }
        for end in ends {
            let brute = brute::least_carbon(&p.candidates, end);
            let point = points.iter().find(|q| q.end_h == end);
            match (point, brute) {
                (Some(point), Some(brute)) => prop_assert!(close(point.carbon_g, brute), "{point:?}, brute force {brute} g"),
                (None, Some(_)) => prop_assert!(brute::least_carbon(&p.candidates, end * (1.0 - CLOSE)).is_none()),
                (Some(_), None) => prop_assert!(brute::least_carbon(&p.candidates, end * (1.0 + CLOSE)).is_some()),
                (None, None) => {}
            }
        }
    }
}
