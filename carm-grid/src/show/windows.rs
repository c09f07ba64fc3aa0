//! The best times for a run of some hours: where the mean intensity is least.

use carm::grid::Signal;
use chrono::{DateTime, TimeDelta, Utc};

/// The lengths that are told, in hours.
pub const HOURS: [i64; 3] = [1, 4, 12];

/// The best window of a length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub hours: i64,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Its mean intensity, g/kWh.
    pub mean_g_per_kwh: f64,
    /// That of as many hours from now on.
    pub at_once_g_per_kwh: f64,
    /// The part of it that is estimated, 0 to 1.
    pub estimated_share: f64,
}

/// The windows that fit into the signal, which starts now. Of equals the earliest.
pub fn best(signal: &Signal) -> Vec<Window> {
    HOURS.iter().filter_map(|&hours| best_of(signal, hours)).collect()
}

fn best_of(signal: &Signal, hours: i64) -> Option<Window> {
    let length = TimeDelta::hours(hours);
    let last = signal.end() - length;
    let mean = |from: DateTime<Utc>| signal.integrate(from, from + length).map(|sum| sum / hours as f64);
    let at_once_g_per_kwh = mean(signal.start())?;
    // The mean is linear in the start between the instants at which either end of the window passes a border.
    let borders = || signal.steps().iter().map(|step| step.from).chain([signal.end()]);
    let mut starts: Vec<DateTime<Utc>> = borders().chain(borders().map(|at| at - length)).collect();
    starts.retain(|&at| at >= signal.start() && at <= last);
    starts.sort_unstable();
    let mut best = (signal.start(), at_once_g_per_kwh);
    for from in starts {
        // Rounding makes no window better than an earlier one.
        if let Some(mean) = mean(from).filter(|mean| *mean < best.1 - best.1.abs() * 1e-9) {
            best = (from, mean);
        }
    }
    let (from, mean_g_per_kwh) = best;
    let to = from + length;
    Some(Window { hours, from, to, mean_g_per_kwh, at_once_g_per_kwh, estimated_share: estimated(signal, from, to) })
}

fn estimated(signal: &Signal, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let ends = signal.steps().iter().skip(1).map(|step| step.from).chain([signal.end()]);
    let guessed = signal.steps().iter().zip(ends).filter(|(step, _)| step.estimated);
    let inside = guessed.map(|(step, end)| (end.min(to) - step.from.max(from)).num_milliseconds().max(0));
    inside.sum::<i64>() as f64 / (to - from).num_milliseconds() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::grid::Step;

    #[test]
    fn a_window_may_begin_where_its_end_meets_a_border_and_tells_what_is_estimated() {
        let start = DateTime::UNIX_EPOCH;
        // Half an hour is left of the first step; the clean stretch is three hours and a half long.
        let values = [(0, 300.0), (30, 100.0), (240, 400.0), (600, 200.0)];
        let mut steps: Vec<Step> = values.map(|(min, value)| Step::exact(start + TimeDelta::minutes(min), value)).into();
        steps[3].estimated = true;
        let signal = Signal::new(steps, start + TimeDelta::hours(24)).unwrap();
        let windows = best(&signal);
        let shown: Vec<_> = windows.iter().map(|w| (w.hours, (w.from - start).num_minutes(), w.mean_g_per_kwh)).collect();
        assert_eq!(shown, [(1, 30, 100.0), (4, 0, 125.0), (12, 600, 200.0)]);
        assert_eq!((windows[0].estimated_share, windows[2].estimated_share), (0.0, 1.0));
        assert_eq!(windows[0].at_once_g_per_kwh, 200.0);
        let short = Signal::new(signal.steps()[..3].to_vec(), start + TimeDelta::hours(5)).unwrap();
        assert_eq!(best(&short).len(), 2, "twelve hours do not fit into five");
    }
}
