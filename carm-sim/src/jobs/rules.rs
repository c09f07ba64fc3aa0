//! From a trace's lines to a scenario's jobs: which are taken, how long they run, and what is asked of them.

use chrono::{DateTime, Datelike, TimeZone, Utc};

use super::{Job, JobTrace, Submission};
use crate::chance::Chance;
use crate::scenario::{Align, JobsSpec};

/// The limits that users write: minutes and hours in round numbers (Tsafrir, Etsion and Feitelson, "Modeling user runtime estimates",
/// JSSPP 2005, found some twenty values to make up nearly all), h.
const ROUND_H: [f64; 12] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0, 72.0, 168.0, 336.0];

/// An episode's part of a trace.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Its begin.
    pub start: DateTime<Utc>,
    /// Its length, h.
    pub length_h: f64,
    /// Which of the scenario's.
    pub episode: u64,
}

/// The submissions of an episode, by hours after its begin.
#[must_use]
pub fn within(trace: &JobTrace, spec: &JobsSpec, window: Window, seed: u64) -> Vec<Submission> {
    let first_h = trace.submissions.first().map_or(0.0, |job| job.submit_h);
    let shift_h = match (spec.align, trace.begins) {
        (Align::Start, _) => -first_h,
        (Align::Calendar, Some(begins)) => hours(begins - window.start),
        (Align::Calendar, None) => {
            let year = Utc.with_ymd_and_hms(window.start.year(), 1, 1, 0, 0, 0).single();
            year.map_or(0.0, |year| hours(year - window.start))
        }
    };
    let from = trace.submissions.partition_point(|job| job.submit_h + shift_h < 0.0);
    let inside = trace.submissions[from..].iter().take_while(|job| job.submit_h + shift_h < window.length_h);
    let mut chance = Chance::of(seed, "sample", &[window.episode]);
    inside
        .filter(|_| spec.sample >= 1.0 || chance.uniform() < spec.sample)
        .map(|job| Submission { submit_h: job.submit_h + shift_h, ..job.clone() })
        .filter(|job| job.run_h * spec.stretch >= spec.min_work_h && job.units > 0.0)
        .collect()
}

fn hours(span: chrono::TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 3.6e6
}

/// A job of a submission; its home is not chosen yet, and its budget is not reckoned.
#[must_use]
pub fn job(submission: &Submission, spec: &JobsSpec, window: Window, index: usize, seed: u64) -> Job {
    let mut chance = Chance::of(seed, "job", &[window.episode, index as u64]);
    let (error, accuracy) = (chance.normal(), chance.uniform());
    let work_h = (submission.run_h * spec.stretch).min(spec.max_work_h);
    let said_work_h = work_h * (spec.runtime_error * error).exp();
    let gpus = (submission.units / spec.units_per_gpu).ceil().clamp(1.0, f64::from(spec.max_gpus)) as u32;
    let limit_h = match submission.limit_h {
        Some(limit_h) => limit_h * spec.stretch,
        None if spec.limit_like_users => limit_like_users(work_h, accuracy),
        None => spec.limit_factor * said_work_h,
    };
    let slack_h = match (spec.deadline_factor, spec.deadline_slack_h, submission.deadline_after_h) {
        (Some(factor), _, _) => Some(factor * work_h),
        (None, Some(slack_h), _) => Some(work_h + slack_h),
        (None, None, own) => own.map(|after_h| after_h * spec.stretch),
    };
    let width = |multiple: &f64| (f64::from(gpus) * multiple).round().clamp(1.0, f64::from(spec.max_gpus)) as u32;
    let mut widths: Vec<u32> = spec.widths.iter().map(width).chain([gpus]).collect();
    widths.sort_unstable();
    widths.dedup();
    Job {
        name: submission.name.clone(),
        submit_h: submission.submit_h,
        gpus,
        work_h,
        said_work_h,
        limit_h,
        deadline_h: slack_h.map(|slack_h| submission.submit_h + slack_h),
        max_delay_h: spec.max_delay_h,
        budget_g: None,
        widths: if widths.len() > 1 { widths } else { Vec::new() },
        workload: if spec.profiles.is_empty() { 0 } else { 1 + index % spec.profiles.len() },
        home: 0,
        service: None,
    }
}

/// A limit as users give it: the part of it that the run takes is as likely any as another (Mu'alem and Feitelson, "Utilization,
/// predictability, workloads, and user runtime estimates", IEEE TPDS 12(6), 2001), and the number is round. Never too short: a limit that
/// kills is the scenario's business, not chance's.
fn limit_like_users(work_h: f64, accuracy: f64) -> f64 {
    let wanted_h = work_h / accuracy.max(0.02);
    let most_h = ROUND_H[ROUND_H.len() - 1].max(work_h * 1.05);
    ROUND_H.iter().copied().find(|&round| round >= wanted_h).unwrap_or(most_h)
}
