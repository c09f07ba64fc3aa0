//! The ties, plateaus, zeros and edges at which such algorithms go wrong, one by one.

use carm::plan::*;

use crate::definition::check_plan;

const FAST: Level = Level { clock_mhz: 2000, watts: 300.0, speed: 1.0, latency_ms: None };
const SLOW: Level = Level { clock_mhz: 1000, watts: 120.0, speed: 0.5, latency_ms: None };
const ANY_TIME: Start = Start::Within { earliest_h: 0.0, latest_h: 1000.0 };

/// One GPU, hourly slots with these intensities, no host power, PUE 1, a work of `work_h` at any time.
fn site(intensities: &[f64], work_h: f64) -> Candidate {
    Candidate {
        slots: intensities.iter().map(|&g| Slot::grid(1.0, g)).collect(),
        levels: vec![FAST, SLOW],
        workers: 1,
        work_h,
        host_watts: 0.0,
        pue: 1.0,
        onsite_g_per_kwh: 0.0,
        start: ANY_TIME,
        max_run_h: None,
    }
}

fn ask(candidates: Vec<Candidate>, objective: Objective) -> Problem {
    let work_gpu_h = candidates[0].work_h;
    Problem { candidates, objective, deadline_h: None, budget_g: None, work_gpu_h }
}

fn by(candidate: Candidate, deadline_h: f64) -> Problem {
    Problem { deadline_h: Some(deadline_h), ..ask(vec![candidate], Objective::Performance) }
}

fn within(candidate: Candidate, budget_g: f64) -> Problem {
    Problem { budget_g: Some(budget_g), ..ask(vec![candidate], Objective::Carbon) }
}

fn feasible(p: &Problem) -> Plan {
    let plan = plan(p).unwrap().plan().expect("feasible");
    check_plan(p, &plan);
    plan
}

fn infeasible(p: &Problem) -> Infeasible {
    match plan(p).unwrap() {
        Outcome::Infeasible(miss) => miss,
        Outcome::Feasible(plan) => panic!("feasible: {plan:?}"),
    }
}

#[track_caller]
fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn under_a_flat_forecast_a_run_begins_now_and_ends_as_early_as_its_carbon_allows() {
    let plan = feasible(&by(site(&[300.0; 48], 4.0), 48.0));
    assert_eq!((plan.start_h, plan.end_h), (0.0, 8.0));
    assert_eq!(plan.segments.len(), 1);
    assert_close(plan.carbon_g, 8.0 * 0.12 * 300.0);
}

#[test]
fn a_tight_deadline_under_a_flat_forecast_takes_one_clock_change() {
    // 4 h of work in 6 h: 2 h at full clock and 4 h at half, whatever the order.
    let plan = feasible(&by(site(&[300.0; 48], 4.0), 6.0));
    assert_eq!((plan.start_h, plan.end_h), (0.0, 6.0));
    assert_eq!(plan.segments.len(), 2);
    assert_close(plan.carbon_g, (2.0 * 0.3 + 4.0 * 0.12) * 300.0);
}

#[test]
fn a_mixed_slot_puts_the_clock_of_its_neighbour_beside_it() {
    // The second slot is mixed, the others run at full clock before it and at half after it.
    let p = by(Candidate { start: Start::Fixed(0.0), ..site(&[100.0, 300.0, 400.0], 2.0) }, 3.0);
    let plan = feasible(&p);
    assert_eq!(plan.segments.iter().map(|s| s.level).collect::<Vec<_>>(), [0, 1]);
    let p = by(Candidate { start: Start::Fixed(0.0), ..site(&[400.0, 300.0, 100.0], 1.75) }, 3.0);
    let plan = feasible(&p);
    assert_eq!(plan.segments.iter().map(|s| s.level).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn the_earliest_of_equally_clean_hours_wins() {
    let plan = feasible(&by(site(&[500.0, 100.0, 500.0, 100.0, 500.0, 100.0], 0.5), 6.0));
    assert_eq!((plan.start_h, plan.end_h), (1.0, 2.0));
}

#[test]
fn of_equal_ends_and_carbon_the_earlier_start_wins() {
    // A quarter of an hour's work costs the same at half clock in the first hour and as more clock in the second.
    let plan = feasible(&by(site(&[150.0, 100.0], 0.75), 2.0));
    assert_eq!((plan.start_h, plan.end_h, plan.segments.len()), (0.5, 2.0, 1));
    assert_close(plan.carbon_g, 21.0);
}

#[test]
fn a_run_that_emits_nothing_has_no_ppc_and_the_earliest_such_end() {
    let plan = feasible(&ask(vec![site(&[300.0, 0.0, 0.0, 0.0], 1.0)], Objective::Ppc));
    assert_eq!((plan.start_h, plan.end_h), (1.0, 2.0));
    assert_eq!((plan.carbon_g, plan.ppc), (0.0, None));
}

#[test]
fn sun_that_covers_half_clock_makes_it_free_and_slow() {
    let mut c = site(&[300.0; 6], 2.0);
    c.slots.iter_mut().for_each(|s| s.onsite_w = 150.0);
    let plan = feasible(&ask(vec![c], Objective::Ppc));
    assert_eq!((plan.start_h, plan.end_h, plan.carbon_g), (0.0, 4.0, 0.0));
}

#[test]
fn a_level_that_is_slower_and_dirtier_is_left_alone() {
    let mut c = site(&[300.0; 4], 2.0);
    c.levels = vec![FAST, Level { watts: 350.0, ..SLOW }];
    let plan = feasible(&by(c, 4.0));
    assert_eq!((plan.start_h, plan.end_h), (0.0, 2.0));
    assert_eq!(plan.segments[0].level, 0);
}

#[test]
fn of_equally_fast_levels_the_one_with_less_power_is_used() {
    let mut c = site(&[300.0; 2], 1.0);
    c.levels = vec![FAST, Level { watts: 250.0, clock_mhz: 1900, ..FAST }];
    assert_eq!(feasible(&by(c, 2.0)).segments[0].level, 1);
}

#[test]
fn a_work_that_just_fits_the_horizon_fits() {
    let plan = feasible(&by(site(&[300.0, 100.0, 200.0], 3.0), 3.0));
    assert_eq!((plan.start_h, plan.end_h, plan.segments.len()), (0.0, 3.0, 1));
}

#[test]
fn a_horizon_of_one_slot_is_planned() {
    for objective in [Objective::Ppc, Objective::Performance, Objective::Carbon] {
        let p = Problem { deadline_h: Some(1.0), budget_g: Some(60.0), ..ask(vec![site(&[200.0], 0.5)], objective) };
        let plan = feasible(&p);
        assert!(plan.start_h == 0.0 && plan.end_h <= 1.0);
    }
    assert_eq!(infeasible(&by(site(&[200.0], 1.5), 1.0)).reason, Reason::Horizon);
}

#[test]
fn a_deadline_inside_a_slot_is_kept_to_the_instant() {
    let plan = feasible(&by(site(&[500.0, 400.0, 100.0], 1.0), 2.25));
    assert_close(plan.end_h, 2.25);
}

#[test]
fn patience_that_ends_inside_a_slot_is_kept_to_the_instant() {
    let c = Candidate {
        start: Start::Within { earliest_h: 0.0, latest_h: 0.25 },
        levels: vec![FAST],
        ..site(&[500.0, 100.0, 100.0], 1.0)
    };
    let plan = feasible(&by(c, 3.0));
    assert_close(plan.start_h, 0.25);
    assert_close(plan.carbon_g, 0.3 * (0.75 * 500.0 + 0.25 * 100.0));
}

#[test]
fn a_start_fixed_inside_a_slot_is_kept() {
    let plan = feasible(&by(Candidate { start: Start::Fixed(1.5), ..site(&[500.0, 100.0, 400.0, 50.0], 1.0) }, 4.0));
    assert_eq!(plan.start_h, 1.5);
}

#[test]
fn a_running_job_is_slowed_but_never_paused() {
    let plan = feasible(&by(Candidate { start: Start::Fixed(0.0), ..site(&[900.0, 10.0], 1.0) }, 2.0));
    assert_eq!(plan.start_h, 0.0);
    // Half clock through the dirty hour: the rest is done in the clean one, at no more than it needs.
    assert_eq!(plan.segments[0].level, 1);
}

#[test]
fn the_budget_that_an_infeasible_answer_names_is_enough() {
    let c = site(&[500.0, 433.3, 217.7, 391.1, 280.9], 2.3);
    let miss = infeasible(&Problem { deadline_h: Some(4.2), ..within(c.clone(), 10.0) });
    assert_eq!((miss.reason, miss.earliest_end_h), (Reason::Budget, None));
    let p = Problem { deadline_h: Some(4.2), ..within(c, miss.least_carbon_g.unwrap()) };
    let plan = feasible(&p);
    assert!(plan.end_h <= 4.2 + 1e-9);
}

#[test]
fn the_end_that_an_infeasible_answer_names_is_late_enough() {
    let c = site(&[500.0, 433.3, 217.7, 91.1, 80.9], 1.3);
    let budget = 40.0;
    let p = Problem { deadline_h: Some(2.0), ..within(c.clone(), budget) };
    let miss = infeasible(&p);
    assert_eq!(miss.reason, Reason::DeadlineAndBudget);
    let plan = feasible(&Problem { deadline_h: Some(miss.earliest_end_h.unwrap() + 1e-9), ..p });
    assert!(plan.carbon_g <= budget);
}

#[test]
fn a_budget_and_a_deadline_bind_whatever_the_objective() {
    let c = site(&[500.0, 400.0, 100.0, 90.0, 10.0, 10.0], 1.0);
    let free = feasible(&ask(vec![c.clone()], Objective::Ppc));
    assert!(free.end_h > 4.0);
    let p = Problem { deadline_h: Some(3.0), ..ask(vec![c.clone()], Objective::Ppc) };
    assert!(feasible(&p).end_h <= 3.0);
    let p = Problem { budget_g: Some(4.0), ..by(c.clone(), 6.0) };
    assert!(feasible(&p).carbon_g <= 4.0);
    let miss = infeasible(&Problem { budget_g: Some(4.0), ..by(c, 3.0) });
    assert_eq!(miss.reason, Reason::DeadlineAndBudget);
    assert!(miss.least_carbon_g.unwrap() > 4.0 && miss.earliest_end_h.unwrap() > 3.0);
}

#[test]
fn a_deadline_that_has_passed_is_infeasible_and_says_when_the_job_could_end() {
    let miss = infeasible(&by(site(&[300.0; 3], 1.0), -1.0));
    assert_eq!((miss.reason, miss.least_carbon_g), (Reason::Deadline, None));
    assert_close(miss.earliest_end_h.unwrap(), 1.0);
}

#[test]
fn a_run_longer_than_the_partition_allows_is_infeasible() {
    let c = Candidate { max_run_h: Some(1.5), ..site(&[300.0; 5], 2.0) };
    assert_eq!(infeasible(&by(c, 5.0)).reason, Reason::MaxRun);
}

#[test]
fn a_longest_run_caps_the_stretch() {
    let c = Candidate { max_run_h: Some(2.5), ..site(&[300.0; 8], 2.0) };
    let plan = feasible(&by(c, 8.0));
    assert_close(plan.end_h - plan.start_h, 2.5);
    assert_eq!(plan.start_h, 0.0);
}

#[test]
fn a_closed_slot_is_neither_run_in_nor_run_across() {
    let mut c = site(&[300.0, 300.0, 10.0, 300.0, 300.0, 300.0], 2.0);
    c.slots[2].closed = true;
    let plan = feasible(&by(c.clone(), 6.0));
    assert!(plan.end_h <= 2.0 || plan.start_h >= 3.0);
    assert_eq!(infeasible(&by(Candidate { work_h: 3.5, ..c }, 6.0)).reason, Reason::Horizon);
}

#[test]
fn of_equal_plans_the_one_with_fewer_workers_wins_and_then_the_first_in_order() {
    let two = Candidate { workers: 2, work_h: 1.0, levels: vec![Level { watts: 150.0, ..FAST }], ..site(&[300.0; 4], 1.0) };
    let one = Candidate { levels: vec![FAST], ..site(&[300.0; 4], 1.0) };
    let p = |candidates| Problem { deadline_h: Some(4.0), ..ask(candidates, Objective::Performance) };
    assert_eq!(feasible(&p(vec![two.clone(), one.clone()])).candidate, 1);
    assert_eq!(feasible(&p(vec![two, one.clone(), one])).candidate, 1);
}

#[test]
fn more_workers_that_end_earlier_for_the_same_carbon_win() {
    let one = Candidate { levels: vec![FAST], ..site(&[300.0; 4], 2.0) };
    let two = Candidate { workers: 2, work_h: 1.0, ..one.clone() };
    let p = Problem { deadline_h: Some(4.0), ..ask(vec![one, two], Objective::Performance) };
    assert_eq!(feasible(&p).candidate, 1);
}

#[test]
fn a_single_level_is_enough() {
    let c = Candidate { levels: vec![FAST], ..site(&[500.0, 100.0, 400.0], 1.5) };
    let plan = feasible(&by(c, 3.0));
    assert_eq!((plan.start_h, plan.end_h), (1.0, 2.5));
}

#[test]
fn figures_far_apart_do_not_drown_one_another() {
    let mut c = site(&[1e6, 1e6, 1e-6, 1e6, 1e6, 2e-6], 0.5);
    c.slots.iter_mut().for_each(|s| s.hours = 1.0);
    let plan = feasible(&by(c, 6.0));
    assert_eq!((plan.start_h, plan.end_h), (2.0, 3.0));
    assert!((plan.carbon_g / (0.12 * 1e-6) - 1.0).abs() < 1e-9, "{}", plan.carbon_g);
}

#[test]
fn a_plan_on_whole_seconds_starts_on_one_and_keeps_its_budget() {
    let mut c = site(&[500.0, 420.0, 130.0, 90.0, 300.0], 1.3);
    c.slots[0].hours = 0.3217;
    let p = within(c, 45.0);
    let exact = feasible(&p);
    let rounded = plan_whole_seconds(&p).unwrap().plan().unwrap();
    check_plan(&p, &rounded);
    let seconds = rounded.start_h * 3600.0;
    assert!((seconds - seconds.round()).abs() < 1e-6, "starts at {seconds} s");
    assert!(rounded.carbon_g <= 45.0 && rounded.end_h >= exact.end_h - 1e-9);
    assert!(rounded.end_h - exact.end_h < 2.0 / 3600.0);
}

#[test]
fn the_share_of_estimated_time_is_told() {
    let mut c = site(&[300.0; 4], 2.0);
    c.levels = vec![FAST];
    c.slots[1].estimated = true;
    assert_close(feasible(&by(c, 4.0)).estimated_share, 0.5);
}

#[test]
fn a_constant_run_is_integrated_over_its_slots() {
    let p = ask(vec![site(&[100.0, 200.0, 400.0], 1.0)], Objective::Ppc);
    let run = constant(&p, 0, 1, 0.5).unwrap().unwrap();
    check_plan(&p, &run);
    assert_close(run.carbon_g, 0.12 * (0.5 * 100.0 + 200.0 + 0.5 * 400.0));
    assert_close(run.ppc.unwrap(), 1.0 / 2.5 / run.carbon_g);
    assert_eq!(constant(&p, 0, 1, 1.5).unwrap(), None);
    assert!(constant(&p, 0, 0, 2.0).unwrap().is_some());
}

#[test]
fn a_plan_is_evaluated_under_another_forecast() {
    let p = by(site(&[500.0, 100.0, 400.0], 1.0), 3.0);
    let planned = feasible(&p);
    let dirtier = Problem { candidates: vec![site(&[1000.0, 200.0, 800.0], 1.0)], ..p };
    assert_close(evaluate(&dirtier, 0, &planned.segments).unwrap().carbon_g, 2.0 * planned.carbon_g);
}

#[test]
fn stretches_that_no_job_can_run_are_refused_by_number() {
    let p = by(site(&[500.0, 100.0, 400.0], 1.0), 3.0);
    let segment = |from_h, to_h, level| Segment { from_h, to_h, level, power_w: 0.0, carbon_g: 0.0 };
    let said = |segments: &[Segment]| evaluate(&p, 0, segments).unwrap_err().to_string();
    assert_eq!(said(&[segment(0.0, 4.0, 0)]), "segments[0]: ends past the forecast");
    assert_eq!(
        said(&[segment(0.0, 2.0, 0), segment(1.0, 3.0, 0)]),
        "segments[1]: begins before the one before it ends, or does not end after it begins"
    );
    assert_eq!(said(&[segment(0.0, 1.0, 7)]), "level: 7 is no entry of the 2 there are");
}

#[test]
fn the_energy_optimal_level_counts_the_host() {
    let c = site(&[300.0], 1.0);
    assert_eq!(c.energy_optimal_level(), Some(1));
    assert_eq!(Candidate { host_watts: 100.0, ..c.clone() }.energy_optimal_level(), Some(0));
    assert_eq!(c.full_clock(), Some(0));
}

#[test]
fn the_frontier_can_be_thinned_and_keeps_its_last_end() {
    let p = ask(vec![site(&[300.0, 280.0, 260.0, 240.0, 220.0, 200.0], 1.0)], Objective::Ppc);
    let all = frontier(&p, &Ends::EverySlot).unwrap();
    assert_eq!(all.len(), 6);
    let some = frontier(&p, &Ends::Some(3)).unwrap();
    assert_eq!(some.iter().map(|q| q.end_h).collect::<Vec<_>>(), [2.0, 4.0, 6.0]);
    assert!(some.iter().all(|q| all.contains(q)));
}

#[test]
fn what_cannot_be_planned_is_named_with_its_value_and_what_is_expected() {
    let good = by(site(&[300.0, 200.0], 1.0), 2.0);
    let said = |change: &dyn Fn(&mut Problem)| {
        let mut p = good.clone();
        change(&mut p);
        plan(&p).unwrap_err().to_string()
    };
    assert_eq!(
        said(&|p| p.candidates[0].slots[1].g_per_kwh = f64::NAN),
        "candidates[0].slots[1].g_per_kwh: 'NaN' is out of range; expected 0 to 1e6 g/kWh"
    );
    assert_eq!(
        said(&|p| p.candidates[0].work_h = 0.0),
        "candidates[0].work_h: '0' is out of range; expected full-clock hours from 1e-7 to 1e6"
    );
    assert_eq!(said(&|p| p.candidates[0].levels.clear()), "candidates[0].levels: is empty; expected at least one clock");
    assert_eq!(
        said(&|p| p.candidates[0].levels[0].speed = 0.9),
        "candidates[0].levels: '0.9' is out of range; expected a fastest level with speed exactly 1"
    );
    assert_eq!(
        said(&|p| p.candidates[0].start = Start::Within { earliest_h: 2.0, latest_h: 1.0 }),
        "candidates[0].start.latest_h: '1' is out of range; expected an instant no earlier than earliest_h"
    );
    assert_eq!(said(&|p| p.candidates.clear()), "candidates: is empty; expected at least one site to run at");
    assert_eq!(said(&|p| p.budget_g = Some(-3.0)), "budget_g: '-3' is out of range; expected a mass of 0 g or more");
    assert_eq!(said(&|p| p.deadline_h = None), "objective 'performance': no deadline_h is given; give the time to finish by");
    assert_eq!(
        said(&|p| p.objective = Objective::Carbon),
        "objective 'carbon': no budget_g is given; give the most carbon to emit"
    );
}
