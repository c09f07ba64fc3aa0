//! Asks Slurm how busy it is at the places of a plan: `squeue`, how much work runs and waits on the same GPUs and which hours
//! jobs that are put off have booked, and where the GPUs are taken `sbatch --test-only`, when it would have room for this very job.
//!
//! The last moves a candidate's earliest start, the work its clock floor, the bookings close hours to it ([`carm::submission::Submission::heed`]), and
//! nothing else: what Slurm does not tell, or not in time, counts as room at once and as an empty queue. Room is Slurm's own estimate,
//! hours off in a busy moment; work and bookings count time limits for run times: so a job is never refused for them, and held back
//! by bookings alone, which stand for jobs that carm-submit or their users put off ([`carm::submission`]). Each question for room
//! takes a job id of Slurm's.

use std::process::{Command, Stdio};
use std::time::Instant;

use carm::config::{Config, Site};
use carm::plan::Start;
use carm::site::{Booking, Offer, booked, least_speed};
use carm::slurm::queue::{self, Queued};
use carm::slurm::test_only::read_estimate;
use carm::submission::{NEVER_H, Opening, earliest_h};
use chrono::{DateTime, Utc};
use tempfile::TempDir;

use crate::assemble::{Assembled, Choice};
use crate::places::Place;
use crate::slurm::{Asked, Says, until};
use crate::submit::local_instant;
use crate::warning::Warning;

/// Room within a minute is room at once, h: Slurm looks at its queue no more often.
pub const AT_ONCE_H: f64 = 1.0 / 60.0;

/// So many commands run beside each other; a controller has other work.
const SIDE_BY_SIDE: usize = 8;

/// A command, where its answer stands, and the folder that it needs.
pub type Question = (Command, Says, Option<TempDir>);

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
}

/// Asks of each partition, once, what runs and waits there, and of each place that is full by that, once, when there is room. `room`
/// words the second for the options of a place and a number of GPUs.
pub fn ask(
    assembled: &mut Assembled,
    config: &Config,
    room: impl Fn(&[String], u32) -> std::io::Result<Question>,
    warnings: &mut Vec<Warning>,
) {
    let questions = partitions(assembled, config).into_iter().map(|partition| {
        let question = (squeue(&partition), Says::Stdout, None);
        (partition, question)
    });
    let mut told: Vec<(Partition, Vec<Queued>)> = Vec::new();
    for (partition, text) in answers(questions.collect()) {
        match text {
            Some(text) => told.push((partition, queue::read_queue(&text))),
            None => warnings.push(Warning::Unanswered {
                question: format!("squeue of partition '{}'", partition.name),
                consequence: "planned as if nothing waited there",
            }),
        }
    }
    heed_load(assembled, config, &told);
    heed_bookings(assembled, config, &told);

    let full = full_places(assembled, config, &told);
    let mut sites: Vec<usize> = full.iter().map(|&i| assembled.choices[i].place.site).collect();
    sites.dedup();
    let questions = sites.iter().filter_map(|&site| {
        let mut there = full.iter().copied().filter(|&i| assembled.choices[i].place.site == site);
        let width = |i: usize| assembled.submission.openings[i].candidate.workers;
        let first = there.clone().next()?;
        let asked = there.find(|&i| width(i) == assembled.requested).unwrap_or(first);
        Some((site, room(&assembled.choices[asked].place.options, width(asked)).ok()?))
    });
    for (site, text) in answers(questions.collect()) {
        let Some(text) = text else {
            let question = format!("sbatch --test-only for site '{}'", config.sites[site].name);
            warnings.push(Warning::Unanswered { question, consequence: "planned as if there were room at once" });
            continue;
        };
        let Some(start) = read_estimate(&text).and_then(|estimate| local_instant(estimate.start)) else { continue };
        for &i in &full {
            let opening = &mut assembled.submission.openings[i];
            if assembled.choices[i].place.site == site {
                opening.busy.room_h = room_h(assembled.now, start, opening.candidate.start);
            }
        }
    }
}

/// The partitions of the candidates. Without a configuration nobody knows how many GPUs they have.
fn partitions(assembled: &Assembled, config: &Config) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    let named = assembled.choices.iter().filter(|_| config.path.is_some()).filter_map(|choice| Partition::of(&choice.place));
    for partition in named {
        if !partitions.contains(&partition) {
            partitions.push(partition);
        }
    }
    partitions
}

/// Tells the work that waits to the candidates that might run slower than they could. A service is not among them: it is as long as
/// its limit at any clock.
fn heed_load(assembled: &mut Assembled, config: &Config, told: &[(Partition, Vec<Queued>)]) {
    if assembled.submission.latency_ms.is_some() {
        return;
    }
    let window_h = config.planner.max_delay_s / 3600.0;
    for (partition, queue) in told {
        let queue_gpu_h = queue::gpu_hours(queue, window_h);
        let places = assembled.choices.iter_mut().zip(&mut assembled.submission.openings);
        let slowable = |(choice, opening): &(&mut Choice, &mut Opening)| {
            opening.candidate.levels.len() > 1 && partition.is_of(&choice.place)
        };
        for (choice, opening) in places.filter(slowable) {
            let gpus = partition.gpus(config, choice.place.site);
            let least_speed = least_speed(queue_gpu_h, gpus, window_h);
            opening.busy.least_speed = least_speed;
            choice.load = Some(Load { partition: partition.name.clone(), gpus, queue_gpu_h });
        }
    }
}

/// Tells the candidates which hours are booked: those in which jobs that are put off to them would leave too few GPUs. The time until what
/// runs and waits now is done is not among them: Slurm estimates that itself, and who waits in its queue starts as soon as there is room.
/// A service cannot keep clear of anything.
fn heed_bookings(assembled: &mut Assembled, config: &Config, told: &[(Partition, Vec<Queued>)]) {
    if assembled.submission.latency_ms.is_some() {
        return;
    }
    let until_h = config.planner.horizon_s / 3600.0;
    for (partition, queue) in told {
        let (mut ahead, mut put_off) = (Vec::new(), Vec::new());
        for job in queue {
            let start_h = job.start.and_then(|start| Some(Offer::hours_until(assembled.now, local_instant(start)?)));
            let booking = Booking {
                gpus: job.gpus.saturating_mul(job.tasks),
                from_h: start_h.map(|hours| hours.max(0.0)),
                length_h: job.left_h.unwrap_or(until_h),
            };
            match (job.ahead, start_h) {
                (true, _) => ahead.push(booking),
                // Without a time there is nothing to keep clear of: a dependency, a limit of its user's.
                (false, Some(_)) => put_off.push(booking),
                (false, None) => {}
            }
        }
        let places = assembled.choices.iter().zip(&mut assembled.submission.openings);
        for (choice, opening) in places.filter(|(choice, _)| partition.is_of(&choice.place)) {
            let gpus = u64::from(partition.gpus(config, choice.place.site));
            let wanted = u64::from(opening.candidate.workers);
            opening.busy.booked = booked(&ahead, &put_off, gpus, wanted, until_h);
        }
    }
}

/// The candidates whose GPUs are not free, behind those who run and those who wait for nothing but room; where the queue is not
/// known any of them. Slurm's own estimate alone is not believed: sbatch --test-only names a time hours off in a busy moment, of a
/// partition with GPUs to spare too (seen on 22.05).
fn full_places(assembled: &Assembled, config: &Config, told: &[(Partition, Vec<Queued>)]) -> Vec<usize> {
    let is_full = |&i: &usize| {
        let place = &assembled.choices[i].place;
        told.iter().find(|(partition, _)| partition.is_of(place)).is_none_or(|(partition, queue)| {
            let wanted = u64::from(assembled.submission.openings[i].candidate.workers);
            queue::gpus_ahead(queue).saturating_add(wanted) > u64::from(partition.gpus(config, place.site))
        })
    };
    (0..assembled.choices.len()).filter(is_full).collect()
}

/// squeue as it is without its user's wishes: what they like to see of a queue is not all of it.
pub fn plain_squeue() -> Command {
    let mut squeue = Command::new("squeue");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SQUEUE_")) {
        squeue.env_remove(name);
    }
    squeue.env_remove("SLURM_TIME_FORMAT"); // it would make other words of start times
    squeue
}

fn squeue(partition: &Partition) -> Command {
    let mut squeue = plain_squeue();
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

/// What Slurm says to each question, `None` where it does not in time; they run beside each other.
fn answers<T>(questions: Vec<(T, Question)>) -> Vec<(T, Option<String>)> {
    let mut answers = Vec::new();
    let mut waiting = questions.into_iter().peekable();
    while waiting.peek().is_some() {
        let some = waiting.by_ref().take(SIDE_BY_SIDE);
        if until() <= Instant::now() {
            answers.extend(some.map(|(what, _)| (what, None)));
            continue;
        }
        let asked: Vec<_> =
            some.map(|(what, (mut command, says, folder))| (what, Asked::start(&mut command, says), folder)).collect();
        answers.extend(asked.into_iter().map(|(what, asked, _folder)| (what, asked.answer())));
    }
    answers
}

/// The estimate in hours after now, where it is later than the job's own earliest start by more than a scheduling cycle.
fn room_h(now: DateTime<Utc>, estimate: DateTime<Utc>, own: Start) -> Option<f64> {
    let hours = Offer::hours_until(now, estimate).min(NEVER_H);
    (hours > earliest_h(own) + AT_ONCE_H).then_some(hours)
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
}
