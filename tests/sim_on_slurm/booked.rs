//! What became of the jobs: as Slurm booked them, and as CARM's ledger did.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use carm::ledger::{self, Record};
use chrono::{DateTime, NaiveDateTime};

use crate::load::Row;
use crate::site::Site;

/// One job. Instants are seconds since 1970, as Slurm has them.
#[derive(Debug)]
pub struct Job {
    pub name: String,
    pub gpus: usize,
    pub limit: String,
    pub submit_s: i64,
    pub start_s: i64,
    pub run_s: i64,
    /// What is told the simulator of that.
    told_s: i64,
    pub energy_kwh: f64,
    pub carbon_g: f64,
}

/// All jobs, in the order of submission.
pub struct Booked {
    pub jobs: Vec<Job>,
}

impl Booked {
    /// Of jobs by number.
    pub fn of(site: &Site, numbers: &[u32]) -> Self {
        let lines = ledger::read_dir(&site.path("ledger")).expect("a ledger").records;
        let lines: BTreeMap<u32, Record> = lines.into_iter().map(|line| (line.job, line)).collect();
        let job = |&number: &u32| {
            let shown = show(site, number);
            assert_eq!(shown["JobState"], "COMPLETED", "{shown:?}\n{}", site.cluster.output_of(number));
            let line = lines.get(&number).unwrap_or_else(|| panic!("job {number}: no line in the ledger\n{}", site.log()));
            assert_eq!((&line.marks[..], line.closed), (&[][..], true), "{line:#?}\n{}", site.log());
            let at = |key: &str| seconds(&shown[key]);
            let run_s = at("EndTime") - at("StartTime");
            Job {
                name: shown["JobName"].clone(),
                gpus: line.gpus.len(),
                limit: shown["TimeLimit"].clone(),
                submit_s: at("SubmitTime"),
                start_s: at("StartTime"),
                run_s,
                told_s: run_s,
                energy_kwh: line.energy_kwh,
                carbon_g: line.carbon_g,
            }
        };
        Self { jobs: numbers.iter().map(job).collect() }
    }

    /// The same, of which the simulator is told the work at full clock, and not how long they ran.
    pub fn of_work(mut self, rows: &[Row]) -> Self {
        self.jobs.iter_mut().zip(rows).for_each(|(job, row)| job.told_s = i64::from(row.3));
        self
    }

    /// When the first was submitted.
    pub fn begin_s(&self) -> i64 {
        self.jobs.iter().map(|job| job.submit_s).min().expect("jobs")
    }

    /// As `sacct -X --parsable2` exports it; a throw-away Slurm has no database for it.
    pub fn as_sacct(&self) -> String {
        let mut text = "JobName|Submit|Elapsed|Timelimit|AllocTRES\n".to_owned();
        for job in &self.jobs {
            let submit = DateTime::from_timestamp(job.submit_s, 0).expect("a time").format("%Y-%m-%dT%H:%M:%S");
            let elapsed = format!("00:{:02}:{:02}", job.told_s / 60, job.told_s % 60);
            writeln!(text, "{}|{submit}|{elapsed}|{}|gres/gpu={}", job.name, job.limit, job.gpus).expect("text");
        }
        text
    }

    /// How long all of them ran.
    pub fn run_s(&self) -> i64 {
        self.jobs.iter().map(|job| job.run_s).sum()
    }

    /// How many jobs waited for longer than this.
    pub fn waited(&self, longer_s: i64) -> usize {
        self.jobs.iter().filter(|job| job.start_s - job.submit_s > longer_s).count()
    }

    /// How many jobs started before one that had been submitted before them.
    pub fn passed(&self) -> usize {
        let passed = |(i, job): (usize, &Job)| self.jobs[..i].iter().any(|earlier| earlier.start_s > job.start_s);
        self.jobs.iter().enumerate().filter(|&one| passed(one)).count()
    }
}

impl Display for Booked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin_s = self.begin_s();
        self.jobs.iter().try_for_each(|job| {
            let (submit_s, start_s) = (job.submit_s - begin_s, job.start_s - begin_s);
            writeln!(
                f,
                "{}: {} GPUs, {}, submitted {submit_s}, started {start_s}, ran {}",
                job.name, job.gpus, job.limit, job.run_s
            )
        })
    }
}

/// `scontrol show job`, its times in UTC.
fn show(site: &Site, number: u32) -> BTreeMap<String, String> {
    let ran = site.cluster.with_env("TZ", "UTC").run("scontrol", &["--oneliner", "show", "job", &number.to_string()]);
    let pairs = ran.stdout.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn seconds(text: &str) -> i64 {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").unwrap_or_else(|error| panic!("{text}: {error}"));
    time.and_utc().timestamp()
}
