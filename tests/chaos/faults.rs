//! The faults: drawn by the seed, each repaired after some seconds.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{kill, processes_with};
use crate::draw::Draw;
use crate::machine::{Machine, NODES};
use crate::options::Options;
use crate::service;
use crate::watch::Watch;

/// Seconds between two faults: many overlap.
const PAUSE_S: (f64, f64) = (1.0, 6.0);
/// Seconds that a fault lasts: beyond the bound of prolog and epilog, below PrologEpilogTimeout.
const LENGTH_S: (f64, f64) = (2.0, 14.0);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The ledger's file system is frozen: writers block in the kernel, where SIGKILL does not reach them.
    FrozenLedger,
    /// The log's.
    FrozenLog,
    /// The grid cache's.
    FrozenCache,
    /// The grid cache is a FIFO: readers block.
    StalledCache,
    /// The ledger's disk is full.
    FullLedger,
    /// Calls of the driver do not return for some seconds, or never.
    HungDriver,
    /// kill -9 of the governor.
    KilledGovernor,
    /// kill -9 of a prolog, its child or its parent.
    KilledProlog,
    /// kill -9 of an epilog, its child or its parent.
    KilledEpilog,
    /// kill -9 of a slurmd, which starts again seconds later.
    KilledSlurmd,
    /// scancel of a job.
    Cancel,
    /// scontrol requeue of a job.
    Requeue,
}

use Kind::{
    Cancel, FrozenCache, FrozenLedger, FrozenLog, FullLedger, HungDriver, KilledEpilog, KilledGovernor, KilledProlog,
    KilledSlurmd, Requeue, StalledCache,
};

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        FrozenLedger,
        FrozenLog,
        FrozenCache,
        StalledCache,
        FullLedger,
        HungDriver,
        KilledGovernor,
        KilledProlog,
        KilledEpilog,
        KilledSlurmd,
        Cancel,
        Requeue,
    ];

    /// As in `--faults`.
    pub fn name(self) -> &'static str {
        match self {
            FrozenLedger => "frozen-ledger",
            FrozenLog => "frozen-log",
            FrozenCache => "frozen-cache",
            StalledCache => "stalled-cache",
            FullLedger => "full-ledger",
            HungDriver => "hung-driver",
            KilledGovernor => "killed-governor",
            KilledProlog => "killed-prolog",
            KilledEpilog => "killed-epilog",
            KilledSlurmd => "killed-slurmd",
            Cancel => "cancel",
            Requeue => "requeue",
        }
    }

    /// The kind of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The names, for a message.
    pub fn names() -> String {
        format!("some of {}", Self::ALL.map(Self::name).join(","))
    }
}

/// A fault to be.
struct Fault {
    at: Duration,
    kind: Kind,
    length: Duration,
    draw: Draw,
}

/// Lets loose what the seed decides, until an instant; returns when all is repaired.
pub fn run(options: &Options, machine: &Machine, watch: &Watch, until: Instant) {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for fault in drawn(options, until.duration_since(begin)) {
            let wait = (begin + fault.at).saturating_duration_since(Instant::now());
            std::thread::sleep(wait);
            scope.spawn(move || {
                let (kind, at) = (fault.kind, fault.at);
                let struck = fault.strike(machine, watch);
                watch.fault(kind, at, struck);
            });
        }
    });
}

fn drawn(options: &Options, length: Duration) -> Vec<Fault> {
    let mut draw = Draw::new(options.seed, 2);
    let mut faults = Vec::new();
    let mut at_s = 5.0;
    while at_s < length.as_secs_f64() {
        let Some(&kind) = draw.one_of(&options.faults) else { break };
        let length = Duration::from_secs_f64(draw.between(LENGTH_S.0, LENGTH_S.1));
        let own = Draw::new(options.seed, 1000 + faults.len() as u64);
        faults.push(Fault { at: Duration::from_secs_f64(at_s), kind, length, draw: own });
        at_s += draw.between(PAUSE_S.0, PAUSE_S.1);
    }
    faults
}

impl Fault {
    /// Lasts until the fault is repaired; whether there was anything to strike.
    fn strike(mut self, machine: &Machine, watch: &Watch) -> bool {
        match self.kind {
            FrozenLedger => machine.ledger.freeze(self.length),
            FrozenLog => machine.log.freeze(self.length),
            FrozenCache => machine.cache.freeze(self.length),
            FullLedger => machine.ledger.fill(self.length),
            StalledCache => stalled_cache(machine, self.length),
            HungDriver => self.hung_driver(machine, watch),
            KilledGovernor => machine.kill_governor(),
            KilledProlog => self.killed(machine, "prolog"),
            KilledEpilog => self.killed(machine, "epilog"),
            KilledSlurmd => self.killed_slurmd(machine),
            Cancel => self.with_running_job(machine, |id| {
                watch.cancelled(id);
                machine.site.cluster.run("scancel", &[id]).code == 0
            }),
            Requeue => self.with_running_job(machine, |id| machine.site.cluster.run("scontrol", &["requeue", id]).code == 0),
        }
    }

    fn hung_driver(&mut self, machine: &Machine, watch: &Watch) -> bool {
        let Ok(_one) = machine.driver.try_lock() else { return false };
        let calls = [
            "*",
            "nvmlInit",
            "nvmlDeviceGetTotalEnergyConsumption",
            "nvmlDeviceSetGpuLockedClocks",
            "nvmlDeviceResetGpuLockedClocks",
            "nvmlDeviceGetClockInfo",
        ];
        let call = self.draw.one_of(&calls).expect("calls");
        // A call that sleeps as the fault ends sleeps its time out; one that never returns holds the governor until its watchdog.
        let (how, after) = match self.draw.percent(25) {
            true => ("hang = true".to_owned(), service::SILENCE),
            false => (format!("sleep_ms = {}", self.length.as_millis()), self.length),
        };
        machine.driver_faults(&format!("[[fault]]\ncall = \"{call}\"\n{how}\n"));
        std::thread::sleep(self.length);
        machine.driver_faults("");
        watch.driver_hung(self.length, after);
        true
    }

    /// Waits for a prolog or epilog and kills its parent, its child or both, some instants after its start.
    fn killed(&mut self, machine: &Machine, verb: &str) -> bool {
        let config = machine.site.path("carm.toml").display().to_string();
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) {
            if !processes(&config, verb).is_empty() {
                std::thread::sleep(Duration::from_secs_f64(self.draw.between(0.0, 0.04)));
                let (children, parents): (Vec<_>, Vec<_>) =
                    processes(&config, verb).into_iter().partition(|(_, bounded)| *bounded);
                let victims = match self.draw.below(3) {
                    0 => children,
                    1 => parents,
                    _ => parents.into_iter().chain(children).collect(),
                };
                if !victims.is_empty() {
                    victims.iter().for_each(|(pid, _)| kill(*pid, "KILL"));
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn killed_slurmd(&mut self, machine: &Machine) -> bool {
        let node = NODES[self.draw.below(NODES.len())].0;
        let Ok(_one) = SLURMD.try_lock() else { return false };
        machine.site.cluster.kill_slurmd(node);
        std::thread::sleep(self.length.min(Duration::from_secs(5)));
        machine.site.cluster.start_slurmd(node);
        // A slurmd writes its pid file a moment after its start.
        std::thread::sleep(Duration::from_secs(2));
        true
    }

    fn with_running_job(&mut self, machine: &Machine, act: impl FnOnce(&str) -> bool) -> bool {
        let queue = machine.site.cluster.queue();
        let running: Vec<&str> = queue.iter().filter_map(|line| line.strip_suffix(" RUNNING")).collect();
        self.draw.one_of(&running).is_some_and(|id| act(id))
    }
}

static SLURMD: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The processes of carm-prolog with a verb, and whether each is the bounded child.
fn processes(config: &str, verb: &str) -> Vec<(u32, bool)> {
    let verb = format!("\0{verb}\0");
    let children = processes_with("cmdline", &[config, &verb, "--bounded"]);
    let all = processes_with("cmdline", &[config, &verb]);
    all.into_iter().map(|pid| (pid, children.contains(&pid))).collect()
}

/// The trace is a FIFO for a time: its readers block until it has a writer.
fn stalled_cache(machine: &Machine, length: Duration) -> bool {
    let Ok(_one) = STALL.try_lock() else { return false };
    let (trace, aside, fifo) =
        (machine.cache.path().join("grid.csv"), machine.cache.path().join("aside.csv"), machine.cache.path().join("fifo"));
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success();
    std::fs::rename(&trace, &aside).expect("the trace");
    std::fs::rename(&fifo, &trace).expect("the FIFO");
    std::thread::sleep(length);
    // Without O_NONBLOCK an open for writing waits for a reader, which there may not be.
    let writer = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&trace);
    std::fs::rename(&aside, &trace).expect("the trace");
    drop(writer);
    made
}

static STALL: std::sync::Mutex<()> = std::sync::Mutex::new(());
/// Linux' value on x86-64 and AArch64.
const O_NONBLOCK: i32 = 0o4000;

/// How often each kind struck, and how often it found nothing to strike.
pub type Counts = BTreeMap<Kind, (u32, u32)>;
