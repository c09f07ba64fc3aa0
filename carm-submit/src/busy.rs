//! Asks Slurm how busy it is at the places of a plan: `sbatch --test-only`, when it would have room for this very job.
//!
//! An answer moves the candidate's earliest start, and nothing else: what Slurm does not tell, or not in time, counts as
//! room at once. It is Slurm's own estimate, hours off in a busy moment, so a job is never held back by it
//! ([`crate::decide`]) and never refused for it. Each question takes a job id of Slurm's.

use std::process::Command;
use std::time::Instant;

use carm::plan::Start;
use carm::site::Offer;
use carm::slurm::test_only::read_estimate;
use chrono::{DateTime, Utc};
use tempfile::TempDir;

use crate::assemble::Assembled;
use crate::slurm::{Asked, PATIENCE, Says};
use crate::submit::local_instant;

/// Room within a minute is room at once, h: Slurm looks at its queue no more often.
const AT_ONCE_H: f64 = 1.0 / 60.0;

/// So many commands run beside each other; a controller has other work.
const SIDE_BY_SIDE: usize = 8;

/// Later than any forecast, h: Slurm names the year 2537 where it waits for a job without a time limit.
pub const NEVER_H: f64 = 1e5;

/// A command, where its answer stands, and the folder that it needs.
pub type Question = (Command, Says, Option<TempDir>);

/// Asks of each place that candidates stand for, once, when there is room. `question` words it for the options of a place and
/// a number of GPUs.
pub fn ask_for_room(assembled: &mut Assembled, question: impl Fn(&[String], u32) -> std::io::Result<Question>) {
    let mut sites: Vec<usize> = assembled.choices.iter().map(|choice| choice.place.site).collect();
    sites.dedup();
    let questions = sites.iter().filter_map(|&site| {
        let mut there = (0..assembled.choices.len()).filter(|&i| assembled.choices[i].place.site == site);
        let width = |i: usize| assembled.problem.candidates[i].workers;
        let first = there.clone().next()?;
        let asked = there.find(|&i| width(i) == assembled.requested).unwrap_or(first);
        Some((site, question(&assembled.choices[asked].place.options, width(asked)).ok()?))
    });
    for (site, text) in answers(questions.collect()) {
        let Some(start) = read_estimate(&text).and_then(|estimate| local_instant(estimate.start)) else { continue };
        for choice in assembled.choices.iter_mut().filter(|choice| choice.place.site == site) {
            choice.room_h = room_h(assembled.now, start, choice.start);
        }
    }
}

/// What Slurm says to each question, as far as it does so in time; they run beside each other.
fn answers<T>(questions: Vec<(T, Question)>) -> Vec<(T, String)> {
    let until = Instant::now() + PATIENCE;
    let mut answers = Vec::new();
    let mut waiting = questions.into_iter().peekable();
    while waiting.peek().is_some() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let some = waiting.by_ref().take(SIDE_BY_SIDE);
        let asked: Vec<_> =
            some.map(|(what, (mut command, says, folder))| (what, Asked::start(&mut command, says, left), folder)).collect();
        answers.extend(asked.into_iter().filter_map(|(what, asked, _folder)| Some((what, asked.answer()?))));
    }
    answers
}

/// The estimate in hours after now, where it is later than the job's own earliest start by more than a scheduling cycle.
fn room_h(now: DateTime<Utc>, estimate: DateTime<Utc>, own: Start) -> Option<f64> {
    let hours = Offer::hours_until(now, estimate).min(NEVER_H);
    (hours > earliest_h(own) + AT_ONCE_H).then_some(hours)
}

/// The earliest instant of a start, h after now.
pub fn earliest_h(start: Start) -> f64 {
    match start {
        Start::Fixed(at) => at,
        Start::Within { earliest_h, .. } => earliest_h,
    }
}

/// The same start, not before there is room. A user's patience with greener power is no patience with a queue: what is past
/// it starts as soon as it can.
pub fn not_before(start: Start, room_h: f64) -> Start {
    match start {
        Start::Fixed(at) => Start::Fixed(at.max(room_h)),
        Start::Within { earliest_h, latest_h } => {
            let earliest_h = earliest_h.max(room_h);
            Start::Within { earliest_h, latest_h: latest_h.max(earliest_h) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn only_room_that_is_later_than_a_scheduling_cycle_counts() {
        let now = DateTime::UNIX_EPOCH;
        let own = Start::Within { earliest_h: 1.0, latest_h: 24.0 };
        let after = |seconds| room_h(now, now + TimeDelta::seconds(seconds), own);
        assert_eq!((after(-5), after(3600), after(3660)), (None, None, None));
        assert_eq!(after(7200), Some(2.0));
        assert_eq!(after(511 * 365 * 86_400), Some(NEVER_H));
    }

    #[test]
    fn a_start_waits_for_room_past_its_users_patience() {
        let own = Start::Within { earliest_h: 0.0, latest_h: 3.0 };
        assert_eq!(not_before(own, 2.0), Start::Within { earliest_h: 2.0, latest_h: 3.0 });
        assert_eq!(not_before(own, 5.0), Start::Within { earliest_h: 5.0, latest_h: 5.0 });
        assert_eq!(not_before(Start::Fixed(1.0), 0.5), Start::Fixed(1.0));
    }
}
