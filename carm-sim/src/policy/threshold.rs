//! A threshold: the job runs while the grid is among the cleanest three tenths of the coming day, and pauses otherwise.
//!
//! Source: Ecovisor (Souza and others, ASPLOS 2023) as GAIA and others use it for a baseline: run while the intensity is at or below the 30th
//! percentile of the next 24 h. When no more waiting is allowed the job runs on. Pauses cost nothing and give the GPUs back.

use super::{Action, Asked, AtWork, Decision, Next, Policy, View};

const PERCENTILE: f64 = 0.3;
const AHEAD_H: f64 = 24.0;

/// Runs below the threshold.
#[derive(Debug)]
pub struct Threshold;

impl Policy for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let now = Decision::at_home(asked, view.now_h, asked.limit_h());
        if asked.service().is_some() || is_clean(view, asked.home()) || view.now_h >= asked.wait_until_h() {
            return now;
        }
        let look_h = view.next_border_h(asked.home()).min(asked.wait_until_h());
        Decision { paused: true, begin_h: look_h, ..now }
    }

    fn look(&self, at: &AtWork, view: &View) -> Next {
        let run = Action::Run { level: view.full_clock(at.site, &at.asked), workers: at.workers };
        // The last instant at which what is left can wait.
        let last_h = at.asked.wait_until_h() + view.said_run_h(at.site, &at.asked) - at.left_h;
        if at.asked.service().is_some() || view.now_h >= last_h - 1e-9 {
            return Next { action: run, look_h: f64::INFINITY };
        }
        let action = if is_clean(view, at.site) { run } else { Action::Pause };
        // Running, the last instant moves along.
        let look_h = view.next_border_h(at.site);
        Next { action, look_h: if action == Action::Pause { look_h.min(last_h) } else { look_h } }
    }
}

/// Whether the present intensity is among the lowest of the coming day, by hours.
fn is_clean(view: &View, site: usize) -> bool {
    let series = view.series(site);
    let now = series.g_per_kwh(view.now_h);
    let mut steps: Vec<(f64, f64)> = series.steps(view.now_h, view.now_h + AHEAD_H).map(|(from, to, g)| (g, to - from)).collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = steps.iter().map(|step| step.1).sum();
    let mut seen = 0.0;
    let threshold = steps.iter().find(|step| {
        seen += step.1;
        seen >= PERCENTILE * all - 1e-9
    });
    threshold.is_none_or(|(g, _)| now <= *g)
}
