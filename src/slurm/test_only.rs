//! `sbatch --test-only`: Slurm's own estimate of a start.
//!
//! It stands on standard error, in the submit host's local time: `sbatch: Job 32 to start at 2026-11-23T22:12:03 using 1
//! processors on nodes carm1 in partition p` (22.05 to 26.05; `SLURM_TIME_FORMAT` must be unset). It is an estimate: in a
//! busy moment it has been hours off.

use chrono::NaiveDateTime;

/// What Slurm estimates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// When the job would start, in local time.
    pub start: NaiveDateTime,
    /// On which nodes.
    pub nodes: Option<String>,
    /// In which partition.
    pub partition: Option<String>,
}

/// Finds the estimate in what sbatch printed.
#[must_use]
pub fn read_estimate(text: &str) -> Option<Estimate> {
    text.lines().find_map(|line| {
        let (_, told) = line.split_once(" to start at ")?;
        let mut words = told.split_whitespace();
        let start = NaiveDateTime::parse_from_str(words.next()?, "%Y-%m-%dT%H:%M:%S").ok()?;
        let words: Vec<_> = words.collect();
        let after = |key: [&str; 2]| words.windows(3).find(|w| w[..2] == key).map(|w| w[2].to_owned());
        Some(Estimate { start, nodes: after(["on", "nodes"]), partition: after(["in", "partition"]) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_answer_of_22_05_is_read() {
        let text = "sbatch: Job 32 to start at 2026-11-23T22:12:03 using 1 processors on nodes carm1 in partition p\n";
        let estimate = read_estimate(text).expect("an estimate");
        assert_eq!(estimate.start.to_string(), "2026-11-23 22:12:03");
        assert_eq!((estimate.nodes.as_deref(), estimate.partition.as_deref()), (Some("carm1"), Some("p")));
    }

    #[test]
    fn estimate_of_26_05_is_read() {
        let text = "sbatch: Job 3 to start at 2026-11-30T08:41:10 a using 1 processors on nodes n1 in partition main\n";
        let estimate = read_estimate(text).expect("an estimate");
        assert_eq!(estimate.start.to_string(), "2026-11-30 08:41:10");
        assert_eq!((estimate.nodes.as_deref(), estimate.partition.as_deref()), (Some("n1"), Some("main")));
    }

    #[test]
    fn an_answer_without_a_time_is_none() {
        for text in
            ["", "allocation failure: Requested node configuration is not available", "Job 3 to start at soon", "x to start at "]
        {
            assert_eq!(read_estimate(text), None, "{text}");
        }
    }
}
