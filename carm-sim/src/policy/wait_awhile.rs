//! Suspend and resume: the job runs in the slots of least carbon before its end.
//!
//! Source: Wiesner and others, "Let's Wait Awhile", Middleware 2021 (interruptible jobs; the k slots of least intensity). Pausing costs nothing
//! here, and gives the GPUs back, as a job that checkpoints and is queued again does. The last start of the contiguous baselines and the run
//! time make the last end.

use super::pieces::{self, Piece};
use super::{Asked, AtWork, Decision, Next, Policy, View};

/// Runs in the cleanest slots.
#[derive(Debug)]
pub struct WaitAwhile;

impl Policy for WaitAwhile {
    fn name(&self) -> &'static str {
        "wait-awhile"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        if asked.service().is_some() {
            return Decision::at_home(asked, view.now_h, asked.limit_h());
        }
        let run_h = view.said_run_h(asked.home(), asked);
        let end_h = (asked.wait_until_h() + run_h).max(view.now_h + run_h);
        let mut slots: Vec<(f64, f64, f64)> = view.series(asked.home()).steps(view.now_h, end_h).collect();
        slots.sort_by(|a, b| a.2.total_cmp(&b.2).then(a.0.total_cmp(&b.0)));
        let mut left_h = run_h;
        let mut taken: Vec<Piece> = Vec::new();
        for (from_h, to_h, _) in slots {
            if left_h <= 1e-12 {
                break;
            }
            let hours = (to_h - from_h).min(left_h);
            left_h -= hours;
            // Of the last one only a part: the one that another piece touches.
            let late = taken.iter().any(|piece| (piece.from_h - to_h).abs() < 1e-9);
            let (from_h, to_h) = if late { (to_h - hours, to_h) } else { (from_h, from_h + hours) };
            taken.push(Piece { from_h, to_h, workers: asked.gpus() });
        }
        let taken = pieces::joined(taken);
        let begin_h = taken.first().map_or(view.now_h, |piece| piece.from_h);
        Decision { pieces: taken, ..Decision::at_home(asked, begin_h, asked.limit_h()) }
    }

    fn look(&self, at: &AtWork, view: &View) -> Next {
        pieces::next(at, view.now_h, view.full_clock(at.site, &at.asked))
    }
}
