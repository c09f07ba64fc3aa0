//! A job's profile as it was when the job began: speed and watts at any clock.

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
    pub fn at(&self, clock_mhz: u32) -> LevelUsed {
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
    fn between_two_levels_watts_and_speed_are_in_proportion_and_beyond_them_the_nearest() {
        let known = known(None).expect("a profile");
        let at = |mhz| (known.at(mhz).watts, known.at(mhz).speed);
        assert_eq!(at(1500), (180.0, 0.8));
        assert_eq!(at(1750), (240.0, 0.9));
        assert_eq!((at(300), at(9000)), ((140.0, 0.6), (300.0, 1.0)));
    }
}
