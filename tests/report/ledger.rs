//! Ledger lines as the nodes write them, from a small world: a grid that is clean at noon, a profile of two levels, jobs that
//! were put off to the morning or were not. All figures of a line follow from one another.

use carm::ledger::{Exit, Gpu, GridStep, Intensity, LevelUsed, Mark, Meter, ProfileUsed, RECORD_VERSION, Record, Step};
use carm::quantity::{format_instant, parse_instant};
use chrono::{DateTime, TimeDelta, Utc};

pub const FULL: LevelUsed = LevelUsed { clock_mhz: 1980, watts: 700.0, speed: 1.0 };
pub const ECONOMICAL: LevelUsed = LevelUsed { clock_mhz: 1410, watts: 430.0, speed: 0.8 };
pub const PUE: f64 = 1.2;
pub const HOST_W: f64 = 100.0;
const EMBODIED_G_PER_GPU_H: f64 = 6.0;

/// An instant.
pub fn at(text: &str) -> DateTime<Utc> {
    parse_instant(text).expect("an instant")
}

/// The grid: 420 g/kWh at midnight, 120 at noon, by whole hours.
pub fn grid(time: DateTime<Utc>) -> f64 {
    let hour = time.timestamp().rem_euclid(86_400) / 3_600;
    270.0 + 150.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).cos()
}

/// A job as it ran.
#[derive(Debug, Clone)]
pub struct Ran {
    pub job: u32,
    pub node: String,
    pub user: String,
    pub account: String,
    pub name: String,
    pub asked: DateTime<Utc>,
    pub start: DateTime<Utc>,
    pub hours: f64,
    pub gpus: usize,
    pub clock: LevelUsed,
    /// Measured over modelled.
    pub calibration: f64,
    /// On-site power that the job could count on from 09:00 to 15:00, W; it emits 25 g/kWh.
    pub onsite_w: f64,
}

impl Ran {
    /// One GPU of ada's for four hours from eight o'clock on, as it was asked for.
    pub fn new(job: u32) -> Self {
        Self {
            job,
            node: "solar1".into(),
            user: "ada".into(),
            account: "physics".into(),
            name: "train".into(),
            asked: at("2026-05-01T08:00:00Z"),
            start: at("2026-05-01T08:00:00Z"),
            hours: 4.0,
            gpus: 1,
            clock: FULL,
            calibration: 1.0,
            onsite_w: 0.0,
        }
    }

    fn onsite(&self, time: DateTime<Utc>) -> f64 {
        let hour = time.timestamp().rem_euclid(86_400) / 3_600;
        if (9..15).contains(&hour) { self.onsite_w } else { 0.0 }
    }

    /// Its lines: one a day, and one that closes it.
    pub fn lines(&self) -> Vec<Record> {
        let end = self.start + seconds(self.hours * 3600.0);
        let mut cuts = vec![self.start];
        let mut noon = self.start + TimeDelta::days(1);
        while noon < end {
            cuts.push(noon);
            noon += TimeDelta::days(1);
        }
        cuts.push(end);
        cuts.windows(2).map(|span| self.line(span[0], span[1], span[1] == end)).collect()
    }

    fn line(&self, from: DateTime<Utc>, to: DateTime<Utc>, closed: bool) -> Record {
        let n = self.gpus as f64;
        let gpu_w = n * self.clock.watts * self.calibration;
        let facility_w = PUE * (gpu_w + HOST_W * n);
        let hourly = |from: DateTime<Utc>, to: DateTime<Utc>| {
            let mut pieces = vec![];
            let mut time = from;
            while time < to {
                let hour = seconds(3600.0 - time.timestamp().rem_euclid(3_600) as f64);
                let next = (time + hour).min(to);
                pieces.push((time, (next - time).as_seconds_f64()));
                time = next;
            }
            pieces
        };
        let step = |&(time, seconds): &(DateTime<Utc>, f64)| {
            let onsite_w = self.onsite(time);
            let used = facility_w.min(onsite_w);
            Step {
                from: format_instant(time),
                seconds,
                clock_mhz: Some(self.clock.clock_mhz),
                gpu_energy_j: gpu_w * seconds,
                carbon_g: (grid(time) * (facility_w - used) + 25.0 * used) * seconds / 3.6e6,
                g_per_kwh: grid(time),
                onsite_w,
                estimated: false,
            }
        };
        let steps: Vec<Step> = hourly(from, to).iter().map(step).collect();
        let span_s = (to - from).as_seconds_f64();
        let work_s = self.hours * 3600.0 * self.clock.speed;
        let grid_step = |&(time, seconds): &(DateTime<Utc>, f64)| GridStep {
            from: format_instant(time),
            seconds,
            g_per_kwh: grid(time),
            onsite_w: self.onsite(time),
            estimated: false,
        };
        let economical = seconds(work_s / ECONOMICAL.speed);
        let grid = if closed { hourly(self.asked, self.asked + economical).iter().map(grid_step).collect() } else { vec![] };
        let gpu = |i: usize| Gpu {
            uuid: format!("GPU-{}-{i}", self.node),
            model: Some("NVIDIA H100 80GB HBM3".into()),
            energy_j: gpu_w * span_s / n,
            meter: Meter::Counter,
            share: 1.0,
        };
        let deferred = self.asked != self.start;
        Record {
            version: RECORD_VERSION,
            cluster: "hpc".into(),
            job: self.job,
            run: 0,
            node: self.node.clone(),
            uid: Some(1000),
            user: Some(self.user.clone()),
            account: Some(self.account.clone()),
            partition: Some("gpu".into()),
            name: Some(self.name.clone()),
            site: Some("north".into()),
            zone: Some("DE".into()),
            grid_source: Some("de.csv".into()),
            start: Some(format_instant(self.start)),
            since: (from != self.start).then(|| format_instant(from)),
            end: format_instant(to),
            closed,
            exit: closed.then_some(Exit { code: 0, signal: 0 }),
            asked: deferred.then(|| format_instant(self.asked)),
            request: [("CARM_BUDGET".to_owned(), "2000".to_owned())].into(),
            clock_mhz: (self.clock != FULL).then_some(self.clock.clock_mhz),
            decision: "least carbon by the deadline".into(),
            work_s: Some(work_s as u64),
            work_done_s: Some(span_s * self.clock.speed),
            profile: Some(ProfileUsed { name: "generic".into(), measured: false, full: FULL, economical: ECONOMICAL }),
            modelled_gpu_energy_j: Some(n * self.clock.watts * span_s),
            clock_changes: u32::from(self.clock != FULL),
            gpus: (0..self.gpus).map(gpu).collect(),
            gpu_energy_j: gpu_w * span_s,
            energy_kwh: facility_w * span_s / 3.6e6,
            carbon_g: steps.iter().map(|step| step.carbon_g).sum(),
            intensity: Intensity::Average,
            embodied_g: EMBODIED_G_PER_GPU_H * n * span_s / 3600.0,
            host_watts: HOST_W,
            pue: PUE,
            estimated_share: 0.0,
            marks: Vec::<Mark>::new(),
            steps,
            grid,
        }
    }
}

pub fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::milliseconds((seconds * 1e3).round() as i64)
}

/// A ledger of a few jobs, line by line with the names of their files: tests/fixtures/ledger holds it, and docs/report.md shows it.
pub fn small() -> Vec<(&'static str, String)> {
    let text = |record: &Record| serde_json::to_string(record).expect("JSON");
    // Put off over night to the sun, at the economical clock.
    let deferred = Ran {
        asked: at("2026-04-30T18:00:00Z"),
        start: at("2026-05-01T08:30:00Z"),
        hours: 7.5,
        gpus: 2,
        clock: ECONOMICAL,
        calibration: 0.91,
        onsite_w: 600.0,
        ..Ran::new(4217)
    };
    // Two days at full clock, at once.
    let long = Ran {
        start: at("2026-05-02T06:00:00Z"),
        asked: at("2026-05-02T06:00:00Z"),
        hours: 40.0,
        user: "grace".into(),
        name: "pretrain".into(),
        ..Ran::new(4218)
    };
    // On two nodes; its first run failed.
    let wide = |run: u32, node: &str, start: &str, hours: f64| {
        let ran = Ran {
            node: node.into(),
            asked: at(start),
            start: at(start),
            hours,
            clock: ECONOMICAL,
            calibration: 1.12,
            account: "chemistry".into(),
            ..Ran::new(4219)
        };
        let exit = Exit { code: u32::from(run == 0), signal: 0 };
        ran.lines().into_iter().map(move |record| Record {
            run,
            exit: record.closed.then_some(exit),
            marks: vec![Mark::Throttled],
            ..record
        })
    };
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    lines.extend(deferred.lines().iter().map(|record| {
        let deadline = ("CARM_DEADLINE".to_owned(), "2026-05-01T18:00:00.000Z".to_owned());
        let request = record.request.clone().into_iter().chain([deadline]).collect();
        ("solar1.2026-05.jsonl", text(&Record { request, ..record.clone() }))
    }));
    lines.extend(long.lines().iter().map(|record| ("solar1.2026-05.jsonl", text(record))));
    for node in ["solar1", "solar2"] {
        let file = if node == "solar1" { "solar1.2026-05.jsonl" } else { "solar2.2026-05.jsonl" };
        let runs = wide(0, node, "2026-05-05T10:00:00Z", 0.5).chain(wide(1, node, "2026-05-05T11:00:00Z", 3.0));
        lines.extend(runs.map(|record| (file, text(&record))));
    }
    // Of the first release, without what a comparison needs.
    lines.push(("solar2.2026-04.jsonl", include_str!("../fixtures/ledger-v1.jsonl").trim_end().to_owned()));
    lines
}
