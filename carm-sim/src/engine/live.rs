//! A job on its way: what it does now and what it has done.

use crate::account::JobRecord;
use crate::jobs::Job;
use crate::policy::{Asked, AtWork, Piece};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Future,
    Deferred,
    Waiting,
    Running,
    Paused,
    Done,
}

#[derive(Debug)]
pub(super) struct Live {
    pub phase: Phase,
    /// Events of another version are void.
    pub version: u32,
    pub site: usize,
    pub workload: usize,
    /// GPUs requested, and those that it has or waits for.
    pub gpus: u32,
    pub workers: u32,
    pub limit_h: f64,
    pub limit_end_h: f64,
    pub pieces: Vec<Piece>,
    pub level: Option<usize>,
    pub level_since_h: f64,
    /// Until then its energy and work are counted, and the site's slot of that instant.
    pub metered_h: f64,
    pub slot: usize,
    /// Work that is left, h at full clock: in truth, by its user's word, and by that with speeds that are sure.
    pub work_left_h: f64,
    pub said_left_h: f64,
    pub sure_left_h: f64,
    pub record: JobRecord,
}

impl Live {
    pub fn new(job: usize, of: &Job) -> Self {
        Self {
            phase: Phase::Future,
            version: 0,
            site: of.home,
            workload: of.workload,
            gpus: of.gpus,
            workers: of.gpus,
            limit_h: of.limit_h,
            limit_end_h: f64::INFINITY,
            pieces: Vec::new(),
            level: None,
            level_since_h: 0.0,
            metered_h: 0.0,
            slot: 0,
            work_left_h: of.work_h,
            said_left_h: of.said_work_h,
            sure_left_h: of.said_work_h,
            record: JobRecord {
                job,
                site: of.home,
                submit_h: of.submit_h,
                start_h: f64::NAN,
                end_h: f64::NAN,
                ..JobRecord::default()
            },
        }
    }

    pub fn at_work<'a>(&'a self, asked: Asked<'a>) -> AtWork<'a> {
        AtWork {
            asked,
            site: self.site,
            workers: self.workers,
            level: self.level,
            level_since_h: self.level_since_h,
            left_h: self.said_left_h,
            sure_left_h: self.sure_left_h,
            started_h: self.record.start_h,
            limit_end_h: self.limit_end_h,
            spent_g: self.record.carbon_g,
            pieces: &self.pieces,
        }
    }
}
