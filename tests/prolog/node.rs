//! A GPU node in a folder: eight stand-in cards, gres.conf, carm.toml, a grid, a profile; and what can be seen of it after.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use carm::ledger::{Mark, Record};
use chrono::{SecondsFormat, TimeDelta, Utc};
use nvidia_ml::bench::Bench;
use nvidia_ml::load::{By, Load};
use nvidia_ml::place::{EIGHT_GPUS, place};
use tempfile::TempDir;

use crate::job::Job;

/// Grams per kWh of the node's grid.
pub const GRID: f64 = 400.0;
/// The clock of least carbon under [`PROFILE`] with 100 W of host and a flat grid.
pub const GREENEST_MHZ: u32 = 1890;
pub const LOWEST_MHZ: u32 = 210;
/// The longest that prolog and epilog may take.
pub const BOUND: Duration = Duration::from_secs(5);

/// Three clocks of the stand-in's own card; per work, host included, 1890 MHz draws least and 1260 MHz next.
const PROFILE: &str = r#"
name = "train"
gpu = "rtx4090"
model = "NVIDIA GeForce RTX 4090"
source = "the stand-in's own figures"
measured = true
level = [
    { clock_mhz = 1260, watts = 162.2, speed = 0.5714 },
    { clock_mhz = 1890, watts = 239.4, speed = 0.8 },
    { clock_mhz = 2520, watts = 380.0, speed = 1.0 },
]
"#;

pub struct Node {
    dir: TempDir,
    description: String,
    node_lines: String,
}

impl Node {
    pub fn new() -> Self {
        let node = Self { dir: TempDir::new().unwrap(), description: EIGHT_GPUS.to_owned(), node_lines: String::new() };
        place(&node.path("gpus"), EIGHT_GPUS).unwrap();
        std::fs::create_dir(node.path("profiles")).unwrap();
        std::fs::write(node.path("profiles/train.toml"), PROFILE).unwrap();
        // Not in the order of the minors: the GRES index counts lines, it is no minor number.
        std::fs::write(
            node.path("gres.conf"),
            "Name=gpu File=/dev/nvidia[4-7]\nNodeName=wind[1-2] Name=gpu File=/dev/nvidia[0-3]\n",
        )
        .unwrap();
        node.grid(TimeDelta::hours(-1), TimeDelta::minutes(15), &[GRID; 300]).node("")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Other cards, or the eight with changes.
    pub fn cards(mut self, change: impl Fn(&str) -> String) -> Self {
        self.description = change(EIGHT_GPUS);
        self.faults("");
        self
    }

    /// What goes wrong from now on, as `[[fault]]` tables; nothing else does.
    pub fn faults(&self, tables: &str) {
        std::fs::write(self.path("gpus/gpus.toml"), format!("{}\n{tables}", self.description)).unwrap();
    }

    pub fn faulty(self, tables: &str) -> Self {
        self.faults(tables);
        self
    }

    /// A grid of these values from an instant relative to now.
    pub fn grid(self, from: TimeDelta, step: TimeDelta, g_per_kwh: &[f64]) -> Self {
        let start = Utc::now() + from;
        let line = |(index, value): (usize, &f64)| {
            let at = start + step * i32::try_from(index).unwrap();
            format!("{},{value}\n", at.to_rfc3339_opts(SecondsFormat::Millis, true))
        };
        let lines: String = g_per_kwh.iter().enumerate().map(line).collect();
        std::fs::write(self.path("de.csv"), format!("time,carbon_g_per_kwh\n{lines}")).unwrap();
        self
    }

    /// More lines for `[node]`.
    pub fn node(mut self, lines: &str) -> Self {
        self.node_lines.push_str(lines);
        self.node_lines.push('\n');
        self.zone("source = \"trace\"\npath = \"de.csv\"");
        self
    }

    /// The zone's source is live, with a cache folder of its own.
    pub fn live(self) -> Self {
        std::fs::create_dir(self.path("cache")).unwrap();
        self.zone("source = \"energy-charts\"\narea = \"de\"\n[grid]\ncache_dir = \"cache\"");
        self
    }

    /// The configuration with these lines of its zone.
    pub fn zone(&self, lines: &str) {
        self.config(&format!(
            "[[zone]]\nname = \"DE\"\n{lines}\n\
             [[site]]\nname = \"north\"\nzone = \"DE\"\npartition = \"gpu\"\ngpu = \"rtx4090\"\nprofile = \"train\"\ngpus = 8\n{}",
            self.node_table()
        ));
    }

    /// `[node]` as the tests need it.
    pub fn node_table(&self) -> String {
        let own = |key: &str| self.node_lines.contains(&format!("{key} ="));
        let line = |key: &str, value: &str| if own(key) { String::new() } else { format!("{key} = {value}\n") };
        format!(
            "[node]\n{}{}{}{}{}{}",
            line("nvml_library", "\"gpus/libnvidia-ml.so.1\""),
            line("state_dir", "\"state\""),
            line("ledger_dir", "\"ledger\""),
            line("ask_limit", "false"),
            line("log", &format!("\"{}\"", self.path("carm.log").display())),
            self.node_lines
        )
    }

    pub fn config(&self, text: &str) {
        std::fs::write(self.path("carm.toml"), text).unwrap();
    }

    /// The command as slurmd runs it: nothing in the environment but what slurmd puts there.
    pub fn command(&self, job: &Job, context: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carm-prolog"));
        command.arg("--config").arg(self.path("carm.toml")).env_clear();
        command.env("SLURM_SCRIPT_CONTEXT", context).env("SLURM_CONF", self.path("slurm.conf"));
        command.envs(job.variables.iter().map(|(name, text)| (name, text)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        command
    }

    pub fn start_prolog(&self, job: &Job) -> Child {
        self.command(job, "prolog_slurmd").spawn().unwrap()
    }

    /// Runs the prolog: it succeeds, in time and in silence, whatever else.
    pub fn prolog(&self, job: &Job) -> &Self {
        quiet(&mut self.command(job, "prolog_slurmd"));
        self
    }

    /// As [`Self::prolog`].
    pub fn epilog(&self, job: &Job) -> &Self {
        quiet(&mut self.command(job, "epilog_slurmd"));
        self
    }

    pub fn by_hand(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carm-prolog"));
        command.arg("--config").arg(self.path("carm.toml")).args(arguments).env_clear().output().unwrap()
    }

    /// The stand-in itself, past CARM.
    pub fn bench(&self) -> Bench {
        Bench::open(&self.path("gpus")).unwrap()
    }

    /// NVML's index of the card behind a GRES index: by gres.conf above and the minors of [`EIGHT_GPUS`].
    pub fn card(gres: u32) -> usize {
        let minor = if gres < 4 { gres + 4 } else { gres - 4 };
        (minor ^ 1) as usize
    }

    pub fn uuid(gres: u32) -> String {
        let card = Self::card(gres);
        format!("GPU-c0ffee0{card}-0000-4000-8000-00000000000{card}")
    }

    /// The locked range of a card, as the driver has it.
    pub fn lock(&self, gres: u32) -> Option<(u32, u32)> {
        self.bench().look(|now| now.card(Self::card(gres)).1.lock).unwrap()
    }

    /// The locked cards, by GRES index.
    pub fn locked(&self) -> Vec<u32> {
        (0..8).filter(|&gres| self.lock(gres).is_some()).collect()
    }

    pub fn persistence(&self, gres: u32) -> bool {
        self.bench().look(|now| now.card(Self::card(gres)).1.persistence).unwrap()
    }

    pub fn energy_j(&self, gres: u32) -> f64 {
        let millijoules = |now: &mut nvidia_ml::state::Now| {
            let us = now.us;
            now.card(Self::card(gres)).1.energy_mj(us)
        };
        self.bench().look(millijoules).unwrap() as f64 / 1e3
    }

    /// Keeps cards busy until dropped.
    pub fn busy(&self, gres: &[u32]) -> Load {
        let cards: Vec<String> = gres.iter().map(|&gres| Self::card(gres).to_string()).collect();
        Load::begin(self.bench(), &cards.join(","), By::Index).unwrap()
    }

    /// Waits until what is spooled is delivered, for some seconds: a governor delivers in a thread of its own.
    fn delivered(&self, waits: impl Fn(&str) -> bool) {
        let since = Instant::now();
        let is_left = || {
            let dirs = files(&self.path("state")).into_iter().map(|name| self.path("state").join(name));
            let names = dirs.filter(|dir| dir.is_dir()).flat_map(|dir| files(&dir));
            names.chain(files(&self.path("state"))).any(|name| waits(&name))
        };
        while is_left() && since.elapsed() < Duration::from_secs(4) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn ledger(&self) -> Vec<Record> {
        self.delivered(|name| name.starts_with("ended-") || name.starts_with("line-"));
        carm::ledger::read_dir(&self.path("ledger")).unwrap().records
    }

    /// The one line of the ledger.
    pub fn line(&self) -> Record {
        let mut lines = self.ledger();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines.remove(0)
    }

    /// Runs epilog after prolog, and gives the ledger's line of it.
    pub fn whole_job(&self, job: &Job) -> Record {
        let before = self.ledger().len();
        self.prolog(job).epilog(job);
        let mut lines = self.ledger();
        assert_eq!(lines.len(), before + 1, "{}", self.log());
        lines.remove(before)
    }

    pub fn log(&self) -> String {
        self.delivered(|name| name.starts_with(".log"));
        std::fs::read_to_string(self.path("carm.log")).unwrap_or_default()
    }

    /// The log's lines that speak of warnings or errors.
    pub fn complaints(&self) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(" WARN") || line.contains(" ERROR")).map(str::to_owned).collect()
    }

    /// Nothing is locked, nothing is owed, nobody is remembered.
    pub fn assert_clean(&self) {
        assert_eq!(self.locked(), [0; 0], "{}", self.log());
        self.ledger();
        assert_eq!(files(&self.path("state/wind1")), [] as [String; 0], "{}", self.log());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What carm-prolog has left under /run of a configuration that is gone.
        let name = self.path("carm.toml").display().to_string().replace('/', "-");
        for run in ["/run", "/run/user/1000"] {
            let _ = std::fs::remove_file(format!("{run}/carm/.settings/{name}.json"));
        }
    }
}

/// Names in a folder; of one that is not there, none.
pub fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Runs as slurmd would: success, in time, and not a word.
pub fn quiet(command: &mut Command) {
    let since = Instant::now();
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
}

pub fn assert_marks(record: &Record, marks: &[Mark]) {
    assert_eq!(record.marks, marks, "{record:#?}");
}
