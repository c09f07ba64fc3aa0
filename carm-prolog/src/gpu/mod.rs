//! GPUs as carm-prolog needs them: a small trait, so that what decides and journals can be tested without a driver. NVML
//! itself is in `nvml` alone.

mod nvml;

pub use nvml::Nvml;

/// One GPU of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// NVML's UUID, the only name that survives cgroups and reboots.
    pub uuid: String,
    /// NVML's index: by PCI bus, as nvidia-smi counts.
    pub index: u32,
    /// Device minor: the N of /dev/nvidiaN.
    pub minor: u32,
    /// Model, as NVML names it.
    pub name: String,
}

/// A call to the driver failed; the text says which and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {cause}")]
pub struct GpuError {
    /// What was tried, as a gerund: `locking clocks at 1410 MHz`.
    pub call: String,
    /// The driver's word for it.
    pub cause: String,
    /// Whether the card or the caller lacks the ability at all, so that trying again is useless.
    pub refused: bool,
    /// Whether the driver may answer when asked again.
    pub busy: bool,
}

/// What is asked of the driver. Cards are named by UUID.
pub trait Driver {
    /// The node's cards; one that does not answer is left out.
    fn cards(&self) -> Result<Vec<Card>, GpuError>;
    /// SM clocks that can be locked, rising, in MHz, at the top memory clock.
    fn clocks_mhz(&self, uuid: &str) -> Result<Vec<u32>, GpuError>;
    /// Locks the SM clock into a range.
    fn lock(&self, uuid: &str, lowest_mhz: u32, highest_mhz: u32) -> Result<(), GpuError>;
    /// Takes a lock back: the driver's default range.
    fn unlock(&self, uuid: &str) -> Result<(), GpuError>;
    /// Energy in joules since the driver was loaded.
    fn energy_j(&self, uuid: &str) -> Result<f64, GpuError>;
    /// Whether the driver stays loaded without clients; without it a lock vanishes.
    fn persistent(&self, uuid: &str) -> Result<bool, GpuError>;
    /// Switches persistence mode.
    fn set_persistent(&self, uuid: &str, on: bool) -> Result<(), GpuError>;
    /// Whether the card is cut into MIG instances, which share its clocks.
    fn mig(&self, uuid: &str) -> Result<bool, GpuError>;
    /// The SM clock at this moment, in MHz.
    fn sm_clock_mhz(&self, uuid: &str) -> Result<u32, GpuError>;
    /// The power draw at this moment, in watts.
    fn power_w(&self, uuid: &str) -> Result<f64, GpuError>;
    /// The part of the last moments in which the card was at work, 0..=1.
    fn utilization(&self, uuid: &str) -> Result<f64, GpuError>;
    /// The processes with a compute context on the card, clients of an MPS server included.
    fn processes(&self, uuid: &str) -> Result<Vec<u32>, GpuError>;
    /// Whether heat or a power limit holds the card's clock down.
    fn throttled(&self, uuid: &str) -> Result<bool, GpuError>;
}
