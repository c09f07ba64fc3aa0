//! The jobs, and how they are brought to a Slurm.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{built, wait_for_long};
use crate::site::Site;

/// A job: submitted after so many seconds, on so many GPUs, with a limit of so many minutes, running for so many seconds.
pub type Row = (u64, u32, u32, u32);

/// Fifty jobs in four bursts, drawn by chance: wide ones tend to have long limits. What is not left to chance are the ends: no two of them are
/// within three seconds, else it would hang on milliseconds which of two came first, and on that who starts. Limits lie so far apart
/// that seconds do not change which of two is over first. Of 300 draws four had six jobs or more that pass others, and this is the one of them
/// whose starts depend least on delays of a second.
#[rustfmt::skip]
pub const FIFTY: &[Row] = &[
    (0, 2, 25, 14), (0, 1, 25, 20), (0, 1, 2, 11), (0, 1, 10, 17), (0, 1, 2, 8),
    (3, 2, 25, 20), (3, 1, 10, 21), (3, 4, 10, 12), (3, 1, 25, 21), (3, 2, 2, 12),
    (6, 1, 25, 6), (6, 1, 10, 12), (6, 4, 10, 15), (24, 1, 2, 12), (24, 1, 2, 15),
    (24, 4, 50, 9), (24, 1, 10, 12), (24, 1, 2, 18), (27, 2, 25, 12), (27, 2, 50, 12),
    (27, 4, 10, 15), (27, 2, 50, 9), (27, 1, 2, 12), (30, 1, 2, 12), (30, 1, 2, 15),
    (30, 4, 10, 12), (48, 1, 25, 18), (48, 2, 10, 9), (48, 1, 2, 18), (48, 1, 2, 15),
    (48, 2, 2, 6), (51, 2, 2, 15), (51, 1, 10, 21), (51, 1, 2, 15), (51, 2, 2, 9),
    (51, 4, 10, 15), (54, 1, 2, 21), (54, 1, 2, 21), (72, 1, 10, 15), (72, 1, 25, 21),
    (72, 2, 25, 21), (72, 1, 2, 18), (72, 1, 2, 12), (75, 1, 2, 21), (75, 1, 2, 21),
    (75, 4, 50, 12), (75, 2, 2, 18), (75, 1, 2, 9), (78, 2, 2, 12), (78, 2, 50, 15),
];

/// Eight that run slower than they might; the time is that of their work at full clock. All are as wide as the others, so that none can pass: what
/// limits they get, and so who may pass, hangs on the second in which they are planned.
#[rustfmt::skip]
pub const GOVERNED: &[Row] = &[
    (0, 4, 10, 20), (0, 4, 10, 12), (3, 4, 10, 14), (3, 4, 10, 10), (6, 4, 10, 16), (12, 4, 10, 9), (12, 4, 10, 14), (15, 4, 10, 11),
];

/// Everything is over by then, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(300);

/// Jobs are submitted and end so far into a second. Slurm books whole seconds: what follows an end within the rest of its second (epilog, start
/// of the next job) is booked as having followed at once, and the sum of many jobs, one after the other, does not round.
const INTO_SECOND: Duration = Duration::from_millis(100);

/// Jobs to be.
pub struct Load {
    rows: &'static [Row],
    slack_s: Option<u32>,
}

impl Load {
    pub fn of(rows: &'static [Row]) -> Self {
        Self { rows, slack_s: None }
    }

    /// Jobs with a deadline: so long after submission as their work takes at full clock, and this.
    pub fn with_slack(self, slack_s: u32) -> Self {
        Self { slack_s: Some(slack_s), ..self }
    }

    /// Submits all of them, each at its time, and waits until the last is over; their numbers, in the order of the rows.
    pub fn run(&self, site: &Site) -> Vec<u32> {
        let (script, config) = (self.script(site), site.path("carm.toml").display().to_string());
        let begin = Duration::from_secs(now().as_secs() + 2) + INTO_SECOND;
        let submit = |(i, &(at_s, gpus, limit_min, run_s)): (usize, &Row)| {
            std::thread::sleep((begin + Duration::from_secs(at_s)).saturating_sub(now()));
            let mut options = vec![format!("--job-name=job-{i}"), format!("--gpus={gpus}"), format!("--time={limit_min}")];
            let mut program = "sbatch".to_owned();
            if let Some(slack_s) = self.slack_s {
                options.push(format!("--carbon-runtime=0:{run_s}"));
                options.push(format!("--carbon-deadline=now+{}seconds", run_s + slack_s));
                options.push("--carbon-max-delay=0s".to_owned());
                program = built("carm-submit").display().to_string();
            }
            let run = run_s.to_string();
            let words = options.iter().chain([&script, &run]).map(String::as_str).collect::<Vec<_>>();
            site.cluster.with_env("CARM_CONFIG", &config).run(&program, &words).job()
        };
        let jobs = self.rows.iter().enumerate().map(submit).collect();
        wait_for_long("all jobs to end", PATIENCE, || {
            std::thread::sleep(Duration::from_secs(1));
            site.cluster.queue().is_empty().then_some(())
        });
        jobs
    }

    /// A script that loads the job's GPUs: until `$1` seconds after the second in which it began, or, slow, until so much work is done.
    fn script(&self, site: &Site) -> String {
        let until = format!(
            "us=${{EPOCHREALTIME/./}}\n\
             left_us=$(((us / 1000000 + $1) * 1000000 + {} - us))\n\
             printf -v work %d.%06d $((left_us / 1000000)) $((left_us % 1000000))",
            INTO_SECOND.as_micros()
        );
        let work = if self.slack_s.is_some() { "work=$1" } else { &until };
        let (load, library) = (built("gpu-load"), site.path("gpu/libnvidia-ml.so.1"));
        let (load, library) = (load.display(), library.display());
        let run = format!("exec {load} --work $work --library {library} --by minor --gpus \"$SLURM_JOB_GPUS\"");
        site.cluster.script("load.sh", &format!("#!/bin/bash\n{work}\n{run}\n"))
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}
