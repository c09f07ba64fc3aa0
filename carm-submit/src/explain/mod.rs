//! The explanation on standard error: what runs where and when, what it saves and costs, and what the figures rest on; in a
//! dry run also why, and a chart.

mod draw;
mod picture;
#[cfg(test)]
mod tests;
mod why;

use std::io::IsTerminal;

use carm::quantity::{counted, format_duration, format_mass, format_slurm_time};
use carm::submission::{Patience, PatienceBasis};
use carm::terminal::Terminal;
use chrono::{DateTime, Local, Utc};

use crate::assemble::Assembled;
use crate::decide::{Decided, Missed};
use crate::script::variable;
use picture::Picture;

/// Standard error's terminal.
pub fn terminal() -> Terminal {
    let stderr = std::io::stderr();
    let asked = || terminal_size::terminal_size_of(&stderr).map(|(width, _)| usize::from(width.0));
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    Terminal::of(&text, stderr.is_terminal(), asked)
}

/// An instant in local time, for people.
pub fn local(instant: DateTime<Utc>) -> String {
    instant.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

/// The explanation, line by line.
pub fn lines(decided: &Decided, name: &str) -> Vec<String> {
    let (assembled, plan) = (&decided.assembled, &decided.plan);
    let choice = &assembled.choices[plan.candidate];
    let candidate = &assembled.submission.problem.candidates[plan.candidate];
    let gpus = counted(candidate.workers, "GPU");

    let mut lines = vec![format!(
        "carm-submit: {}: {gpus}, {} at full clock ({}), objective {}",
        carm::request::printable(name),
        format_duration(assembled.work.seconds as f64),
        assembled.work.from,
        assembled.objective
    )];
    let expected =
        format!("in {} ({})", format_duration((plan.start_h * 3600.0).round()), local(assembled.instant(plan.start_h)));
    let begins = match (decided.begin_s, decided.waits_for_room()) {
        (0, false) => "at once".to_owned(),
        (0, true) => format!("as soon as {}, expected {expected}", waits_for(assembled)),
        (_, false) => expected,
        (begin_s, true) => {
            let from = local(assembled.instant(begin_s as f64 / 3600.0));
            format!("as soon as {} from {from} on, expected {expected}", waits_for(assembled))
        }
    };
    let end = local(assembled.instant(plan.end_h));
    lines.push(format!("  plan    at {} {begins}, ends {end}, {}", choice.site, clocks(decided)));
    if let (Some(patience), Some(deadline_h)) = (assembled.patience, assembled.submission.problem.deadline_h) {
        lines.push(format!("  until   {}: {}", local(assembled.instant(deadline_h)), limit_of(patience)));
    }
    let waits = assembled.submission.heeds.room;
    if let Some(after) = assembled.after.filter(|_| waits) {
        lines.push(format!(
            "  after   the jobs that it depends on are done by {} at the latest, by their time limits",
            local(after)
        ));
    }
    if waits && !assembled.rooms().is_empty() {
        lines.push(format!("  room    Slurm expects room at {}; an estimate", assembled.rooms().join(", at ")));
    }
    let booked = assembled.booked(plan);
    if let Some(&(from, to)) = booked.first() {
        let more = if booked.len() > 1 {
            format!(", and {} more before the plan's end", counted(booked.len() - 1, "time"))
        } else {
            String::new()
        };
        let (from, to) = (local(from), local(to));
        lines.push(format!("  booked  jobs that are put off leave too few GPUs at {} from {from} to {to}{more}", choice.site));
    }
    if let Some(load) = assembled.load(plan.candidate) {
        let slowest = candidate.levels.iter().map(|level| level.clock_mhz).min().unwrap_or_default();
        lines.push(format!(
            "  load    {} has {:.0} GPU-hours of work for {}: no clock below {slowest} MHz keeps up with that",
            load.partition,
            load.queue_gpu_h,
            counted(load.gpus, "GPU")
        ));
    }
    lines.push(match &decided.earliest_run {
        Some(now) if now.carbon_g > 0.0 => format!(
            "  carbon  {}, {} {} at full clock {} ({} kWh instead of {})",
            format_mass(plan.carbon_g),
            change(plan.carbon_g, now.carbon_g),
            format_mass(now.carbon_g),
            if picture::is_now(now) { "now" } else { "at the earliest" },
            energy(plan.energy_kwh),
            energy(now.energy_kwh)
        ),
        _ => format!("  carbon  {} ({} kWh)", format_mass(plan.carbon_g), energy(plan.energy_kwh)),
    });
    if let Some((low_g, high_g)) = decided.range_g {
        let (low, high) = (format_mass(low_g), format_mass(high_g));
        // A band narrower than what is shown has no two ends.
        let range = if low == high { low } else { format!("{low} to {high}") };
        lines.push(format!("  range   {range} within the forecast's error"));
    }
    lines.push(format!("  cost    {}", cost(decided).join("; ")));
    lines.push(format!(
        "  data    grid: {}{}; profile {}: {}",
        carm::request::printable(&choice.grid.described),
        estimated(plan.estimated_share),
        choice.profile,
        if assembled.submission.openings[plan.candidate].measured { "measured" } else { "modelled, not measured on this card" },
    ));
    if decided.begin_s > 0 {
        lines.push("  at once instead: scontrol update jobid=N StartTime=now".to_owned());
    }
    lines
}

/// Why a job without a deadline ends no later.
fn limit_of(patience: Patience) -> String {
    let delay = format_duration(patience.hours * 3600.0);
    let none = "without delay";
    let more = "--carbon-max-delay allows more";
    match patience.basis {
        PatienceBasis::Option => format!("{delay} after its earliest end (--carbon-max-delay)"),
        PatienceBasis::Ratio => format!("{delay} after its earliest end (max_delay_ratio of its run time); {more}"),
        PatienceBasis::MaxDelay => format!("{delay} after its earliest end (max_delay); {more}"),
        PatienceBasis::ShortRun => format!("{none}, since it runs for less than 30 min; {more}"),
        PatienceBasis::NoPrediction => {
            format!("{none}, since --time is all that is known of its run time; give --carbon-runtime")
        }
        PatienceBasis::Dependency => format!("{none}, since it depends on other jobs; {more}"),
    }
}

/// A dry run's explanation: the same lines, a chart of the frontier and of the grid's hours, and why this plan.
pub fn dry_run(decided: &Decided, name: &str) -> anyhow::Result<Vec<String>> {
    let terminal = terminal();
    let mut text = lines(decided, name);
    text.push(format!("  why     {}", why::sentence(decided)?));
    let mut folded: Vec<String> = text.iter().flat_map(|line| fold(line, terminal.width)).collect();
    folded.push(String::new());
    folded.extend(draw::lines(&Picture::of_plan(decided, draw::columns(terminal))?, terminal));
    Ok(folded)
}

/// The chart of a request that nothing meets: how far off it is.
pub fn dry_run_of_miss(missed: &Missed) -> anyhow::Result<Vec<String>> {
    let terminal = terminal();
    Ok(draw::lines(&Picture::of_miss(missed, draw::columns(terminal))?, terminal))
}

/// The same lines no wider than a terminal; where they go elsewhere, each stays whole for what reads it line by line.
pub fn fitted(lines: &[String], terminal: Terminal) -> Vec<String> {
    if terminal.real { lines.iter().flat_map(|line| fold(line, terminal.width)).collect() } else { lines.to_vec() }
}

/// Breaks a line between words; what follows stands under what the line says.
fn fold(line: &str, width: usize) -> Vec<String> {
    fold_under(line, width, if line.starts_with("  ") { 10 } else { 2 })
}

/// Breaks a line between words; what follows stands from a column on.
pub fn fold_under(line: &str, width: usize, column: usize) -> Vec<String> {
    let indent = " ".repeat(column);
    let (mut folded, mut rest) = (Vec::new(), line.to_owned());
    while rest.chars().count() > width {
        let begin = rest.len() - rest.trim_start().len();
        let limit = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        // A blank just past the edge is a place to break as well.
        let blank = rest[begin..].match_indices(' ').map(|(at, _)| begin + at).take_while(|&at| at <= limit).last();
        let at = blank.filter(|&at| rest[..at].trim_end().len() > indent.len()).unwrap_or(limit);
        let next = format!("{indent}{}", rest[at..].trim_start());
        folded.push(rest[..at].trim_end().to_owned());
        rest = next;
    }
    folded.push(rest);
    folded
}

fn waits_for(assembled: &Assembled) -> &'static str {
    if assembled.after.is_some() { "it need not wait" } else { "there is room" }
}

fn clocks(decided: &Decided) -> String {
    let candidate = &decided.assembled.submission.problem.candidates[decided.plan.candidate];
    let clock = |level: usize| candidate.levels[level].clock_mhz;
    let used = decided.plan.segments.iter().map(|segment| clock(segment.level));
    let (low, high) = (used.clone().min().unwrap_or_default(), used.max().unwrap_or_default());
    let top = candidate.full_clock().map(clock).unwrap_or_default();
    if low == top {
        format!("at full clock ({top} MHz)")
    } else if low == high {
        format!("at {low} of {top} MHz")
    } else {
        format!("at {low} to {high} of {top} MHz")
    }
}

fn cost(decided: &Decided) -> Vec<String> {
    let (assembled, plan) = (&decided.assembled, &decided.plan);
    let mut cost = Vec::new();
    let later_h = decided.earliest_run.as_ref().map(|now| plan.end_h - now.end_h);
    match later_h {
        Some(later_h) if later_h * 3600.0 >= 1.0 => cost.push(format!("ends {} later", format_duration(later_h * 3600.0))),
        Some(later_h) if later_h * 3600.0 <= -1.0 => cost.push(format!("ends {} earlier", format_duration(-later_h * 3600.0))),
        _ => {}
    }
    let workers = assembled.submission.problem.candidates[plan.candidate].workers;
    let extra = f64::from(workers) * (plan.end_h - plan.start_h) - assembled.submission.problem.work_gpu_h;
    if extra.abs() >= 0.005 {
        cost.push(format!("{:.2} {} GPU-hours", extra.abs(), if extra > 0.0 { "extra" } else { "fewer" }));
    }
    if let Some(limit_s) = decided.limit_s {
        let bounds = &assembled.choices[plan.candidate].bounds;
        cost.push(match bounds.unstretched_s() {
            Some(before_s) => format!("time limit {} instead of {}", format_slurm_time(limit_s), format_slurm_time(before_s)),
            None => format!("time limit {}", format_slurm_time(limit_s)),
        });
    }
    if cost.is_empty() {
        cost.push("nothing".to_owned());
    }
    cost
}

fn change(new: f64, old: f64) -> String {
    let percent = (1.0 - new / old) * 100.0;
    if percent.abs() < 0.5 {
        "as much as".to_owned()
    } else if percent > 0.0 {
        format!("{percent:.0} % less than")
    } else {
        format!("{:.0} % more than", -percent)
    }
}

fn energy(kwh: f64) -> String {
    let decimals = if kwh >= 100.0 {
        0
    } else if kwh >= 10.0 {
        1
    } else if kwh >= 1.0 {
        2
    } else {
        3
    };
    format!("{kwh:.decimals$}")
}

fn estimated(share: f64) -> String {
    if share >= 0.995 {
        ", all of it estimated".to_owned()
    } else if share > 0.0 {
        format!(", {:.0} % of the run estimated", share * 100.0)
    } else {
        String::new()
    }
}
