//! What counts: per job, per slot, per policy.

pub mod metrics;
pub mod summary;

/// What became of one job under a policy. Instants are hours after the episode's begin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobRecord {
    /// The job: an index into [`crate::world::World::jobs`].
    pub job: usize,
    /// Where it ran.
    pub site: usize,
    /// The GPUs that it had (of a job whose width changed: at last).
    pub workers: u32,
    /// When it was submitted.
    pub submit_h: f64,
    /// When the policy let it begin.
    pub eligible_h: f64,
    /// When it first ran.
    pub start_h: f64,
    /// When it ended.
    pub end_h: f64,
    /// How long it ran, pauses left out, h.
    pub ran_h: f64,
    /// The time limit that it had, h.
    pub limit_h: f64,
    /// Facility energy from the grid, kWh.
    pub grid_kwh: f64,
    /// Facility energy from the roof, kWh.
    pub onsite_kwh: f64,
    /// Facility carbon, gCO2e.
    pub carbon_g: f64,
    /// How often its clock was changed while it ran.
    pub clock_changes: u32,
    /// How often it was paused, or got another width.
    pub pauses: u32,
    /// Its time limit ended it.
    pub killed: bool,
    /// It ended, or was ended, after its deadline.
    pub late: bool,
    /// Of a service: the hours in which requests were answered too late.
    pub latency_miss_h: f64,
    /// The stretches that it ran, at one clock each.
    pub stretches: Vec<Stretch>,
}

/// A stretch of a run: from, to (h), and the level there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Begin.
    pub from_h: f64,
    /// End.
    pub to_h: f64,
    /// Index into the profile's levels.
    pub level: usize,
    /// GPUs.
    pub workers: u32,
}

/// What a site did in one of its slots.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SlotSum {
    /// Facility energy from the grid, kWh.
    pub grid_kwh: f64,
    /// Facility energy from the roof, kWh.
    pub onsite_kwh: f64,
    /// Facility carbon, gCO2e.
    pub carbon_g: f64,
    /// GPU-hours that ran.
    pub busy_gpu_h: f64,
    /// The sum of clock (MHz) times GPU-hours: over `busy_gpu_h` the mean clock.
    pub mhz_gpu_h: f64,
}

/// One policy over one episode.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyRun {
    /// The policy's name.
    pub policy: String,
    /// By job.
    pub records: Vec<JobRecord>,
    /// By site, then by its slots ([`crate::world::Place::borders_h`]).
    pub slots: Vec<Vec<SlotSum>>,
}

impl PolicyRun {
    /// Facility carbon of all jobs, g.
    #[must_use]
    pub fn carbon_g(&self) -> f64 {
        self.records.iter().map(|record| record.carbon_g).sum()
    }

    /// Facility energy of all jobs, kWh.
    #[must_use]
    pub fn energy_kwh(&self) -> f64 {
        self.records.iter().map(|record| record.grid_kwh + record.onsite_kwh).sum()
    }
}
