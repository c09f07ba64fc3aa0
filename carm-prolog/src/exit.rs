//! How a job's run ended. slurmd's epilog is told the exit code that the controller knew when it ended the job: of a job that
//! was cancelled or ran into its time limit that is 0:0 (Slurm 22.05 and 24.11), as of one that did well. So a 0:0 is not
//! believed before squeue, asked once, says it too.

use std::collections::HashMap;
use std::path::Path;

use carm::ledger::Exit;

use crate::job::Job;
use crate::squeue;
use crate::state::JobState;

/// A width for each column: Slurm cuts what is longer.
const FORMAT: &str = "--Format=JobID:20,RestartCnt:20,exit_code:20,Reason:40";

/// How the run ended by slurmd's environment.
pub fn of_run(job: &Job, state: &JobState) -> Option<Exit> {
    // The epilog of a run that is requeued counts the next one already, and its environment has 0:0.
    let exit = job.exit_code2.as_deref().or(job.exit_code.as_deref());
    exit.filter(|_| job.restart_count <= state.run).and_then(parse)
}

/// The exit of each run, as far as squeue shows it without doubt.
pub fn from_slurmctld(runs: &[(u32, u32)], slurm_conf: Option<&Path>) -> HashMap<(u32, u32), Exit> {
    let jobs: Vec<u32> = runs.iter().map(|(job, _)| *job).collect();
    match squeue::show(&jobs, FORMAT, slurm_conf) {
        Ok(answer) => runs.iter().filter_map(|&run| Some((run, from_squeue(&answer, run)?))).collect(),
        Err(cause) => {
            log::debug!("how jobs ended: squeue: {cause}");
            HashMap::new()
        }
    }
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

/// The run's own line in squeue's output: for an array's number, it has every task; and a job may have been started anew.
fn from_squeue(answer: &str, (job, run): (u32, u32)) -> Option<Exit> {
    answer.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let own = words.next()?.parse() == Ok(job) && words.next()?.parse() == Ok(run);
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
        let line = |id: u32, exit: &str, reason: &str| format!("{id:<20}{:<20}{exit:<20}{reason:<40}\n", 1);
        assert_eq!(from_squeue(&line(7, "0", "None"), (7, 1)), exit(0, 0));
        assert_eq!(from_squeue(&line(7, "0:0", "None"), (7, 1)), exit(0, 0));
        assert_eq!(from_squeue(&line(7, "15", "None"), (7, 1)), exit(0, 15), "cancelled");
        assert_eq!(from_squeue(&line(7, "0:0", "TimeLimit"), (7, 1)), None);
        assert_eq!(from_squeue(&line(7, "0:15", "TimeLimit"), (7, 1)), exit(0, 15));
        assert_eq!(from_squeue(&(line(8, "0", "None") + &line(7, "256", "NonZeroExitCode")), (7, 1)), exit(1, 0));
        assert_eq!(from_squeue(&line(77, "0", "None"), (7, 1)), None);
        assert_eq!(from_squeue(&line(7, "0", "None"), (7, 0)), None, "another run");
        assert_eq!(from_squeue("slurm_load_jobs error", (7, 1)), None);
    }
}
