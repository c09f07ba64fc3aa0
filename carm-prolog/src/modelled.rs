//! What a run comes to by its profile: the work done, and what its GPUs would have used.

use carm::ledger::{LevelUsed, ProfileUsed};
use carm::profile::{Level, Profile};
use serde::{Deserialize, Serialize};

/// A profile on the job's cards, kept from prolog to epilog: the admin may change the files meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownProfile {
    pub used: ProfileUsed,
    /// All its levels, clocks rising.
    pub levels: Vec<LevelUsed>,
}

impl KnownProfile {
    /// Of a profile whose clocks are the card's own; none where no level is at or above the site's floor.
    pub fn of(profile: &Profile, host_watts: f64, floor_mhz: Option<u32>) -> Option<Self> {
        let levels: Vec<LevelUsed> = profile.levels.iter().map(level_used).collect();
        let (name, measured) = (profile.name.as_str().to_owned(), profile.measured);
        let per_work = |level: &&LevelUsed| (level.watts + host_watts) / level.speed;
        let allowed = levels.iter().filter(|level| Some(level.clock_mhz) >= floor_mhz);
        let economical = *allowed.min_by(|a, b| per_work(a).total_cmp(&per_work(b)))?;
        Some(Self { used: ProfileUsed { name, measured, full: *levels.last()?, economical }, levels })
    }

    /// Watts and speed at a clock, between two levels in proportion; beyond them the nearest.
    fn at(&self, clock_mhz: u32) -> LevelUsed {
        let next = self.levels.partition_point(|level| level.clock_mhz < clock_mhz);
        match (next.checked_sub(1).and_then(|below| self.levels.get(below)), self.levels.get(next)) {
            (Some(low), Some(high)) if high.clock_mhz > low.clock_mhz => {
                let part = f64::from(clock_mhz - low.clock_mhz) / f64::from(high.clock_mhz - low.clock_mhz);
                let between = |low: f64, high: f64| low + part * (high - low);
                LevelUsed { clock_mhz, watts: between(low.watts, high.watts), speed: between(low.speed, high.speed) }
            }
            (_, Some(level)) | (Some(level), None) => *level,
            (None, None) => self.used.full,
        }
    }
}

fn level_used(level: &Level) -> LevelUsed {
    LevelUsed { clock_mhz: level.clock_mhz, watts: level.watts, speed: level.speed }
}

/// Work in seconds at full clock, and joules of so many GPUs (shares added up), of a run of so many seconds at one clock; at full
/// clock the work is the run time, whether or not there is a profile.
pub fn work_and_energy(
    profile: Option<&KnownProfile>,
    clock_mhz: Option<u32>,
    run_s: f64,
    gpus: f64,
) -> (Option<f64>, Option<f64>) {
    let level = profile.map(|profile| clock_mhz.map_or(profile.used.full, |mhz| profile.at(mhz)));
    let work_s = match (clock_mhz, level) {
        (None, _) => Some(run_s),
        (Some(_), level) => level.map(|level| run_s * level.speed),
    };
    (work_s, level.map(|level| gpus * level.watts * run_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(floor_mhz: Option<u32>) -> Option<KnownProfile> {
        let mut profile = carm::profile::generic();
        let level = |clock_mhz, watts, speed| Level { clock_mhz, watts, speed, latency_ms: None };
        profile.levels = vec![level(1000, 140.0, 0.6), level(1500, 180.0, 0.8), level(2000, 300.0, 1.0)];
        KnownProfile::of(&profile, 100.0, floor_mhz)
    }

    #[test]
    fn the_economical_clock_is_that_of_least_facility_energy_per_work_above_the_floor() {
        // (140 + 100) / 0.6 = 400, (180 + 100) / 0.8 = 350, (300 + 100) / 1 = 400 J per second of work.
        let clocks = |floor| known(floor).map(|known| (known.used.full.clock_mhz, known.used.economical.clock_mhz));
        assert_eq!(clocks(None), Some((2000, 1500)));
        assert_eq!(clocks(Some(1501)), Some((2000, 2000)));
        assert_eq!(clocks(Some(2001)), None);
    }

    #[test]
    fn work_goes_by_the_speed_and_energy_by_the_watts_of_the_clock() {
        let known = known(None);
        let at = |clock| work_and_energy(known.as_ref(), clock, 100.0, 2.0);
        assert_eq!(at(None), (Some(100.0), Some(60_000.0)));
        assert_eq!(at(Some(1500)), (Some(80.0), Some(36_000.0)));
        assert_eq!(at(Some(1750)), (Some(90.0), Some(48_000.0)), "between two levels");
        assert_eq!(at(Some(300)), (Some(60.0), Some(28_000.0)), "below the lowest");
    }

    #[test]
    fn without_a_profile_only_a_run_at_full_clock_tells_its_work() {
        assert_eq!(work_and_energy(None, None, 100.0, 1.0), (Some(100.0), None));
        assert_eq!(work_and_energy(None, Some(1500), 100.0, 1.0), (None, None));
    }
}
