//! The plan as one JSON object, as the contract has it: times in RFC 3339 UTC with milliseconds, figures unrounded.

use carm::plan::{Plan, Segment};
use carm::quantity::format_instant;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::assemble::Assembled;
use crate::decide::{Decided, Missed};
use crate::warning::Warning;

#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    feasible: bool,
    objective: Option<&'static str>,
    now: String,
    plan: Option<PlanReport>,
    now_full_clock: Option<NowReport>,
    frontier: Vec<PointReport>,
    infeasible: Option<InfeasibleReport>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PlanReport {
    site: String,
    partition: Option<String>,
    cluster: Option<String>,
    workers: u32,
    start: String,
    end: String,
    turnaround_s: f64,
    work_gpu_h: f64,
    energy_kwh: f64,
    carbon_g: f64,
    carbon_low_g: Option<f64>,
    carbon_high_g: Option<f64>,
    ppc: Option<f64>,
    estimated_share: f64,
    grid_source: String,
    grid_intensity: &'static str,
    grid_age_s: Option<f64>,
    segments: Vec<SegmentReport>,
}

#[derive(Debug, Serialize)]
struct SegmentReport {
    from: String,
    to: String,
    clock_mhz: u32,
    power_w: f64,
    carbon_g: f64,
}

#[derive(Debug, Serialize)]
struct NowReport {
    site: String,
    start: String,
    end: String,
    energy_kwh: f64,
    carbon_g: f64,
    ppc: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PointReport {
    end: String,
    carbon_g: f64,
    site: String,
    workers: u32,
}

#[derive(Debug, Serialize)]
struct InfeasibleReport {
    reason: String,
    least_carbon_g: Option<f64>,
    earliest_end: Option<String>,
}

/// A plan.
pub fn of_plan(decided: &Decided, warnings: &[Warning]) -> anyhow::Result<String> {
    let assembled = &decided.assembled;
    write(&Report {
        plan: Some(plan_report(decided)),
        now_full_clock: decided.now_run.as_ref().map(|run| now_report(assembled, run)),
        frontier: frontier_report(assembled)?,
        ..report(assembled, true, warnings)
    })
}

/// A request that nothing meets.
pub fn of_miss(missed: &Missed, warnings: &[Warning]) -> anyhow::Result<String> {
    let assembled = &missed.assembled;
    write(&Report {
        now_full_clock: missed.now_run.as_ref().map(|run| now_report(assembled, run)),
        frontier: frontier_report(assembled)?,
        infeasible: Some(InfeasibleReport {
            reason: missed.reason(),
            least_carbon_g: missed.infeasible.least_carbon_g,
            earliest_end: missed.earliest_end().map(format_instant),
        }),
        ..report(assembled, false, warnings)
    })
}

/// A job that CARM leaves alone; the reason stands among the warnings.
pub fn of_untreated(now: DateTime<Utc>, reason: &str, warnings: &[Warning]) -> anyhow::Result<String> {
    write(&Report {
        version: 1,
        feasible: true,
        objective: None,
        now: format_instant(now),
        plan: None,
        now_full_clock: None,
        frontier: Vec::new(),
        infeasible: None,
        warnings: std::iter::once(reason.to_owned()).chain(warnings.iter().map(ToString::to_string)).collect(),
    })
}

fn write(report: &Report) -> anyhow::Result<String> {
    Ok(carm::text::json(&serde_json::to_string_pretty(report)?) + "\n")
}

fn report(assembled: &Assembled, feasible: bool, warnings: &[Warning]) -> Report {
    Report {
        version: 1,
        feasible,
        objective: Some(assembled.objective.name()),
        now: format_instant(assembled.now),
        plan: None,
        now_full_clock: None,
        frontier: Vec::new(),
        infeasible: None,
        warnings: warnings.iter().map(ToString::to_string).collect(),
    }
}

fn plan_report(decided: &Decided) -> PlanReport {
    let (assembled, plan) = (&decided.assembled, &decided.plan);
    let choice = &assembled.choices[plan.candidate];
    let candidate = &assembled.submission.problem.candidates[plan.candidate];
    let instant = |hours| format_instant(assembled.instant(hours));
    let segment = |s: &Segment| SegmentReport {
        from: instant(s.from_h),
        to: instant(s.to_h),
        clock_mhz: candidate.levels[s.level].clock_mhz,
        power_w: s.power_w,
        carbon_g: s.carbon_g,
    };
    let done = |s: &Segment| (s.to_h - s.from_h) * candidate.levels[s.level].speed;
    PlanReport {
        site: choice.site.clone(),
        partition: choice.place.partition.clone(),
        cluster: choice.place.cluster.clone(),
        workers: candidate.workers,
        start: instant(plan.start_h),
        end: instant(plan.end_h),
        turnaround_s: plan.end_h * 3600.0,
        work_gpu_h: match assembled.submission.latency_ms {
            None => assembled.submission.problem.work_gpu_h,
            Some(_) => f64::from(candidate.workers) * plan.segments.iter().map(done).sum::<f64>(),
        },
        energy_kwh: plan.energy_kwh,
        carbon_g: plan.carbon_g,
        carbon_low_g: decided.range_g.map(|(low_g, _)| low_g),
        carbon_high_g: decided.range_g.map(|(_, high_g)| high_g),
        ppc: plan.ppc,
        estimated_share: plan.estimated_share,
        grid_source: choice.grid.source.clone(),
        grid_intensity: choice.grid.kind.word(),
        grid_age_s: choice.grid.age_s,
        segments: plan.segments.iter().map(segment).collect(),
    }
}

fn now_report(assembled: &Assembled, run: &Plan) -> NowReport {
    NowReport {
        site: assembled.choices[run.candidate].site.clone(),
        start: format_instant(assembled.instant(run.start_h)),
        end: format_instant(assembled.instant(run.end_h)),
        energy_kwh: run.energy_kwh,
        carbon_g: run.carbon_g,
        ppc: run.ppc,
    }
}

fn frontier_report(assembled: &Assembled) -> anyhow::Result<Vec<PointReport>> {
    let point = |p: &carm::plan::FrontierPoint| PointReport {
        end: format_instant(assembled.instant(p.end_h)),
        carbon_g: p.carbon_g,
        site: assembled.choices[p.candidate].site.clone(),
        workers: assembled.submission.problem.candidates[p.candidate].workers,
    };
    Ok(assembled.frontier()?.iter().map(point).collect())
}
