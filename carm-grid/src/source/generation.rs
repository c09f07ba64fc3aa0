//! Generation by fuel over time, as some services tell it, and what follows from it: intensity and renewable share, step by
//! step. The factors and the rules on storage and unknown fuels are the library's ([`carm::grid::factors`]).
//!
//! A step counts only when all that matters is known of it: services publish a step's fuels one by one, and a mix without its
//! coal is no cleaner grid.

use std::collections::BTreeMap;

use carm::grid::factors::{Fuel, mix};
use carm::quantity::{counted, format_instant};
use chrono::{DateTime, TimeDelta, Utc};

use super::Point;
use super::value::point;

/// No country generates more, MW; China generates some 1,200,000.
const MOST_MW: f64 = 2e6;
/// A fuel that never reaches this part of the generation may be missing in a step.
const SMALL: f64 = 0.01;

/// Generation by fuel, in steps of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    step: TimeDelta,
    steps: BTreeMap<DateTime<Utc>, BTreeMap<Fuel, f64>>,
    /// Steps with a value that cannot be.
    impossible: BTreeMap<DateTime<Utc>, (Fuel, f64)>,
}

/// Intensity in g/kWh and renewable share from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mixes {
    /// Carbon intensity, g/kWh.
    pub g_per_kwh: Vec<Point>,
    /// Renewable share of the generation, 0 to 1.
    pub renewable_share: Vec<Point>,
    /// What is odd about it.
    pub remarks: Vec<String>,
}

impl Generation {
    /// None yet.
    pub fn in_steps_of(step: TimeDelta) -> Self {
        Self { step, steps: BTreeMap::new(), impossible: BTreeMap::new() }
    }

    /// Adds what is generated of a fuel in a step; several of one fuel add up. A value that cannot be makes its step a gap.
    pub fn add(&mut self, from: DateTime<Utc>, fuel: Fuel, mw: f64) {
        if mw.is_nan() || mw.abs() > MOST_MW {
            self.impossible.insert(from, (fuel, mw));
            return;
        }
        *self.steps.entry(from).or_default().entry(fuel).or_default() += mw;
    }

    /// Renewable power without wind and sun in the day before its last step, MW: the mean of the steps that have any fuel. None
    /// without a step.
    pub fn steady_renewable_mw(&self) -> Option<f64> {
        let (&last, _) = self.steps.last_key_value()?;
        let day = self.steps.range(last - TimeDelta::days(1)..);
        let weather = |fuel: &Fuel| matches!(fuel, Fuel::Solar | Fuel::WindOnshore | Fuel::WindOffshore);
        let steady = |fuels: &BTreeMap<Fuel, f64>| -> f64 {
            fuels.iter().filter(|(fuel, _)| !weather(fuel)).map(|(fuel, mw)| fuel.renewable() * mw.max(0.0)).sum()
        };
        let (count, sum) = day.fold((0.0, 0.0), |(count, sum), (_, fuels)| (count + 1.0, sum + steady(fuels)));
        Some(sum / count)
    }

    /// What follows from it.
    pub fn mixes(&self) -> Mixes {
        let mut most = BTreeMap::new();
        for (_, fuels) in self.steps.iter().filter(|(from, _)| !self.impossible.contains_key(from)) {
            let total: f64 = fuels.values().map(|mw| mw.max(0.0)).sum();
            for (&fuel, &mw) in fuels {
                let part = if total > 0.0 { mw / total } else { 0.0 };
                let most = most.entry(fuel).or_insert(0.0);
                *most = part.max(*most);
            }
        }
        let matters: Vec<Fuel> = most.iter().filter(|&(_, &part)| part >= SMALL).map(|(&fuel, _)| fuel).collect();
        let mut mixes = Mixes::default();
        let mut left_out = Vec::new();
        // No number: refused where most steps are such, a gap otherwise, like any value that cannot be.
        mixes.g_per_kwh.extend(self.impossible.keys().map(|&from| point(from, self.step, f64::NAN)));
        if let Some((from, (fuel, mw))) = self.impossible.first_key_value() {
            let (count, from) = (self.impossible.len(), format_instant(*from));
            mixes.remarks.push(format!("{fuel:?} of {mw} MW at {from}: cannot be; {count} such steps are left out"));
        }
        for (&from, fuels) in self.steps.iter().filter(|(from, _)| !self.impossible.contains_key(from)) {
            if let Some(missing) = matters.iter().find(|fuel| !fuels.contains_key(fuel)) {
                left_out.push((from, *missing));
            } else if let Some(mixed) = mix(fuels.iter().map(|(&fuel, &mw)| (fuel, mw))) {
                mixes.g_per_kwh.push(point(from, self.step, mixed.g_per_kwh));
                mixes.renewable_share.push(point(from, self.step, mixed.renewable_share));
            }
        }
        // That the newest steps are not whole is everyday.
        let whole_until = mixes.g_per_kwh.last().map(|last| last.from);
        let inside: Vec<_> = left_out.iter().filter(|&&(from, _)| whole_until.is_none_or(|until| from < until)).collect();
        if let Some((from, missing)) = inside.first() {
            let (count, from) = (counted(inside.len(), "step"), format_instant(*from));
            mixes.remarks.push(format!("left out, as not whole: {count}; at {from} and later nothing is said of {missing:?}"));
        }
        mixes
    }
}

#[cfg(test)]
mod tests {
    use carm::quantity::parse_instant;

    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        parse_instant("2026-05-01T00:00:00Z").expect("a time") + TimeDelta::hours(hour)
    }

    fn values(points: &[Point]) -> Vec<(i64, f64)> {
        points.iter().map(|point| ((point.from - at(0)).num_hours(), point.value)).collect()
    }

    #[test]
    fn a_step_that_lacks_a_fuel_that_matters_is_left_out_and_one_that_does_not_matter_is_not_missed() {
        let mut generation = Generation::in_steps_of(TimeDelta::hours(1));
        for hour in 0..4 {
            generation.add(at(hour), Fuel::Gas, 500.0);
            if hour != 1 && hour != 3 {
                generation.add(at(hour), Fuel::HardCoal, 500.0);
            }
            if hour == 0 {
                generation.add(at(hour), Fuel::Geothermal, 5.0);
            }
        }
        let mixes = generation.mixes();
        assert_eq!(values(&mixes.g_per_kwh)[1], (2, 655.0));
        assert_eq!(values(&mixes.renewable_share)[1], (2, 0.0));
        assert_eq!(mixes.g_per_kwh.len(), 2);
        let remark = "left out, as not whole: 1 step; at 2026-05-01T01:00:00.000Z and later nothing is said of HardCoal";
        assert_eq!(mixes.remarks, [remark], "the newest step is no news");
    }

    #[test]
    fn several_of_one_fuel_add_up_and_nothing_generated_is_no_step() {
        let mut generation = Generation::in_steps_of(TimeDelta::hours(1));
        generation.add(at(0), Fuel::Hydro, 30.0);
        generation.add(at(0), Fuel::Hydro, 30.0);
        generation.add(at(0), Fuel::Gas, 40.0);
        generation.add(at(1), Fuel::Hydro, 0.0);
        generation.add(at(1), Fuel::Gas, -1.0);
        let mixes = generation.mixes();
        assert_eq!(values(&mixes.renewable_share), [(0, 0.6)]);
        assert_eq!((generation.steady_renewable_mw(), mixes.remarks.len()), (Some(30.0), 0));
        assert_eq!(Generation::in_steps_of(TimeDelta::hours(1)).mixes(), Mixes::default());
    }
}
