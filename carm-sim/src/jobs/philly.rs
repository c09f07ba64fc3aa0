//! Microsoft's Philly jobs with deadlines, as published with Chronus: minutes throughout; `expect_time_list` is the deadline after
//! submission (of a list the first), and jobs that are not `strict` have none.

use std::path::Path;

use super::{JobTrace, JobsError, Submission, Table, number};

const COLUMNS: [&str; 5] = ["job_id", "num_gpu", "submit_time", "duration", "expect_time_list"];

pub(super) fn parse(text: &str, path: &Path) -> Result<JobTrace, JobsError> {
    let mut table = Table::open(text, path, b',', &COLUMNS)?;
    let at = COLUMNS.map(|name| table.column(name).unwrap_or_default());
    let kind = table.column("job_type");
    let mut submissions = Vec::new();
    while let Some((row, line)) = table.next()? {
        let field = |i: usize| row.get(at[i]).unwrap_or_default();
        let value = |i: usize| number(path, line, COLUMNS[i], field(i));
        let strict = kind.and_then(|at| row.get(at)).is_none_or(|kind| kind == "strict");
        let first = field(4).trim_start_matches('[').split([',', '-', ']', ' ']).next().unwrap_or_default();
        let deadline_min = if strict { Some(number(path, line, COLUMNS[4], first)?) } else { None };
        submissions.push(Submission {
            name: format!("philly-{}", field(0)),
            submit_h: value(2)? / 60.0,
            units: value(1)?,
            run_h: value(3)? / 60.0,
            limit_h: None,
            deadline_after_h: deadline_min.map(|minutes| minutes / 60.0),
        });
    }
    Ok(JobTrace { submissions, begins: None, skipped: None })
}
