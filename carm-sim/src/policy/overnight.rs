//! The overnight window: jobs submitted by day begin at night, whatever the grid does.
//!
//! Source: plain night batching, which arXiv 2606.01766 found close to rules of carbon and urgency. The night is 22:00 to 6:00 on the site's
//! clocks; a job that may not wait so long begins at once.

use super::{Asked, Decision, Policy, View};

/// The night begins and ends, h of the day.
const BEGINS: f64 = 22.0;
const ENDS: f64 = 6.0;

/// Begins at night.
#[derive(Debug)]
pub struct Overnight;

impl Policy for Overnight {
    fn name(&self) -> &'static str {
        "overnight"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let hour = view.hour_of_week(asked.home(), view.now_h).rem_euclid(24.0);
        let night = !(ENDS..BEGINS).contains(&hour);
        let begin_h = if night { view.now_h } else { view.now_h + BEGINS - hour };
        let begin_h = if begin_h <= asked.wait_until_h() { begin_h } else { view.now_h };
        Decision::at_home(asked, begin_h, asked.limit_h())
    }
}
