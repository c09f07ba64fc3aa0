//! Why this plan and not another, in one sentence whose every clause is computed from the two plans that it compares.

use carm::plan::{self, Objective, Plan, Request};
use carm::quantity::{format_duration, format_mass};
use carm::submission::NEVER_H;

use super::picture::is_now;
use crate::decide::Decided;

/// Less than that is no reason: half a percent.
const WORTH: f64 = 0.005;
/// Instants closer than half a minute are the same to people, h.
const SAME_H: f64 = 1.0 / 120.0;

/// The sentence.
pub fn sentence(decided: &Decided) -> anyhow::Result<String> {
    let (problem, plan) = (&decided.assembled.submission.problem, &decided.plan);
    let over = problem.budget_g.filter(|&budget| plan.carbon_g > budget * (1.0 + 1e-6));
    let late_h = problem.deadline_h.map(|deadline| plan.end_h - deadline).filter(|&late| late > 1e-6);
    let mut clauses = vec![match (over, late_h) {
        (None, None) => return kept(decided),
        _ => "nothing keeps the request".to_owned(),
    }];
    clauses.extend(over.map(|budget| format!("this plan emits {} more than the budget", format_mass(plan.carbon_g - budget))));
    clauses.extend(late_h.map(|late| format!("this plan ends {} after the deadline", duration(late))));
    Ok(clauses.join("; "))
}

fn kept(decided: &Decided) -> anyhow::Result<String> {
    let plan = &decided.plan;
    let mut clauses = Vec::new();
    if decided.assembled.submission.latency_ms.is_some() {
        let now = decided.earliest_run.as_ref().filter(|now| saved(plan.carbon_g, now.carbon_g) >= WORTH);
        clauses.extend(now.map(|now| format!("the same hours at full clock would {}", against(now, decided))));
        clauses.push("a service runs for its whole time limit, at no clock that is too slow for its latency".to_owned());
        return Ok(clauses.join("; "));
    }
    match &decided.earliest_run {
        Some(now) if same(now, plan) => clauses.push("this is the earliest run at full clock".to_owned()),
        Some(now) if is_now(now) => clauses.push(format!("running now at full clock would {}", against(now, decided))),
        Some(now) => clauses.push(format!("the earliest run at full clock would {}", against(now, decided))),
        None => {}
    }
    let saves = |other: &Plan| saved(other.carbon_g, plan.carbon_g) >= WORTH;
    let percent = |other: &Plan| format!("{:.0} %", saved(other.carbon_g, plan.carbon_g) * 100.0);
    let by_model = by_the_model(decided)?.filter(saves);
    let least = least(decided)?.filter(saves).filter(|least| by_model.is_none() || misses(least, decided));
    let nothing = by_model.is_none() && least.is_none();
    clauses.extend(by_model.map(|bold| {
        let other = other(&bold, decided);
        format!(
            "{other} would save {} more if a slow clock costs no more time than the profile says, which is not measured",
            percent(&bold)
        )
    }));
    clauses.extend(
        least.map(|least| {
            format!("{} would save {} more but {}", other(&least, decided), percent(&least), price(&least, decided))
        }),
    );
    if nothing {
        clauses.push("no other start or clock that the job allows would save 0.5 % more".to_owned());
    }
    Ok(clauses.join("; "))
}

/// What the run at full clock now would do that the plan does not.
fn against(now: &Plan, decided: &Decided) -> String {
    let (problem, plan) = (&decided.assembled.submission.problem, &decided.plan);
    let emit = if plan.carbon_g <= 0.0 {
        format!("emit {}, this plan nothing", format_mass(now.carbon_g))
    } else {
        let more = now.carbon_g / plan.carbon_g - 1.0;
        match more {
            more if more >= WORTH => format!("emit {:.0} % more", more * 100.0),
            more if more <= -WORTH => format!("emit {:.0} % less", -more * 100.0),
            _ => "emit as much".to_owned(),
        }
    };
    let over = problem.budget_g.is_some_and(|budget| now.carbon_g > budget * (1.0 + 1e-6));
    let late = problem.deadline_h.is_some_and(|deadline| now.end_h > deadline + 1e-6);
    let mut does = emit;
    does += if over { ", over the budget," } else { "" };
    let earlier = plan.end_h - now.end_h;
    match earlier {
        _ if late => does += " and miss the deadline",
        earlier if earlier > SAME_H => does += &format!(" and end {} earlier", duration(earlier)),
        earlier if earlier < -SAME_H => does += &format!(" and end {} later", duration(-earlier)),
        _ => does += " and end at the same time",
    }
    does
}

/// How a plan that emits less differs: by its site, its start, or its clocks alone.
fn other(least: &Plan, decided: &Decided) -> String {
    let (assembled, plan) = (&decided.assembled, &decided.plan);
    let elsewhere = least.candidate != plan.candidate;
    if !elsewhere && (least.start_h - plan.start_h).abs() < SAME_H {
        return "other clocks from the same start".to_owned();
    }
    let start = super::local(assembled.instant(least.start_h));
    let at = if elsewhere { format!(" at {}", assembled.choices[least.candidate].site) } else { String::new() };
    format!("a start at {start}{at}")
}

/// What a plan that emits less costs instead.
fn price(least: &Plan, decided: &Decided) -> String {
    let (problem, plan) = (&decided.assembled.submission.problem, &decided.plan);
    if let Some(deadline) = problem.deadline_h.filter(|_| misses(least, decided)) {
        return format!("miss the deadline by {}", duration(least.end_h - deadline));
    }
    let later = format!("end {} later", duration((least.end_h - plan.end_h).max(0.0)));
    let worse_ppc = least.end_h * least.carbon_g > plan.end_h * plan.carbon_g;
    match problem.objective {
        Objective::Ppc if worse_ppc => format!("{later}: less performance per carbon"),
        _ => later,
    }
}

/// The least that the job could emit, whatever its deadline.
fn least(decided: &Decided) -> anyhow::Result<Option<Plan>> {
    let problem = &decided.assembled.submission.problem;
    let request =
        Request { objective: Objective::Performance, deadline_h: Some(NEVER_H), budget_g: None, work_gpu_h: problem.work_gpu_h };
    Ok(plan::plan_whole_seconds_prepared(&decided.assembled.submission.prepared(), &request)?.plan())
}

/// What the request would come to if the profile's speeds were sure; `None` where they are.
fn by_the_model(decided: &Decided) -> anyhow::Result<Option<Plan>> {
    let assembled = &decided.assembled;
    if assembled.submission.openings.iter().all(|opening| opening.measured) {
        return Ok(None);
    }
    Ok(plan::plan_whole_seconds_prepared(&assembled.submission.prepared(), &assembled.submission.request())?.plan())
}

fn misses(run: &Plan, decided: &Decided) -> bool {
    decided.assembled.submission.problem.deadline_h.is_some_and(|deadline| run.end_h > deadline + 1e-6)
}

fn saved(new: f64, old: f64) -> f64 {
    if old > 0.0 { 1.0 - new / old } else { 0.0 }
}

fn same(now: &Plan, plan: &Plan) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() < SAME_H;
    now.candidate == plan.candidate && close(now.start_h, plan.start_h) && close(now.end_h, plan.end_h)
}

fn duration(hours: f64) -> String {
    format_duration((hours * 60.0).round().max(1.0) * 60.0)
}
