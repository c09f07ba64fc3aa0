//! What the figures of a line may be: one line with 1e308 would make every total absurd.
//!
//! The limits are far above what a node can do in the longest run that Slurm knows, so no line that CARM wrote is refused.

use super::{Gpu, LevelUsed, Line, Record, Step};
use crate::grid::cache::{CARBON_G_PER_KWH, ONSITE_W};

/// Ten years.
const SECONDS: f64 = 315_360_000.0;
/// 16 GPUs of 20 kW for a month are 8e11 J.
const JOULES: f64 = 1e12;
/// As [`JOULES`], with host and PUE at their limits in the configuration.
const KWH: f64 = 1e8;
/// As [`KWH`], at the highest intensity.
const GRAMS: f64 = 1e12;
/// As `host_watts` of the configuration.
const WATTS: f64 = 1e5;
const PUE: f64 = 10.0;
const CLOCK_MHZ: u32 = 100_000;
/// Slurm counts restarts in 16 bits.
const RUN: u32 = 65_535;
/// A change a second for ten days.
const CLOCK_CHANGES: u32 = 1_000_000;
/// Of one node.
const GPUS: usize = 1024;

/// The most that a GPU's share of a job can be.
pub(super) const SHARE: std::ops::RangeInclusive<f64> = 0.0..=1.0;

fn within(name: &str, value: f64, most: f64) -> Result<(), String> {
    if (0.0..=most).contains(&value) { Ok(()) } else { Err(format!("{name}: {value:e}: out of range; expected 0 to {most:e}")) }
}

fn count(name: &str, value: u32, most: u32) -> Result<(), String> {
    if value <= most { Ok(()) } else { Err(format!("{name}: {value}: out of range; expected 0 to {most}")) }
}

/// The figures that [`Line`] and [`Record`] have in common, by the same names.
macro_rules! check_common {
    ($line:expr) => {{
        count("run", $line.run, RUN)?;
        within("work_done_s", $line.work_done_s.unwrap_or(0.0), SECONDS)?;
        within("modelled_gpu_energy_j", $line.modelled_gpu_energy_j.unwrap_or(0.0), JOULES)?;
        within("gpu_energy_j", $line.gpu_energy_j, JOULES)?;
        within("energy_kwh", $line.energy_kwh, KWH)?;
        within("carbon_g", $line.carbon_g, GRAMS)?;
        within("embodied_g", $line.embodied_g, GRAMS)?;
        within("host_watts", $line.host_watts, WATTS)?;
        within("pue", $line.pue, PUE)?;
        within("estimated_share", $line.estimated_share, 1.0)?;
        if let Some(profile) = &$line.profile {
            level(&profile.full)?;
            level(&profile.economical)?;
        }
        for step in &$line.grid {
            grid(step.seconds, step.g_per_kwh, step.onsite_w)?;
        }
    }};
}

fn level(level: &LevelUsed) -> Result<(), String> {
    count("clock_mhz", level.clock_mhz, CLOCK_MHZ)?;
    within("watts", level.watts, WATTS)?;
    within("speed", level.speed, 1.0)
}

fn grid(seconds: f64, g_per_kwh: f64, onsite_w: f64) -> Result<(), String> {
    within("seconds", seconds, SECONDS)?;
    within("g_per_kwh", g_per_kwh, *CARBON_G_PER_KWH.end())?;
    within("onsite_w", onsite_w, *ONSITE_W.end())
}

/// Checks the figures of a line.
pub(super) fn check_line(line: &Line) -> Result<(), String> {
    check_common!(line);
    count("gpus", line.gpus.count, GPUS as u32)
}

/// Checks those of a step of a run.
pub(super) fn check_step(seconds: f64, gpu_energy_j: f64, carbon_g: f64, step: (f64, f64)) -> Result<(), String> {
    within("gpu_energy_j", gpu_energy_j, JOULES)?;
    within("carbon_g", carbon_g, GRAMS)?;
    grid(seconds, step.0, step.1)
}

/// Checks the figures of a record.
pub(super) fn check_record(record: &Record) -> Result<(), String> {
    check_common!(record);
    count("clock_changes", record.clock_changes, CLOCK_CHANGES)?;
    count("clock_mhz", record.clock_mhz.unwrap_or(0), CLOCK_MHZ)?;
    within("work_s", record.work_s.unwrap_or(0) as f64, SECONDS)?;
    if record.gpus.len() > GPUS {
        return Err(format!("gpus: {}: out of range; expected 0 to {GPUS}", record.gpus.len()));
    }
    for Gpu { energy_j, share, .. } in &record.gpus {
        within("energy_j", *energy_j, JOULES)?;
        within("share", *share, *SHARE.end())?;
    }
    for Step { seconds, clock_mhz, gpu_energy_j, carbon_g, g_per_kwh, onsite_w, .. } in &record.steps {
        count("clock_mhz", clock_mhz.unwrap_or(0), CLOCK_MHZ)?;
        check_step(*seconds, *gpu_energy_j, *carbon_g, (*g_per_kwh, *onsite_w))?;
    }
    Ok(())
}
