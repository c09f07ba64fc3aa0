//! The clock of a service: one that holds to its time limit, and at which every request is answered within its latency limit.
//!
//! A service has no work to finish, so nothing is gained by haste: any clock that answers in time will do, and the objective
//! chooses among those. [`answering`] says which they are; a profile that cannot tell leaves the job to its caller.

use super::{Clock, Steady, choose, guaranteed_speed};
use crate::plan::{Candidate, Level, Objective, PlanError, Segment, Slot, Tables, evaluate_prepared, levels_within_latency};

/// A started service, seen from now (= 0 h).
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Where it runs; its work is not looked at.
    pub candidate: &'a Candidate,
    /// The levels that answer in time, as [`answering`] tells them.
    pub answering: &'a [usize],
    /// What is sought.
    pub objective: Objective,
    /// When Slurm ends the job, hours from now: a service runs until then.
    pub limit_h: f64,
    /// What is left of the carbon budget on these GPUs, in grams.
    pub budget_g: Option<f64>,
}

/// The levels (indices into the candidate's) that surely answer within a latency limit; `None` if the profile does not tell.
///
/// Where the profile was measured, its own latencies count, and that at full clock over the speed where a level has none. Where it
/// was not, no level is believed to be faster than its clock: latency at full clock over the [`guaranteed_speed`].
///
/// # Errors
/// The limit is no positive number.
pub fn answering(candidate: &Candidate, limit_ms: f64, measured: bool) -> Result<Option<Vec<usize>>, PlanError> {
    levels_within_latency(&sure_latencies(candidate, measured), limit_ms)
}

/// The candidate's levels with the latencies that a guarantee may count on. Where full clock has none, no level of a profile that was
/// not measured has one.
#[must_use]
pub fn sure_latencies(candidate: &Candidate, measured: bool) -> Vec<Level> {
    if measured {
        return candidate.levels.clone();
    }
    let at_full_clock = candidate.levels.iter().filter(|level| level.speed == 1.0).find_map(|level| level.latency_ms);
    let sure = |(index, level): (usize, &Level)| {
        let latency_ms = at_full_clock.map(|ms| {
            let by_clock = ms / guaranteed_speed(candidate, index, measured);
            level.latency_ms.map_or(by_clock, |ms| ms.max(by_clock))
        });
        Level { latency_ms, ..*level }
    };
    candidate.levels.iter().enumerate().map(sure).collect()
}

/// The one clock that a service keeps to its end, of those that answer in time: least carbon (performance), the fastest within
/// the budget (carbon), or the most speed per carbon (ppc). Ties go to the faster.
///
/// # Errors
/// A figure of the candidate is out of its range.
pub fn service_clock(service: &Service) -> Result<Clock, PlanError> {
    if service.answering.is_empty() {
        return Ok(Clock::Full { reason: "no clock answers within its latency limit" });
    }
    if service.limit_h <= 0.0 {
        return Ok(Clock::Full { reason: "its time limit has passed" });
    }
    let Some(runs) = runs(service)? else {
        return Ok(Clock::Full { reason: "the grid is not known to the job's end" });
    };
    let speed = |level: usize| service.candidate.levels[level].speed;
    Ok(choose(runs, service.budget_g, |runs| match service.objective {
        Objective::Performance => ("least carbon that answers in time", super::least_carbon(runs)),
        Objective::Carbon => ("fastest within the budget", runs.first()),
        Objective::Ppc => ("best performance per carbon", best_ppc(runs, speed)),
    }))
}

/// The run to the time limit at every level that answers in time, the fastest first; `None` past the forecast's end.
fn runs(service: &Service) -> Result<Option<Vec<Steady>>, PlanError> {
    let whole = service.candidate;
    let mut seen_h = 0.0;
    let is_reached = |slot: &&Slot| {
        let starts_h = seen_h;
        seen_h += slot.hours;
        starts_h < service.limit_h
    };
    let slots = whole.slots.iter().take_while(is_reached).copied().collect();
    let tables = Tables::new(&Candidate { slots, levels: whole.levels.clone(), ..*whole })?;
    if service.limit_h > tables.horizon_h() {
        return Ok(None);
    }
    let mut levels = service.answering.to_vec();
    levels.sort_by(|&a, &b| whole.levels[b].speed.total_cmp(&whole.levels[a].speed));
    let run = |level: usize| {
        let segment = Segment { from_h: 0.0, to_h: service.limit_h, level, power_w: 0.0, carbon_g: 0.0 };
        let work_gpu_h = f64::from(whole.workers) * whole.levels[level].speed * service.limit_h;
        Ok((level, evaluate_prepared(&tables, &[segment], work_gpu_h)?))
    };
    levels.into_iter().map(run).collect::<Result<_, _>>().map(Some)
}

/// The least carbon per speed; of equal ones the first, which is the fastest.
fn best_ppc(runs: &[Steady], speed: impl Fn(usize) -> f64) -> Option<&Steady> {
    runs.iter().min_by(|(a, at_a), (b, at_b)| (at_a.carbon_g / speed(*a)).total_cmp(&(at_b.carbon_g / speed(*b))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Start;

    /// 2000 MHz: 300 W at speed 1 and 10 ms; 1500: 180 W at 0.8; 1000: 140 W at 0.6; 500: 100 W at 0.4.
    fn candidate(g_per_kwh: &[f64]) -> Candidate {
        let level = |clock_mhz, watts, speed, latency_ms| Level { clock_mhz, watts, speed, latency_ms };
        Candidate {
            slots: g_per_kwh.iter().map(|&g| Slot::grid(1.0, g)).collect(),
            levels: vec![
                level(500, 100.0, 0.4, None),
                level(1000, 140.0, 0.6, None),
                level(1500, 180.0, 0.8, None),
                level(2000, 300.0, 1.0, Some(10.0)),
            ],
            workers: 1,
            work_h: 1.0,
            host_watts: 0.0,
            pue: 1.0,
            onsite_g_per_kwh: 0.0,
            start: Start::Fixed(0.0),
            max_run_h: None,
        }
    }

    /// The clock, whether it is over the budget, and the run's carbon, of a service of two hours with all levels but 500 MHz.
    fn clock(candidate: &Candidate, objective: Objective, budget_g: Option<f64>) -> (u32, bool, f64) {
        let service = Service { candidate, answering: &[1, 2, 3], objective, limit_h: 2.0, budget_g };
        match service_clock(&service).expect("a service") {
            Clock::Level { level, run, over_budget, .. } => (candidate.levels[level].clock_mhz, over_budget, run.carbon_g),
            Clock::Full { reason } => panic!("{reason}"),
        }
    }

    #[test]
    fn each_objective_takes_its_clock_among_those_that_answer_in_time() {
        // To the time limit: 1000 MHz emits 112 g, 1500: 144 g, 2000: 240 g; per speed 186.7, 180 and 240.
        let flat = candidate(&[400.0, 400.0, 900.0]);
        let (mhz, over, grams) = clock(&flat, Objective::Performance, None);
        assert_eq!((mhz, over), (1000, false));
        assert!((grams - 112.0).abs() < 1e-9, "{grams}");
        assert_eq!(clock(&flat, Objective::Ppc, None).0, 1500);
        assert_eq!(clock(&flat, Objective::Carbon, Some(250.0)).0, 2000);
    }

    #[test]
    fn a_budget_binds_with_a_part_of_it_in_hand_whatever_the_objective() {
        let flat = candidate(&[400.0, 400.0]);
        for (budget_g, expected) in [(249.0, 2000), (241.0, 1500), (145.0, 1000), (113.0, 1000)] {
            let (mhz, over, _) = clock(&flat, Objective::Carbon, Some(budget_g));
            assert_eq!((mhz, over), (expected, false), "{budget_g}");
        }
        let (mhz, over, _) = clock(&flat, Objective::Carbon, Some(111.0));
        assert_eq!((mhz, over), (1000, true), "no clock below the floor, even over the budget");
        assert_eq!(clock(&flat, Objective::Ppc, Some(120.0)).0, 1000);
    }

    #[test]
    fn where_no_clock_emits_more_than_another_the_fastest_serves() {
        let clean = candidate(&[0.0, 0.0]);
        for objective in [Objective::Performance, Objective::Ppc] {
            assert_eq!(clock(&clean, objective, None).0, 2000, "{objective:?}");
        }
    }

    #[test]
    fn a_measured_profile_is_taken_at_its_word_and_another_is_no_faster_than_its_clock() {
        let mut flat = candidate(&[400.0]);
        // Measured: 25, 16.7, 12.5, 10 ms. By the clock: 40, 20, 13.3, 10 ms.
        assert_eq!(answering(&flat, 17.0, true).expect("a limit"), Some(vec![1, 2, 3]));
        assert_eq!(answering(&flat, 17.0, false).expect("a limit"), Some(vec![2, 3]));
        assert_eq!(answering(&flat, 13.0, false).expect("a limit"), Some(vec![3]));
        assert_eq!(answering(&flat, 9.0, false).expect("a limit"), Some(vec![]));
        flat.levels[1].latency_ms = Some(17.5);
        assert_eq!(answering(&flat, 17.0, true).expect("a limit"), Some(vec![2, 3]));
        flat.levels[1].latency_ms = Some(11.0);
        assert_eq!(answering(&flat, 17.0, false).expect("a limit"), Some(vec![2, 3]), "a model's latency is not believed either");
        flat.levels[2].latency_ms = Some(30.0);
        assert_eq!(
            answering(&flat, 20.0, false).expect("a limit"),
            Some(vec![1, 3]),
            "but believed where it is the worse of the two"
        );
    }

    #[test]
    fn a_latency_that_is_not_known_is_nobodys_guess() {
        let mut flat = candidate(&[400.0]);
        flat.levels[3].latency_ms = None;
        assert_eq!(
            (answering(&flat, 50.0, true).expect("a limit"), answering(&flat, 50.0, false).expect("a limit")),
            (None, None)
        );
        flat.levels[2].latency_ms = Some(12.0);
        assert_eq!(
            answering(&flat, 50.0, true).expect("a limit"),
            Some(vec![2]),
            "measured at this clock, whatever the others do"
        );
        assert_eq!(answering(&flat, 50.0, false).expect("a limit"), None);
    }

    #[test]
    fn without_a_clock_in_time_a_grid_or_time_there_is_full_clock_and_its_reason() {
        let flat = candidate(&[400.0, 400.0]);
        let reason = |answering: &[usize], limit_h| {
            let service = Service { candidate: &flat, answering, objective: Objective::Ppc, limit_h, budget_g: None };
            match service_clock(&service).expect("a service") {
                Clock::Full { reason } => reason,
                Clock::Level { reason, .. } => reason,
            }
        };
        assert_eq!(reason(&[], 2.0), "no clock answers within its latency limit");
        assert_eq!(reason(&[1, 3], 2.1), "the grid is not known to the job's end");
        assert_eq!(reason(&[1, 3], -1.0), "its time limit has passed");
        assert_eq!(reason(&[1, 3], 2.0), "best performance per carbon");
    }
}
