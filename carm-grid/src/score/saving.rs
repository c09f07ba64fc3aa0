//! What plans made with a forecast save, carried out in the grid as it then was, beside what they would save if it were known.
//!
//! The job starts again and again through the data. It is planned by the product's planner with the performance objective (least
//! carbon by the deadline), with all clocks of the generic profile and with the highest alone, which leaves nothing but the start
//! to choose. The saving is against the same job started at once at full clock.

use carm::grid::{Signal, Step};
use carm::plan::{self, Candidate, Level, Objective, Plan, PlanError, Problem, Slot, Start};
use carm::profile::generic;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::rival::Rival;

/// A job is submitted so often: no divisor of the day.
const EVERY: TimeDelta = TimeDelta::hours(17);
/// The configuration's defaults: per GPU, and the facility.
const HOST_W: f64 = 100.0;
const PUE: f64 = 1.2;

/// Less than that is no saving: a hundredth of a percent.
const LEAST_SAVING: f64 = 1e-4;

/// A kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kind {
    pub work_h: f64,
    pub deadline_h: f64,
    /// Whether the planner may choose clocks too.
    pub clocks: bool,
}

/// The kinds that are scored.
const KINDS: [Kind; 4] = [
    Kind { work_h: 8.0, deadline_h: 24.0, clocks: false },
    Kind { work_h: 8.0, deadline_h: 24.0, clocks: true },
    Kind { work_h: 24.0, deadline_h: 48.0, clocks: false },
    Kind { work_h: 24.0, deadline_h: 48.0, clocks: true },
];

/// What plans save of one kind of job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saving {
    #[serde(flatten)]
    pub kind: Kind,
    pub jobs: usize,
    /// Of full clock at once, by plans that know the future, percent.
    pub perfect_percent: f64,
    /// What others keep of it.
    pub kept: Vec<Kept>,
}

/// What one way to foresee keeps of the perfect saving.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    pub forecast: Rival,
    /// Whether waits that the forecast's error may undo are given up, as carm-submit does.
    pub rule: bool,
    /// Of the perfect saving, percent; null where there is none.
    pub kept_percent: Option<f64>,
    /// The jobs that waited, percent of all.
    pub waited_percent: f64,
    /// Of those, the ones that would have emitted less, or as much, started at once, percent.
    pub in_vain_percent: Option<f64>,
}

/// Sums over jobs.
#[derive(Default, Clone, Copy)]
struct Sum {
    carbon_g: f64,
    waited: f64,
    in_vain: f64,
}

/// Plans jobs through the data from `from` on.
pub fn of(truth: &Signal, from: DateTime<Utc>) -> Result<Vec<Saving>, PlanError> {
    KINDS.iter().map(|&kind| of_kind(truth, from, kind)).collect()
}

fn of_kind(truth: &Signal, from: DateTime<Utc>, kind: Kind) -> Result<Saving, PlanError> {
    let ways = [
        (Rival::Perfect, false),
        (Rival::Carm, false),
        (Rival::Carm, true),
        (Rival::SevenDays, false),
        (Rival::LastValue, false),
    ];
    let (mut sums, mut at_once_g, mut jobs) = ([Sum::default(); 5], 0.0, 0);
    let long = TimeDelta::seconds((kind.deadline_h * 3600.0) as i64);
    let mut now = from;
    while now + long <= truth.end() {
        let was = Rival::Perfect.foresee(truth, now, long).map(|signal| problem(&signal, kind, |step| step.value));
        let Some(was) = was else { break };
        let run = |problem: &Problem| -> Result<Option<Plan>, PlanError> { Ok(plan::plan_whole_seconds(problem)?.plan()) };
        let full = was.candidates[0].full_clock().unwrap_or(0);
        let Some(full_now) = plan::constant(&was, 0, full, 0.0)? else { break };
        for ((rival, rule), sum) in ways.iter().zip(&mut sums) {
            let Some(said) = rival.foresee(truth, now, long) else { continue };
            let foreseen = problem(&said, kind, |step| step.value);
            let Some(mut chosen) = run(&foreseen)? else { continue };
            if *rule {
                chosen = worth_waiting(&foreseen, chosen, &said)?;
            }
            let truly_g = plan::evaluate(&was, 0, &chosen.segments)?.carbon_g;
            sum.carbon_g += truly_g;
            if chosen.start_h > 0.0 {
                sum.waited += 1.0;
                let mut fixed = foreseen.clone();
                fixed.candidates[0].start = Start::Fixed(0.0);
                if let Some(instead) = plan::plan(&fixed)?.plan() {
                    let instead_g = plan::evaluate(&was, 0, &instead.segments)?.carbon_g;
                    sum.in_vain += f64::from(u8::from(truly_g >= instead_g));
                }
            }
        }
        at_once_g += full_now.carbon_g;
        jobs += 1;
        now += EVERY;
    }
    let saved = |sum: &Sum| 1.0 - sum.carbon_g / at_once_g;
    let perfect = saved(&sums[0]);
    // Of next to nothing, a part tells nothing.
    let percent = |part: f64, whole: f64| (whole > LEAST_SAVING).then(|| 100.0 * part / whole);
    let kept = |(&(forecast, rule), sum): (&(Rival, bool), &Sum)| Kept {
        forecast,
        rule,
        kept_percent: percent(saved(sum), perfect),
        waited_percent: percent(sum.waited, jobs as f64).unwrap_or(0.0),
        in_vain_percent: percent(sum.in_vain, sum.waited),
    };
    let kept = ways.iter().zip(&sums).map(kept).collect();
    Ok(Saving { kind, jobs, perfect_percent: 100.0 * perfect, kept })
}

/// As carm-submit decides it.
fn worth_waiting(problem: &Problem, chosen: Plan, said: &Signal) -> Result<Plan, PlanError> {
    let (low, high) = (slots(said, |step| step.low), slots(said, |step| step.high));
    let at_upper_edge = |plan: &Plan| Ok(plan::carbon_range(problem, plan, &low, &high)?.1);
    Ok(plan::start_at_once_instead(problem, &chosen, plan::plan_whole_seconds, at_upper_edge)?.unwrap_or(chosen))
}

fn problem(signal: &Signal, kind: Kind, value: fn(&Step) -> f64) -> Problem {
    let level = |level: &carm::profile::Level| Level {
        clock_mhz: level.clock_mhz,
        watts: level.watts,
        speed: level.speed,
        latency_ms: level.latency_ms,
    };
    let mut levels: Vec<Level> = generic().levels.iter().map(level).collect();
    if !kind.clocks {
        levels.retain(|level| level.speed >= 1.0);
    }
    let candidate = Candidate {
        slots: slots(signal, value),
        levels,
        workers: 1,
        work_h: kind.work_h,
        host_watts: HOST_W,
        pue: PUE,
        onsite_g_per_kwh: 0.0,
        start: Start::Within { earliest_h: 0.0, latest_h: kind.deadline_h },
        max_run_h: None,
    };
    let (objective, deadline_h) = (Objective::Performance, Some(kind.deadline_h));
    Problem { candidates: vec![candidate], objective, deadline_h, budget_g: None, work_gpu_h: kind.work_h }
}

fn slots(signal: &Signal, value: fn(&Step) -> f64) -> Vec<Slot> {
    let ends = signal.steps().iter().skip(1).map(|step| step.from).chain([signal.end()]);
    let slot = |(step, end): (&Step, DateTime<Utc>)| {
        let hours = (end - step.from).num_milliseconds() as f64 / 3.6e6;
        Slot { estimated: step.estimated, ..Slot::grid(hours, value(step)) }
    };
    signal.steps().iter().zip(ends).map(slot).collect()
}
