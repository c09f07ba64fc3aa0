//! NVML behind the trait: the only code of CARM that touches it.

use std::path::Path;
use std::time::Duration;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, PerformanceState};
use nvml_wrapper::enums::device::GpuLockedClocksSetting;
use nvml_wrapper::error::NvmlError;

use super::{Card, Driver, GpuError};

/// The grid of SM clocks since Volta; a request between two of them is rounded by the driver.
const CLOCK_STEP_MHZ: usize = 15;

/// How long to wait before asking a busy driver again.
const BUSY_PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

/// The loaded library. Held for as long as a lock must last where persistence mode is off.
pub struct Nvml(nvml_wrapper::Nvml);

impl Nvml {
    /// Loads and initialises the library: a bare name is left to the dynamic loader.
    pub fn load(library: &Path) -> Result<Self, GpuError> {
        let nvml = nvml_wrapper::Nvml::builder().lib_path(library.as_os_str()).init();
        nvml.map(Self).map_err(|e| fault(format!("loading {}", library.display()), &e))
    }

    /// The card at NVML's index, as nvidia-smi counts.
    pub fn by_index(&self, index: u32) -> Result<Card, GpuError> {
        self.0
            .device_by_index(index)
            .and_then(|device| card(&device, index))
            .map_err(|e| fault(format!("finding GPU {index}"), &e))
    }

    /// The driver's version.
    pub fn driver_version(&self) -> Result<String, GpuError> {
        self.0.sys_driver_version().map_err(|e| fault("reading the driver's version".into(), &e))
    }

    fn device(&self, uuid: &str) -> Result<nvml_wrapper::Device<'_>, GpuError> {
        self.0.device_by_uuid(uuid).map_err(|e| fault(format!("finding {uuid}"), &e))
    }

    fn on<T>(
        &self,
        uuid: &str,
        call: impl FnOnce() -> String,
        f: impl FnOnce(&mut nvml_wrapper::Device<'_>) -> Result<T, NvmlError>,
    ) -> Result<T, GpuError> {
        f(&mut self.device(uuid)?).map_err(|e| fault(call(), &e))
    }
}

impl Driver for Nvml {
    fn cards(&self) -> Result<Vec<Card>, GpuError> {
        let count = self.0.device_count().map_err(|e| fault("counting GPUs".into(), &e))?;
        // A GPU that has fallen off the bus must not take the others along.
        Ok((0..count).filter_map(|index| self.by_index(index).ok()).collect())
    }

    fn clocks_mhz(&self, uuid: &str) -> Result<Vec<u32>, GpuError> {
        self.on(
            uuid,
            || "listing clocks".into(),
            |device| {
                // The grid of SM clocks depends on the memory clock; under load that is the highest.
                let memory = device.supported_memory_clocks()?.into_iter().max().ok_or(NvmlError::NotSupported)?;
                let mut clocks = device.supported_graphics_clocks(memory)?;
                // nvml-wrapper 0.13 answers a card of more than 128 clocks with 128 zeros instead of asking for more room.
                clocks.retain(|&mhz| mhz > 0);
                if clocks.is_empty() {
                    let (lowest, highest) = device.min_max_clock_of_pstate(Clock::Graphics, PerformanceState::Zero)?;
                    clocks.extend((lowest..=highest).rev().step_by(CLOCK_STEP_MHZ));
                }
                clocks.sort_unstable();
                clocks.dedup();
                Ok(clocks)
            },
        )
    }

    fn lock(&self, uuid: &str, lowest_mhz: u32, highest_mhz: u32) -> Result<(), GpuError> {
        let range = GpuLockedClocksSetting::Numeric { min_clock_mhz: lowest_mhz, max_clock_mhz: highest_mhz };
        let call = || format!("locking clocks at {highest_mhz} MHz");
        patiently(|| self.on(uuid, call, |device| device.set_gpu_locked_clocks(range.clone())))
    }

    fn unlock(&self, uuid: &str) -> Result<(), GpuError> {
        patiently(|| self.on(uuid, || "resetting clocks".into(), |device| device.reset_gpu_locked_clocks()))
    }

    fn energy_j(&self, uuid: &str) -> Result<f64, GpuError> {
        // NVML counts millijoules.
        patiently(|| self.on(uuid, || "reading the energy counter".into(), |device| device.total_energy_consumption()))
            .map(|mj| mj as f64 / 1e3)
    }

    fn persistent(&self, uuid: &str) -> Result<bool, GpuError> {
        self.on(uuid, || "reading persistence mode".into(), |device| device.is_in_persistent_mode())
    }

    fn set_persistent(&self, uuid: &str, on: bool) -> Result<(), GpuError> {
        let call = || format!("switching persistence mode {}", if on { "on" } else { "off" });
        self.on(uuid, call, |device| device.set_persistent(on))
    }

    fn mig(&self, uuid: &str) -> Result<bool, GpuError> {
        match self.on(uuid, || "reading MIG mode".into(), |device| device.mig_mode()) {
            Ok(mode) => Ok(mode.current == 1),
            // Cards before Ampere do not know the question.
            Err(error) if error.refused => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sm_clock_mhz(&self, uuid: &str) -> Result<u32, GpuError> {
        self.on(uuid, || "reading the SM clock".into(), |device| device.clock_info(Clock::SM))
    }

    fn power_w(&self, uuid: &str) -> Result<f64, GpuError> {
        // NVML counts milliwatts.
        self.on(uuid, || "reading power".into(), |device| device.power_usage()).map(|mw| f64::from(mw) / 1e3)
    }

    fn utilization(&self, uuid: &str) -> Result<f64, GpuError> {
        self.on(uuid, || "reading utilization".into(), |device| device.utilization_rates())
            .map(|rates| f64::from(rates.gpu.min(100)) / 100.0)
    }

    fn processes(&self, uuid: &str) -> Result<Vec<u32>, GpuError> {
        self.on(
            uuid,
            || "listing processes".into(),
            |device| {
                let mut processes = device.running_compute_processes()?;
                // Cards before Volta have no such list; their MPS server stands in the other.
                processes.extend(device.mps_running_compute_processes().unwrap_or_default());
                Ok(processes.into_iter().map(|process| process.pid).collect())
            },
        )
    }

    fn throttled(&self, uuid: &str) -> Result<bool, GpuError> {
        // Not the strict call: a later driver may know reasons that this one does not.
        let slowed = ThrottleReasons::SW_POWER_CAP
            | ThrottleReasons::HW_SLOWDOWN
            | ThrottleReasons::SW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
        self.on(uuid, || "reading throttle reasons".into(), |device| device.current_throttle_reasons())
            .map(|reasons| reasons.intersects(slowed))
    }
}

fn card(device: &nvml_wrapper::Device<'_>, index: u32) -> Result<Card, NvmlError> {
    Ok(Card { uuid: device.uuid()?, index, minor: device.minor_number()?, name: device.name()? })
}

/// A driver that is busy answers "timeout" or "unknown error" now and then: it is asked three times.
fn patiently<T>(mut call: impl FnMut() -> Result<T, GpuError>) -> Result<T, GpuError> {
    for pause in BUSY_PAUSES {
        match call() {
            Err(error) if error.busy => std::thread::sleep(pause),
            done => return done,
        }
    }
    call()
}

fn fault(call: String, error: &NvmlError) -> GpuError {
    let (cause, refused) = match error {
        NvmlError::NoPermission => ("not permitted; CARM's prolog runs as root".to_owned(), true),
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) => ("not supported by this card or driver".to_owned(), true),
        NvmlError::GpuLost => ("the GPU is lost".to_owned(), false),
        NvmlError::DriverNotLoaded => ("no driver is loaded".to_owned(), false),
        NvmlError::LibloadingError(cause) => (format!("not loaded: {cause}"), false),
        other => (other.to_string(), false),
    };
    let busy = matches!(error, NvmlError::Timeout | NvmlError::Unknown);
    GpuError { call, cause, refused, busy }
}
