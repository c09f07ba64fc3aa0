//! Fixed eco windows: nights, and weekend noons, with the evening peak avoided; no data needed.
//!
//! Source: NBI::EcoScheduler 0.21 (metacpan.org/pod/NBI::EcoScheduler), its default windows: Monday to Friday 0-6, Saturday and Sunday 0-7 and
//! 11-16, avoid 17-20 every day. Of the starts in an eco window within three days, now or at a window's begin: the first whose run fits
//! the window and avoids the peak, else the first that avoids the peak, else the first. Here no start is later than its user waits; where none is
//! left the job begins at once.

use super::{Asked, Decision, Policy, View};

const LOOK_AHEAD_H: f64 = 72.0;

/// Begins in an eco window.
#[derive(Debug)]
pub struct EcoWindows;

impl Policy for EcoWindows {
    fn name(&self) -> &'static str {
        "eco-windows"
    }

    fn submit(&self, asked: &Asked, view: &View) -> Decision {
        let run_h = view.said_run_h(asked.home(), asked);
        let last_h = asked.wait_until_h().min(view.now_h + LOOK_AHEAD_H);
        let monday_h = view.now_h - view.hour_of_week(asked.home(), view.now_h);
        let starts = windows(monday_h, last_h).into_iter().filter_map(|(from_h, to_h)| {
            let start_h = from_h.max(view.now_h);
            (start_h < to_h && start_h <= last_h).then(|| (tier(start_h, start_h + run_h, to_h, monday_h), start_h))
        });
        let best = starts.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        Decision::at_home(asked, best.map_or(view.now_h, |(_, start_h)| start_h), asked.limit_h())
    }
}

/// The eco windows of the week of a Monday and of all that follow until an instant.
fn windows(monday_h: f64, until_h: f64) -> Vec<(f64, f64)> {
    let days = ((until_h - monday_h) / 24.0).max(0.0) as usize + 1;
    let of_day = |day: usize| {
        let midnight_h = monday_h + 24.0 * day as f64;
        let hours: &[(f64, f64)] = if day % 7 < 5 { &[(0.0, 6.0)] } else { &[(0.0, 7.0), (11.0, 16.0)] };
        hours.iter().map(move |(from, to)| (midnight_h + from, midnight_h + to)).collect::<Vec<_>>()
    };
    (0..days).flat_map(of_day).collect()
}

/// 1: inside the window and off the peak; 2: off the peak; 3: neither.
fn tier(start_h: f64, end_h: f64, window_end_h: f64, monday_h: f64) -> u8 {
    let first = ((start_h - monday_h) / 24.0).floor() as i64;
    let last = ((end_h - monday_h) / 24.0).floor() as i64;
    let peak = |day: i64| {
        let midnight_h = monday_h + 24.0 * day as f64;
        start_h < midnight_h + 20.0 && end_h > midnight_h + 17.0
    };
    match ((first..=last).any(peak), end_h <= window_end_h) {
        (false, true) => 1,
        (false, false) => 2,
        (true, _) => 3,
    }
}
