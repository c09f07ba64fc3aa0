//! Alibaba's PAI jobs as published with GAIA: `arrival_time,length,cpus`, in hours after the year's begin, hours, and GPU-like units.

use std::path::Path;

use super::{JobTrace, JobsError, Submission, Table, number};

pub(super) fn parse(text: &str, path: &Path) -> Result<JobTrace, JobsError> {
    let mut table = Table::open(text, path, b',', &["arrival_time", "length", "cpus"])?;
    let column = |name| table.column(name).unwrap_or_default();
    let (arrival, length, cpus) = (column("arrival_time"), column("length"), column("cpus"));
    let mut submissions = Vec::new();
    while let Some((row, line)) = table.next()? {
        let value = |what: &str, at: usize| number(path, line, what, row.get(at).unwrap_or_default());
        submissions.push(Submission {
            name: format!("pai-{}", line - 1),
            submit_h: value("arrival_time", arrival)?,
            units: value("cpus", cpus)?,
            run_h: value("length", length)?,
            limit_h: None,
            deadline_after_h: None,
        });
    }
    Ok(JobTrace { submissions, begins: None, skipped: None })
}
