//! What the same work would have emitted had CARM left the job alone: started when it could have, at full clock; and
//! started then, too, at the one clock of least energy per work that a site would set without looking at the grid.
//!
//! Decided here: the method, and when there is too little to go by. Where the figures come from is left to
//! [`crate::ledger::Span`], what is said of them to the programs.
//!
//! **Method**, for a level of the profile with power p and speed s, on the part of a run that was on one node:
//! - time: `t = work done / s`;
//! - calibration: `k = measured GPU energy / energy that the profile gives for the clocks that were run`, so that an error of the
//!   profile's watts, and a job that does not load its GPUs, cancel out;
//! - GPU power: `p' = k n p`, n being the node's GPUs, by shares; facility power: `P = PUE (p' + host power)`;
//! - carbon: the sum over the grid's steps from `asked` on, for the time t, of
//!   `g max(0, P - R) + g_on min(P, R)`, R being the on-site power that the job could count on.
//!
//! **Limits.** The work is counted by the profile's speeds: where these are wrong, so is t (k mends the power alone). The grid
//! is the one that was recorded, and past its end its last value. Waiting in Slurm's queue at the other time is not known; nor
//! is what other jobs would have done in the meantime. Power is spread evenly over the run.

use crate::ledger::LevelUsed;

/// Calibrations outside of this are no error of a model: a counter that lost time, a profile of another job.
pub const CREDIBLE: std::ops::RangeInclusive<f64> = 0.05..=5.0;

/// What a run did on one node, over the whole of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Work done, in seconds at full clock.
    pub done_s: f64,
    /// Measured energy of the GPUs, J.
    pub gpu_energy_j: f64,
    /// What the profile gives for it, J.
    pub modelled_gpu_energy_j: f64,
    /// The GPUs, by shares.
    pub gpus: f64,
    /// Host power per GPU, W.
    pub host_watts: f64,
    /// Facility power over IT power.
    pub pue: f64,
    /// The profile's highest clock.
    pub full: LevelUsed,
    /// Its clock of least energy per work.
    pub economical: LevelUsed,
    /// Life-cycle intensity of on-site power, g/kWh.
    pub onsite_g_per_kwh: f64,
}

/// The grid for so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Seconds.
    pub seconds: f64,
    /// Intensity, g/kWh.
    pub g_per_kwh: f64,
    /// On-site power that the job could count on, W.
    pub onsite_w: f64,
    /// Whether the intensity was estimated.
    pub estimated: bool,
}

/// A run that was not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// How long it would have taken, s.
    pub seconds: f64,
    /// Energy of the GPUs, J.
    pub gpu_energy_j: f64,
    /// Energy at the facility, kWh.
    pub energy_kwh: f64,
    /// Operational carbon, g.
    pub carbon_g: f64,
    /// Part of the time for which the grid was estimated or past the record's end, 0 to 1.
    pub estimated_share: f64,
}

/// Both runs that were not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baselines {
    /// At full clock.
    pub full: Outcome,
    /// At the profile's clock of least energy per work.
    pub economical: Outcome,
    /// Measured over modelled GPU energy.
    pub calibration: f64,
}

/// Why nothing can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Untold {
    /// Not all lines of the run are there, or it has not ended.
    #[error("the run's lines are not complete")]
    Incomplete,
    /// The lines name no profile, or no work done by it; version 1 had neither.
    #[error("no profile with its work is recorded")]
    NoProfile,
    /// A GPU's energy is not known.
    #[error("a GPU's energy is not known")]
    NoEnergy,
    /// Nothing says what the grid was when the job could have started.
    #[error("the grid from the time on at which the job could have started is not recorded")]
    NoGrid,
    /// Measured and modelled energy have nothing to do with one another.
    #[error("measured and modelled energy are too far apart")]
    Calibration,
}

/// Both baselines of the work on a grid that begins when the job could have started.
///
/// # Errors
/// Where the figures do not carry a comparison.
pub fn baselines(work: &Work, grid: &[Stretch]) -> Result<Baselines, Untold> {
    let sound = |level: LevelUsed| level.speed.is_finite() && level.speed > 0.0 && level.watts.is_finite() && level.watts >= 0.0;
    if !(sound(work.full) && sound(work.economical) && work.done_s.is_finite() && work.done_s > 0.0) {
        return Err(Untold::NoProfile);
    }
    if work.gpu_energy_j.is_nan() || work.gpu_energy_j <= 0.0 {
        return Err(Untold::NoEnergy);
    }
    let calibration = work.gpu_energy_j / work.modelled_gpu_energy_j;
    if !CREDIBLE.contains(&calibration) {
        return Err(Untold::Calibration);
    }
    if grid.iter().all(|stretch| stretch.seconds.is_nan() || stretch.seconds <= 0.0) {
        return Err(Untold::NoGrid);
    }
    let at = |level: LevelUsed| outcome(work, level, calibration, grid);
    Ok(Baselines { full: at(work.full), economical: at(work.economical), calibration })
}

fn outcome(work: &Work, level: LevelUsed, calibration: f64, grid: &[Stretch]) -> Outcome {
    let seconds = work.done_s / level.speed;
    let gpu_w = calibration * work.gpus * level.watts;
    let power_w = work.pue * (gpu_w + work.host_watts * work.gpus);
    let (mut left_s, mut gram_w_s, mut estimated_s) = (seconds, 0.0, 0.0);
    let mut count = |stretch: &Stretch, seconds: f64, estimated: bool| {
        let onsite_w = stretch.onsite_w.clamp(0.0, power_w);
        gram_w_s += seconds * (stretch.g_per_kwh * (power_w - onsite_w) + work.onsite_g_per_kwh * onsite_w);
        estimated_s += if estimated { seconds } else { 0.0 };
    };
    for stretch in grid.iter().filter(|stretch| stretch.seconds > 0.0) {
        let seconds = stretch.seconds.min(left_s);
        count(stretch, seconds, stretch.estimated);
        left_s -= seconds;
        if left_s <= 0.0 {
            break;
        }
    }
    // Times in the record have milliseconds: what is missing of the last one is no gap.
    if let Some(last) = grid.last().filter(|_| left_s > 0.0) {
        count(last, left_s, left_s > 0.01 || last.estimated);
    }
    Outcome {
        seconds,
        gpu_energy_j: gpu_w * seconds,
        energy_kwh: power_w * seconds / 3.6e6,
        carbon_g: gram_w_s / 3.6e6,
        estimated_share: estimated_s / seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour's work of two GPUs, whose profile says 400 W at full clock and 200 W at 0.8 of the speed.
    fn work() -> Work {
        Work {
            done_s: 3600.0,
            gpu_energy_j: 2.88e6,
            modelled_gpu_energy_j: 2.88e6,
            gpus: 2.0,
            host_watts: 100.0,
            pue: 1.25,
            full: LevelUsed { clock_mhz: 1980, watts: 400.0, speed: 1.0 },
            economical: LevelUsed { clock_mhz: 1410, watts: 200.0, speed: 0.8 },
            onsite_g_per_kwh: 20.0,
        }
    }

    fn stretch(hours: f64, g_per_kwh: f64) -> Stretch {
        Stretch { seconds: hours * 3600.0, g_per_kwh, onsite_w: 0.0, estimated: false }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn one_hour_at_full_clock_is_pue_times_gpus_and_hosts_on_the_grid_of_that_hour() {
        let told = baselines(&work(), &[stretch(1.0, 400.0), stretch(1.0, 100.0)]).expect("told");
        // 1.25 x (2 x 400 W + 2 x 100 W) = 1250 W for one hour at 400 g/kWh.
        close(told.full.energy_kwh, 1.25);
        close(told.full.carbon_g, 500.0);
        close(told.full.gpu_energy_j, 2.88e6);
        assert_eq!((told.full.seconds, told.full.estimated_share), (3600.0, 0.0));
        // 1.25 x (400 + 200) = 750 W for an hour and a quarter: 750 Wh at 400 and 187.5 Wh at 100 g/kWh.
        close(told.economical.energy_kwh, 0.9375);
        close(told.economical.carbon_g, 300.0 + 18.75);
    }

    #[test]
    fn an_error_of_the_profile_cancels_out() {
        // The same run, seen by a profile that takes every level for half as hungry again.
        let high = |level: LevelUsed| LevelUsed { watts: level.watts * 1.5, ..level };
        let off =
            Work { modelled_gpu_energy_j: 2.88e6 * 1.5, full: high(work().full), economical: high(work().economical), ..work() };
        let grid = [stretch(2.0, 400.0)];
        let (told, expected) = (baselines(&off, &grid).expect("told"), baselines(&work(), &grid).expect("told"));
        close(told.full.carbon_g, expected.full.carbon_g);
        close(told.economical.carbon_g, expected.economical.carbon_g);
        close(told.calibration, 1.0 / 1.5);
    }

    #[test]
    fn on_site_power_comes_first_at_its_own_intensity() {
        let sun = [Stretch { onsite_w: 1000.0, ..stretch(2.0, 400.0) }];
        let told = baselines(&work(), &sun).expect("told");
        // 1000 W for an hour at 20 g/kWh, 250 W at 400.
        close(told.full.carbon_g, 20.0 + 100.0);
        // 750 W are all on-site: 937.5 Wh at 20 g/kWh.
        close(told.economical.carbon_g, 18.75);
    }

    #[test]
    fn past_the_records_end_its_last_value_holds_and_counts_as_estimated() {
        let told = baselines(&work(), &[stretch(1.0, 400.0)]).expect("told");
        close(told.full.estimated_share, 0.0);
        close(told.economical.estimated_share, 0.2);
        close(told.economical.carbon_g, 375.0);
        let told = baselines(&work(), &[Stretch { estimated: true, ..stretch(0.5, 0.0) }, stretch(0.5, 800.0)]).expect("told");
        close(told.full.estimated_share, 0.5);
        close(told.full.carbon_g, 500.0);
    }

    #[test]
    fn what_carries_no_comparison_is_told_apart() {
        let grid = [stretch(1.0, 400.0)];
        let cause = |work: Work| baselines(&work, &grid).expect_err("nothing to tell");
        assert_eq!(cause(Work { done_s: 0.0, ..work() }), Untold::NoProfile);
        assert_eq!(cause(Work { done_s: f64::NAN, ..work() }), Untold::NoProfile);
        assert_eq!(cause(Work { full: LevelUsed { speed: 0.0, ..work().full }, ..work() }), Untold::NoProfile);
        assert_eq!(cause(Work { gpu_energy_j: 0.0, ..work() }), Untold::NoEnergy);
        assert_eq!(cause(Work { modelled_gpu_energy_j: 0.0, ..work() }), Untold::Calibration);
        assert_eq!(cause(Work { gpu_energy_j: 100.0, ..work() }), Untold::Calibration);
        assert_eq!(baselines(&work(), &[]).expect_err("no grid"), Untold::NoGrid);
        assert_eq!(baselines(&work(), &[stretch(0.0, 1.0)]).expect_err("no grid"), Untold::NoGrid);
    }
}
