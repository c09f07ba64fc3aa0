//! Services against linear programs of their own: a given length, a clock floor, three objectives.

use carm::plan::*;
use proptest::prelude::*;

use crate::brute::{bounds, rate, starts};
use crate::cases;
use crate::simplex::{Program, Relation};

const CLOSE: f64 = 1e-9;

/// A window of a service as rows of a linear program over hours by slot and level (and two helpers: slack of the least hours
/// in the first slot, and the scale of Charnes and Cooper), homogeneous in the scale.
struct Window<'a> {
    c: &'a Candidate,
    a: usize,
    z: usize,
    rows: Vec<(Vec<f64>, Relation, f64)>,
}

impl<'a> Window<'a> {
    fn all(c: &'a Candidate, by: f64) -> Vec<Self> {
        let b = bounds(c);
        let (earliest, latest) = starts(c);
        let length = c.work_h;
        let mut windows = Vec::new();
        for a in 0..c.slots.len() {
            for z in a..c.slots.len() {
                if (a..=z).any(|k| c.slots[k].closed) {
                    break;
                }
                let to = b[z + 1].min(by);
                let n = (z - a + 1) * c.levels.len() + 1;
                let sum = |k: usize| {
                    let mut row = vec![0.0; n];
                    row[(k - a) * c.levels.len()..(k - a + 1) * c.levels.len()].fill(1.0);
                    row
                };
                let mut rows = Vec::new();
                let mut all = vec![1.0; n];
                all[n - 1] = 0.0;
                rows.push((all, Relation::Exactly, length));
                if a == z {
                    let from = b[a].max(earliest);
                    if from > latest.min(b[a + 1]) || from + length > to + 1e-12 {
                        continue;
                    }
                } else {
                    let (most, least) = (b[a + 1] - b[a].max(earliest), (b[a + 1] - latest).max(0.0));
                    if most < least || most < 0.0 || to < b[z] {
                        continue;
                    }
                    rows.push((sum(a), Relation::AtMost, most));
                    let mut row = sum(a);
                    row[n - 1] = -1.0;
                    rows.push((row, Relation::Exactly, least));
                    rows.extend((a + 1..z).map(|k| (sum(k), Relation::Exactly, b[k + 1] - b[k])));
                    rows.push((sum(z), Relation::AtMost, to - b[z]));
                }
                windows.push(Self { c, a, z, rows });
            }
        }
        windows
    }

    fn weights(&self, f: impl Fn(usize, &Level) -> f64) -> Vec<f64> {
        let all = (self.a..=self.z).flat_map(|k| self.c.levels.iter().map(move |l| (k, l)));
        all.map(|(k, l)| f(k, l)).chain([0.0]).collect()
    }

    fn grams(&self) -> Vec<f64> {
        self.weights(|k, l| rate(self.c, k, l))
    }

    fn speeds(&self) -> Vec<f64> {
        self.weights(|_, l| l.speed)
    }

    fn least_carbon(&self) -> Option<f64> {
        Program { cost: self.grams(), rows: self.rows.clone() }.minimise().map(|s| s.0.max(0.0))
    }

    fn most_work(&self, budget: f64) -> Option<f64> {
        let mut rows = self.rows.clone();
        rows.push((self.grams(), Relation::AtMost, budget));
        Program { cost: self.speeds().iter().map(|s| -s).collect(), rows }.minimise().map(|s| -s.0)
    }

    /// The least carbon per work: with y = x / work, sum s y = 1, every other row homogeneous in the scale 1 / work.
    fn least_ratio(&self) -> Option<f64> {
        let scaled = |mut row: Vec<f64>, rhs: f64| {
            row.push(-rhs);
            row
        };
        let mut rows: Vec<_> = self.rows.iter().map(|(row, relation, rhs)| (scaled(row.clone(), *rhs), *relation, 0.0)).collect();
        rows.push((scaled(self.speeds(), 0.0), Relation::Exactly, 1.0));
        Program { cost: scaled(self.grams(), 0.0), rows }.minimise().map(|s| s.0)
    }
}

fn each<T>(p: &Problem, by: f64, f: impl Fn(&Window) -> Option<T>) -> Vec<T> {
    p.candidates.iter().flat_map(|c| Window::all(c, by).iter().filter_map(&f).collect::<Vec<_>>()).collect()
}

/// Work done, in full-clock hours, after checking that the plan is a service's.
fn check(p: &Problem, plan: &Plan) -> f64 {
    let c = &p.candidates[plan.candidate];
    let (earliest, latest) = starts(c);
    assert!(plan.start_h >= earliest - CLOSE && plan.start_h <= latest + CLOSE);
    assert!((plan.end_h - plan.start_h - c.work_h).abs() < CLOSE, "runs {} of {}", plan.end_h - plan.start_h, c.work_h);
    let b = bounds(c);
    let (mut at, mut work, mut carbon) = (plan.start_h, 0.0, 0.0);
    for s in &plan.segments {
        assert!(s.from_h == at && s.to_h > s.from_h);
        at = s.to_h;
        work += c.levels[s.level].speed * (s.to_h - s.from_h);
        for k in 0..c.slots.len() {
            let hours = (s.to_h.min(b[k + 1]) - s.from_h.max(b[k])).max(0.0);
            assert!(!c.slots[k].closed || hours < CLOSE);
            carbon += rate(c, k, &c.levels[s.level]) * hours;
        }
    }
    assert_eq!(at, plan.end_h);
    assert!((carbon - plan.carbon_g).abs() <= CLOSE * carbon + 1e-12);
    if let Some(ppc) = plan.ppc {
        let expected = p.work_gpu_h * work / c.work_h / c.work_h / carbon;
        assert!((ppc / expected - 1.0).abs() < CLOSE);
    }
    work
}

fn service() -> impl Strategy<Value = (Problem, f64, f64)> {
    cases::problem(5).prop_map(|(mut p, d, b)| {
        // One candidate: mean speeds of different lengths do not compare.
        p.candidates.truncate(1);
        p.candidates[0].max_run_h = None;
        (p, d, b)
    })
}

proptest! {
    #![proptest_config(cases::config(600))]

    #[test]
    fn performance_is_the_least_carbon_of_its_length((p, d, _) in service()) {
        let horizon = bounds(&p.candidates[0]).last().copied().unwrap();
        let by = if d > 0.9 { f64::INFINITY } else { d * horizon };
        let p = Problem { objective: Objective::Performance, deadline_h: by.is_finite().then_some(by), ..p };
        let brute = each(&p, by, |w| w.least_carbon()).into_iter().reduce(f64::min);
        match plan_service(&p, None).unwrap() {
            Outcome::Feasible(plan) => {
                check(&p, &plan);
                if let Some(brute) = brute {
                    prop_assert!(plan.carbon_g <= brute * (1.0 + CLOSE) + 1e-12, "{} g, brute force {brute} g", plan.carbon_g);
                }
            }
            Outcome::Infeasible(_) => prop_assert!(each(&p, by * (1.0 - CLOSE), |w| w.least_carbon()).is_empty()),
        }
    }

    #[test]
    fn carbon_is_the_greatest_mean_speed_within_the_budget((p, _, b) in service()) {
        let Some(least) = each(&p, f64::INFINITY, |w| w.least_carbon()).into_iter().reduce(f64::min) else { return Ok(()) };
        let budget = b * least;
        let p = Problem { objective: Objective::Carbon, budget_g: Some(budget), ..p };
        let brute = each(&p, f64::INFINITY, |w| w.most_work(budget)).into_iter().reduce(f64::max);
        match plan_service(&p, None).unwrap() {
            Outcome::Feasible(plan) => {
                let work = check(&p, &plan);
                prop_assert!(plan.carbon_g <= budget * (1.0 + CLOSE) + 1e-12);
                prop_assert!(brute.is_none_or(|brute| work >= brute * (1.0 - CLOSE)), "{work} h, brute force {brute:?} h");
            }
            Outcome::Infeasible(miss) => {
                prop_assert!(b < 1.0 + CLOSE);
                prop_assert_eq!((miss.reason, miss.earliest_end_h), (Reason::Budget, None));
                prop_assert!((miss.least_carbon_g.unwrap() / least - 1.0).abs() < CLOSE);
            }
        }
    }

    #[test]
    fn ppc_is_the_least_carbon_per_work((p, _, _) in service()) {
        let Some(brute) = each(&p, f64::INFINITY, |w| w.least_ratio()).into_iter().reduce(f64::min) else { return Ok(()) };
        if let Outcome::Feasible(plan) = plan_service(&p, None).unwrap() {
            let work = check(&p, &plan);
            prop_assert!(plan.carbon_g / work <= brute * (1.0 + CLOSE) + 1e-12, "{} g/h, brute force {brute}", plan.carbon_g / work);
        }
    }
}

const LEVELS: [Level; 3] = [
    Level { clock_mhz: 2000, watts: 300.0, speed: 1.0, latency_ms: Some(10.0) },
    Level { clock_mhz: 1500, watts: 200.0, speed: 0.8, latency_ms: None },
    Level { clock_mhz: 1000, watts: 120.0, speed: 0.5, latency_ms: None },
];

fn day() -> Problem {
    let candidate = Candidate {
        slots: [500.0, 400.0, 100.0, 200.0, 600.0].map(|g| Slot::grid(1.0, g)).to_vec(),
        levels: LEVELS.to_vec(),
        workers: 1,
        work_h: 3.0,
        host_watts: 0.0,
        pue: 1.0,
        onsite_g_per_kwh: 0.0,
        start: Start::Fixed(0.0),
        max_run_h: None,
    };
    Problem { candidates: vec![candidate], objective: Objective::Performance, deadline_h: None, budget_g: None, work_gpu_h: 3.0 }
}

#[test]
fn a_latency_is_that_of_the_profile_or_full_clocks_over_the_speed() {
    assert_eq!(levels_within_latency(&LEVELS, 10.0), Ok(Some(vec![0])));
    assert_eq!(levels_within_latency(&LEVELS, 12.5), Ok(Some(vec![0, 1])));
    assert_eq!(levels_within_latency(&LEVELS, 20.0), Ok(Some(vec![0, 1, 2])));
    assert_eq!(levels_within_latency(&LEVELS, 9.0), Ok(Some(vec![])));
    assert_eq!(levels_within_latency(&[Level { latency_ms: None, ..LEVELS[0] }], 9.0), Ok(None));
}

#[test]
fn a_latency_that_is_none_is_refused_by_name_value_and_range() {
    for limit_ms in [f64::NAN, f64::INFINITY, -1.0] {
        let message = format!("latency_ms: '{limit_ms}' is out of range; expected a limit of 0 to 1e12 ms");
        assert_eq!(plan_service(&day(), Some(limit_ms)).unwrap_err().to_string(), message);
        assert_eq!(levels_within_latency(&LEVELS, limit_ms).unwrap_err().to_string(), message);
    }
    assert!(matches!(plan_service(&day(), Some(0.0)), Ok(Outcome::Infeasible(miss)) if miss.reason == Reason::Latency));
}

#[test]
fn a_service_starts_at_once_and_never_runs_below_its_clock_floor() {
    let plan = plan_service(&day(), Some(13.0)).unwrap().plan().unwrap();
    assert_eq!((plan.start_h, plan.end_h), (0.0, 3.0));
    assert!(plan.segments.iter().all(|s| s.level == 1));
}

#[test]
fn a_service_with_a_start_window_waits_for_cleaner_hours() {
    let mut p = day();
    p.candidates[0].start = Start::Within { earliest_h: 0.0, latest_h: 24.0 };
    let plan = plan_service(&p, None).unwrap().plan().unwrap();
    assert_eq!((plan.start_h, plan.end_h), (1.0, 4.0));
}

#[test]
fn a_latency_that_no_level_keeps_is_infeasible() {
    let Outcome::Infeasible(miss) = plan_service(&day(), Some(5.0)).unwrap() else { panic!("feasible") };
    assert_eq!(miss.reason, Reason::Latency);
}

#[test]
fn a_latency_limit_without_any_known_latency_is_refused_by_name() {
    let mut p = day();
    p.candidates[0].levels.iter_mut().for_each(|l| l.latency_ms = None);
    assert_eq!(
        plan_service(&p, Some(5.0)).unwrap_err().to_string(),
        "candidates[0].levels: latency_ms: is empty; expected the latency at full clock, since a latency limit is given"
    );
}

#[test]
fn a_budget_too_small_for_a_service_says_what_it_needs() {
    let p = Problem { objective: Objective::Carbon, budget_g: Some(100.0), ..day() };
    let Outcome::Infeasible(miss) = plan_service(&p, None).unwrap() else { panic!("feasible") };
    assert_eq!(miss.reason, Reason::Budget);
    let least = miss.least_carbon_g.unwrap();
    assert!((least - 120.0).abs() < 1e-9);
    assert!(plan_service(&Problem { budget_g: Some(least), ..p }, None).unwrap().plan().is_some());
}

/// Two days of five-minute slots with waves and sun, or all alike; a service of a few hours.
fn long(waves: f64, objective: Objective) -> Problem {
    let slot = |k: usize| {
        let day = k as f64 / 288.0 * std::f64::consts::TAU;
        let g_per_kwh = 300.0 + waves * (120.0 * day.cos() + 25.0 * (k as f64 * 2.3).sin());
        Slot { onsite_w: (waves * -150.0 * day.cos()).max(0.0), ..Slot::grid(1.0 / 12.0, g_per_kwh) }
    };
    let levels = (1..=8u32).map(|l| {
        let x = 0.4 + 0.075 * f64::from(l);
        Level { clock_mhz: 250 * l, watts: 60.0 + 290.0 * x.powi(3), speed: x / (0.75 + 0.25 * x), latency_ms: None }
    });
    let candidate = Candidate {
        slots: (0..576).map(slot).collect(),
        levels: levels.collect(),
        work_h: 5.01,
        start: Start::Within { earliest_h: 0.3, latest_h: 30.0 },
        host_watts: 50.0,
        ..day().candidates[0].clone()
    };
    let budget_g = (objective == Objective::Carbon).then_some(420.0);
    Problem { candidates: vec![candidate], objective, deadline_h: None, budget_g, work_gpu_h: 5.01 }
}

#[test]
fn on_a_long_grid_no_start_within_the_window_is_better_than_the_plans() {
    for waves in [1.0, 0.0] {
        for objective in [Objective::Performance, Objective::Carbon, Objective::Ppc] {
            let p = long(waves, objective);
            let best = plan_service(&p, None).unwrap().plan().unwrap();
            let c = &p.candidates[0];
            let work = |plan: &Plan| plan.segments.iter().map(|s| (s.to_h - s.from_h) * c.levels[s.level].speed).sum::<f64>();
            let mark = |plan: &Plan| match objective {
                Objective::Performance => plan.carbon_g,
                Objective::Carbon => -work(plan),
                Objective::Ppc => plan.carbon_g / work(plan),
            };
            // Slots' boundaries, and starts that end at one.
            let mut least = f64::INFINITY;
            for k in (4..360).step_by(5) {
                for start in [f64::from(k) / 12.0, (f64::from(k) / 12.0 - 0.01).min(30.0)] {
                    if start > 30.0 {
                        continue;
                    }
                    let fixed = Candidate { start: Start::Fixed(start), ..c.clone() };
                    let there = plan_service(&Problem { candidates: vec![fixed], ..p.clone() }, None).unwrap().plan().unwrap();
                    least = least.min(mark(&there));
                }
            }
            assert!(mark(&best) <= least + CLOSE * least.abs(), "{objective:?}, {waves}: {} and {least}", mark(&best));
            assert!(waves > 0.0 || best.start_h == 0.3, "{objective:?}: of equal starts the first, not {}", best.start_h);
        }
    }
}
