//! What the chart of a dry run shows, in the planner's figures: the frontier, the points on it, the grid's hours and the run.
//! How it looks is left to [`super::draw`].

use carm::plan::{self, Ends, Infeasible, Objective, Plan, Request, Slot};
use carm::submission::NEVER_H;
use chrono::{DateTime, Utc};

use crate::assemble::Assembled;
use crate::decide::{Decided, Missed};

/// A deadline later than so many times the last point's end is not drawn to.
const FAR: f64 = 3.0;

/// Which point of the frontier a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Chosen,
    Performance,
    Carbon,
    Ppc,
    Now,
}

/// A plan as a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub mark: Mark,
    pub label: String,
    pub end_h: f64,
    pub carbon_g: f64,
}

/// A stretch of the run at one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    pub from_h: f64,
    pub to_h: f64,
    /// The clock as a share of full clock, 0 to 1.
    pub clock: f64,
}

/// Everything that is drawn, for so many columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The instant to which hours count.
    pub now: DateTime<Utc>,
    /// The last hour shown.
    pub end_h: f64,
    /// C* by the end of each column, g; `None` before any run could end. Empty where there is no frontier to show.
    pub curve: Vec<Option<f64>>,
    /// The points, the chosen one first.
    pub points: Vec<Point>,
    /// The site whose hours are shown.
    pub site: String,
    /// Its hours.
    pub slots: Vec<Slot>,
    /// The plan's run.
    pub run: Vec<Stretch>,
    /// From when to when the same job would run at full clock now.
    pub now_run: Option<(f64, f64)>,
    /// Finish by, h.
    pub deadline_h: Option<f64>,
    /// The carbon budget, g.
    pub budget_g: Option<f64>,
    /// By how much the request misses, where nothing meets it.
    pub wanted: Option<Infeasible>,
}

impl Picture {
    /// Of a plan.
    pub fn of_plan(decided: &Decided, columns: usize) -> anyhow::Result<Self> {
        let (assembled, plan) = (&decided.assembled, &decided.plan);
        let chosen = Point {
            mark: Mark::Chosen,
            label: format!("chosen: {}", assembled.objective),
            end_h: plan.end_h,
            carbon_g: plan.carbon_g,
        };
        let objective = assembled.submission.problem.objective;
        let mut points = vec![chosen];
        if assembled.submission.latency_ms.is_none() {
            points.extend(others(assembled, Some(objective))?);
        }
        let candidate = &assembled.submission.problem.candidates[plan.candidate];
        let top = candidate.full_clock().map_or(1.0, |level| f64::from(candidate.levels[level].clock_mhz));
        let stretch = |s: &plan::Segment| Stretch {
            from_h: s.from_h,
            to_h: s.to_h,
            clock: (f64::from(candidate.levels[s.level].clock_mhz) / top).min(1.0),
        };
        let run = plan.segments.iter().map(stretch).collect();
        Self::of(assembled, plan.candidate, points, run, decided.earliest_run.as_ref(), None, columns)
    }

    /// Of a request that nothing meets.
    pub fn of_miss(missed: &Missed, columns: usize) -> anyhow::Result<Self> {
        let points = if missed.assembled.submission.latency_ms.is_none() { others(&missed.assembled, None)? } else { Vec::new() };
        let wanted = Some(missed.infeasible);
        Self::of(&missed.assembled, 0, points, Vec::new(), missed.now_run.as_ref(), wanted, columns)
    }

    fn of(
        assembled: &Assembled,
        candidate: usize,
        mut points: Vec<Point>,
        run: Vec<Stretch>,
        now_run: Option<&Plan>,
        wanted: Option<Infeasible>,
        columns: usize,
    ) -> anyhow::Result<Self> {
        let problem = &assembled.submission.problem;
        points.extend(now_run.map(|now| Point {
            mark: Mark::Now,
            label: if is_now(now) { "now at full clock" } else { "earliest at full clock" }.to_owned(),
            end_h: now.end_h,
            carbon_g: now.carbon_g,
        }));
        let length = |slots: &[Slot]| slots.iter().map(|slot| slot.hours).sum::<f64>();
        let forecast_h = problem.candidates.iter().map(|c| length(&c.slots)).fold(0.0, f64::max);
        let ends_h = points.iter().map(|p| p.end_h).chain(wanted.and_then(|w| w.earliest_end_h)).fold(0.0, f64::max);
        // A deadline far off would press all that matters against the axis; the key names it all the same.
        let near = problem.deadline_h.filter(|&deadline| ends_h <= 0.0 || deadline <= FAR * ends_h);
        let last_h = near.map_or(ends_h, |deadline| deadline.max(ends_h));
        let end_h = if last_h > 0.0 { (last_h * 1.04).min(forecast_h.max(ends_h)) } else { forecast_h.clamp(1.0, 48.0) };
        // A service ends with its time limit: there is no curve of ends to choose from.
        let columns = if assembled.submission.latency_ms.is_some() { 0 } else { columns };
        let ends: Vec<f64> = (1..=columns).map(|i| end_h * i as f64 / columns as f64).collect();
        let found = plan::frontier_prepared(&assembled.submission.prepared(), &Ends::At(ends.clone()))?;
        let mut found = found.iter().peekable();
        let curve: Vec<_> = ends.iter().map(|&end| found.next_if(|p| p.end_h <= end).map(|p| p.carbon_g)).collect();
        Ok(Self {
            now: assembled.now,
            end_h,
            curve: if curve.iter().all(Option::is_none) { Vec::new() } else { curve },
            points,
            site: assembled.choices[candidate].site.clone(),
            slots: problem.candidates[candidate].slots.clone(),
            run,
            now_run: now_run.map(|now| (now.start_h, now.end_h)),
            deadline_h: problem.deadline_h,
            budget_g: problem.budget_g,
            wanted,
        })
    }
}

/// Whether the run at full clock is one from now: a job with `--begin` starts it later.
pub fn is_now(run: &Plan) -> bool {
    run.start_h < 1.0 / 120.0
}

/// The points of the objectives that are not `chosen`, as far as they have what they need.
fn others(assembled: &Assembled, chosen: Option<Objective>) -> anyhow::Result<Vec<Point>> {
    let problem = &assembled.submission.problem;
    let mut points = Vec::new();
    for (objective, mark, label) in [
        (Objective::Performance, Mark::Performance, if problem.deadline_h.is_some() { "performance" } else { "least carbon" }),
        (Objective::Carbon, Mark::Carbon, "carbon"),
        (Objective::Ppc, Mark::Ppc, "ppc"),
    ] {
        if Some(objective) == chosen || objective == Objective::Carbon && problem.budget_g.is_none() {
            continue;
        }
        let deadline_h = problem.deadline_h.or((objective == Objective::Performance).then_some(NEVER_H));
        let request = Request { objective, deadline_h, budget_g: problem.budget_g, work_gpu_h: problem.work_gpu_h };
        if let Some(plan) = plan::plan_prepared(&assembled.submission.prepared(), &request)?.plan() {
            points.push(Point { mark, label: label.to_owned(), end_h: plan.end_h, carbon_g: plan.carbon_g });
        }
    }
    Ok(points)
}
