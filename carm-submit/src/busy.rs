//! Asks Slurm how busy it is at the places of a plan: `sbatch --test-only`, when it would have room for this very job, and
//! `squeue`, how much work waits for the same GPUs.
//!
//! The first moves a candidate's earliest start, the second its clock floor ([`Assembled::heed`]), and nothing else: what Slurm does not
//! tell, or not in time, counts as room at once and as an empty queue. The first is Slurm's own estimate, hours off in a busy
//! moment, the second counts time limits for run times: so a job is never held back by them ([`crate::decide`]) and never
//! refused for them. Each question for room takes a job id of Slurm's.

use std::process::{Command, Stdio};
use std::time::Instant;

use carm::config::{Config, Site};
use carm::plan::Start;
use carm::site::{Offer, least_speed};
use carm::slurm::queue::{self, Queued};
use carm::slurm::test_only::read_estimate;
use chrono::{DateTime, Utc};
use tempfile::TempDir;

use crate::assemble::{Assembled, Choice};
use crate::places::Place;
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

/// What a question is about.
enum About {
    /// The room at a site, by its index in the configuration.
    Room(usize),
    /// The queue of a partition.
    Queue(Partition),
}

/// A partition, as Slurm is told it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    cluster: Option<String>,
    name: String,
}

/// The work that waits for, or runs on, the GPUs of a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The partition.
    pub partition: String,
    /// Its GPUs, by the configuration.
    pub gpus: u32,
    /// The work, GPU-h within the hours looked at.
    pub queue_gpu_h: f64,
    /// The least speed at which that work still fits into those hours.
    pub least_speed: f64,
}

/// Asks of each place that candidates stand for, once, when there is room, and of each partition, once, what waits there, where a
/// candidate might run slower than it could. `room` words the first for the options of a place and a number of GPUs.
pub fn ask(assembled: &mut Assembled, config: &Config, room: impl Fn(&[String], u32) -> std::io::Result<Question>) {
    let mut sites: Vec<usize> = assembled.choices.iter().map(|choice| choice.place.site).collect();
    sites.dedup();
    let rooms = sites.iter().filter_map(|&site| {
        let mut there = (0..assembled.choices.len()).filter(|&i| assembled.choices[i].place.site == site);
        let width = |i: usize| assembled.problem.candidates[i].workers;
        let first = there.clone().next()?;
        let asked = there.find(|&i| width(i) == assembled.requested).unwrap_or(first);
        Some((About::Room(site), room(&assembled.choices[asked].place.options, width(asked)).ok()?))
    });
    let queues = slowable(assembled, config).into_iter().map(|partition| {
        let question = (squeue(&partition), Says::Stdout, None);
        (About::Queue(partition), question)
    });
    let window_h = config.planner.max_delay_s / 3600.0;
    let (mut late, mut told) = (Vec::new(), Vec::new());
    for (about, text) in answers(rooms.chain(queues).collect()) {
        match about {
            About::Room(site) => {
                let Some(start) = read_estimate(&text).and_then(|estimate| local_instant(estimate.start)) else { continue };
                late.push((site, start));
            }
            About::Queue(partition) => told.push((partition, queue::read_queue(&text))),
        }
    }
    for (partition, queue) in &told {
        let queue_gpu_h = queue::gpu_hours(queue, window_h);
        for choice in assembled.choices.iter_mut().filter(|choice| partition.is_of(&choice.place)) {
            let gpus = partition.gpus(config, choice.place.site);
            let least_speed = least_speed(queue_gpu_h, gpus, window_h);
            choice.load = Some(Load { partition: partition.name.clone(), gpus, queue_gpu_h, least_speed });
        }
    }
    heed_room(assembled, config, &late, told);
}

/// Moves starts to Slurm's estimate where its own queue bears that out. sbatch --test-only names a time hours off in a busy moment, of a
/// partition with GPUs to spare too (seen on 22.05): a job must not wait for that.
fn heed_room(
    assembled: &mut Assembled,
    config: &Config,
    late: &[(usize, DateTime<Utc>)],
    mut told: Vec<(Partition, Vec<Queued>)>,
) {
    let now = assembled.now;
    let is_late = |choice: &Choice| {
        let estimate = late.iter().find(|(site, _)| *site == choice.place.site).map(|(_, start)| *start);
        estimate.and_then(|start| room_h(now, start, choice.start))
    };
    let mut untold: Vec<Partition> = Vec::new();
    for choice in assembled.choices.iter().filter(|choice| is_late(choice).is_some()) {
        let partition = Partition::of(&choice.place).filter(|partition| told.iter().all(|(known, _)| known != partition));
        untold.extend(partition.filter(|partition| !untold.contains(partition)));
    }
    let questions = untold.into_iter().map(|partition| {
        let question = (squeue(&partition), Says::Stdout, None);
        (partition, question)
    });
    told.extend(answers(questions.collect()).into_iter().map(|(partition, text)| (partition, queue::read_queue(&text))));
    let widths: Vec<u32> = assembled.problem.candidates.iter().map(|candidate| candidate.workers).collect();
    for (choice, width) in assembled.choices.iter_mut().zip(widths) {
        let queue = told
            .iter()
            .find(|(partition, _)| partition.is_of(&choice.place))
            .map(|(partition, queue)| (u64::from(partition.gpus(config, choice.place.site)), queue::gpus_ahead(queue)));
        // Where the queue cannot be asked, or nobody named the partition, the estimate is all there is.
        let is_full = queue.is_none_or(|(gpus, ahead)| ahead.saturating_add(u64::from(width)) > gpus);
        choice.room_h = is_late(choice).filter(|_| is_full);
    }
}

/// The partitions in which a candidate might run slower than it could. A service is not: it is as long as its limit at any clock.
/// Without a configuration nobody knows how many GPUs there are.
fn slowable(assembled: &Assembled, config: &Config) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    if assembled.latency_ms.is_some() || config.path.is_none() {
        return partitions;
    }
    for choice in assembled.choices.iter().filter(|choice| choice.levels.len() > 1) {
        let Some(partition) = Partition::of(&choice.place) else { continue };
        if !partitions.contains(&partition) {
            partitions.push(partition);
        }
    }
    partitions
}

fn squeue(partition: &Partition) -> Command {
    let mut squeue = Command::new("squeue");
    // What its user likes to see of a queue is not all of it.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SQUEUE_")) {
        squeue.env_remove(name);
    }
    // An array's tasks are shortened to 64 characters else.
    squeue.env("SLURM_BITSTR_LEN", "0").stdin(Stdio::null());
    squeue.args(partition.cluster.iter().map(|cluster| format!("--clusters={cluster}")));
    let states = format!("--states={}", queue::STATES);
    squeue.args([
        "--noheader",
        "--all",
        &format!("--partition={}", partition.name),
        &states,
        &format!("--Format={}", queue::FORMAT),
    ]);
    squeue
}

impl Partition {
    fn of(place: &Place) -> Option<Self> {
        Some(Self { cluster: place.cluster.clone(), name: place.partition.clone()? })
    }

    fn is_of(&self, place: &Place) -> bool {
        place.cluster == self.cluster && place.partition.as_ref() == Some(&self.name)
    }

    /// The GPUs of all sites that share it, among them `site`.
    fn gpus(&self, config: &Config, site: usize) -> u32 {
        let shares = |(index, other): &(usize, &Site)| {
            *index == site || other.cluster == self.cluster && other.partition.as_ref() == Some(&self.name)
        };
        config.sites.iter().enumerate().filter(shares).map(|(_, site)| site.gpus).fold(0, u32::saturating_add)
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
