//! What the driver would hold: locks, limits, modes, clients, loads, and the energy counted so far.
//! It decides when power changes and integrates it; nothing runs in the background, so every change is booked by the next
//! process that looks, at the instant at which it happened:
//!
//! - set, reset, load begun or ended: at the call.
//! - a load killed: at its last sign of life (gpu-load gives one about every 80 ms), or at the last look of anybody at that
//!   card if that was later, as what has been counted stays counted.
//!
//! The energy counter is the exact integral of the power log: milliwatts times microseconds, whole numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::device::{Description, Gpu, Operating, milli};
use crate::process::Process;

/// Everything shared between processes.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// By UUID, so that a changed description finds its cards again.
    cards: BTreeMap<String, Card>,
    /// Processes that have NVML initialised.
    clients: Vec<Process>,
    /// Processes that keep a card busy.
    loads: Vec<Load>,
    /// How many calls each fault has seen.
    faults: BTreeMap<String, u64>,
    /// Length of power.csv as far as this state knows it.
    pub power_log_bytes: u64,
}

/// One card's part of the state.
#[derive(Clone, Serialize, Deserialize)]
pub struct Card {
    /// The locked range of graphics clocks, MHz.
    pub lock: Option<(u32, u32)>,
    /// Unix time at which it was set, microseconds.
    pub lock_set_us: u64,
    /// The power limit in force, mW; none: the card's default.
    pub limit_mw: Option<u32>,
    /// Persistence mode.
    pub persistence: bool,
    /// Whether the driver has the card loaded.
    loaded: bool,
    /// What it does since `since_us`.
    power_mw: u32,
    clock_mhz: u32,
    speed: f64,
    since_us: u64,
    /// Up to `since_us`, since the driver loaded the card: milliwatts times microseconds.
    energy_nj: u64,
    /// Up to `since_us`: seconds of work at full clock that the card has done.
    work_s: f64,
}

/// A process that keeps a card busy.
#[derive(Clone, Serialize, Deserialize)]
struct Load {
    process: Process,
    uuid: String,
    /// Last sign of life, Unix time, microseconds.
    seen_us: u64,
}

impl Card {
    fn new(gpu: &Gpu, now_us: u64) -> Card {
        Card {
            lock: None,
            lock_set_us: 0,
            limit_mw: None,
            persistence: gpu.persistence,
            loaded: gpu.persistence,
            power_mw: 0,
            clock_mhz: 0,
            speed: 0.0,
            since_us: now_us,
            energy_nj: 0,
            work_s: 0.0,
        }
    }

    fn integrate(&mut self, to_us: u64) {
        let span_us = to_us.saturating_sub(self.since_us);
        self.energy_nj += u64::from(self.power_mw) * span_us;
        self.work_s += self.speed * span_us as f64 / 1e6;
        self.since_us = self.since_us.max(to_us);
    }

    /// Millijoules since the driver loaded the card.
    pub fn energy_mj(&self, now_us: u64) -> u64 {
        let rest = u64::from(self.power_mw) * now_us.saturating_sub(self.since_us);
        (self.energy_nj + rest) / 1_000_000
    }

    /// Seconds of work at full clock that the card has done.
    pub fn work_s(&self, now_us: u64) -> f64 {
        self.work_s + self.speed * now_us.saturating_sub(self.since_us) as f64 / 1e6
    }

    /// The power limit in force, mW.
    pub fn limit_mw(&self, gpu: &Gpu) -> u32 {
        self.limit_mw.unwrap_or(milli(gpu.power_limit_watts))
    }

    fn forget_settings(&mut self) {
        self.lock = None;
        self.limit_mw = None;
        self.loaded = false;
    }
}

/// The state at an instant, with the description it belongs to.
pub struct Now<'a> {
    /// The cards.
    pub description: &'a Description,
    /// What is shared.
    pub state: State,
    /// Unix time, microseconds.
    pub us: u64,
    /// Lines for power.csv not yet written.
    pub power_log: String,
}

impl Now<'_> {
    /// A card's part of the state; `gpu` is an index into the description.
    pub fn card(&mut self, gpu: usize) -> (&Gpu, &mut Card) {
        let truth = &self.description.gpus[gpu];
        let card = self.state.cards.entry(truth.uuid.clone());
        (truth, card.or_insert_with(|| Card::new(truth, self.us)))
    }

    /// Brings everything up to date: dead clients and loads go, the driver unloads and loads, power follows.
    /// Called when the lock is taken and again before it is let go.
    pub fn settle(&mut self) {
        let latest = self.state.cards.values().map(|card| card.since_us).max();
        self.us = self.us.max(latest.unwrap_or(0)); // the machine's clock may be set back; the driver's is not
        self.bury_loads();
        self.state.clients.retain(|client| client.lives());
        let used = !self.state.clients.is_empty() || !self.state.loads.is_empty();
        let (us, resets) = (self.us, self.description.unload_resets_energy);
        for gpu in 0..self.description.gpus.len() {
            if self.processes(gpu).next().is_some() {
                let (_, card) = self.card(gpu);
                card.integrate(us);
            }
            let (_, card) = self.card(gpu);
            if !card.persistence && !used {
                card.forget_settings();
            } else if !card.loaded {
                card.loaded = true;
                card.integrate(us);
                if resets {
                    card.energy_nj = 0;
                }
            }
            self.follow(gpu, us);
        }
    }

    /// Removes loads whose process died, and books the fall in power at the time of death.
    fn bury_loads(&mut self) {
        let (alive, mut dead): (Vec<Load>, Vec<Load>) =
            std::mem::take(&mut self.state.loads).into_iter().partition(|load| load.process.lives());
        // The last of a card's dead loads is the one whose end is seen; the earlier ones then change nothing.
        dead.sort_by_key(|load| std::cmp::Reverse(load.seen_us));
        self.state.loads = alive;
        for load in &dead {
            let place = self.description.gpus.iter().position(|gpu| gpu.uuid == load.uuid);
            if let Some(gpu) = place {
                let now_us = self.us;
                let (_, card) = self.card(gpu);
                let died_us = load.seen_us.max(card.since_us).min(now_us);
                self.follow(gpu, died_us);
            }
        }
    }

    /// Lets a card's power follow its condition from `at_us` on, with a line in the log where it changes.
    fn follow(&mut self, gpu: usize, at_us: u64) {
        let Operating { clock_mhz, power_mw, speed, .. } = self.operating(gpu);
        let (_, card) = self.card(gpu);
        if (card.power_mw, card.clock_mhz, card.speed) == (power_mw, clock_mhz, speed) {
            return;
        }
        card.integrate(at_us);
        (card.power_mw, card.clock_mhz, card.speed) = (power_mw, clock_mhz, speed);
        let (seconds, micros) = (at_us / 1_000_000, at_us % 1_000_000);
        let (watts, milliwatts) = (power_mw / 1000, power_mw % 1000);
        // Writing to a String cannot fail.
        let _ = writeln!(self.power_log, "{seconds}.{micros:06},{gpu},{watts}.{milliwatts:03},{clock_mhz}");
    }

    /// What a card does in its present condition.
    pub fn operating(&mut self, gpu: usize) -> Operating {
        let busy = self.processes(gpu).next().is_some();
        let (truth, card) = self.card(gpu);
        truth.operating(card.lock, card.limit_mw(truth), busy)
    }

    /// The processes that keep a card busy.
    pub fn processes(&self, gpu: usize) -> impl Iterator<Item = Process> {
        let uuid = &self.description.gpus[gpu].uuid;
        self.state.loads.iter().filter(move |load| load.uuid == *uuid).map(|load| load.process)
    }

    /// A process initialises NVML.
    pub fn enter(&mut self, client: Process) {
        self.state.clients.push(client);
    }

    /// A process shuts NVML down.
    pub fn leave(&mut self, client: Process) {
        if let Some(place) = self.state.clients.iter().position(|other| *other == client) {
            self.state.clients.remove(place);
        }
    }

    /// A process begins to use a card, or gives a sign of life.
    pub fn use_card(&mut self, process: Process, gpu: usize) {
        let uuid = &self.description.gpus[gpu].uuid;
        let mut loads = self.state.loads.iter_mut();
        match loads.find(|load| load.process == process && load.uuid == *uuid) {
            Some(load) => load.seen_us = self.us,
            None => self.state.loads.push(Load { process, uuid: uuid.clone(), seen_us: self.us }),
        }
    }

    /// A process ends its use of all cards.
    pub fn end_use(&mut self, process: Process) {
        self.state.loads.retain(|load| load.process != process);
    }

    /// Counts a call for a fault and says which one it is, from 1.
    pub fn count_fault(&mut self, key: String) -> u64 {
        let count = self.state.faults.entry(key).or_insert(0);
        *count += 1;
        *count
    }
}
