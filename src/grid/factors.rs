//! Emission factors by fuel, and what follows from a mix of generation: carbon intensity and renewable share.
//!
//! The one table for every source that tells generation and no intensity. Factors are for the life cycle (fuel supply,
//! building and operation), in g CO2-equivalent a kWh that the plant delivers:
//!
//! - IPCC, Climate Change 2014: Mitigation (AR5 WG III), Annex III, table A.III.2, medians: hard coal 820 (pulverised), gas 490
//!   (combined cycle), biomass 230 (dedicated), solar 48 (utility), geothermal 38, hydropower 24, ocean energy 17, nuclear 12, wind
//!   11 onshore and 12 offshore.
//! - World Nuclear Association, Comparison of Lifecycle Greenhouse Gas Emissions of Various Electricity Generation Sources (2011),
//!   means: lignite 1054, oil 733.
//! - CARM's own estimates, for want of a published median: peat and oil shale as lignite (a GJ of the three has 106, 107 and 101 kg
//!   of CO2: IPCC Guidelines 2006, vol. 2, table 1.4); gas made of coal as the coal; waste 660 (half of its energy is not biomass, a
//!   GJ of that has 91.7 kg of CO2 by the same table, and a plant makes electricity of a quarter); other 700, a guess for plants
//!   that burn something; other renewable as biomass.
//!
//! A factor is of a typical plant: a country's own plants differ by some 10 % (gas, coal) to some 50 % (biomass, hydropower,
//! waste). The shape over the day is better known than the level.
//!
//! # Rules
//! - Storage (pumped, batteries) is no generation: what it gives back was generated before, and counted then. Neither what it
//!   takes nor what it gives is in the mix. A [`Fuel`] has no name for it.
//! - What a service calls "other" or "unknown" counts as [`Fuel::Other`], not as nothing.
//! - Imports and exports are not in it: the mix is of what an area generates, not of what it uses. A source that has flows says so
//!   on its own page.
//! - Less than nothing is nothing: plants that take their own need from the grid report small negative generation.

/// What power is generated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fuel {
    /// Nuclear.
    Nuclear,
    /// Wood, biogas and the like, in plants of their own.
    Biomass,
    /// Lignite, or brown coal.
    Lignite,
    /// Hard coal; also coal of which no more is known.
    HardCoal,
    /// Peat.
    Peat,
    /// Oil and what is made of it.
    Oil,
    /// Oil shale.
    OilShale,
    /// Natural gas.
    Gas,
    /// Gas that is made of coal: of blast furnaces and coke ovens.
    CoalGas,
    /// Geothermal.
    Geothermal,
    /// Rivers and reservoirs; not what is pumped.
    Hydro,
    /// Tides and waves.
    Marine,
    /// A renewable source without a name of its own.
    OtherRenewable,
    /// Anything else, or unknown.
    Other,
    /// Municipal and industrial waste.
    Waste,
    /// Wind at sea.
    WindOffshore,
    /// Wind on land; also wind of which no more is known.
    WindOnshore,
    /// Photovoltaics; also solar power of which no more is known.
    Solar,
}

impl Fuel {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Nuclear,
        Self::Biomass,
        Self::Lignite,
        Self::HardCoal,
        Self::Peat,
        Self::Oil,
        Self::OilShale,
        Self::Gas,
        Self::CoalGas,
        Self::Geothermal,
        Self::Hydro,
        Self::Marine,
        Self::OtherRenewable,
        Self::Other,
        Self::Waste,
        Self::WindOffshore,
        Self::WindOnshore,
        Self::Solar,
    ];

    /// Life-cycle emissions, g CO2-equivalent a kWh; sources above.
    #[must_use]
    pub const fn g_per_kwh(self) -> f64 {
        match self {
            Self::WindOnshore => 11.0,
            Self::Nuclear | Self::WindOffshore => 12.0,
            Self::Marine => 17.0,
            Self::Hydro => 24.0,
            Self::Geothermal => 38.0,
            Self::Solar => 48.0,
            Self::Biomass | Self::OtherRenewable => 230.0,
            Self::Gas => 490.0,
            Self::Waste => 660.0,
            Self::Other => 700.0,
            Self::Oil => 733.0,
            Self::HardCoal | Self::CoalGas => 820.0,
            Self::Lignite | Self::Peat | Self::OilShale => 1054.0,
        }
    }

    /// The part of it that is renewable, 0 to 1. Half of municipal waste is, by convention: EU statistics take 50 % where a
    /// plant's own part is not measured (Eurostat, SHARES tool manual).
    #[must_use]
    pub const fn renewable(self) -> f64 {
        match self {
            Self::Biomass
            | Self::Geothermal
            | Self::Hydro
            | Self::Marine
            | Self::OtherRenewable
            | Self::WindOffshore
            | Self::WindOnshore
            | Self::Solar => 1.0,
            Self::Waste => 0.5,
            Self::Nuclear
            | Self::Lignite
            | Self::HardCoal
            | Self::Peat
            | Self::Oil
            | Self::OilShale
            | Self::Gas
            | Self::CoalGas
            | Self::Other => 0.0,
        }
    }
}

/// What a mix of generation is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixed {
    /// Average carbon intensity, g/kWh.
    pub g_per_kwh: f64,
    /// Renewable share of the generation, 0 to 1.
    pub renewable_share: f64,
    /// All of the generation, in the unit that it was given in.
    pub total: f64,
}

/// Intensity and renewable share of a mix: generation by fuel in MW, or any unit that is the same for all; a fuel may stand more
/// than once. `None` where nothing is generated, or a value is no number.
#[must_use]
pub fn mix(generation: impl IntoIterator<Item = (Fuel, f64)>) -> Option<Mixed> {
    let (mut grams, mut renewable, mut total) = (0.0, 0.0, 0.0);
    for (fuel, amount) in generation {
        if !amount.is_finite() {
            return None;
        }
        let amount = amount.max(0.0);
        grams += amount * fuel.g_per_kwh();
        renewable += amount * fuel.renewable();
        total += amount;
    }
    let is_sound = total > 0.0 && grams.is_finite();
    is_sound.then(|| Mixed { g_per_kwh: grams / total, renewable_share: renewable / total, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_weighs_each_fuel_by_what_it_generates() {
        let mixed = mix([(Fuel::Gas, 300.0), (Fuel::WindOnshore, 600.0), (Fuel::Nuclear, 100.0)]).expect("a mix");
        assert!((mixed.g_per_kwh - (0.3 * 490.0 + 0.6 * 11.0 + 0.1 * 12.0)).abs() < 1e-9, "{mixed:?}");
        assert!((mixed.renewable_share - 0.6).abs() < 1e-12 && mixed.total == 1000.0, "{mixed:?}");
    }

    #[test]
    fn less_than_nothing_is_nothing_and_nothing_has_no_intensity() {
        let with = mix([(Fuel::Solar, -12.0), (Fuel::Gas, 100.0)]).expect("a mix");
        assert_eq!((with.g_per_kwh, with.renewable_share, with.total), (490.0, 0.0, 100.0));
        assert_eq!(mix([]), None);
        assert_eq!(mix([(Fuel::Solar, 0.0), (Fuel::Gas, -3.0)]), None);
        for bad in [f64::NAN, f64::INFINITY, f64::MAX] {
            assert_eq!(mix([(Fuel::Gas, bad), (Fuel::Solar, bad)]), None, "{bad}");
        }
    }

    #[test]
    fn a_mix_lies_between_its_fuels() {
        for one in Fuel::ALL {
            for other in Fuel::ALL {
                let mixed = mix([(one, 3.0), (other, 5.0)]).expect("a mix");
                let (low, high) = (one.g_per_kwh().min(other.g_per_kwh()), one.g_per_kwh().max(other.g_per_kwh()));
                assert!((low - 1e-9..=high + 1e-9).contains(&mixed.g_per_kwh), "{one:?} {other:?}: {mixed:?}");
                assert!((0.0..=1.0).contains(&mixed.renewable_share));
            }
        }
    }
}
