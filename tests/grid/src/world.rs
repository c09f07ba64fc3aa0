//! A made-up grid that is known at every instant: what is generated of each fuel, and what follows from that. A service's
//! answer can so be asked for any time and checked against it.

use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta, Timelike, Utc};

use crate::trouble::Trouble;

/// The token that services with a token want.
pub const TOKEN: &str = "tk-standin-5f2e9c1a-never-to-be-shown";
/// The user of services with a login.
pub const USER: &str = "carm";
/// The user's password.
pub const PASSWORD: &str = "pw-standin-77d0-never-to-be-shown";

/// What power is generated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fuel {
    /// Nuclear.
    Nuclear,
    /// Hydropower.
    Hydro,
    /// Wind, onshore.
    Wind,
    /// Wind, offshore.
    WindOffshore,
    /// Photovoltaics.
    Solar,
    /// Biomass.
    Biomass,
    /// Gas.
    Gas,
    /// Hard coal.
    Coal,
}

impl Fuel {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Nuclear, Self::Hydro, Self::Wind, Self::WindOffshore, Self::Solar, Self::Biomass, Self::Gas, Self::Coal];

    /// Life-cycle emissions in g/kWh: the medians of IPCC AR5 WG3 Annex III, table A.III.2.
    pub fn g_per_kwh(self) -> f64 {
        match self {
            Self::Nuclear | Self::WindOffshore => 12.0,
            Self::Hydro => 24.0,
            Self::Wind => 11.0,
            Self::Solar => 48.0,
            Self::Biomass => 230.0,
            Self::Gas => 490.0,
            Self::Coal => 820.0,
        }
    }

    /// Whether it is renewable.
    pub fn is_renewable(self) -> bool {
        !matches!(self, Self::Nuclear | Self::Gas | Self::Coal)
    }
}

/// The grid at a time, with what is to go wrong in an answer about it.
#[derive(Debug, Clone)]
pub struct World {
    /// The present.
    pub now: DateTime<Utc>,
    /// What is to go wrong in this answer.
    pub trouble: Option<Trouble>,
}

impl World {
    /// A world without trouble.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now, trouble: None }
    }

    /// Generation of a fuel in an area, MW.
    pub fn generation_mw(&self, area: &str, fuel: Fuel, t: DateTime<Utc>) -> f64 {
        let hour = f64::from(t.num_seconds_from_midnight()) / 3600.0;
        let day = t.timestamp().div_euclid(86_400);
        let turn = |period_h: f64, phase: f64| ((hour - phase) / period_h * std::f64::consts::TAU).cos();
        // From 0 to 1, the same for a day, or for an hour, of an area.
        let of_day = |salt: &str| chance(&format!("{area} {day} {salt}"));
        let of_area = chance(area);
        let demand = 40_000.0 + 6_000.0 * turn(24.0, 14.0) + 3_000.0 * turn(12.0, 7.0);
        let solar = (turn(24.0, 12.0).max(0.0) * 18_000.0 * (0.3 + 0.7 * of_day("sun"))).round();
        let wind = 2_000.0 + 9_000.0 * (0.5 + 0.3 * turn(24.0, 2.0 + 20.0 * of_day("phase"))) * (0.2 + of_day("wind"));
        let (nuclear, hydro, biomass) = (4_000.0 * of_area, 2_500.0, 3_000.0);
        let rest = (demand - solar - 1.3 * wind - nuclear - hydro - biomass).max(1_000.0);
        let coal = 0.2 + 0.5 * of_area;
        match fuel {
            Fuel::Nuclear => nuclear,
            Fuel::Hydro => hydro,
            Fuel::Wind => wind,
            Fuel::WindOffshore => 0.3 * wind,
            Fuel::Solar => solar,
            Fuel::Biomass => biomass,
            Fuel::Gas => rest * (1.0 - coal),
            Fuel::Coal => rest * coal,
        }
    }

    /// All generation in an area, MW.
    pub fn total_mw(&self, area: &str, t: DateTime<Utc>) -> f64 {
        Fuel::ALL.iter().map(|&fuel| self.generation_mw(area, fuel, t)).sum()
    }

    /// Average carbon intensity, g/kWh.
    pub fn intensity(&self, area: &str, t: DateTime<Utc>) -> f64 {
        let grams: f64 = Fuel::ALL.iter().map(|&fuel| fuel.g_per_kwh() * self.generation_mw(area, fuel, t)).sum();
        grams / self.total_mw(area, t)
    }

    /// Marginal carbon intensity, g/kWh: more than the average, and of another shape.
    pub fn marginal(&self, area: &str, t: DateTime<Utc>) -> f64 {
        let share = self.share(area, t);
        490.0 + (820.0 - 490.0) * (1.0 - share)
    }

    /// Renewable share of the generation, 0 to 1.
    pub fn share(&self, area: &str, t: DateTime<Utc>) -> f64 {
        let renewable = Fuel::ALL.iter().filter(|fuel| fuel.is_renewable());
        renewable.map(|&fuel| self.generation_mw(area, fuel, t)).sum::<f64>() / self.total_mw(area, t)
    }

    /// Power of a roof, W.
    pub fn onsite_w(&self, area: &str, t: DateTime<Utc>) -> f64 {
        self.generation_mw(area, Fuel::Solar, t) * 2.0
    }

    /// A value at each step that begins in [`from`, `to`), as a service would list them: with the gaps, repetitions and
    /// nonsense that this answer's trouble asks for.
    pub fn points(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        step: TimeDelta,
        value: impl Fn(DateTime<Utc>) -> f64,
    ) -> Vec<(DateTime<Utc>, f64)> {
        let floor = from.duration_trunc(step).expect("a step that divides time");
        let mut t = if floor < from { floor + step } else { floor };
        let mut points = Vec::new();
        while t < to {
            points.push((t, value(t)));
            t += step;
        }
        if let Some(trouble) = &self.trouble {
            trouble.bend(&mut points, self.now);
        }
        points
    }

    /// What the answer calls an area: itself, or another where that is the trouble.
    pub fn name(&self, area: &str) -> String {
        if self.trouble == Some(Trouble::WrongZone) { "ELSEWHERE".to_owned() } else { area.to_owned() }
    }

    /// A time as most services write it: `2026-05-01T12:00:00.000Z`.
    pub fn text(t: DateTime<Utc>) -> String {
        t.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// From 0 to 1, by a text (FNV-1a, then mixed): the same on every machine.
fn chance(text: &str) -> f64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_one_that_could_be() {
        let now = DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").unwrap().to_utc();
        let world = World::at(now);
        for area in ["DE", "FR", "US-CAL-CISO", "10Y1001A1001A83F"] {
            for hour in 0..24 * 14 {
                let t = now + TimeDelta::hours(hour);
                let (intensity, share) = (world.intensity(area, t), world.share(area, t));
                assert!((20.0..700.0).contains(&intensity), "{area} {t}: {intensity}");
                assert!((0.05..0.98).contains(&share), "{area} {t}: {share}");
                assert!(world.marginal(area, t) > intensity);
            }
        }
        assert_ne!(world.intensity("DE", now), world.intensity("FR", now));
    }

    #[test]
    fn points_begin_in_the_span_and_stand_on_the_step() {
        let now = DateTime::parse_from_rfc3339("2026-05-01T12:10:00Z").unwrap().to_utc();
        let points = World::at(now).points(now, now + TimeDelta::hours(1), TimeDelta::minutes(15), |_| 1.0);
        let minutes: Vec<u32> = points.iter().map(|(t, _)| t.minute()).collect();
        assert_eq!(minutes, [15, 30, 45, 0]);
    }
}
