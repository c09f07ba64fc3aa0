//! The Standard Workload Format (Chapin and others, 1999; Parallel Workloads Archive): 18 numbers a line, `;` before comments, -1 for
//! what is not known. Used: 1 number, 2 submission (s), 4 run time (s), 5 processors allocated, 8 requested, 9 time requested (s).

use std::path::Path;

use super::{JobTrace, JobsError, Submission, fault};

pub(super) fn parse(text: &str, path: &Path) -> Result<JobTrace, JobsError> {
    let mut submissions = Vec::new();
    for (line, row) in (1..).zip(text.lines()) {
        let row = row.trim();
        if row.is_empty() || row.starts_with(';') {
            continue;
        }
        let fields: Vec<f64> = row
            .split_whitespace()
            .map(|field| {
                let cause = || fault(path, line, format!("'{}': not a number", carm::request::printable(field)));
                field.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(cause)
            })
            .collect::<Result<_, _>>()?;
        let &[job, submit_s, _, run_s, allocated, _, _, requested, limit_s, ..] = fields.as_slice() else {
            return Err(fault(path, line, format!("{} numbers; give 18, -1 for what is not known", fields.len())));
        };
        let units = if requested > 0.0 { requested } else { allocated };
        if run_s <= 0.0 || units <= 0.0 || submit_s < 0.0 {
            continue; // never ran, or nobody knows how long
        }
        submissions.push(Submission {
            name: format!("swf-{job}"),
            submit_h: submit_s / 3600.0,
            units,
            run_h: run_s / 3600.0,
            limit_h: (limit_s > 0.0).then_some(limit_s / 3600.0),
            deadline_after_h: None,
        });
    }
    Ok(JobTrace { submissions, begins: None, skipped: None })
}
