//! The time limit of a job that runs slower: long enough that Slurm does not end it, never past the partition's MaxTime.

use crate::govern::{guaranteed_speed, margin_h};
use crate::plan::{Candidate, Plan};

/// The time, in hours, that Slurm may take to start a job that it could start: it looks at a queue every minute or so.
pub const CYCLE_H: f64 = 2.0 / 60.0;

/// What bounds a job's run at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The user's `--time`, in seconds; `None`: not said, or no limit asked for.
    pub given_s: Option<u64>,
    /// The limit that Slurm gives a job there which does not say any, in seconds; `None` for one that asks for no limit: then
    /// MaxTime alone bounds it.
    pub default_s: Option<u64>,
    /// The longest limit there, in seconds: by the partition's MaxTime, the limits of accounts and QOS, and the site.
    pub max_s: Option<u64>,
    /// Whether all of these are known; where one is not, the limit that the job has anyway is not exceeded.
    pub max_known: bool,
    /// Slurm's own `--deadline`, in hours from now: a job whose limit no longer fits before it is cancelled.
    pub deadline_h: Option<f64>,
    /// The assumed run time at full clock, with the requested GPUs on a card of throughput 1, in hours.
    pub work_h: f64,
    /// Whether that is by earlier runs, and nobody's word.
    pub guessed: bool,
    /// Whether the candidate has the GPUs that the job requests: at another width CARM answers for the run's length.
    pub own_width: bool,
}

impl Bounds {
    /// What must fit into a limit at full clock, in hours: the user's limit is the user's bound on the run time, and a
    /// slower clock stretches that, not only the expected run time.
    fn basis_h(&self) -> f64 {
        self.given_s.map_or(self.work_h, |s| s as f64 / 3600.0).max(self.work_h)
    }

    /// The same for the limit to set. A guessed run time bounds nothing: a job that would have ended within the limit that it
    /// had anyway must do so at a slower clock, too.
    fn limit_basis_h(&self) -> f64 {
        let bound_s = self.given_s.or(self.default_s.filter(|_| self.guessed));
        bound_s.map_or(self.work_h, |s| s as f64 / 3600.0).max(self.work_h)
    }

    /// The longest limit that the job may get, in hours.
    fn most_h(&self) -> Option<f64> {
        self.most_s().map(|s| s as f64 / 3600.0)
    }

    fn most_s(&self) -> Option<u64> {
        if self.max_known { self.max_s } else { self.unstretched_s() }
    }

    /// The longest run, by the profile's speeds, that still finishes within the longest limit if the job's full-clock run
    /// takes all of the user's own limit. Never shorter than the run at full clock with the requested GPUs: that one is the user's
    /// business. With other GPUs the run at full clock has to fit as well.
    pub fn longest_run_h(&self, candidate: &Candidate, measured: bool) -> Option<f64> {
        let most_h = self.most_h()?;
        let stretch = (most_h - margin_h(self.work_h)) / (self.basis_h() * self.slower_card(candidate));
        let optimism = (0..candidate.levels.len())
            .map(|level| candidate.levels[level].speed / guaranteed_speed(candidate, level, measured))
            .fold(1.0, f64::max);
        let least = if self.own_width { 1.0 } else { stretch.clamp(1e-3, 1.0) };
        Some(candidate.work_h * (stretch / optimism).max(least) * (1.0 + 1e-9))
    }

    /// The limit that the plan needs, in whole minutes rounded up; `None` where the job's own is long enough.
    pub fn stretched_s(&self, candidate: &Candidate, plan: &Plan, measured: bool) -> Option<u64> {
        let (run_h, sure_work_h) = plan.segments.iter().fold((0.0, 0.0), |(run, work), segment| {
            let hours = segment.to_h - segment.from_h;
            (run + hours, work + hours * guaranteed_speed(candidate, segment.level, measured))
        });
        let stretch = run_h / sure_work_h;
        let slower_card = self.slower_card(candidate);
        let slowed = stretch > 1.0 + 1e-9 || slower_card > 1.0 + 1e-9;
        let has_s = self.given_s.or(self.default_s);
        let needs_h = self.limit_basis_h() * slower_card * stretch + margin_h(self.work_h);
        let enough = has_s.is_none_or(|s| s as f64 / 3600.0 >= needs_h);
        if !slowed && self.given_s.is_some() || enough {
            return None;
        }
        let whole_minutes_s = (needs_h * 60.0 - 1e-6).ceil() as u64 * 60;
        let most_s = self.most_s();
        let before_deadline_s = self.deadline_h.map(|h| ((h - plan.start_h - CYCLE_H) * 60.0).max(0.0).floor() as u64 * 60);
        let most_s = most_s.into_iter().chain(before_deadline_s).min();
        Some(whole_minutes_s.min(most_s.unwrap_or(u64::MAX))).filter(|&s| has_s.is_none_or(|has| s > has))
    }

    /// The limit that holds without a stretch, in seconds.
    pub fn unstretched_s(&self) -> Option<u64> {
        self.given_s.or(self.default_s)
    }

    fn slower_card(&self, candidate: &Candidate) -> f64 {
        candidate.work_h / self.work_h
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Level, Objective, Problem, Slot, Start};
    use proptest::prelude::*;

    /// Level 0: half the clock at speed 0.6; level 1: full clock.
    fn candidate(work_h: f64) -> Candidate {
        let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
        Candidate {
            slots: vec![Slot::grid(10_000.0, 100.0)],
            levels: vec![level(1000, 100.0, 0.6), level(2000, 300.0, 1.0)],
            workers: 1,
            work_h,
            host_watts: 0.0,
            pue: 1.0,
            onsite_g_per_kwh: 0.0,
            start: Start::Fixed(0.0),
            max_run_h: None,
        }
    }

    fn run_at(level: usize, candidate: &Candidate) -> Plan {
        let problem = Problem {
            candidates: vec![candidate.clone()],
            objective: Objective::Ppc,
            deadline_h: None,
            budget_g: None,
            work_gpu_h: 1.0,
        };
        crate::plan::constant(&problem, 0, level, 0.0).expect("a problem").expect("it fits")
    }

    fn bounds(given_h: Option<u64>, max_h: Option<u64>) -> Bounds {
        Bounds {
            given_s: given_h.map(|h| h * 3600),
            default_s: max_h.map(|h| h * 3600),
            max_s: max_h.map(|h| h * 3600),
            max_known: true,
            deadline_h: None,
            work_h: 2.0,
            guessed: false,
            own_width: true,
        }
    }

    #[test]
    fn a_slower_clock_stretches_the_users_own_limit_and_keeps_a_margin() {
        let job = candidate(2.0);
        // 4 h at speed 0.6: 6 h 40 min, and 3 % of 2 h in hand (3.6 min).
        assert_eq!(bounds(Some(4), None).stretched_s(&job, &run_at(0, &job), true), Some((400 + 4) * 60));
        // Nobody measured: speed 0.5 is sure.
        assert_eq!(bounds(Some(4), None).stretched_s(&job, &run_at(0, &job), false), Some((480 + 4) * 60));
        assert_eq!(bounds(Some(4), None).stretched_s(&job, &run_at(1, &job), false), None);
    }

    #[test]
    fn no_limit_is_set_where_the_partitions_own_is_long_enough() {
        let job = candidate(2.0);
        assert_eq!(bounds(None, Some(24)).stretched_s(&job, &run_at(0, &job), false), None);
        assert_eq!(bounds(None, None).stretched_s(&job, &run_at(0, &job), false), None);
    }

    #[test]
    fn a_guessed_run_time_never_leaves_a_job_less_than_its_own_limit_would() {
        let job = candidate(2.0);
        let guessed = |default_h: u64, max_h: u64| {
            let bounds = Bounds { default_s: Some(default_h * 3600), guessed: true, ..bounds(None, Some(max_h)) };
            bounds.stretched_s(&job, &run_at(0, &job), true)
        };
        // The partition gives 3 h, at speed 0.6 that is 5 h, and a margin.
        assert_eq!(guessed(3, 24), Some((300 + 4) * 60));
        assert_eq!(guessed(3, 4), Some(4 * 3600));
        assert_eq!(guessed(24, 24), None);
    }

    #[test]
    fn the_limit_never_exceeds_max_time() {
        let job = candidate(2.0);
        assert_eq!(bounds(Some(4), Some(5)).stretched_s(&job, &run_at(0, &job), false), Some(5 * 3600));
        assert_eq!(bounds(Some(4), Some(4)).stretched_s(&job, &run_at(0, &job), false), None);
        let unasked = Bounds { max_known: false, ..bounds(Some(4), None) };
        assert_eq!(unasked.stretched_s(&job, &run_at(0, &job), false), None);
        let default = Bounds { max_known: false, default_s: Some(3 * 3600), ..bounds(None, None) };
        assert_eq!(default.stretched_s(&job, &run_at(0, &job), false), None);
    }

    #[test]
    fn the_limit_ends_before_slurms_own_deadline() {
        let job = candidate(2.0);
        let due = Bounds { deadline_h: Some(6.0), ..bounds(Some(4), None) };
        assert_eq!(due.stretched_s(&job, &run_at(0, &job), true), Some(6 * 3600 - 120));
    }

    proptest! {
        #[test]
        fn a_run_within_the_longest_gets_a_limit_that_fits(given in 2_u64..50, max in 2_u64..200, measured in any::<bool>()) {
            let job = candidate(2.0);
            let bounds = bounds(Some(given), Some(max.max(given)));
            let plan = run_at(0, &job);
            let longest = bounds.longest_run_h(&job, measured).expect("bounded");
            prop_assert!(longest >= 2.0);
            if plan.end_h <= longest {
                let limit_h = bounds.stretched_s(&job, &plan, measured).unwrap_or(given * 3600) as f64 / 3600.0;
                prop_assert!(limit_h <= max.max(given) as f64);
                prop_assert!(limit_h + 1.0 / 60.0 >= given as f64 / if measured { 0.6 } else { 0.5 }, "{limit_h}");
            }
        }
    }
}
