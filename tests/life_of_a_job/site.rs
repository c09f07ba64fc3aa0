//! A whole site for a test: a real Slurm with two partitions, the stand-in's eight GPUs, CARM's configuration, a grid that
//! changes every ten seconds, and the carm-prolog of this build in Prolog and Epilog.

#![allow(dead_code)] // each test file uses its own part of it

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use carm::ledger::{self, Record};
use chrono::{DateTime, TimeDelta, Utc};

use super::common::{Cluster, Setup, SlurmRelease, built, wait_for};

/// One step of the test's grid, in seconds.
pub const STEP_S: i64 = 10;

/// The grid's carbon intensity by step, repeated: it falls and rises by more than half within a minute.
const INTENSITY: [f64; 12] = [420.0, 400.0, 340.0, 260.0, 180.0, 120.0, 110.0, 150.0, 230.0, 320.0, 380.0, 410.0];

/// The sun on the roof, every other step, in watts.
pub const ROOF_W: f64 = 24000.0;

/// What the configuration below says, for the test's own sums.
pub const PUE: f64 = 1.2;
pub const HOST_WATTS: f64 = 100.0;

pub struct Site {
    pub cluster: Cluster,
    /// Removed after the cluster: field order is drop order.
    folder: tempfile::TempDir,
    grid_start: DateTime<Utc>,
}

/// The site's eight GPUs as one site.
pub const ALL: &str = r#"
[[site]]
name = "all"
zone = "test"
partition = "all"
gpu = "sim"
profile = "train"
gpus = 8
"#;

impl Site {
    /// A site on the installed Slurm.
    pub fn start() -> Self {
        Self::on(SlurmRelease::Installed, "")
    }

    /// A site on a release of choice, with more lines for `[node]`.
    pub fn on(release: SlurmRelease, node_lines: &str) -> Self {
        let setup = Setup::on(release).node("wind1:4:wind:01:00:00").node("solar1:4:solar:01:00:00");
        Self::of(setup, node_lines, "")
    }

    /// A site on a Slurm of choice, with more lines for `[node]` and more sites; `onsite = "roof.csv"` is there to be named.
    pub fn of(setup: Setup, node_lines: &str, sites: &str) -> Self {
        Self::prepared(setup, node_lines, sites, |_| ())
    }

    /// As [`Self::of`]; `prepare` changes the site's folder before Slurm starts.
    pub fn prepared(setup: Setup, node_lines: &str, sites: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("carm-site-").tempdir().expect("a folder");
        let path = folder.path();
        // Jobs of any user load the stand-in.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a folder for all");
        nvidia_ml::place::place(&path.join("gpu"), nvidia_ml::place::EIGHT_GPUS).expect("the stand-in NVML");
        let grid_start = DateTime::<Utc>::from(std::time::SystemTime::now()) - TimeDelta::seconds(3 * STEP_S);
        std::fs::write(path.join("grid.csv"), grid(grid_start)).expect("a trace");
        std::fs::write(path.join("roof.csv"), trace("onsite_w", grid_start, roof_w)).expect("a trace");
        std::fs::create_dir(path.join("profiles")).expect("a folder");
        std::fs::write(path.join("profiles/train.toml"), profile()).expect("a profile");
        std::fs::write(path.join("carm.toml"), configuration(path, node_lines, sites)).expect("a configuration");
        for verb in ["prolog", "epilog"] {
            let script =
                format!("#!/bin/sh\nexec {} {verb} --config {}/carm.toml\n", built("carm-prolog").display(), path.display());
            std::fs::write(path.join(verb), script).expect("a script");
            std::fs::set_permissions(path.join(verb), std::fs::Permissions::from_mode(0o755)).expect("an executable");
        }
        assert!(built("carm-prolog").exists(), "carm-prolog is not built; cargo build --workspace");
        prepare(path);
        let programs = built("carm-prolog").parent().expect("a folder of programs").to_owned();
        let cluster = setup.prolog(path.join("prolog")).epilog(path.join("epilog")).bind(path).bind(&programs).start();
        Self { cluster, folder, grid_start }
    }

    /// A file of the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A training script that does so much work, in seconds at full clock, on the job's GPUs.
    pub fn training_script(&self, directives: &str, work_s: f64) -> String {
        // GRES index -> minor number: the nodes' device files are numbered through, wind1's first.
        let text = format!(
            "#!/bin/bash\n{directives}\nbase=0; [ \"$SLURMD_NODENAME\" = solar1 ] && base=4\nminors=\n\
             for index in ${{SLURM_JOB_GPUS//,/ }}; do minors+=${{minors:+,}}$((base + index)); done\n\
             exec {} --work {work_s} --library {} --by minor --gpus \"$minors\"\n",
            built("gpu-load").display(),
            self.path("gpu/libnvidia-ml.so.1").display()
        );
        self.cluster.script("train.sh", &text)
    }

    /// The ledger's line of a job; waits for it.
    pub fn ledger_line(&self, job: u32) -> Record {
        wait_for(&format!("the ledger line of job {job}"), || {
            let reading = ledger::read_dir(&self.path("ledger")).ok()?;
            reading.records.into_iter().find(|record| record.job == job)
        })
    }

    /// The clocks, in MHz, at which the card of a UUID was busy between two instants.
    pub fn busy_clocks(&self, uuid: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<u32> {
        let points: Vec<Point> = self.power_log().into_iter().filter(|p| p.gpu == index_of(uuid)).collect();
        // The log has a line for each change: what held at the beginning stands before it.
        let before = points.iter().rfind(|p| p.at < seconds(from));
        let inside = points.iter().filter(|p| p.at >= seconds(from) && p.at < seconds(to));
        before.into_iter().chain(inside).filter(|p| p.watts > 100.0).map(|p| p.clock_mhz).collect()
    }

    /// What is called of the driver, in order: `nvmlDeviceSetGpuLockedClocks(gpu=1,min=210,max=1400),0`.
    pub fn driver_calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("gpu/calls.log")).unwrap_or_default();
        log.lines().filter_map(|line| Some(line.splitn(3, ',').nth(2)?.to_owned())).collect()
    }

    /// carm-prolog's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("carm.log")).unwrap_or_default()
    }

    /// Energy of GPUs in joules and facility carbon in grams between two instants, summed here from the stand-in's power log
    /// over the trace, step by step: no code is shared with what CARM books.
    pub fn integrate(&self, uuids: &[String], from: DateTime<Utc>, to: DateTime<Utc>) -> (f64, f64) {
        self.integrate_with_roof(uuids, (from, to), 0.0)
    }

    /// As [`Self::integrate`], for GPUs that get a share of the roof's power, which emits nothing.
    pub fn integrate_with_roof(&self, uuids: &[String], (from, to): (DateTime<Utc>, DateTime<Utc>), share: f64) -> (f64, f64) {
        let points: Vec<Point> = self.power_log();
        let of = |uuid: &String| points.iter().filter(|p| p.gpu == index_of(uuid)).collect::<Vec<_>>();
        let logs: Vec<Vec<&Point>> = uuids.iter().map(of).collect();
        let (from, to) = (seconds(from), seconds(to));
        let grid_start = seconds(self.grid_start_as_written());
        let mut cuts: Vec<f64> = logs.iter().flatten().map(|p| p.at).collect();
        cuts.extend((0..1000).map(|step| grid_start + (step * STEP_S) as f64));
        cuts.extend([from, to]);
        cuts.retain(|&cut| cut >= from && cut <= to);
        cuts.sort_by(f64::total_cmp);
        let (mut energy_j, mut carbon_g) = (0.0, 0.0);
        for pair in cuts.windows(2) {
            let now = |log: &Vec<&Point>| log.iter().rfind(|p| p.at <= pair[0]).map_or(0.0, |p| p.watts);
            let watts: f64 = logs.iter().map(now).sum();
            let step = ((pair[0] - grid_start) / STEP_S as f64 + 1e-9).floor() as usize;
            let span_s = pair[1] - pair[0];
            let bought_w = (PUE * (watts + HOST_WATTS * uuids.len() as f64) - share * roof_w(step)).max(0.0);
            energy_j += watts * span_s;
            carbon_g += bought_w * span_s / 3.6e6 * INTENSITY[step % INTENSITY.len()];
        }
        (energy_j, carbon_g)
    }

    /// What was seen of a card between two instants, each time that anything changed: seconds since 1970, watts, MHz.
    pub fn power_of(&self, uuid: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(f64, f64, u32)> {
        let index = index_of(uuid);
        let points = self.power_log().into_iter();
        let inside = points.filter(|p| p.gpu == index && p.at >= seconds(from) && p.at < seconds(to));
        inside.map(|p| (p.at, p.watts, p.clock_mhz)).collect()
    }

    /// The same carbon intensity from now on.
    pub fn flatten_grid(&self, g_per_kwh: f64) {
        std::fs::write(self.path("grid.csv"), trace("carbon_g_per_kwh", self.grid_start, |_| g_per_kwh)).expect("a trace");
    }

    /// The step of grid and roof that an instant lies in.
    pub fn slot_of(&self, at: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let start = self.grid_start_as_written();
        let from = start + TimeDelta::seconds((at - start).num_seconds() / STEP_S * STEP_S);
        (from, from + TimeDelta::seconds(STEP_S))
    }

    /// The roof's power at an instant, in watts.
    pub fn roof_w(&self, at: DateTime<Utc>) -> f64 {
        roof_w((at - self.grid_start_as_written()).num_seconds() as usize / STEP_S as usize)
    }

    /// The trace's times are written in whole seconds.
    fn grid_start_as_written(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.grid_start.timestamp(), 0).expect("a time")
    }

    fn power_log(&self) -> Vec<Point> {
        let log = std::fs::read_to_string(self.path("gpu/power.csv")).unwrap_or_default();
        let point = |line: &str| {
            let mut fields = line.split(',');
            let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok());
            Some(Point { at: next()?, gpu: next()? as usize, watts: next()?, clock_mhz: next()? as u32 })
        };
        log.lines().map(|line| point(line).unwrap_or_else(|| panic!("power.csv: {line}"))).collect()
    }
}

/// A line of slurm.conf by which no other Slurm's jobs have these numbers: a governor knows a step by its job's number, and the slurmds of
/// other tests run on this machine too.
pub fn job_numbers() -> String {
    static SITES: AtomicU32 = AtomicU32::new(1);
    format!("FirstJobId={}", (std::process::id() % 3000) * 20_000 + SITES.fetch_add(1, Relaxed) * 1000)
}

struct Point {
    at: f64,
    gpu: usize,
    watts: f64,
    clock_mhz: u32,
}

fn seconds(instant: DateTime<Utc>) -> f64 {
    instant.timestamp_micros() as f64 / 1e6
}

/// NVML's index of a card of the description, which numbers its UUIDs by it.
fn index_of(uuid: &str) -> usize {
    uuid.rsplit('-').next().and_then(|tail| tail.parse().ok()).unwrap_or_else(|| panic!("{uuid}: not a card of the stand-in"))
}

/// The roof by step: dark, then more power than all GPUs can use.
fn roof_w(step: usize) -> f64 {
    if step.is_multiple_of(2) { 0.0 } else { ROOF_W }
}

fn grid(start: DateTime<Utc>) -> String {
    trace("carbon_g_per_kwh", start, |step| INTENSITY[step % INTENSITY.len()])
}

fn trace(column: &str, start: DateTime<Utc>, value: impl Fn(usize) -> f64) -> String {
    let row = |step: usize| {
        let at = start + TimeDelta::seconds(step as i64 * STEP_S);
        format!("{},{}\n", at.format("%Y-%m-%dT%H:%M:%SZ"), value(step))
    };
    std::iter::once(format!("time,{column}\n")).chain((0..360).map(row)).collect()
}

/// The stand-in's own card as a profile: what a sweep of it would find.
fn profile() -> String {
    let description: toml::Table = nvidia_ml::place::EIGHT_GPUS.parse().expect("the description");
    let card = &description["card"][0];
    let levels = card["level"].as_array().expect("levels").iter();
    let level = |level: &toml::Value| {
        format!("[[level]]\nclock_mhz = {}\nwatts = {}\nspeed = {}\n", level["clock_mhz"], level["watts"], level["speed"])
    };
    let efficient = levels.filter(|level| level["clock_mhz"].as_integer() >= Some(1000)).map(level);
    let head =
        format!("name = \"train\"\ngpu = \"sim\"\nmodel = {}\nsource = \"the stand-in's own table (simulated)\"\n", card["name"]);
    std::iter::once(head).chain(efficient).collect()
}

fn configuration(folder: &Path, node_lines: &str, sites: &str) -> String {
    format!(
        r#"
[planner]
pue = {PUE}
host_watts = {HOST_WATTS}

[[zone]]
name = "test"
source = "trace"
path = "grid.csv"

[[site]]
name = "wind"
zone = "test"
partition = "wind"
gpu = "sim"
profile = "train"
gpus = 4

[[site]]
name = "solar"
zone = "test"
partition = "solar"
gpu = "sim"
profile = "train"
gpus = 4
{sites}
[node]
nvml_library = "gpu/libnvidia-ml.so.1"
state_dir = "state"
ledger_dir = "ledger"
log = "{}/carm.log"
{node_lines}
"#,
        folder.display()
    )
}
