//! The governor's decision driven in a loop: a job that makes progress at the clock that is set, a look every minute.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::plan::{Level, Start};

/// 2000 MHz: 300 W at speed 1; 1500: 180 W at 0.8; 1000: 140 W at 0.6.
fn levels() -> Vec<Level> {
    let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
    vec![level(1000, 140.0, 0.6), level(1500, 180.0, 0.8), level(2000, 300.0, 1.0)]
}

fn candidate(slots: Vec<Slot>, work_h: f64) -> Candidate {
    Candidate {
        slots,
        levels: levels(),
        workers: 1,
        work_h,
        host_watts: 0.0,
        pue: 1.0,
        onsite_g_per_kwh: 0.0,
        start: Start::Fixed(0.0),
        max_run_h: None,
    }
}

const RULES: Rules = Rules { interval_h: 1.0 / 60.0, dwell_h: 5.0 / 60.0, min_change_mhz: 45, over_budget: OverBudget::Least };

/// A job and what is asked of it.
#[derive(Clone)]
struct Job {
    slots: Vec<Slot>,
    work_h: f64,
    objective: Objective,
    deadline_h: Option<f64>,
    limit_h: f64,
    budget_g: Option<f64>,
    measured: bool,
    /// What the levels' speeds really are, as a power of the profile's.
    slower: f64,
    rules: Rules,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            slots: vec![Slot::grid(100.0, 400.0)],
            work_h: 4.0,
            objective: Objective::Performance,
            deadline_h: Some(8.0),
            limit_h: 50.0,
            budget_g: None,
            measured: true,
            slower: 1.0,
            rules: RULES,
        }
    }
}

/// What came of it.
#[derive(Debug)]
struct Run {
    end_h: f64,
    carbon_g: f64,
    changes: u32,
    over_budget: bool,
    /// Level by minute.
    clocks: Vec<usize>,
}

impl Job {
    /// Lets a governor drive it to its end.
    fn run(&self) -> Run {
        let top = levels().len() - 1;
        let (mut left_h, mut model_h, mut sure_h) = (self.work_h, self.work_h, self.work_h);
        let mut run = Run { end_h: 0.0, carbon_g: 0.0, changes: 0, over_budget: false, clocks: Vec::new() };
        let (mut set, mut since_h) = (top, -1.0);
        while left_h > 1e-9 {
            assert!(run.end_h < 200.0, "the job never ends");
            let rest = candidate(after(&self.slots, run.end_h), model_h.max(1e-3));
            let situation = Situation {
                candidate: &rest,
                objective: self.objective,
                deadline_h: self.deadline_h.map(|at| at - run.end_h),
                limit_h: self.limit_h - run.end_h,
                budget_g: self.budget_g.map(|budget| (budget - run.carbon_g).max(0.0)),
                measured: self.measured,
            };
            let standing = Standing {
                level: Some(set),
                for_h: run.end_h - since_h,
                sure_work_h: sure_h.max(1e-6),
                whole_work_h: self.work_h,
                spent_g: run.carbon_g,
            };
            let decision = reconsider(&situation, &standing, &self.rules, None).expect("a situation");
            run.over_budget |= decision.over_budget;
            let next = decision.level.unwrap_or(top);
            if next != set {
                (set, since_h) = (next, run.end_h);
                run.changes += 1;
            }
            let level = levels()[set];
            let speed = level.speed.powf(self.slower);
            let hours = self.rules.interval_h.min(left_h / speed);
            run.clocks.push(set);
            run.carbon_g += carbon(&self.slots, run.end_h, run.end_h + hours, level.watts);
            run.end_h += hours;
            left_h -= hours * speed;
            model_h -= hours * level.speed;
            sure_h -= hours * guaranteed_speed(&rest, set, self.measured);
        }
        run
    }

    /// The exact plan, with the margin that a governor keeps.
    fn plan(&self) -> Option<Plan> {
        let by_h = self.deadline_h.unwrap_or(f64::INFINITY).min(self.limit_h) - margin_h(self.work_h);
        let problem = Problem {
            candidates: vec![candidate(self.slots.clone(), self.work_h)],
            objective: self.objective,
            deadline_h: Some(by_h),
            budget_g: self.budget_g.map(|budget| budget / (1.0 + MARGIN)),
            work_gpu_h: self.work_h,
        };
        plan::plan(&problem).expect("a problem").plan()
    }
}

fn after(slots: &[Slot], at_h: f64) -> Vec<Slot> {
    let mut from_h = 0.0;
    let mut rest = Vec::new();
    for slot in slots {
        let end_h = from_h + slot.hours;
        if end_h > at_h + 1e-6 {
            rest.push(Slot { hours: end_h - f64::max(from_h, at_h), ..*slot });
        }
        from_h = end_h;
    }
    rest
}

fn carbon(slots: &[Slot], from_h: f64, to_h: f64, watts: f64) -> f64 {
    let mut at_h = 0.0;
    let mut grams = 0.0;
    for slot in slots {
        let hours = (to_h.min(at_h + slot.hours) - from_h.max(at_h)).max(0.0);
        grams += slot.g_per_kwh * (watts - slot.onsite_w).max(0.0) / 1000.0 * hours;
        at_h += slot.hours;
    }
    grams
}

#[test]
fn on_an_even_grid_the_clock_is_set_once_and_kept() {
    let run = Job::default().run();
    assert_eq!(run.clocks.iter().filter(|&&level| level == 1).count(), run.clocks.len(), "{:?}", run.clocks);
    assert_eq!(run.changes, 1);
}

#[test]
fn a_job_follows_the_sun_and_emits_what_the_plan_says() {
    // The roof covers full clock from hour 2 to hour 4.
    let sunny = |k: u32| Slot { onsite_w: if (2..4).contains(&k) { 310.0 } else { 0.0 }, ..Slot::grid(1.0, 400.0) };
    let job = Job {
        slots: (0..24).map(sunny).collect(),
        deadline_h: Some(7.0),
        rules: Rules { dwell_h: RULES.interval_h, ..RULES },
        ..Job::default()
    };
    let (run, plan) = (job.run(), job.plan().expect("it fits"));
    assert!(run.end_h <= 7.0, "{}", run.end_h);
    assert!(run.carbon_g <= plan.carbon_g * 1.03, "{} g, planned {} g", run.carbon_g, plan.carbon_g);
    assert!(run.changes <= 4, "{}", run.changes);
    let fast: Vec<usize> = (0..run.clocks.len()).filter(|&minute| run.clocks[minute] == 2).collect();
    assert!(fast.iter().all(|minute| (120..=240).contains(minute)) && fast.len() >= 119, "{fast:?}");
}

#[test]
fn a_deadline_that_needs_two_clocks_gets_both_in_turn() {
    // 4 h of work in 4.5 h: neither 1500 MHz (5 h) nor full clock alone is best.
    let job = Job { deadline_h: Some(4.6), ..Job::default() };
    let (run, plan) = (job.run(), job.plan().expect("it fits"));
    assert!(run.end_h <= 4.6 && run.carbon_g <= plan.carbon_g * 1.02, "{run:?} {}", plan.carbon_g);
    assert!(run.clocks.contains(&1) && run.clocks.contains(&2), "{:?}", run.clocks);
    assert!(run.changes <= 6, "{}", run.changes);
}

#[test]
fn a_budget_is_kept_and_a_used_up_one_follows_the_sites_policy() {
    // Full clock: 480 g; 1500 MHz: 360 g.
    let job = Job { objective: Objective::Carbon, deadline_h: None, budget_g: Some(420.0), ..Job::default() };
    let run = job.run();
    assert!(run.carbon_g <= 420.0 && !run.over_budget, "{run:?}");
    let poor = Job { budget_g: Some(200.0), ..job };
    let clocks = |over_budget| Job { rules: Rules { over_budget, ..RULES }, ..poor.clone() }.run();
    assert!(clocks(OverBudget::Least).clocks[1..].iter().all(|&level| level == 1));
    assert!(clocks(OverBudget::Full).clocks.iter().all(|&level| level == 2));
    assert!(clocks(OverBudget::Stay).over_budget);
}

#[test]
fn past_the_point_of_no_return_a_job_runs_at_full_clock() {
    let run = Job { deadline_h: Some(4.05), ..Job::default() }.run();
    assert!(run.clocks.iter().all(|&level| level == 2) && run.end_h <= 4.05);
}

#[test]
fn a_job_that_is_slower_than_its_profile_still_ends_in_time_where_the_profile_is_a_guess() {
    // Speeds in proportion to the clock: 0.75 at 1500 MHz instead of 0.8.
    let job = Job { measured: false, slower: 0.75_f64.ln() / 0.8_f64.ln(), deadline_h: Some(5.3), ..Job::default() };
    let run = job.run();
    assert!(run.end_h <= 5.3, "{}", run.end_h);
    assert!(run.clocks.contains(&1), "it does not simply run at full clock");
}

#[test]
fn a_clock_is_not_moved_for_little_nor_within_its_dwell_time() {
    let rest = candidate(vec![Slot::grid(100.0, 400.0)], 4.0);
    let situation = Situation {
        candidate: &rest,
        objective: Objective::Performance,
        deadline_h: Some(20.0),
        limit_h: 50.0,
        budget_g: None,
        measured: true,
    };
    let standing = Standing { level: Some(2), for_h: 1.0, sure_work_h: 4.0, whole_work_h: 4.0, spent_g: 0.0 };
    let level = |standing, rules: &Rules| reconsider(&situation, &standing, rules, None).expect("a situation").level;
    assert_eq!(level(standing, &RULES), Some(1));
    assert_eq!(level(Standing { for_h: 0.01, ..standing }, &RULES), Some(2), "its dwell time");
    assert_eq!(level(standing, &Rules { min_change_mhz: 501, ..RULES }), Some(2), "too small a change");
    assert_eq!(level(Standing { level: None, for_h: 0.0, ..standing }, &RULES), Some(1), "an unknown clock is no clock to keep");
    // 1000 MHz: 93.3 g an hour of work, 1500 MHz: 90 g: more than 2 %, and yet within the forecast's error.
    let (low, high) = (vec![Slot::grid(100.0, 300.0)], vec![Slot { onsite_w: 140.0, ..Slot::grid(100.0, 500.0) }]);
    let at_slow = Standing { level: Some(0), ..standing };
    assert_eq!(level(at_slow, &RULES), Some(1));
    let doubtful = reconsider(&situation, &at_slow, &RULES, Some((&low, &high))).expect("a situation");
    assert_eq!((doubtful.level, doubtful.reason), (Some(0), "too little to win by another clock"));
}

#[test]
fn time_that_runs_out_moves_a_clock_at_once() {
    let rest = candidate(vec![Slot::grid(100.0, 400.0)], 4.0);
    let situation = Situation {
        candidate: &rest,
        objective: Objective::Performance,
        deadline_h: Some(4.0 + margin_h(4.0) + 0.004),
        limit_h: 50.0,
        budget_g: None,
        measured: true,
    };
    let standing = Standing { level: Some(0), for_h: 0.0, sure_work_h: 4.0, whole_work_h: 4.0, spent_g: 0.0 };
    let decision = reconsider(&situation, &standing, &RULES, None).expect("a situation");
    assert!(matches!(decision.level, None | Some(2)), "{decision:?}");
}

#[test]
fn a_fast_clock_for_the_next_hour_is_not_set_in_the_dirty_end_of_this_one() {
    // Three minutes before the clean hour the plan has most of the coming five minutes at full clock; there it emits twice as much.
    let slots = vec![Slot::grid(1.0, 760.0), Slot::grid(1.0, 92.0), Slot::grid(28.0, 50.0)];
    let budget_g = 121.4;
    let job = Job {
        slots,
        work_h: 0.725,
        objective: Objective::Carbon,
        deadline_h: None,
        budget_g: Some(budget_g),
        limit_h: 25.0,
        ..Job::default()
    };
    let run = job.run();
    assert!(run.clocks[..60].iter().all(|&level| level < 2), "{:?}", run.clocks);
    assert!(run.carbon_g <= budget_g, "{} g", run.carbon_g);
}

#[test]
fn what_is_kept_in_hand_of_a_budget_is_not_spent_on_a_dwell_time() {
    // No plan keeps 3 % of the budget in hand any more; slow clocks keep the budget, full clock does not.
    let rest = candidate(vec![Slot::grid(100.0, 400.0)], 1.0);
    let situation = Situation {
        candidate: &rest,
        objective: Objective::Carbon,
        deadline_h: None,
        limit_h: 50.0,
        budget_g: Some(92.0),
        measured: true,
    };
    let standing = Standing { level: Some(2), for_h: 0.01, sure_work_h: 1.0, whole_work_h: 4.0, spent_g: 360.0 };
    let decision = reconsider(&situation, &standing, &RULES, None).expect("a situation");
    assert_eq!((decision.level, decision.over_budget), (Some(1), false), "{decision:?}");
}

#[test]
fn a_running_job_is_given_the_time_of_the_one_clock_that_it_can_afford() {
    let rest = candidate(vec![Slot::grid(20.0, 100.0)], 4.0);
    assert_eq!(sure_end_h(&rest, true, 4.0, 9.0), 9.0);
    assert!((sure_end_h(&rest, false, 4.0, 4.0 + 1.25) - 5.0).abs() < 1e-9, "1500 MHz");
    assert!((sure_end_h(&rest, false, 4.0, 4.0 + 1.25 / 2.0) - 4.5).abs() < 1e-9, "half of it at 1500 MHz");
    assert_eq!(sure_end_h(&rest, false, 4.0, 4.0), 4.0);
    assert_eq!(sure_end_h(&rest, false, 4.0, 9.0), 9.0, "at 1000 MHz it falls 3 h 20 min behind");
}

#[test]
fn what_is_left_of_a_job_that_nobody_measured_is_planned_for_the_time_that_is_sure() {
    let rest = candidate(vec![Slot::grid(100.0, 400.0)], 4.0);
    let ends_h = |measured| {
        let (deadline_h, limit_h) = (Some(4.9), 50.0);
        let situation =
            Situation { candidate: &rest, objective: Objective::Performance, deadline_h, limit_h, budget_g: None, measured };
        let standing = Standing { level: Some(2), for_h: 1.0, sure_work_h: 4.0, whole_work_h: 4.0, spent_g: 0.0 };
        reconsider(&situation, &standing, &RULES, None).expect("a situation").plan.expect("a plan").end_h
    };
    // 7 min are kept in hand: 47 min of slack, and 1500 MHz for all of it would fall 75 min behind where it ends an hour later.
    assert!((ends_h(true) - 4.78).abs() < 1e-9, "{}", ends_h(true));
    assert!((ends_h(false) - (4.0 + 0.78 / 1.25)).abs() < 1e-9, "{}", ends_h(false));
}

/// The same cases in every run, since what dwell and hysteresis may cost is a bound by experience; others with
/// `PROPTEST_RNG_SEED`, more with `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 60;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_deadline_is_missed_on_carms_account(
        grid in prop::collection::vec((0.0..800.0_f64, 0.0..300.0_f64), 30),
        work_h in 0.5..6.0_f64,
        slack in 1.06..3.0_f64,
        measured: bool,
        objective in prop::sample::select(vec![Objective::Performance, Objective::Ppc]),
    ) {
        let slots = grid.iter().map(|&(g, onsite_w)| Slot { onsite_w, ..Slot::grid(1.0, g) }).collect();
        let by_h = work_h * slack + 0.05;
        let job = Job { slots, work_h, objective, deadline_h: Some(by_h), measured, ..Job::default() };
        let run = job.run();
        prop_assert!(run.end_h <= by_h, "{} h of {by_h} h", run.end_h);
        if let (Objective::Performance, true, Some(plan)) = (objective, measured, job.plan()) {
            // Dwell, hysteresis and the growing margin cost something; never more than running at full clock throughout would.
            let top = levels()[2].watts;
            let full_g = carbon(&job.slots, 0.0, work_h, top);
            prop_assert!(run.carbon_g <= full_g.max(plan.carbon_g) * 1.08 + 2.0, "{} g, full {full_g} g, plan {} g", run.carbon_g, plan.carbon_g);
        }
    }

    #[test]
    fn a_feasible_budget_is_not_overrun(
        grid in prop::collection::vec(50.0..800.0_f64, 30),
        work_h in 0.5..6.0_f64,
        part in 0.0..1.0_f64,
    ) {
        let slots: Vec<Slot> = grid.iter().map(|&g| Slot::grid(1.0, g)).collect();
        let ends = |objective, budget_g| Job { slots: slots.clone(), work_h, objective, deadline_h: None, budget_g, limit_h: 25.0, ..Job::default() };
        let least = ends(Objective::Performance, None).plan().expect("it fits").carbon_g * (1.0 + MARGIN);
        let most = carbon(&slots, 0.0, work_h, levels()[2].watts) * (1.0 + MARGIN);
        prop_assume!(most > least * 1.02);
        let budget = least * 1.01 + part * (most - least * 1.01);
        let run = ends(Objective::Carbon, Some(budget)).run();
        prop_assert!(run.carbon_g <= budget * 1.0001, "{} g of {budget} g", run.carbon_g);
    }
}
