//! Slurm's accounting: `sacct -X --parsable2 --format=JobIDRaw,JobName,Submit,Elapsed,Timelimit,AllocTRES` (any order, more columns do no
//! harm). Times without a zone are taken as UTC. Steps, jobs that never ran and jobs without GPUs are left out.
//!
//! A job's name may hold `|` and line ends, and sacct escapes neither; times may read `None` or `Unknown`. A row that cannot be
//! read is skipped and counted.

use std::path::Path;

use carm::quantity::{SlurmTime, parse_slurm_time};
use chrono::{DateTime, NaiveDateTime, Utc};

use super::{JobTrace, JobsError, Skipped, Submission, Table, fault};

/// Either of the names of a job's id.
const IDS: [&str; 2] = ["JobIDRaw", "JobID"];

pub(super) fn parse(text: &str, path: &Path) -> Result<JobTrace, JobsError> {
    let mut table = Table::open(text, path, b'|', &["Submit", "Elapsed"])?;
    let column = |names: &[&str]| names.iter().find_map(|name| table.column(name));
    let (id, name) = (column(&IDS), column(&["JobName"]));
    let (submit, elapsed, limit) = (column(&["Submit"]), column(&["Elapsed"]), column(&["Timelimit"]));
    let Some(tres) = column(&["AllocTRES", "ReqTRES"]) else {
        return Err(fault(path, 1, "no column AllocTRES or ReqTRES; they tell the GPUs"));
    };
    let row_of = |row: &csv::StringRecord, line: u64| -> Result<Option<(DateTime<Utc>, Submission)>, JobsError> {
        let field = |at: Option<usize>| at.and_then(|at| row.get(at)).unwrap_or_default().trim();
        let Some(gpus) = gpus_in(field(Some(tres))).filter(|_| !field(id).contains('.')) else { return Ok(None) };
        let printable = |text| carm::request::printable(text);
        let run_s = seconds(field(elapsed))
            .ok_or_else(|| fault(path, line, format!("Elapsed: '{}': not a time of Slurm's", printable(field(elapsed)))))?;
        if run_s == 0 {
            return Ok(None);
        }
        let submitted = instant(field(submit)).ok_or_else(|| {
            fault(path, line, format!("Submit: '{}': not a time; give 2026-05-01T18:00:00", printable(field(submit))))
        })?;
        // UNLIMITED, Partition_Limit, 0 and nothing are no limit of the user's.
        let limit_h = seconds(field(limit)).filter(|&s| s > 0).map(|s| s as f64 / 3600.0);
        let name = if field(name).is_empty() { field(id) } else { field(name) };
        let (submit_h, run_h) = (0.0, run_s as f64 / 3600.0);
        Ok(Some((submitted, Submission { name: name.to_owned(), submit_h, units: gpus, run_h, limit_h, deadline_after_h: None })))
    };
    let mut jobs: Vec<(DateTime<Utc>, Submission)> = Vec::new();
    let mut skipped = None;
    loop {
        let job = match table.next() {
            Ok(None) => break,
            Ok(Some((row, line))) => row_of(&row, line),
            Err(fault) => Err(fault),
        };
        match job {
            Ok(job) => jobs.extend(job),
            Err(fault) => Skipped::count(&mut skipped, &fault),
        }
    }
    let begins = jobs.iter().map(|(submitted, _)| *submitted).min();
    let after = |at: DateTime<Utc>| begins.map_or(0.0, |begins| (at - begins).num_seconds() as f64 / 3600.0);
    let submissions = jobs.into_iter().map(|(at, job)| Submission { submit_h: after(at), ..job }).collect();
    Ok(JobTrace { submissions, begins, skipped })
}

fn seconds(text: &str) -> Option<u64> {
    match parse_slurm_time(text) {
        Ok(SlurmTime::Seconds(seconds)) => Some(seconds),
        _ => None,
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    let wall = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok();
    carm::quantity::parse_instant(text).ok().or_else(|| Some(wall()?.and_utc()))
}

/// `billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,node=1`: the untyped count, else the sum of the typed ones.
fn gpus_in(tres: &str) -> Option<f64> {
    let entries = tres.split(',').filter_map(|entry| entry.strip_prefix("gres/gpu")?.split_once('='));
    let count = |text: &str| text.parse::<u32>().unwrap_or(0);
    let (mut untyped, mut typed) = (0_u32, 0_u32);
    for (kind, text) in entries {
        if kind.is_empty() {
            untyped = untyped.saturating_add(count(text))
        } else if kind.starts_with(':') {
            typed = typed.saturating_add(count(text))
        }
    }
    let gpus = if untyped > 0 { untyped } else { typed };
    (gpus > 0).then_some(f64::from(gpus))
}
