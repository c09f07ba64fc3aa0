//! The clocks at which a service answers in time, by CARM's own rule ([`carm::govern::answering`]), told the longest time that one request
//! may take ([`crate::jobs::service`]).

use ::carm::plan::{Candidate, Level, Start};

use crate::jobs::service::Demand;

/// The levels with the service's own time at full clock, where the scenario gives one.
pub fn with_latency(demand: &Demand, levels: &[Level]) -> Vec<Level> {
    let given = |level: &Level| match demand.full_clock_ms {
        Some(ms) => Level { latency_ms: (level.speed == 1.0).then_some(ms), ..*level },
        None => *level,
    };
    levels.iter().map(given).collect()
}

/// How long one request takes at a level, ms: what the profile says, or the time at full clock over the speed.
pub fn service_ms(demand: &Demand, levels: &[Level], level: usize) -> f64 {
    let levels = with_latency(demand, levels);
    let top = levels.iter().filter(|level| level.speed == 1.0).find_map(|level| level.latency_ms).unwrap_or(0.0);
    levels[level].latency_ms.unwrap_or(top / levels[level].speed)
}

/// The levels that surely answer in time at the highest rate.
pub fn answering(demand: &Demand, levels: &[Level], measured: bool) -> Vec<usize> {
    let candidate = Candidate {
        slots: Vec::new(),
        levels: with_latency(demand, levels),
        workers: 1,
        work_h: 1.0,
        host_watts: 0.0,
        pue: 1.0,
        onsite_g_per_kwh: 0.0,
        start: Start::Fixed(0.0),
        max_run_h: None,
    };
    ::carm::govern::answering(&candidate, demand.longest_service_ms(), measured).ok().flatten().unwrap_or_default()
}
