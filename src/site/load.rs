//! A loaded site's clock floor: a slower clock keeps GPUs from the jobs behind it.
//!
//! CARM's own rule: all work of the next hours, slowed down alike, is still done in them. Work that takes H GPU-hours at full clock takes
//! H / s at speed s, and n GPUs do n T in T hours, so the least speed is `s = H / (n T)`, at most 1.

use crate::plan::Level;

/// The least speed at which a queue's work still fits: its GPU-hours over those that the site's GPUs have within `window_h`
/// hours, from 0 (an empty queue) to 1 (it does not fit, or only just).
#[must_use]
pub fn least_speed(queue_gpu_h: f64, gpus: u32, window_h: f64) -> f64 {
    let speed = queue_gpu_h / (f64::from(gpus) * window_h);
    // An empty queue against no hours at all.
    if speed.is_nan() { 0.0 } else { speed.clamp(0.0, 1.0) }
}

/// The levels that are fast enough; the fastest always stays.
#[must_use]
pub fn fast_enough(levels: &[Level], least_speed: f64) -> Vec<Level> {
    let top = levels.iter().map(|level| level.speed).fold(0.0, f64::max);
    levels.iter().copied().filter(|level| level.speed >= least_speed.min(top)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_least_speed_is_the_share_of_the_hours_that_the_queue_needs() {
        assert_eq!(least_speed(96.0, 8, 24.0), 0.5);
        assert_eq!((least_speed(0.0, 8, 24.0), least_speed(500.0, 8, 24.0)), (0.0, 1.0));
        assert_eq!((least_speed(0.0, 8, 0.0), least_speed(1.0, 8, 0.0)), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn at_every_level_that_stays_but_the_fastest_the_queue_fits(
            speeds in prop::collection::vec(0.05_f64..1.0, 0..6), queue_gpu_h in 0.0_f64..400.0, gpus in 1_u32..16,
        ) {
            let level = |speed| Level { clock_mhz: 1, watts: 1.0, speed, latency_ms: None };
            let levels: Vec<Level> = speeds.into_iter().chain([1.0]).map(level).collect();
            let kept = fast_enough(&levels, least_speed(queue_gpu_h, gpus, 24.0));
            prop_assert!(kept.iter().any(|level| level.speed == 1.0));
            for level in &levels {
                let fits = queue_gpu_h / level.speed <= f64::from(gpus) * 24.0 * (1.0 + 1e-12);
                prop_assert!(kept.contains(level) == fits || level.speed == 1.0 || (queue_gpu_h / level.speed / f64::from(gpus) - 24.0).abs() < 1e-9);
            }
        }
    }
}
