//! Whether a job still runs here, where its epilog has not come: told by its processes for nothing, else by slurmctld, which is
//! asked seldom.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The first pause between two questions about a job, and the longest: it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

/// How long a new job's first question waits where one is sure to be asked: the governor looks at once at a job that is new, and
/// its next look is soon enough.
const MOMENT: Duration = Duration::from_secs(1);

/// The jobs that have a slurmstepd on this host. None is no proof that a job has ended: an allocation may have no step.
pub fn jobs_with_steps(proc: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().filter_map(Result::ok);
    let processes =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit())));
    let mut jobs: Vec<u32> = processes.filter_map(|entry| job_of(&std::fs::read(entry.path().join("cmdline")).ok()?)).collect();
    jobs.sort_unstable();
    jobs.dedup();
    jobs
}

/// The job of a step's title, `slurmstepd: [7.batch]`; array tasks and het components stand there by their own number.
fn job_of(cmdline: &[u8]) -> Option<u32> {
    let title = cmdline.strip_prefix(b"slurmstepd: [")?;
    let digits: Vec<u8> = title.iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Who was asked about when: so that a node full of idle allocations does not become a load on slurmctld.
#[derive(Default)]
pub struct Questions(HashMap<u32, (Instant, Duration)>);

impl Questions {
    /// Whether it is time to ask about a job; if so, the next time is later.
    pub fn is_time(&mut self, job: u32, now: Instant) -> bool {
        match self.0.get_mut(&job) {
            Some((asked, pause)) if now.duration_since(*asked) < *pause => false,
            Some((asked, pause)) => {
                (*asked, *pause) = (now, (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE));
                true
            }
            None => {
                self.0.insert(job, (now, FIRST_PAUSE));
                true
            }
        }
    }

    /// Lets the first question about a new job wait: to the next look where it is known already that there is one.
    pub fn postpone(&mut self, job: u32, is_sure: bool, now: Instant) {
        self.0.entry(job).or_insert((now, if is_sure { MOMENT } else { FIRST_PAUSE }));
    }

    /// Forgets the jobs that are gone.
    pub fn keep(&mut self, is_here: impl Fn(u32) -> bool) {
        self.0.retain(|&job, _| is_here(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_title_names_its_job() {
        assert_eq!(job_of(b"slurmstepd: [7.batch]\0"), Some(7));
        assert_eq!(job_of(b"slurmstepd: [123.extern]"), Some(123));
        for other in [&b"slurmstepd"[..], b"slurmstepd: []", b"/usr/sbin/slurmd\0-N\0n1", b"slurmstepd: [99999999999.0]"] {
            assert_eq!(job_of(other), None);
        }
    }

    #[test]
    fn slurmctld_is_asked_ever_more_seldom() {
        let mut questions = Questions::default();
        let start = Instant::now();
        let asked = (0..7200).filter(|&second| questions.is_time(7, start + Duration::from_secs(second))).count();
        assert_eq!(asked, 8, "at 0, 1, 3, 7, 15, 31, 61 and 91 minutes");
        questions.keep(|_| false);
        assert!(questions.is_time(7, start));
    }

    #[test]
    fn a_new_jobs_first_question_waits_and_the_next_ones_are_as_seldom_as_any() {
        let start = Instant::now();
        for (is_sure, expected) in [(true, vec![1, 61, 181, 421]), (false, vec![60, 180, 420])] {
            let mut questions = Questions::default();
            questions.postpone(7, is_sure, start);
            let is_time = |second: &u64| questions.is_time(7, start + Duration::from_secs(*second));
            let asked: Vec<u64> = (0..600).filter(is_time).collect();
            assert_eq!(asked, expected, "in seconds");
        }
    }
}
