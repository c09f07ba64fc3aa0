//! Made-up jobs, for a first try without data: submissions at chance times, more by day; most jobs are small and short, as in the published
//! GPU traces (Alibaba PAI 2020: half the jobs under 40 min, a tenth over 5.5 h, three quarters on one GPU), and their figures are nobody's.

use super::{JobTrace, Submission};
use crate::chance::Chance;

/// The median run time, h, and the spread of its logarithm: with these a tenth of the jobs run for more than 5.5 h.
const MEDIAN_H: f64 = 0.66;
const SPREAD: f64 = 1.65;
const LONGEST_H: f64 = 72.0;

/// GPU counts and how many jobs in a hundred have at most these.
const COUNTS: [(f64, f64); 5] = [(0.74, 1.0), (0.83, 2.0), (0.93, 4.0), (0.99, 8.0), (1.0, 16.0)];

/// Jobs for so many hours from the episode's begin on.
pub fn made_up(length_h: f64, per_hour: f64, seed: u64, which: u64) -> JobTrace {
    let mut chance = Chance::of(seed, "made-up jobs", &[which]);
    let (mut submissions, mut at_h) = (Vec::new(), 0.0);
    // Thinning (Lewis and Shedler, 1979): drawn at the day's highest rate, kept by the hour's.
    let most = 1.5 * per_hour;
    if most <= 0.0 {
        return JobTrace { submissions, begins: None, skipped: None };
    }
    loop {
        at_h += -(1.0 - chance.uniform()).ln() / most;
        if at_h >= length_h {
            break;
        }
        let rate = per_hour * (1.0 + 0.5 * (std::f64::consts::TAU * (at_h - 14.0) / 24.0).cos());
        let (kept, count, length) = (chance.uniform() * most < rate, chance.uniform(), chance.normal());
        if kept {
            let units = COUNTS.iter().find(|(most, _)| count < *most).map_or(1.0, |(_, gpus)| *gpus);
            submissions.push(Submission {
                name: format!("made-up-{}", submissions.len() + 1),
                submit_h: at_h,
                units,
                run_h: (MEDIAN_H * (SPREAD * length).exp()).clamp(1.0 / 60.0, LONGEST_H),
                limit_h: None,
                deadline_after_h: None,
            });
        }
    }
    JobTrace { submissions, begins: None, skipped: None }
}
