//! A small vocabulary: a grid by the hour, jobs by the line, one card with three clocks, and what a policy makes of them.

use std::fmt::Write;

use carm_sim::account::{JobRecord, PolicyRun};
use carm_sim::scenario::Scenario;
use carm_sim::world::{Source, World};
use carm_sim::{engine, policy};
use tempfile::TempDir;

/// 2000 MHz: 300 W at speed 1; 1500: 180 W at 0.8 (225 W an hour of work, the least); 1000: 150 W at 0.5.
pub const PROFILE: &str = "name = \"p\"\ngpu = \"card\"\nsource = \"a test\"\nmeasured = true\n\
    [[level]]\nclock_mhz = 1000\nwatts = 150.0\nspeed = 0.5\nlatency_ms = 40.0\n\
    [[level]]\nclock_mhz = 1500\nwatts = 180.0\nspeed = 0.8\nlatency_ms = 25.0\n\
    [[level]]\nclock_mhz = 2000\nwatts = 300.0\nspeed = 1.0\nlatency_ms = 20.0\n\
    [scaling]\n1 = 1.0\n2 = 1.8\n4 = 3.0\n";

/// A scenario to be.
#[derive(Clone)]
pub struct Case {
    grid: String,
    roof: Option<String>,
    jobs: String,
    gpus: u32,
    site: String,
    start: String,
    length: &'static str,
    rules: String,
    more: String,
}

impl Case {
    /// A grid of these intensities from 2022-01-01 on, hour by hour; one site of 4 GPUs; no host power, PUE 1; jobs wait for 24 h.
    pub fn grid(g_per_kwh: &[f64]) -> Self {
        let mut grid = "time,carbon_g_per_kwh\n".to_owned();
        by_hour(&mut grid, g_per_kwh);
        Self {
            grid,
            roof: None,
            jobs: String::new(),
            gpus: 4,
            site: String::new(),
            start: "2022-01-01T00:00:00Z".to_owned(),
            length: "2d",
            rules: String::new(),
            more: String::new(),
        }
    }

    /// The same with a renewable share.
    pub fn share(mut self, share: &[f64]) -> Self {
        let mut lines = self.grid.lines();
        let head = format!("{},renewable_share\n", lines.next().unwrap());
        self.grid = lines.zip(share).fold(head, |text, (line, share)| text + &format!("{line},{share}\n"));
        self
    }

    /// On-site power of the site, W, hour by hour.
    pub fn roof(mut self, watts: &[f64]) -> Self {
        let mut roof = "time,onsite_w\n".to_owned();
        by_hour(&mut roof, watts);
        self.roof = Some(roof);
        self
    }

    /// A job: submitted at an hour, so many hours long, on so many GPUs.
    pub fn job(mut self, submit_h: f64, hours: f64, gpus: u32) -> Self {
        writeln!(self.jobs, "{submit_h},{hours},{gpus}").unwrap();
        self
    }

    pub fn gpus(mut self, gpus: u32) -> Self {
        self.gpus = gpus;
        self
    }

    pub fn from(mut self, start: &str, length: &'static str) -> Self {
        (self.start, self.length) = (start.to_owned(), length);
        self
    }

    /// More keys of `[jobs]`.
    pub fn rules(mut self, rules: &str) -> Self {
        self.rules += rules;
        self.rules.push('\n');
        self
    }

    /// More keys of the site, and tables after it.
    pub fn site(mut self, keys: &str) -> Self {
        self.site += keys;
        self.site.push('\n');
        self
    }

    /// More tables.
    pub fn more(mut self, more: &str) -> Self {
        self.more += more;
        self.more.push('\n');
        self
    }

    /// The scenario in a folder of its own.
    pub fn folder(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("profiles")).unwrap();
        write("profiles/p.toml", PROFILE);
        write("grid.csv", &self.grid);
        let onsite = self.roof.as_ref().map_or("", |_| "onsite = \"roof.csv\"\n");
        write("roof.csv", self.roof.as_deref().unwrap_or_default());
        let jobs = if self.jobs.is_empty() {
            String::new()
        } else {
            write("jobs.csv", &format!("arrival_time,length,cpus\n{}", self.jobs));
            format!("[jobs]\nsource = \"pai\"\npath = \"jobs.csv\"\n{}", self.rules)
        };
        let text = format!(
            "seed = 5\nprofiles = \"profiles\"\n[time]\nstart = \"{}\"\nlength = \"{}\"\n[planner]\nmax_delay = \"24h\"\nhost_watts = 0\npue = 1\n\
             [[zone]]\nname = \"z\"\npath = \"grid.csv\"\n\
             [[site]]\nname = \"s\"\nzone = \"z\"\ngpus = {}\ngpu = \"card\"\nprofile = \"p\"\nonsite_g_per_kwh = 0\n{onsite}{}{jobs}{}",
            self.start, self.length, self.gpus, self.site, self.more
        );
        write("scenario.toml", &text);
        folder
    }

    pub fn scenario(&self) -> (TempDir, Scenario) {
        let folder = self.folder();
        let (scenario, _) = Scenario::load(&folder.path().join("scenario.toml"), &[], None).unwrap_or_else(|e| panic!("{e}"));
        (folder, scenario)
    }

    pub fn world(&self) -> World {
        let (_folder, scenario) = self.scenario();
        Source::read(&scenario).unwrap().world(0).unwrap()
    }

    pub fn run(&self, name: &str) -> Vec<JobRecord> {
        under(&self.world(), name).records
    }
}

/// A policy over an episode.
pub fn under(world: &World, name: &str) -> PolicyRun {
    engine::run(world, policy::named(name).unwrap_or_else(|| panic!("{name}")).as_ref(), &|| {})
}

/// The clocks of a record: begin, end, MHz.
pub fn clocks(world: &World, record: &JobRecord) -> Vec<(f64, f64, u32)> {
    let levels = &world.sites[record.site].levels[world.jobs[record.job].workload];
    record.stretches.iter().map(|s| (s.from_h, s.to_h, levels[s.level].clock_mhz)).collect()
}

#[track_caller]
pub fn near(left: f64, right: f64) {
    assert!((left - right).abs() <= 1e-9 * right.abs().max(1.0), "{left} is not {right}");
}

fn by_hour(text: &mut String, values: &[f64]) {
    let start = carm::quantity::parse_instant("2022-01-01T00:00:00Z").unwrap();
    for (hour, value) in (0..).zip(values) {
        let at = start + chrono::TimeDelta::hours(hour);
        writeln!(text, "{},{value}", at.format("%Y-%m-%dT%H:%M:%SZ")).unwrap();
    }
}
