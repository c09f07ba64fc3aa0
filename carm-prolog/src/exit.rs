//! How a job's run ended. slurmd's epilog is told the exit code that the controller knew when it ended the job: of a job that
//! was cancelled or ran into its time limit that is 0:0 (Slurm 22.05 and 24.11), as of one that did well. So a 0:0 is not
//! believed before squeue, asked once, says it too.

use carm::config::Config;
use carm::ledger::Exit;

use crate::job::Job;
use crate::squeue;
use crate::state::JobState;

/// A width for each column: Slurm cuts what is longer.
const FORMAT: &str = "--Format=JobID:20,exit_code:20,Reason:40";

/// How the run ended, where that is known for certain.
pub fn of_run(job: &Job, config: &Config, state: Option<&JobState>) -> Option<Exit> {
    // The epilog of a run that is requeued counts the next one already, and is told 0:0.
    let state = state.filter(|state| job.restart_count <= state.run)?;
    match told(job) {
        Some(exit) if exit.is_success() && !(state.booked && config.node.ask_limit) => None,
        Some(exit) if exit.is_success() => {
            let asked = squeue::show(job.id, FORMAT, job.slurm_conf.as_deref());
            let asked = asked.inspect_err(|cause| log::debug!("job {}: how it ended: asking squeue: {cause}", job.id));
            from_squeue(&asked.ok()?, job.id)
        }
        told => told,
    }
}

/// What slurmd tells, where it cannot be mistaken for something else.
pub fn known_without_asking(job: &Job, state: &JobState) -> Option<Exit> {
    told(job).filter(|exit| !exit.is_success() && job.restart_count <= state.run)
}

fn told(job: &Job) -> Option<Exit> {
    job.exit_code2.as_deref().or(job.exit_code.as_deref()).and_then(parse)
}

/// `code:signal` (SLURM_JOB_EXIT_CODE2, squeue from 23.02 on), or a status of wait(2) (SLURM_JOB_EXIT_CODE, squeue before).
fn parse(text: &str) -> Option<Exit> {
    match text.split_once(':') {
        Some((code, signal)) => Some(Exit { code: code.parse().ok()?, signal: signal.parse().ok()? }),
        None => {
            let status: u32 = text.parse().ok()?;
            Some(Exit { code: status >> 8 & 0xff, signal: status & 0x7f })
        }
    }
}

/// The job's own line among squeue's: asked for an array's number, it shows every task.
fn from_squeue(answer: &str, job: u32) -> Option<Exit> {
    answer.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let own = words.next()?.parse::<u32>().ok()? == job;
        let exit = parse(words.next()?)?;
        // A job that catches the limit's signal and exits 0 has a reason, TimeLimit; one that did well has none.
        let sure = !exit.is_success() || words.next() == Some("None");
        (own && sure).then_some(exit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: u32, signal: u32) -> Option<Exit> {
        Some(Exit { code, signal })
    }

    #[test]
    fn both_ways_of_writing_an_exit_are_read_and_nothing_else() {
        assert_eq!((parse("0:0"), parse("3:0"), parse("0:15")), (exit(0, 0), exit(3, 0), exit(0, 15)));
        assert_eq!((parse("0"), parse("768"), parse("11"), parse("139")), (exit(0, 0), exit(3, 0), exit(0, 11), exit(0, 11)));
        for nonsense in ["", ":", "0:", "-1:0", "a", "99999999999", "0:0:0"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn squeues_line_of_the_job_itself_counts_and_a_reason_makes_success_doubtful() {
        let line = |id: u32, exit: &str, reason: &str| format!("{id:<20}{exit:<20}{reason:<40}\n");
        assert_eq!(from_squeue(&line(7, "0", "None"), 7), exit(0, 0));
        assert_eq!(from_squeue(&line(7, "0:0", "None"), 7), exit(0, 0));
        assert_eq!(from_squeue(&line(7, "15", "None"), 7), exit(0, 15), "cancelled");
        assert_eq!(from_squeue(&line(7, "0:0", "TimeLimit"), 7), None);
        assert_eq!(from_squeue(&line(7, "0:15", "TimeLimit"), 7), exit(0, 15));
        assert_eq!(from_squeue(&(line(8, "0", "None") + &line(7, "256", "NonZeroExitCode")), 7), exit(1, 0));
        assert_eq!(from_squeue(&line(77, "0", "None"), 7), None);
        assert_eq!(from_squeue("slurm_load_jobs error", 7), None);
    }
}
