//! Intensity held against the fossil part of the generation mix of the same time.

use std::collections::{BTreeMap, BTreeSet};

use carm::quantity::{counted, format_instant};
use chrono::{DateTime, Utc};

use super::Reading;

/// What gas emits in operation, g/kWh: NESO's factor for combined cycles (`/intensity/factors`). No other fossil fuel emits less.
pub const GAS_G_PER_KWH: f64 = 394.0;
/// Mixes that emit less than this say nothing: a part is rounded, and imports may be clean.
const LEAST_G_PER_KWH: f64 = 50.0;
/// Losses, heat that is sold and other factors explain a half, not this.
const GROSS: f64 = 0.25;

/// Leaves times out, of intensity and share, whose intensity is less than a quarter of what the fossil fuels of their mix emit
/// at least (`fossil_g`, g/kWh). A London answer of January 2020 has 0 to 2 g/kWh with gas at 99.9 %. Which of the two is wrong
/// is unknown. Zero without fossil fuels can be true.
pub fn leave_out(reading: &mut Reading, fossil_g: &BTreeMap<DateTime<Utc>, f64>) {
    let carbon = &mut reading.carbon_g_per_kwh;
    let contradicts = |from: &DateTime<Utc>, value: f64| {
        fossil_g.get(from).is_some_and(|&least| least > LEAST_G_PER_KWH && value < GROSS * least)
    };
    let points = carbon.observed.iter().chain(&carbon.forecast);
    let times: BTreeSet<_> = points.filter(|point| contradicts(&point.from, point.value)).map(|point| point.from).collect();
    let Some(first) = times.first() else { return };
    for series in [carbon, &mut reading.renewable_share] {
        series.observed.retain(|point| !times.contains(&point.from));
        series.forecast.retain(|point| !times.contains(&point.from));
    }
    let (count, first) = (counted(times.len(), "time"), format_instant(*first));
    reading.remarks.push(format!("{count} from {first} on left out: the intensity contradicts the fossil part of the mix"));
}
