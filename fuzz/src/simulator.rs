//! What carm-sim reads: traces of jobs in four formats, scenarios.

use std::path::Path;

use carm_sim::jobs::{self, JobTrace};
use carm_sim::scenario::{JobSource, Scenario};

use super::{assert_message, select};

/// The first byte selects the kind of file.
pub fn run(data: &[u8]) {
    let Some((selector, rest)) = select(data) else { return };
    let text = String::from_utf8_lossy(rest);
    match selector % 6 {
        0 => trace(JobSource::Pai, &text),
        1 => trace(JobSource::Philly, &text),
        2 => trace(JobSource::Sacct, &text),
        3 => trace(JobSource::Swf, &text),
        _ => scenario(&text),
    }
}

fn trace(source: JobSource, text: &str) {
    match jobs::parse(source, text, Path::new("jobs.csv")) {
        Ok(JobTrace { submissions, .. }) => {
            assert!(submissions.windows(2).all(|w| w[0].submit_h <= w[1].submit_h));
            for job in &submissions {
                let numbers = [Some(job.submit_h), Some(job.units), Some(job.run_h), job.limit_h, job.deadline_after_h];
                assert!(numbers.into_iter().flatten().all(|number| number >= 0.0 && number.is_finite()), "{job:?}");
            }
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

/// A scenario is read or refused in a line; so is every remark on it.
fn scenario(text: &str) {
    match Scenario::parse(text, Path::new("scenario.toml"), None) {
        Ok((scenario, remarks)) => {
            remarks.iter().for_each(|remark| assert_message(&remark.0));
            scenario.made_up().iter().for_each(|made_up| assert_message(made_up));
        }
        Err(error) => assert_message(&error.to_string()),
    }
}
