//! The description of the cards, `gpus.toml`: what they are, what they draw and how fast they run at each clock.
//! This is the truth that a profile of CARM's may or may not match. It decides what a card does in a given condition
//! ([`Gpu::operating`]); who is in that condition, and since when, is [`crate::state`]'s business.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::fault::Fault;

/// Everything that `gpus.toml` says.
#[derive(Clone, Debug)]
pub struct Description {
    /// The cards, in NVML's index order.
    pub gpus: Vec<Gpu>,
    /// Faults on demand.
    pub faults: Vec<Fault>,
    /// What nvmlSystemGetDriverVersion answers.
    pub driver_version: String,
    /// What nvmlSystemGetNVMLVersion answers.
    pub nvml_version: String,
    /// What nvmlSystemGetCudaDriverVersion_v2 answers, 1000 * major + 10 * minor.
    pub cuda_version: i32,
    /// Write every Init, Shutdown, Set and Reset call to `calls.log`.
    pub log_calls: bool,
    /// Setters ask for no root: for tests run as a user.
    pub anyone_may_set: bool,
    /// Whether the energy counter starts anew when the driver loads a card again (with persistence mode off).
    pub unload_resets_energy: bool,
}

/// One card.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// As NVML names it.
    pub name: String,
    /// `GPU-...`.
    pub uuid: String,
    /// The N of /dev/nvidiaN; its order may differ from the index order.
    pub minor: u32,
    /// `00000000:01:00.0`.
    pub pci_bus_id: String,
    /// NVML's architecture number (8 = Ada).
    pub architecture: u32,
    /// Memory of the card, MiB.
    pub memory_mib: u64,
    /// Lowest graphics clock, MHz.
    pub min_mhz: u32,
    /// Highest graphics clock, MHz.
    pub max_mhz: u32,
    /// Distance of two supported clocks, MHz.
    pub step_mhz: u32,
    /// The one memory clock, MHz.
    pub memory_mhz: u32,
    /// Power without a load, W.
    pub idle_watts: f64,
    /// Power without a load while the lock's lower bound keeps the card off its idle states, W.
    pub idle_watts_locked: f64,
    /// Default (and highest) power limit, W.
    pub power_limit_watts: f64,
    /// Lowest power limit that the card accepts, W.
    pub power_limit_min_watts: f64,
    /// Persistence mode at the first use.
    pub persistence: bool,
    /// Multi-instance mode.
    pub mig: Mig,
    /// Clock to power and speed, rising in clock.
    pub levels: Vec<Level>,
}

/// Whether a card is cut into instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mig {
    /// A card without that ability.
    Unsupported,
    /// Able, and whole.
    Off,
    /// Cut; the UUIDs of its instances.
    On(Vec<String>),
}

/// Power and speed of a busy card at a clock.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Graphics clock, MHz.
    pub clock_mhz: u32,
    /// Power of the busy card, W.
    pub watts: f64,
    /// Work per second, relative to the highest clock.
    pub speed: f64,
}

/// What a card does in a given condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operating {
    /// Graphics clock, MHz.
    pub clock_mhz: u32,
    /// Power, mW.
    pub power_mw: u32,
    /// Work per second relative to the highest clock; 0 when idle.
    pub speed: f64,
    /// NVML's clock throttle (event) reasons.
    pub reasons: u64,
}

const REASON_GPU_IDLE: u64 = 0x1;
const REASON_SW_POWER_CAP: u64 = 0x4;

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// Missing or unreadable.
    #[error("{path}: {source}; put the description of the cards there")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or a key that is not known.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        source: Box<toml::de::Error>,
    },
    /// A value without sense.
    #[error("{path}: {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which card, which key, which value.
        what: String,
    },
}

impl Description {
    /// Reads and checks `gpus.toml`.
    pub fn read(path: &Path) -> Result<Description, DescriptionError> {
        let text = std::fs::read_to_string(path).map_err(|source| DescriptionError::Read { path: path.to_owned(), source })?;
        let raw: RawDescription = toml::from_str(&text)
            .map_err(|source| DescriptionError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        raw.check().map_err(|what| DescriptionError::Value { path: path.to_owned(), what })
    }
}

impl Gpu {
    /// The supported graphics clocks, falling, as NVML lists them.
    pub fn clocks(&self) -> Vec<u32> {
        let mut clocks: Vec<u32> = (self.min_mhz..=self.max_mhz).step_by(self.step_mhz as usize).collect();
        clocks.reverse();
        clocks
    }

    /// The highest supported clock at or below the one asked for; the lowest if there is none.
    pub fn snap(&self, mhz: u32) -> u32 {
        let mhz = mhz.clamp(self.min_mhz, self.max_mhz);
        mhz - (mhz - self.min_mhz) % self.step_mhz
    }

    /// Power (W) and speed of the busy card at a clock, interpolated between levels, constant beyond them.
    pub fn at(&self, clock_mhz: u32) -> (f64, f64) {
        let above = self.levels.partition_point(|l| l.clock_mhz < clock_mhz);
        let high = self.levels[above.min(self.levels.len() - 1)];
        let low = self.levels[above.saturating_sub(1)];
        if high.clock_mhz <= low.clock_mhz || clock_mhz >= high.clock_mhz {
            return (high.watts, high.speed);
        }
        let x = f64::from(clock_mhz - low.clock_mhz) / f64::from(high.clock_mhz - low.clock_mhz);
        (low.watts + x * (high.watts - low.watts), low.speed + x * (high.speed - low.speed))
    }

    /// What the card does: under a locked range, a power limit, with or without a load.
    pub fn operating(&self, lock: Option<(u32, u32)>, limit_mw: u32, busy: bool) -> Operating {
        let (floor, ceiling) = lock.unwrap_or((self.min_mhz, self.max_mhz));
        if !busy {
            let kept_awake = floor > self.min_mhz;
            let watts = if kept_awake { self.idle_watts_locked } else { self.idle_watts };
            return Operating { clock_mhz: floor, power_mw: milli(watts), speed: 0.0, reasons: REASON_GPU_IDLE };
        }
        let mut clock_mhz = self.snap(ceiling);
        let mut reasons = 0;
        while milli(self.at(clock_mhz).0) > limit_mw && clock_mhz > self.min_mhz {
            clock_mhz -= self.step_mhz;
            reasons = REASON_SW_POWER_CAP;
        }
        let (watts, speed) = self.at(clock_mhz);
        Operating { clock_mhz, power_mw: milli(watts), speed, reasons }
    }
}

/// Watts to whole milliwatts, NVML's unit.
pub fn milli(watts: f64) -> u32 {
    (watts * 1000.0).round() as u32
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDescription {
    driver_version: Option<String>,
    nvml_version: Option<String>,
    cuda_version: Option<i32>,
    #[serde(default)]
    log_calls: bool,
    #[serde(default)]
    anyone_may_set: bool,
    unload_resets_energy: Option<bool>,
    #[serde(default)]
    card: Vec<RawGpu>,
    #[serde(default)]
    gpu: Vec<RawGpu>,
    #[serde(default)]
    fault: Vec<Fault>,
}

/// A `[[card]]` (a kind of GPU, known by its name) or a `[[gpu]]` (one of them; `card` names the kind, its own keys win).
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGpu {
    card: Option<String>,
    name: Option<String>,
    uuid: Option<String>,
    minor: Option<u32>,
    pci_bus_id: Option<String>,
    architecture: Option<u32>,
    memory_mib: Option<u64>,
    min_mhz: Option<u32>,
    max_mhz: Option<u32>,
    step_mhz: Option<u32>,
    memory_mhz: Option<u32>,
    idle_watts: Option<f64>,
    idle_watts_locked: Option<f64>,
    power_limit_watts: Option<f64>,
    power_limit_min_watts: Option<f64>,
    persistence: Option<bool>,
    mig: Option<String>,
    #[serde(default)]
    mig_uuids: Vec<String>,
    #[serde(default)]
    level: Vec<Level>,
}

impl RawDescription {
    fn check(self) -> Result<Description, String> {
        let mut gpus: Vec<Gpu> = Vec::new();
        for (index, raw) in self.gpu.into_iter().enumerate() {
            let card = match &raw.card {
                None => RawGpu::default(),
                Some(name) => self
                    .card
                    .iter()
                    .find(|card| card.name.as_ref() == Some(name))
                    .cloned()
                    .ok_or(format!("gpu {index}: card '{name}': no [[card]] has that name"))?,
            };
            let gpu = raw.check(card, index).map_err(|what| format!("gpu {index}: {what}"))?;
            if gpus.iter().any(|other| other.uuid == gpu.uuid) {
                return Err(format!("gpu {index}: uuid '{}' is given twice", gpu.uuid));
            }
            gpus.push(gpu);
        }
        if let Some(fault) = self.fault.iter().find(|f| f.gpu.is_some_and(|g| g >= gpus.len())) {
            return Err(format!("fault: gpu = {:?}: there are {} cards", fault.gpu, gpus.len()));
        }
        let driver_version = self.driver_version.unwrap_or("570.00.00".into());
        Ok(Description {
            gpus,
            faults: self.fault,
            nvml_version: self.nvml_version.unwrap_or(format!("12.{driver_version}")),
            driver_version,
            cuda_version: self.cuda_version.unwrap_or(12080),
            log_calls: self.log_calls,
            anyone_may_set: self.anyone_may_set,
            unload_resets_energy: self.unload_resets_energy.unwrap_or(true),
        })
    }
}

impl RawGpu {
    fn check(self, card: RawGpu, index: usize) -> Result<Gpu, String> {
        let name = self.name.or(card.name).ok_or("name is missing")?;
        let min_mhz = self.min_mhz.or(card.min_mhz).unwrap_or(210);
        let max_mhz = self.max_mhz.or(card.max_mhz).ok_or("max_mhz is missing")?;
        let step_mhz = self.step_mhz.or(card.step_mhz).unwrap_or(15);
        if step_mhz == 0 || max_mhz < min_mhz || !(max_mhz - min_mhz).is_multiple_of(step_mhz) {
            return Err(format!("clocks {min_mhz}..{max_mhz} MHz in steps of {step_mhz}: not a grid"));
        }
        let mut levels = if self.level.is_empty() { card.level } else { self.level };
        levels.sort_by_key(|level| level.clock_mhz);
        let sane = |l: &Level| l.watts.is_finite() && l.watts >= 0.0 && l.speed > 0.0 && l.speed <= 1.0;
        if levels.is_empty() || !levels.iter().all(sane) {
            return Err("level: at least one is needed, with watts >= 0 and speed in (0, 1]".into());
        }
        let idle_watts = self.idle_watts.or(card.idle_watts).unwrap_or(30.0);
        let top_watts = levels.iter().fold(idle_watts, |top, level| top.max(level.watts));
        let power_limit_watts = self.power_limit_watts.or(card.power_limit_watts).unwrap_or(top_watts);
        let mig = match self.mig.or(card.mig).as_deref() {
            None | Some("unsupported") => Mig::Unsupported,
            Some("off") => Mig::Off,
            Some("on") => Mig::On(self.mig_uuids),
            Some(other) => {
                return Err(format!("mig = '{other}'; give \"off\", \"on\" or \"unsupported\""));
            }
        };
        Ok(Gpu {
            name,
            uuid: self.uuid.ok_or("uuid is missing")?,
            minor: self.minor.unwrap_or(index as u32),
            pci_bus_id: self.pci_bus_id.unwrap_or(format!("00000000:{:02X}:00.0", index + 1)),
            architecture: self.architecture.or(card.architecture).unwrap_or(8),
            memory_mib: self.memory_mib.or(card.memory_mib).unwrap_or(24564),
            min_mhz,
            max_mhz,
            step_mhz,
            memory_mhz: self.memory_mhz.or(card.memory_mhz).unwrap_or(10501),
            idle_watts,
            idle_watts_locked: self.idle_watts_locked.or(card.idle_watts_locked).unwrap_or(idle_watts),
            power_limit_watts,
            power_limit_min_watts: self.power_limit_min_watts.or(card.power_limit_min_watts).unwrap_or(power_limit_watts / 3.0),
            persistence: self.persistence.or(card.persistence).unwrap_or(true),
            mig,
            levels,
        })
    }
}
