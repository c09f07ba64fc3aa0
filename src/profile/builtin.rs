//! The built-in profile: a model of no card in particular, so that a first try needs no file.

use std::collections::BTreeMap;

use super::{Level, Profile};

/// Power and run time against the clock, fitted to a public sweep of one kernel (nnForward) on one card (Quadro RTX 8000,
/// 1710 MHz): Wang and Chu, "GPGPU performance estimation with core and memory frequency scaling", ICPADS 2018, data set
/// NV-DVFS-Benchmark. With x = f / fmax: P(f) = 48 W + 178 W x V(x)^2, V = 0.82 up to x = 0.75, then linear to 1;
/// T(f) = T(fmax) ((1 - 0.73) + 0.73 / x).
const P_STATIC_W: f64 = 48.0;
const P_DYNAMIC_W: f64 = 178.0;
const KNEE: f64 = 0.75;
const V_LOW: f64 = 0.82;
const CORE_BOUND: f64 = 0.73;
const TOP_CLOCK_MHZ: u32 = 1710;

/// Below half the top clock static power outweighs what a slower clock saves, and nobody fitted the curve there.
const STEPS: std::ops::RangeInclusive<u32> = 0..=19;

/// The profile `generic`, for any NVIDIA GPU. A model: it is never taken as measured.
#[must_use]
pub fn generic() -> Profile {
    let level = |step: u32| {
        let clock_mhz = TOP_CLOCK_MHZ - 45 * (STEPS.end() - step);
        let x = f64::from(clock_mhz) / f64::from(TOP_CLOCK_MHZ);
        let volts = if x <= KNEE { V_LOW } else { V_LOW + (1.0 - V_LOW) * (x - KNEE) / (1.0 - KNEE) };
        let speed = 1.0 / ((1.0 - CORE_BOUND) + CORE_BOUND / x);
        // The fit's last digit must not make the top speed anything but 1.
        let speed = if clock_mhz == TOP_CLOCK_MHZ { 1.0 } else { speed };
        Level { clock_mhz, watts: P_STATIC_W + P_DYNAMIC_W * x * volts * volts, speed, latency_ms: None }
    };
    Profile {
        // A literal that fits the rule of names; the test below reads it back through that rule.
        name: crate::request::ProfileName::from_static("generic"),
        gpu: None,
        model: None,
        source: "modelled after one kernel on a Quadro RTX 8000 (Wang and Chu, ICPADS 2018); no card or workload of yours was measured"
            .to_owned(),
        measured: false,
        default_workers: 1,
        throughput: None,
        levels: STEPS.map(level).collect(),
        scaling: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profile_is_physical_and_says_that_it_is_a_model() {
        let profile = generic();
        assert_eq!(profile.name.as_str().parse(), Ok(profile.name.clone()));
        assert!(!profile.measured && profile.source.contains("modelled"));
        assert_eq!(profile.levels.len(), 20);
        assert!(
            profile
                .levels
                .windows(2)
                .all(|l| l[0].clock_mhz < l[1].clock_mhz && l[0].watts < l[1].watts && l[0].speed < l[1].speed)
        );
        assert_eq!(profile.levels[19].speed, 1.0);
        assert!((profile.levels[19].watts - 226.0).abs() < 1e-9);
        let per_work: Vec<f64> = profile.levels.iter().map(|l| l.watts / l.speed).collect();
        let best = per_work.iter().copied().fold(f64::INFINITY, f64::min);
        let saving = 1.0 - best / per_work[19];
        assert!((0.15..0.30).contains(&saving), "energy saved at the best clock: {saving}");
    }
}
