//! Asks `squeue` about the jobs that a job waits for (`--dependency`): from when on it waits no longer. It is an estimate by time limits: as with
//! room, a plan counts on it, the job begins as soon as it may, and none is refused for it.

use std::process::{Command, Stdio};

use carm::site::Offer;
use carm::slurm::dependency::{self, Clear, Dependency, Waited};
use chrono::{DateTime, Utc};

use crate::assemble::Assembled;
use crate::busy::{AT_ONCE_H, plain_squeue};
use crate::slurm::{Asked, Says};
use crate::submit::local_instant;

/// So long a chain of jobs is asked about, a command a link.
const MOST_LINKS: usize = 8;

/// When the jobs have ended (or started) that it waits for, by squeue's word; `Some(None)`: they have; `None`: nobody knows.
pub fn ask(dependency: &Dependency) -> Option<Option<DateTime<Utc>>> {
    let (mut asked, mut jobs): (Vec<String>, Vec<Waited>) = (Vec::new(), Vec::new());
    for _ in 0..MOST_LINKS {
        let unknown = dependency.unknown(&jobs, &asked);
        if unknown.is_empty() {
            break;
        }
        let answer = Asked::start(&mut squeue(&unknown), Says::Stdout).answer()?;
        jobs.extend(dependency::read_waited(&answer));
        asked.extend(unknown);
    }
    match dependency.clear(&jobs) {
        Clear::Now => Some(None),
        Clear::From(wall) => Some(Some(local_instant(wall)?)),
        Clear::Unknown => None,
    }
}

fn squeue(ids: &[String]) -> Command {
    let mut squeue = plain_squeue();
    squeue.stdin(Stdio::null());
    // With two ids squeue asks for the whole queue, and one that has ended long ago is no error.
    let ids = if let [only] = ids { format!("{only},{only}") } else { ids.join(",") };
    squeue.args(["--noheader", "--all", &format!("--jobs={ids}"), &format!("--states={}", dependency::STATES)]);
    squeue.arg(format!("--Format={}", dependency::FORMAT));
    squeue
}

/// Lets no plan start before that, unless the job could not start before anyway.
pub fn wait(assembled: &mut Assembled, after: DateTime<Utc>) {
    let hours = Offer::hours_until(assembled.now, after);
    for opening in &mut assembled.submission.openings {
        let own_h = carm::submission::earliest_h(opening.candidate.start);
        let room_h = opening.busy.room_h.unwrap_or(0.0).max(hours);
        opening.busy.room_h = (room_h > own_h + AT_ONCE_H).then_some(room_h);
    }
    assembled.after = Some(after);
}
