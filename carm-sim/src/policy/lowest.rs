//! The lowest carbon within a wait limit: by the slot in which a job begins, or by the whole window that it runs.
//!
//! Sources: GAIA's Lowest-Slot and Lowest-Window (Hanafy and others, ASPLOS 2024, github.com/umassos/GAIA); the latter is also what CATS
//! (JOSS 08251) does with sbatch --begin. Starts are now and at the signal's borders. The run is as long as its user says.

use super::{Asked, Decision, Policy, View};

/// Begins in the slot of least carbon intensity.
#[derive(Debug)]
pub struct LowestSlot;

impl Policy for LowestSlot {
    fn name(&self) -> &'static str {
        "lowest-slot"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let series = view.series(asked.home());
        let begin_h = least(asked, view, 0.0, |at_h| series.g_per_kwh(at_h));
        Decision::at_home(asked, begin_h, asked.limit_h())
    }
}

/// Begins so that the whole run has the least carbon intensity.
#[derive(Debug)]
pub struct LowestWindow;

impl Policy for LowestWindow {
    fn name(&self) -> &'static str {
        "lowest-window"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let series = view.series(asked.home());
        let run_h = view.said_run_h(asked.home(), asked);
        let begin_h = least(asked, view, run_h, |at_h| series.integral(at_h, at_h + run_h));
        Decision::at_home(asked, begin_h, asked.limit_h())
    }
}

/// The earliest of the starts with the least of a figure; none later than the forecast knows.
fn least(asked: &Asked, view: &View, run_h: f64, figure: impl Fn(f64) -> f64) -> f64 {
    let mut best = (view.now_h, figure(view.now_h));
    for at_h in starts(asked, view, run_h) {
        let value = figure(at_h);
        if value < best.1 * (1.0 - 1e-12) {
            best = (at_h, value);
        }
    }
    best.0
}

/// The starts that a job may choose from: the forecast's borders after now, as late as its user waits and the forecast knows, and with a length
/// to run also so early before each border that the run ends there (of steps, one end of the best window lies on a border).
pub fn starts(asked: &Asked, view: &View, run_h: f64) -> Vec<f64> {
    let series = view.series(asked.home());
    let last_h = asked.wait_until_h().min(view.horizon_h().min(series.end_h()) - run_h);
    let mut starts: Vec<f64> = series.borders(view.now_h, last_h + 1e-9).skip(1).collect();
    if run_h > 0.0 && view.now_h < last_h {
        starts.extend(series.borders(view.now_h + run_h, last_h + run_h).skip(1).map(|end_h| end_h - run_h));
        starts.sort_unstable_by(f64::total_cmp);
    }
    starts
}
