//! What a policy may know of a job: what its user said, and what is seen of it while it runs. How long it will really run is not in here.

use super::Piece;
use crate::jobs::Job;
use crate::jobs::service::Demand;

/// A job as its user submitted it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a>(&'a Job);

impl<'a> Asked<'a> {
    /// Of a job.
    #[must_use]
    pub fn of(job: &'a Job) -> Self {
        Self(job)
    }

    /// GPUs requested.
    #[must_use]
    pub fn gpus(&self) -> u32 {
        self.0.gpus
    }

    /// The run time that its user expects at full clock with these GPUs on a card of throughput 1, h.
    #[must_use]
    pub fn said_work_h(&self) -> f64 {
        self.0.said_work_h
    }

    /// The user's time limit, h.
    #[must_use]
    pub fn limit_h(&self) -> f64 {
        self.0.limit_h
    }

    /// When it was submitted, h.
    #[must_use]
    pub fn submit_h(&self) -> f64 {
        self.0.submit_h
    }

    /// Finish by, h.
    #[must_use]
    pub fn deadline_h(&self) -> Option<f64> {
        self.0.deadline_h
    }

    /// The carbon budget, g.
    #[must_use]
    pub fn budget_g(&self) -> Option<f64> {
        self.0.budget_g
    }

    /// The last start that its user accepts, h.
    #[must_use]
    pub fn latest_start_h(&self) -> f64 {
        self.0.submit_h + self.0.max_delay_h
    }

    /// The same, and early enough to meet the deadline at full clock: how long the baselines may wait.
    #[must_use]
    pub fn wait_until_h(&self) -> f64 {
        let in_time = self.0.deadline_h.map_or(f64::INFINITY, |deadline_h| deadline_h - self.0.said_work_h);
        self.latest_start_h().min(in_time).max(self.0.submit_h)
    }

    /// GPU counts that it can use, its own among them; empty: its own alone.
    #[must_use]
    pub fn widths(&self) -> &'a [u32] {
        &self.0.widths
    }

    /// Its workload.
    #[must_use]
    pub fn workload(&self) -> usize {
        self.0.workload
    }

    /// The site that its user would have chosen.
    #[must_use]
    pub fn home(&self) -> usize {
        self.0.home
    }

    /// What is asked of it, if it is a service.
    #[must_use]
    pub fn service(&self) -> Option<&'a Demand> {
        self.0.service.as_ref()
    }
}

/// A job that runs, or is paused, as its node sees it.
#[derive(Debug, Clone, Copy)]
pub struct AtWork<'a> {
    /// The job.
    pub asked: Asked<'a>,
    /// Where it is.
    pub site: usize,
    /// The GPUs that it has, or waits for.
    pub workers: u32,
    /// Its level; none before its first.
    pub level: Option<usize>,
    /// Since when, h.
    pub level_since_h: f64,
    /// Work that is left by its user's word, full-clock hours of the requested GPUs on a card of throughput 1. Nothing: it runs longer.
    pub left_h: f64,
    /// The same, counted with the speeds that a guarantee may count on.
    pub sure_left_h: f64,
    /// When it first ran, h.
    pub started_h: f64,
    /// When its time limit ends it, if it runs on, h.
    pub limit_end_h: f64,
    /// What it has emitted, g.
    pub spent_g: f64,
    /// When it is to run, by the decision at submission.
    pub pieces: &'a [Piece],
}
