//! Moldable width: which GPU counts a job may have (`--carbon-workers`), and how sbatch is told.
//!
//! A count is open only if the job's own GPU request can be rewritten for it without guessing; which of the open ones is
//! best is the planner's to say, by the profile's scaling table.

use carm::slurm::widen::widened;

use crate::gather::Gathered;
use crate::warning::Warning;

/// The open counts, rising, with the options that ask for each; none for the requested count.
#[derive(Debug)]
pub struct Widths(Vec<(u32, Vec<String>)>);

impl Widths {
    /// Of a job that requests so many GPUs. A service, whose work does not end, keeps its own.
    pub fn of(gathered: &Gathered, requested: u32, warnings: &mut Vec<Warning>) -> Self {
        let Some(workers) = &gathered.request.workers else { return Self(vec![(requested, Vec::new())]) };
        if gathered.request.latency_s.is_some() {
            if workers.counts() != [requested] {
                warnings.push(Warning::WidthKept { gpus: requested, reason: "it is a service".to_owned() });
            }
            return Self(vec![(requested, Vec::new())]);
        }
        let (mut open, mut closed, mut reason) = (Vec::new(), Vec::new(), None);
        for &count in workers.counts() {
            match widened(&gathered.options, requested, count) {
                _ if count == requested => open.push((count, Vec::new())),
                Ok(options) => open.push((count, options)),
                Err(why) => {
                    closed.push(count);
                    reason.get_or_insert(why);
                }
            }
        }
        if let Some(reason) = reason {
            warnings.push(if open.iter().all(|(count, _)| *count == requested) {
                Warning::WidthKept { gpus: requested, reason }
            } else {
                Warning::WidthsLeftOut { counts: closed, reason }
            });
        }
        if open.is_empty() {
            open.push((requested, Vec::new()));
        }
        Self(open)
    }

    /// The counts, rising.
    pub fn counts(&self) -> Vec<u32> {
        self.0.iter().map(|(count, _)| *count).collect()
    }

    /// The options that ask for a count.
    pub fn options(&self, count: u32) -> Vec<String> {
        self.0.iter().find(|(open, _)| *open == count).map(|(_, options)| options.clone()).unwrap_or_default()
    }
}
