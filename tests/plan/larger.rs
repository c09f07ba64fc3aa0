//! Some dozens of slots, where the planner's bounds and brackets have work to do, against a slow and plain greedy method:
//! each window on its own, its segments found by comparing all pairs of levels, sorted and bought.

use carm::plan::*;
use proptest::prelude::*;

use crate::brute::{bounds, rate, starts};
use crate::cases;
use crate::definition::check_plan;

const CLOSE: f64 = 1e-9;

/// The lower hull of (speed, rate), from the slowest (or idle) to the fastest, by always taking the least slope.
fn hull(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let cheapest = |s: f64| points.iter().filter(|p| p.0 == s).map(|p| p.1).fold(f64::INFINITY, f64::min);
    let slowest = points.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let mut hull = vec![(slowest, cheapest(slowest))];
    loop {
        let at = hull[hull.len() - 1];
        let slope = |p: &&(f64, f64)| (p.1 - at.1) / (p.0 - at.0);
        let next = points.iter().filter(|p| p.0 > at.0).min_by(|x, y| slope(x).total_cmp(&slope(y)).then(y.0.total_cmp(&x.0)));
        match next {
            Some(p) => hull.push(*p),
            None => return hull,
        }
    }
}

/// The least carbon of a window, whose last slot is used for at most so many hours.
fn window(c: &Candidate, a: usize, z: usize, hours: f64) -> Option<f64> {
    let b = bounds(c);
    let (earliest, latest) = starts(c);
    let (mut work, mut grams) = (0.0, 0.0);
    let mut segments = Vec::new();
    let mut add = |k: usize, hours: f64, idle: bool| {
        let mut points: Vec<(f64, f64)> = c.levels.iter().map(|l| (l.speed, rate(c, k, l))).collect();
        points.extend(idle.then_some((0.0, 0.0)));
        let hull = hull(&points);
        work += hull[0].0 * hours;
        grams += hull[0].1 * hours;
        segments.extend(hull.windows(2).map(|w| ((w[1].1 - w[0].1) / (w[1].0 - w[0].0), (w[1].0 - w[0].0) * hours)));
    };
    let from = b[a].max(earliest);
    if a == z {
        add(z, b[z] + hours - from, true);
    } else {
        let cut = latest.clamp(from, b[a + 1]);
        add(a, cut - from, true);
        add(a, b[a + 1] - cut, false);
        (a + 1..z).for_each(|k| add(k, c.slots[k].hours, false));
        add(z, hours, true);
    }
    let mut needed = c.work_h - work;
    if needed < -1e-12 {
        return None;
    }
    segments.sort_by(|x, y| x.0.total_cmp(&y.0));
    for (slope, work) in segments {
        grams += slope * work.min(needed);
        needed -= work.min(needed);
    }
    (needed <= 1e-12).then_some(grams.max(0.0))
}

fn least_carbon(c: &Candidate, by: f64) -> Option<f64> {
    let b = bounds(c);
    let (earliest, latest) = starts(c);
    let mut best: Option<f64> = None;
    for z in 0..c.slots.len() {
        let to = b[z + 1].min(by);
        for a in (0..=z).rev() {
            if c.slots[a].closed || to <= b[z].max(earliest) {
                break;
            }
            if b[a + 1] > earliest && b[a] <= latest {
                best = best.into_iter().chain(window(c, a, z, to - b[z])).reduce(f64::min);
            }
        }
    }
    best
}

fn one() -> impl Strategy<Value = Problem> {
    (cases::candidate(40), 1.0..12.0f64).prop_map(|(mut c, work_h)| {
        c.max_run_h = None;
        let horizon = bounds(&c).last().copied().unwrap();
        c.work_h = work_h.min(0.6 * horizon);
        Problem { work_gpu_h: c.work_h, candidates: vec![c], objective: Objective::Ppc, deadline_h: None, budget_g: None }
    })
}

fn ask(p: &Problem, objective: Objective, deadline_h: Option<f64>, budget_g: Option<f64>) -> Option<Plan> {
    let plan = plan(&Problem { objective, deadline_h, budget_g, ..p.clone() }).unwrap().plan()?;
    check_plan(p, &plan);
    Some(plan)
}

proptest! {
    #![proptest_config(cases::config(60))]

    #[test]
    fn frontiers_and_objectives_of_long_forecasts_are_those_of_every_window(p in one(), share in 0.0..1.0f64) {
        let c = &p.candidates[0];
        let curve = frontier(&p, &Ends::EverySlot).unwrap();
        for end in bounds(c).into_iter().skip(1) {
            let (point, plain) = (curve.iter().find(|q| q.end_h == end), least_carbon(c, end));
            if let (Some(point), Some(plain)) = (point, plain) {
                prop_assert!((point.carbon_g - plain).abs() <= CLOSE * plain + 1e-12, "by {end}: {} g, plainly {plain} g", point.carbon_g);
            } else {
                // Work that just fits may do so for one of them only.
                prop_assert!(point.is_none() || least_carbon(c, end * (1.0 + CLOSE)).is_some());
                prop_assert!(plain.is_none() || least_carbon(c, end * (1.0 - CLOSE)).is_none());
            }
        }
        let (Some(first), Some(last)) = (curve.first(), curve.last()) else { return Ok(()) };

        let deadline = first.end_h + share * (last.end_h - first.end_h);
        let plan = ask(&p, Objective::Performance, Some(deadline), None).unwrap();
        let plain = least_carbon(c, deadline).unwrap();
        prop_assert!((plan.carbon_g - plain).abs() <= CLOSE * plain + 1e-12);
        // No earlier end emits as little, unless it is a matter of rounding.
        let earlier = least_carbon(c, plan.end_h - 1e-4);
        prop_assert!(earlier.is_none_or(|g| g > plain * (1.0 - CLOSE)));

        let budget = last.carbon_g + share * (first.carbon_g - last.carbon_g);
        if let Some(plan) = ask(&p, Objective::Carbon, None, Some(budget)) {
            // To the last digit, unless it is just the least there is.
            prop_assert!(plan.carbon_g <= budget || plan.carbon_g <= last.carbon_g * (1.0 + 1e-10));
            let earlier = least_carbon(c, plan.end_h - 1e-6);
            prop_assert!(earlier.is_none_or(|g| g > budget * (1.0 - 1e-10)), "{earlier:?} g of {budget} g a hair earlier");
        }

        let plan = ask(&p, Objective::Ppc, None, None).unwrap();
        for i in 0..=40 {
            let end = first.end_h + (last.end_h - first.end_h) * f64::from(i) / 40.0;
            let product = end * least_carbon(c, end).unwrap();
            prop_assert!(plan.end_h * plan.carbon_g <= product * (1.0 + CLOSE) + 1e-12, "ends at {}, better at {end}", plan.end_h);
        }
    }
}
