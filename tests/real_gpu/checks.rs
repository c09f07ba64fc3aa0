//! What is checked of each card.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::gpu::{Card, Driver, GpuError, Nvml};
use crate::load::Loaded;

/// Above what sampling ten times a second misses, below the sensor's own error of 5 %, which both readings share.
const ENERGY_TOLERANCE: f64 = 0.02;
const SAMPLE: Duration = Duration::from_millis(100);
/// The part of the highest clock at which the lock is tried: every card since Volta boosts above it under load.
const LOCK_PART: f64 = 0.7;
/// One step of the clock grid, by which a card may stand above its lock.
const STEP_MHZ: u32 = 15;

/// One row of the table; `passed` is none where the row only tells.
pub struct Finding {
    pub check: &'static str,
    pub result: String,
    pub passed: Option<bool>,
}

fn fact(check: &'static str, result: Result<String, GpuError>) -> Finding {
    let passed = result.is_err().then_some(false);
    Finding { check, result: result.unwrap_or_else(|error| error.to_string()), passed }
}

fn verdict(check: &'static str, passed: bool, result: String) -> Finding {
    Finding { check, result, passed: Some(passed) }
}

/// Adds each card's new findings to those that it has.
pub fn extend(findings: &mut [Vec<Finding>], more: Vec<Vec<Finding>>) {
    findings.iter_mut().zip(more).for_each(|(findings, more)| findings.extend(more));
}

/// What a card shows without any load.
pub fn unloaded(nvml: &Nvml, card: &Card) -> Vec<Finding> {
    let uuid = &card.uuid;
    let clocks = nvml.clocks_mhz(uuid).map(|clocks| match (clocks.first(), clocks.last()) {
        (Some(low), Some(high)) => format!("{} clocks, {low} to {high} MHz", clocks.len()),
        _ => "none".to_owned(),
    });
    let on_off = |on: bool| if on { "on".to_owned() } else { "off".to_owned() };
    let device = format!("/dev/nvidia{}", card.minor);
    let has_device = std::path::Path::new(&device).exists();
    vec![
        fact("UUID", Ok(uuid.clone())),
        Finding { check: "device file", result: format!("{device}{}", if has_device { "" } else { ": missing" }), passed: None },
        fact("SM clocks that can be locked", clocks),
        fact("persistence mode", nvml.persistent(uuid).map(on_off)),
        fact("MIG", nvml.mig(uuid).map(on_off)),
        fact("energy counter", nvml.energy_j(uuid).map(|joules| format!("{joules:.0} J"))),
        fact("throttled", nvml.throttled(uuid).map(|throttled| if throttled { "yes".into() } else { "no".into() })),
    ]
}

/// Checks under load.
pub struct Run<'a> {
    pub nvml: &'a Nvml,
    pub cards: &'a [Card],
    pub load: &'a Loaded,
    pub stop: &'a AtomicBool,
    /// How long clocks and power take to settle.
    pub settle: Duration,
}

impl Run<'_> {
    fn go_on(&self) -> Result<(), String> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("interrupted; clocks are as they were".to_owned());
        }
        if !self.load.runs() {
            return Err("--load: the command ended before the checks did; give one that runs longer".to_owned());
        }
        Ok(())
    }

    fn wait(&self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.go_on()?;
            sleep(SAMPLE.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    pub fn warm_up(&self) -> Result<(), String> {
        self.wait(self.settle)
    }

    /// The energy counter of each card against its power samples, summed by the trapezoidal rule over the same time.
    pub fn energy(&self, time: Duration) -> Result<Vec<Vec<Finding>>, String> {
        let counters = || self.cards.iter().map(|card| (Instant::now(), self.nvml.energy_j(&card.uuid))).collect::<Vec<_>>();
        let power = |card: &Card| (Instant::now(), self.nvml.power_w(&card.uuid));
        let before = counters();
        let mut samples: Vec<Vec<(Instant, f64)>> = vec![Vec::new(); self.cards.len()];
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.go_on()?;
            for (card, samples) in self.cards.iter().zip(&mut samples) {
                if let (at, Ok(watts)) = power(card) {
                    samples.push((at, watts));
                }
            }
            sleep(SAMPLE);
        }
        let after = counters();
        let found = self.cards.iter().zip(samples).zip(before.into_iter().zip(after));
        Ok(found.map(|((card, samples), (before, after))| self.energy_of(card, &samples, before, after)).collect())
    }

    fn energy_of(
        &self,
        card: &Card,
        samples: &[(Instant, f64)],
        (began, before): (Instant, Result<f64, GpuError>),
        (ended, after): (Instant, Result<f64, GpuError>),
    ) -> Vec<Finding> {
        let seconds = samples.first().zip(samples.last()).map_or(0.0, |(first, last)| (last.0 - first.0).as_secs_f64());
        let joules: f64 = samples.windows(2).map(|two| (two[0].1 + two[1].1) / 2.0 * (two[1].0 - two[0].0).as_secs_f64()).sum();
        // The mean power over the sampled time, for the counter's time.
        let sampled_j = if seconds > 0.0 { joules / seconds * (ended - began).as_secs_f64() } else { 0.0 };
        let counter = match (before, after) {
            (Ok(before), Ok(after)) => {
                let counted_j = after - before;
                let off = if sampled_j > 0.0 { counted_j / sampled_j - 1.0 } else { f64::INFINITY };
                let text = format!("{counted_j:.0} J counted, {sampled_j:.0} J sampled: {:+.1} %", 100.0 * off);
                verdict("energy counter under load", off.abs() <= ENERGY_TOLERANCE, text)
            }
            (Err(error), _) | (_, Err(error)) => fact("energy counter under load", Err(error)),
        };
        let utilization = self.nvml.utilization(&card.uuid).map(|part| format!("{:.0} %", 100.0 * part));
        let clock = self.nvml.sm_clock_mhz(&card.uuid).map(|mhz| format!("{mhz} MHz"));
        let throttled = self.nvml.throttled(&card.uuid).map(|throttled| if throttled { "yes".into() } else { "no".into() });
        vec![
            counter,
            fact("utilization under load", utilization),
            fact("SM clock under load", clock),
            fact("throttled under load", throttled),
        ]
    }

    /// Locks each card in turn below its clock under load, and takes the lock off whatever happens in between.
    pub fn lock(&self) -> Result<Vec<Vec<Finding>>, String> {
        self.cards.iter().map(|card| self.lock_one(card)).collect()
    }

    fn lock_one(&self, card: &Card) -> Result<Vec<Finding>, String> {
        let uuid = &card.uuid;
        let clocks = self.nvml.clocks_mhz(uuid).unwrap_or_default();
        let (Some(&low), Some(&high)) = (clocks.first(), clocks.last()) else {
            return Ok(vec![verdict("clock lock", false, "the card lists no clocks".to_owned())]);
        };
        let top = f64::from(high) * LOCK_PART;
        let mhz = clocks.iter().copied().rfind(|&mhz| f64::from(mhz) <= top).unwrap_or(low);
        let free = self.nvml.sm_clock_mhz(uuid);
        if let Err(error) = self.nvml.lock(uuid, low, mhz) {
            return Ok(vec![fact("clock lock", Err(error))]);
        }
        let waited = self.wait(self.settle);
        let locked = self.nvml.sm_clock_mhz(uuid);
        let unlocked = self.nvml.unlock(uuid);
        waited?;
        if let Err(error) = unlocked {
            return Err(format!("gpu {uuid}: its clocks stay locked: {error}; nvidia-smi --reset-gpu-clocks puts them back"));
        }
        self.wait(self.settle)?;
        let after = self.nvml.sm_clock_mhz(uuid);
        Ok(vec![match (free, locked, after) {
            (Ok(free), Ok(locked), Ok(after)) => {
                let text = format!("{free} MHz free, {locked} MHz under a lock at {mhz}, {after} MHz after");
                verdict("clock lock", locked <= mhz + STEP_MHZ && after > mhz + STEP_MHZ, text)
            }
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => fact("clock lock", Err(error)),
        }])
    }
}
