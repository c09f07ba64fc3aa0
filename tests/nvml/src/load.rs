//! A load on some cards, as a CUDA job puts one there: it keeps them busy, and gets work done at the speed that their clocks
//! allow. The cards count the work themselves, exactly, along with the energy; a load of several cards waits for the slowest.
//! It decides nothing about when to look; each look is also the sign of life that dates the end of a killed load.

use crate::bench::{Bench, BenchError};
use crate::process::Process;

/// How a job names its cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// NVML's index.
    #[default]
    Index,
    /// The N of /dev/nvidiaN.
    Minor,
}

/// Why there is no load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The stand-in.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A card that is not there.
    #[error("gpus: '{0}': no such card; give indices, minor numbers (--by minor) or UUIDs of gpus.toml")]
    NoSuchGpu(String),
    /// No card at all.
    #[error("gpus: none given; set CUDA_VISIBLE_DEVICES or give --gpus")]
    NoGpu,
}

/// A running load. Ends when dropped.
pub struct Load {
    bench: Bench,
    me: Process,
    gpus: Vec<usize>,
    /// What each card had done when last looked at, seconds at full clock.
    counted: Vec<f64>,
    done_s: f64,
    /// Locked by [`Load::lock`]: to be taken back.
    locked: bool,
}

/// What a look at a load tells.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Work done, seconds at full clock.
    pub done_s: f64,
    /// Present speed, relative to full clock.
    pub speed: f64,
}

impl Load {
    /// Begins to use cards: a list of indices or minor numbers and UUIDs (whole or begun), parted by commas.
    pub fn begin(bench: Bench, list: &str, by: By) -> Result<Load, LoadError> {
        let gpus = choose(&bench, list, by)?;
        let me = Process::me();
        let counted = bench.look(|now| {
            let us = now.us;
            gpus.iter()
                .map(|&gpu| {
                    now.use_card(me, gpu);
                    now.card(gpu).1.work_s(us)
                })
                .collect()
        })?;
        Ok(Load { bench, me, gpus, counted, done_s: 0.0, locked: false })
    }

    /// The cards in use, by index.
    pub fn gpus(&self) -> &[usize] {
        &self.gpus
    }

    /// Locks the cards at a clock for as long as the load lasts, as an admin's `nvidia-smi --lock-gpu-clocks` around it would.
    pub fn lock(&mut self, mhz: u32) -> Result<(), LoadError> {
        let gpus = &self.gpus;
        self.bench.look(|now| {
            for &gpu in gpus {
                let (truth, card) = now.card(gpu);
                card.lock = Some((truth.min_mhz, mhz));
            }
        })?;
        self.locked = true;
        Ok(())
    }

    /// Counts the work done since the last look. Cards shared with other loads give each an equal part.
    pub fn look(&mut self) -> Result<Progress, LoadError> {
        let (me, gpus) = (self.me, &self.gpus);
        let seen: Vec<(f64, f64, f64)> = self.bench.look(|now| {
            let us = now.us;
            gpus.iter()
                .map(|&gpu| {
                    now.use_card(me, gpu);
                    let sharers = now.processes(gpu).count().max(1) as f64;
                    let speed = now.operating(gpu).speed;
                    (now.card(gpu).1.work_s(us), speed, sharers)
                })
                .collect()
        })?;
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let mut parts = seen.iter().zip(&self.counted).map(|((work_s, _, sharers), before)| (work_s - before) / sharers);
        self.done_s += least(&mut parts);
        let speed = least(&mut seen.iter().map(|(_, speed, sharers)| speed / sharers));
        self.counted = seen.iter().map(|(work_s, _, _)| *work_s).collect();
        Ok(Progress { done_s: self.done_s, speed })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let me = self.me;
        let unlock: &[usize] = if self.locked { &self.gpus } else { &[] };
        // Nobody is left to tell: the next process to look finds this one dead.
        let _ = self.bench.look(|now| {
            now.end_use(me);
            for &gpu in unlock {
                now.card(gpu).1.lock = None;
            }
        });
    }
}

fn choose(bench: &Bench, list: &str, by: By) -> Result<Vec<usize>, LoadError> {
    let description = bench.description();
    let mut gpus = Vec::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let number: Option<u32> = word.parse().ok();
        let found = description.gpus.iter().enumerate().position(|(index, gpu)| match number {
            Some(number) if by == By::Minor => gpu.minor == number,
            Some(number) => index as u32 == number,
            None => gpu.uuid.starts_with(word),
        });
        let gpu = found.ok_or(LoadError::NoSuchGpu(word.to_owned()))?;
        if !gpus.contains(&gpu) {
            gpus.push(gpu);
        }
    }
    if gpus.is_empty() { Err(LoadError::NoGpu) } else { Ok(gpus) }
}
