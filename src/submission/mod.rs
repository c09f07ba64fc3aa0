//! What is decided when a job is submitted: its plan, given how busy the places are, when Slurm is told that it may begin, and its
//! time limit.
//!
//! carm-submit asks Slurm what is needed for it and carm-sim its own queue: the same decision for both.

mod busy;
mod limit;
mod patience;
mod sure;

pub use busy::{Busy, Heed, NEVER_H};
pub use limit::{Bounds, CYCLE_H};
pub use patience::{Patience, PatienceBasis};
pub use sure::plan_surely;

use crate::plan::{self, Candidate, Outcome, Plan, PlanError, Prepared, Problem, Request, Run, Slot, Start, Tables};

/// A candidate's slots at the lower and at the upper edge of the forecast's band.
pub type Band = (Vec<Slot>, Vec<Slot>);

/// A way to run a job that is open to it.
#[derive(Debug, Clone)]
pub struct Opening {
    /// For the planner, however busy the place is.
    pub candidate: Candidate,
    /// Whether its profile was measured there.
    pub measured: bool,
    /// The forecast's band, where it carries one.
    pub band: Option<Band>,
    /// How busy the place is.
    pub busy: Busy,
}

/// A job at its submission.
#[derive(Debug)]
pub struct Submission {
    /// The ways to run it.
    pub openings: Vec<Opening>,
    /// For the planner: a candidate for each opening, keeping to how busy its place is as far as `heeds` says.
    pub problem: Problem,
    /// The planner's tables, one for each candidate.
    pub tables: Vec<Tables>,
    /// What of Slurm's word makes a difference to the candidates as they stand.
    pub heeds: Heed,
    /// The latency limit of a service, in ms; a service runs for its time limit, and waits for nothing but room.
    pub latency_ms: Option<f64>,
}

/// A plan, and what it had to be planned without.
#[derive(Debug)]
pub struct Answer {
    /// The plan, or by how much the request misses.
    pub outcome: Outcome,
    /// The request would have failed at clocks that keep up with the queue.
    pub without_load: bool,
    /// It would have failed for Slurm's estimate of room.
    pub without_room: bool,
}

impl Submission {
    /// A job with its ways to run, none of them busy. `tables` has an entry for each.
    #[must_use]
    pub fn new(openings: Vec<Opening>, tables: Vec<Tables>, request: Request, latency_ms: Option<f64>) -> Self {
        let Request { objective, deadline_h, budget_g, work_gpu_h } = request;
        let candidates = openings.iter().map(|opening| opening.candidate.clone()).collect();
        let problem = Problem { candidates, objective, deadline_h, budget_g, work_gpu_h };
        Self { openings, problem, tables, heeds: Heed::default(), latency_ms }
    }

    /// Lets the candidates keep to what Slurm says, as far as told.
    ///
    /// # Errors
    /// A figure is out of its range.
    pub fn heed(&mut self, heed: Heed) -> Result<(), PlanError> {
        self.heeds = Heed::default();
        for ((candidate, table), opening) in self.problem.candidates.iter_mut().zip(&mut self.tables).zip(&self.openings) {
            let heeded = opening.busy.heeded(&opening.candidate, heed);
            self.heeds.room |= heeded.start != opening.candidate.start;
            self.heeds.load |= heeded.levels.len() < opening.candidate.levels.len();
            self.heeds.booked |= heed.booked && !opening.busy.booked.is_empty();
            let other = heeded.levels != candidate.levels || heeded.slots != candidate.slots;
            *candidate = heeded;
            if other {
                *table = Tables::new(candidate)?;
            }
        }
        Ok(())
    }

    /// The best plan, given how busy the places are. A request that would fail for that alone is planned without.
    ///
    /// # Errors
    /// The problem is malformed.
    pub fn answer(&mut self) -> Result<Answer, PlanError> {
        let mut answer: Option<Answer> = None;
        for heed in Heed::LESS_AND_LESS {
            // What made no difference makes none by being left out.
            if answer.is_some() && !self.heeds.is_more_than(heed) {
                continue;
            }
            self.heed(heed)?;
            let (without_load, without_room) = (answer.is_some() && !heed.load, answer.is_some() && !heed.room);
            let outcome = self.best(&self.problem)?;
            let meets = matches!(outcome, Outcome::Feasible(_));
            answer = Some(Answer { outcome, without_load, without_room });
            if meets {
                break;
            }
        }
        answer.map_or_else(|| Err(PlanError::Empty { field: "candidates".into(), expected: "at least one" }), Ok)
    }

    /// The best plan of a problem that differs from this job's in its request alone.
    ///
    /// # Errors
    /// The problem is malformed.
    pub fn best(&self, problem: &Problem) -> Result<Outcome, PlanError> {
        match self.latency_ms {
            Some(limit_ms) => plan::plan_service(problem, Some(limit_ms)),
            None => plan_surely(problem, &self.tables, &self.measured()),
        }
    }

    /// The earliest end of any plan, h after now; `None` where nothing fits.
    ///
    /// # Errors
    /// The problem is malformed.
    pub fn earliest_end_h(&self) -> Result<Option<f64>, PlanError> {
        let fastest =
            Problem { objective: plan::Objective::Carbon, budget_g: Some(f64::MAX), deadline_h: None, ..self.problem.clone() };
        Ok(self.best(&fastest)?.plan().map(|plan| plan.end_h))
    }

    /// A start at once, where the forecast's error may undo what waiting would save. It keeps what any plan keeps: the node carries it
    /// out.
    ///
    /// # Errors
    /// The problem is malformed.
    pub fn at_once_instead(&self, plan: &Plan) -> Result<Option<Plan>, PlanError> {
        if self.carbon_range(plan)?.is_none() {
            return Ok(None);
        }
        let at_upper_edge = |plan: &Plan| match self.band(plan.candidate) {
            Some((low, high)) => Ok(plan::carbon_range(&self.problem, plan, &low, &high)?.1),
            None => Ok(plan.carbon_g),
        };
        let measured = self.measured();
        let best = |problem: &Problem| {
            let tables = problem.candidates.iter().map(Tables::new).collect::<Result<Vec<_>, _>>()?;
            plan_surely(problem, &tables, &measured)
        };
        plan::start_at_once_instead(&self.problem, plan, best, at_upper_edge)
    }

    /// The plan's carbon at both edges of the forecast's band, in grams, where the forecast carries one. A service waits for nothing, and is not
    /// asked.
    ///
    /// # Errors
    /// The band is out of range.
    pub fn carbon_range(&self, plan: &Plan) -> Result<Option<(f64, f64)>, PlanError> {
        let band = self.band(plan.candidate).filter(|_| self.latency_ms.is_none());
        band.map(|(low, high)| plan::carbon_range(&self.problem, plan, &low, &high)).transpose()
    }

    /// When Slurm is told that the job may begin, h after now. A plan that starts where Slurm expects room would have started earlier, had there
    /// been room: the job may begin then, and the estimate does not hold it back.
    ///
    /// # Errors
    /// The problem is malformed.
    pub fn begin_h(&self, plan: &Plan) -> Result<f64, PlanError> {
        let opening = &self.openings[plan.candidate];
        match self.room_h(plan.candidate) {
            Some(room_h) if plan.start_h <= room_h + HALF_A_SECOND_H => {
                let own = Candidate { start: opening.candidate.start, ..self.problem.candidates[plan.candidate].clone() };
                let earliest_h = earliest_h(own.start);
                let freely = match self.latency_ms {
                    Some(_) => None,
                    None => {
                        let tables = Tables::new(&own)?;
                        let alone = Problem { candidates: vec![own], ..self.problem.clone() };
                        plan_surely(&alone, &[tables], &[opening.measured])?.plan()
                    }
                };
                Ok(freely.map_or(earliest_h, |freely| freely.start_h).min(plan.start_h))
            }
            _ => Ok(plan.start_h),
        }
    }

    /// When Slurm expects room for a candidate, h after now, as far as its plan has to wait for that.
    #[must_use]
    pub fn room_h(&self, candidate: usize) -> Option<f64> {
        self.openings[candidate].busy.room_h.filter(|_| self.heeds.room)
    }

    /// The hours that others have booked at a candidate's place, h after now, as far as it keeps clear of them.
    #[must_use]
    pub fn booked(&self, candidate: usize) -> &[(f64, f64)] {
        if self.heeds.booked { &self.openings[candidate].busy.booked } else { &[] }
    }

    /// The forecast's band at a candidate, cut as its slots are, where the forecast carries one.
    fn band(&self, candidate: usize) -> Option<Band> {
        let opening = &self.openings[candidate];
        let cut = |slots: &[Slot]| opening.busy.cut(slots, self.heeds);
        opening.band.as_ref().map(|(low, high)| (cut(low), cut(high)))
    }

    /// Of each candidate, whether its profile was measured there.
    fn measured(&self) -> Vec<bool> {
        self.openings.iter().map(|opening| opening.measured).collect()
    }

    /// The candidates as they stand, with their tables.
    #[must_use]
    pub fn prepared(&self) -> Vec<Prepared<'_>> {
        let run = |c: &Candidate| Run { work_h: c.work_h, start: c.start, max_run_h: c.max_run_h };
        let pairs = self.problem.candidates.iter().zip(&self.tables);
        pairs.map(|(candidate, tables)| Prepared { tables, run: run(candidate) }).collect()
    }

    /// What is asked.
    #[must_use]
    pub fn request(&self) -> Request {
        let Problem { objective, deadline_h, budget_g, work_gpu_h, .. } = self.problem;
        Request { objective, deadline_h, budget_g, work_gpu_h }
    }
}

/// Starts are on whole seconds: what is closer is the same.
const HALF_A_SECOND_H: f64 = 0.5 / 3600.0;

/// The earliest instant of a start, h after now.
#[must_use]
pub fn earliest_h(start: Start) -> f64 {
    match start {
        Start::Fixed(at) => at,
        Start::Within { earliest_h, .. } => earliest_h,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Level, Objective};

    /// Five hours of work by the eighth hour, on a grid whose seventh and eighth may turn out sixteen times as dirty as expected; the
    /// clocks go by what nobody measured.
    #[test]
    fn a_start_at_once_in_place_of_a_wait_is_one_that_the_node_carries_out() {
        let slots = |last: f64| -> Vec<Slot> {
            [400.0, 400.0, 350.0, 350.0, 350.0, 350.0, last, last].map(|g_per_kwh| Slot::grid(1.0, g_per_kwh)).to_vec()
        };
        let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
        let candidate = Candidate {
            slots: slots(100.0),
            levels: vec![level(1000, 110.0, 0.6), level(1500, 180.0, 0.8), level(2000, 300.0, 1.0)],
            workers: 1,
            work_h: 5.0,
            host_watts: 0.0,
            pue: 1.0,
            onsite_g_per_kwh: 0.0,
            start: Start::Within { earliest_h: 0.0, latest_h: 24.0 },
            max_run_h: None,
        };
        let tables = vec![Tables::new(&candidate).expect("a candidate")];
        let band = Some((slots(80.0), slots(1600.0)));
        let opening = Opening { candidate, measured: false, band, busy: Busy::default() };
        let request = Request { objective: Objective::Performance, deadline_h: Some(8.0), budget_g: None, work_gpu_h: 5.0 };
        let mut submission = Submission::new(vec![opening], tables, request, None);
        let waiting = submission.answer().expect("a problem").outcome.plan().expect("a plan");
        assert!(waiting.start_h > 1.0, "{waiting:?}");
        let at_once = submission.at_once_instead(&waiting).expect("a problem").expect("the start at once");
        // Stretched to the deadline by the model, as the node would not have it, it would emit less.
        assert_eq!((at_once.start_h, at_once.segments.len(), at_once.segments[0].level), (0.0, 1, 1));
        assert!((at_once.end_h - 6.25).abs() < 1e-9, "{at_once:?}");
    }
}
