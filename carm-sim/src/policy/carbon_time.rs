//! Carbon saved for each hour of waiting.
//!
//! Source: GAIA's Carbon-Time (Hanafy and others, ASPLOS 2024): of all starts within the wait limit the one with the greatest
//! `(C(now) - C(t)) / (t - now + J)`, where J is not the job's own run time but the mean of its queue, short (under 2 h) or long. The mean is
//! that of the jobs submitted so far.

use super::{Asked, Decision, Policy, View, lowest};

/// GAIA's border between its two queues, h.
pub const SHORT_H: f64 = 2.0;

/// Begins where waiting saves most for its length.
#[derive(Debug)]
pub struct CarbonTime;

impl Policy for CarbonTime {
    fn name(&self) -> &'static str {
        "carbon-time"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let series = view.series(asked.home());
        let (short_h, long_h) = view.mean_work_h;
        let run_h = if asked.said_work_h() < SHORT_H { short_h } else { long_h };
        let carbon = |at_h: f64| series.integral(at_h, at_h + run_h);
        let now = carbon(view.now_h);
        let mut best = (view.now_h, 0.0);
        for at_h in lowest::starts(asked, view, run_h) {
            let worth = (now - carbon(at_h)) / (at_h - view.now_h + run_h);
            if worth > best.1 {
                best = (at_h, worth);
            }
        }
        Decision::at_home(asked, best.0, asked.limit_h())
    }
}
