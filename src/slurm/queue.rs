//! `squeue`: the work that is waiting and running in a partition, and when it holds GPUs.
//!
//! Asked with [`FORMAT`], one job a line, fields with `|` behind them (22.05 to 26.05). Time limits stand for run times, so the
//! work is overstated wherever users ask for more than they need. Nothing here knows how many GPUs there are.

use chrono::NaiveDateTime;

use super::array::{MOST, Tasks};
use crate::quantity::{SlurmTime, parse_slurm_time};

/// The states that keep GPUs busy, or will.
pub const STATES: &str = "PENDING,CONFIGURING,RUNNING,SUSPENDED";

/// The fields. A site's accounting may leave GPUs out of `tres-alloc` (`AccountingStorageTRES`); the request tells then.
pub const FORMAT: &str = "TimeLeft:|,NumNodes:|,NumTasks:|,tres-alloc:|,tres-per-job:|,tres-per-node:|,tres-per-task:|,JobArrayID:|,Reason:|,StartTime:|,State:|";

/// A job, or an array of which some tasks are waiting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queued {
    /// GPUs of each task.
    pub gpus: u64,
    /// Tasks of the same kind that may run at once; 1 but for a waiting array.
    pub tasks: u64,
    /// What is left of the time limit, h, of a throttled array for all its rounds; `None`: no limit.
    pub left_h: Option<f64>,
    /// Whether it has its GPUs, or takes the next that come free: it runs, or waits for nothing but room.
    pub ahead: bool,
    /// When it started or is to start, local time: a begin time, or Slurm's own estimate; `None`: not known.
    pub start: Option<NaiveDateTime>,
}

/// Reads squeue's answer; lines that are no jobs and jobs that someone holds are skipped.
#[must_use]
pub fn read_queue(text: &str) -> Vec<Queued> {
    text.lines().filter_map(read_line).collect()
}

/// The GPUs that are taken, or will be before those of a job that comes now.
#[must_use]
pub fn gpus_ahead(queue: &[Queued]) -> u64 {
    let ahead = queue.iter().filter(|job| job.ahead);
    ahead.map(|job| job.gpus.saturating_mul(job.tasks)).fold(0, u64::saturating_add)
}

/// The queue's GPU-hours, as far as they can fall into the next `window_h` hours: no task counts for more than that.
#[must_use]
pub fn gpu_hours(queue: &[Queued], window_h: f64) -> f64 {
    let hours = |job: &Queued| job.left_h.map_or(window_h, |left| left.clamp(0.0, window_h));
    queue.iter().map(|job| job.gpus as f64 * job.tasks as f64 * hours(job)).sum()
}

fn read_line(line: &str) -> Option<Queued> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[left, nodes, tasks, allocated, per_job, per_node, per_task, id, reason, start, ref state @ ..] = fields.as_slice()
    else {
        return None;
    };
    if reason.starts_with("JobHeld") {
        return None;
    }
    let number = |text: &str| text.parse::<u64>().map_or(1, |n| n.min(MOST));
    let gpus = [gpus_in(allocated), gpus_in(per_job), gpus_in(per_node) * number(nodes), gpus_in(per_task) * number(tasks)];
    let left_h = match parse_slurm_time(left) {
        Ok(SlurmTime::Seconds(seconds)) => Some(seconds as f64 / 3600.0),
        _ if left.starts_with('-') => Some(0.0), // past its limit, and about to end
        _ => None,                               // UNLIMITED, NOT_SET
    };
    // A begin time, a dependency, a limit of its user's or a licence is no wait for room. A job that runs may still show what it waited for, or
    // that its prolog is at work.
    let runs = state.first().is_some_and(|state| !matches!(*state, "" | "PENDING"));
    let ahead = runs || matches!(reason, "None" | "Resources" | "Priority");
    let waiting =
        id.split_once('[').map_or(Tasks { count: 1, throttle: None }, |(_, list)| Tasks::parse(list.trim_end_matches(']')));
    Some(Queued {
        gpus: gpus.into_iter().find(|&gpus| gpus > 0).unwrap_or(0).min(MOST),
        tasks: waiting.at_once(),
        left_h: left_h.map(|hours| hours * waiting.rounds() as f64),
        ahead,
        start: start.parse().ok(),
    })
}

/// GPUs in a list of trackable resources: `gres:gpu:2`, `gres/gpu:a100=2`, `cpu=4,gres/gpu=2,gres/gpu:a100=2`.
pub(super) fn gpus_in(text: &str) -> u64 {
    let (mut untyped, mut typed) = (0, 0);
    for entry in text.split(',') {
        let entry = entry.strip_prefix("gres:").or_else(|| entry.strip_prefix("gres/")).unwrap_or(entry);
        let entry = entry.split('(').next().unwrap_or_default();
        let mut words = entry.split([':', '=']);
        if words.next() != Some("gpu") {
            continue;
        }
        let words: Vec<&str> = words.collect();
        let count = words.last().and_then(|word| word.parse::<u64>().ok());
        // What accounting counts by type it counts without, too.
        let of = if words.len() > usize::from(count.is_some()) { &mut typed } else { &mut untyped };
        *of += count.unwrap_or(1).min(MOST);
    }
    if untyped > 0 { untyped } else { typed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A line as squeue prints it.
    fn job(left: &str, request: &str, id: &str) -> Queued {
        let line = format!("{left}|2|4|{request}|{id}|Priority|N/A|");
        read_queue(&line).pop().unwrap_or_else(|| panic!("{line}"))
    }

    #[test]
    fn a_job_that_runs_is_ahead_whatever_it_waited_for() {
        let ahead = |reason: &str, state: &str| {
            let line = format!("3:00|1|1|cpu=1|gres:gpu:2|N/A|N/A|2|{reason}|2026-11-26T18:21:48|{state}|\n");
            read_queue(&line)[0].ahead
        };
        assert!(ahead("BeginTime", "RUNNING") && ahead("Prolog", "CONFIGURING") && ahead("Priority", "PENDING"));
        assert!(!ahead("BeginTime", "PENDING") && !ahead("Dependency", "PENDING"));
    }

    #[test]
    fn real_answers_of_22_05_are_read() {
        let text = "3:00|1|1|cpu=1,mem=1M,node=1,billing=1|gres:gpu:2|N/A|N/A|2|Resources|2026-11-26T18:21:48|\n\
                    3:00|1|1|cpu=1,mem=1M,node=1,billing=1|N/A|gres:gpu:4|N/A|3_[1,3,5,7,9%2]|Priority|N/A|\n\
                    2:59|1|1|cpu=1,node=1,billing=1|N/A|gres:gpu:4|N/A|1|None|2026-11-26T18:11:48|\n\
                    UNLIMITED|1|2|cpu=2,mem=1M,node=1,billing=2|N/A|N/A|gres:gpu:1|4|Priority|N/A|\n\
                    1-00:00:00|1|1|cpu=1,node=1|N/A|gres:gpu:4|N/A|5|JobHeldUser|N/A|\n";
        let queue = read_queue(text);
        let told: Vec<_> = queue.iter().map(|job| (job.gpus, job.tasks, job.left_h)).collect();
        assert_eq!(
            told,
            [(2, 1, Some(0.05)), (4, 2, Some(3.0 * 0.05)), (4, 1, Some(179.0 / 3600.0)), (2, 1, None)],
            "a held job does not count"
        );
        let start = |text: &str| Some(text.parse::<NaiveDateTime>().expect("a time"));
        let starts: Vec<_> = queue.iter().map(|job| job.start).collect();
        assert_eq!(starts, [start("2026-11-26T18:21:48"), None, start("2026-11-26T18:11:48"), None]);
        // 2 x 3 min, 2 x 4 for 3 rounds of 3 min, 4 x 179 s, and 2 for as long as is looked at.
        let expected = 0.1 + 1.2 + 4.0 * 179.0 / 3600.0 + 2.0 * 24.0;
        assert!((gpu_hours(&queue, 24.0) - expected).abs() < 1e-9);
    }

    #[test]
    fn gpus_are_found_in_every_form_of_request() {
        for (request, gpus) in [
            ("cpu=8,node=2,gres/gpu=8,gres/gpu:a100=8|gres/gpu:8|N/A|N/A", 8),
            ("gres/gpu:a100=4,gres/gpu:v100=2|N/A|N/A|N/A", 6),
            ("cpu=8|gres:gpu:a100:3|N/A|N/A", 3),
            ("cpu=8|N/A|gres:gpu:2|N/A", 4),
            ("cpu=8|N/A|gres:gpu|N/A", 2),
            ("cpu=8|N/A|gres:gpu:a100|N/A", 2),
            ("cpu=8|N/A|gres/gpu:a100:2(S:0-1)|N/A", 4),
            ("cpu=8|N/A|N/A|gres/gpu:1", 4),
            ("cpu=8|N/A|gres:nvme:1|N/A", 0),
        ] {
            assert_eq!(job("1:00:00", request, "7").gpus, gpus, "{request}");
        }
    }

    #[test]
    fn the_waiting_tasks_of_an_array_are_counted() {
        for (id, tasks) in
            [("7", 1), ("7_3", 1), ("7_[1-10]", 10), ("7_[1,3-9:2,20%4]", 4), ("7_[5-1]", 1), ("7_[0-9:0]", 1), ("7_[1-3,...", 3)]
        {
            assert_eq!(job("1:00:00", "N/A|N/A|gpu:1|N/A", id).tasks, tasks, "{id}");
        }
    }

    #[test]
    fn a_throttled_array_loads_its_throttle() {
        let array = job("2:00:00", "gres/gpu=2|N/A|N/A|N/A", "7_[0-999%1]");
        assert_eq!(gpus_ahead(&[array]), 2);
        assert_eq!(gpu_hours(&[array], 24.0), 48.0, "two GPUs for as long as is looked at");
        assert_eq!(gpu_hours(&[job("2:00:00", "gres/gpu=2|N/A|N/A|N/A", "7_[0-3%2]")], 24.0), 2.0 * 2.0 * 4.0);
    }

    #[test]
    fn what_runs_and_what_waits_for_room_alone_is_ahead_of_a_job_that_comes_now() {
        let line = |gpus: u32, id: &str, reason: &str| format!("1:00:00|1|1|gres/gpu={gpus}|N/A|N/A|N/A|{id}|{reason}|N/A|\n");
        let queue = [line(4, "1", "None"), line(2, "2", "Resources"), line(1, "3_[1-3]", "Priority"), line(8, "4", "BeginTime")];
        assert_eq!(gpus_ahead(&read_queue(&queue.concat())), 4 + 2 + 3);
    }

    #[test]
    fn no_task_counts_for_more_than_the_hours_looked_at() {
        let week = job("7-00:00:00", "gres/gpu=2|N/A|N/A|N/A", "7_[1-3]");
        assert_eq!(gpu_hours(&[week], 24.0), 2.0 * 3.0 * 24.0);
        assert_eq!(job("-5:00", "gres/gpu=2|N/A|N/A|N/A", "7").left_h, Some(0.0));
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_a_finite_amount_of_work(
            left in "[0-9:-]{0,12}|UNLIMITED|\\PC{0,9}",
            gpus in "(gres[:/])?gpu(:[a-z]{0,3})?[:=]?[0-9]{0,30}(,|\\PC{0,5})",
            id in "[0-9]{0,4}_\\[[0-9,:%-]{0,40}\\]?|\\PC{0,9}",
        ) {
            let queue = read_queue(&format!("CLUSTER: x\n\n{left}|{gpus}|1|{gpus}|{gpus}|{gpus}|{gpus}|{id}|x|{left}|\n"));
            let hours = gpu_hours(&queue, 24.0);
            prop_assert!(hours.is_finite() && hours >= 0.0, "{hours}");
        }
    }
}
