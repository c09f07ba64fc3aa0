//! From runs to levels: medians, their spread, what may not stand in a profile, and what one should know of the rest.

use carm::profile::{Fit, Level};

use super::meter::Run;

/// A clock seen more than this below the one that was set was not reached: a step and a half of NVIDIA's grid.
const TOLERANCE_MHZ: u32 = 22;
/// The energy counter moves about ten times a second: shorter runs than this are not known to 1 %.
const SHORT_S: f64 = 10.0;
/// Drift that is nothing even where the runs hardly differ.
const LEAST_DRIFT: f64 = 0.01;
/// A spread worth a word.
const WIDE: f64 = 0.02;

/// All runs at one clock, in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub clock_mhz: u32,
    /// Median.
    pub seconds: f64,
    /// Standard deviation over the median; none of a single run.
    pub seconds_spread: Option<f64>,
    /// Median.
    pub watts: f64,
    /// As above.
    pub watts_spread: Option<f64>,
    pub seen_mhz: Option<u32>,
    pub throttled: f64,
    /// Relative to the highest clock that stays; at most 1.
    pub speed: f64,
}

/// What a sweep has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Rising in clock.
    pub levels: Vec<Measured>,
    pub fit: Option<Fit>,
    pub warnings: Vec<String>,
}

impl Measured {
    fn of(runs: &[&Run]) -> Self {
        let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
        let watts: Vec<f64> = runs.iter().map(|run| run.watts).collect();
        Self {
            clock_mhz: runs[0].clock_mhz,
            seconds: median(&seconds),
            seconds_spread: spread(&seconds),
            watts: median(&watts),
            watts_spread: spread(&watts),
            seen_mhz: runs.iter().filter_map(|run| run.seen_mhz).min(),
            throttled: runs.iter().map(|run| run.throttled).sum::<f64>() / runs.len() as f64,
            speed: 1.0,
        }
    }

    fn is_reached(&self) -> bool {
        self.seen_mhz.is_none_or(|seen| seen + TOLERANCE_MHZ >= self.clock_mhz)
    }

    /// As a profile has it: watts to a tenth, speeds to four digits.
    pub fn level(&self) -> Level {
        let rounded = |value: f64, parts: f64| (value * parts).round() / parts;
        Level { clock_mhz: self.clock_mhz, watts: rounded(self.watts, 10.0), speed: rounded(self.speed, 1e4), latency_ms: None }
    }
}

/// Sums a sweep up. `again` is the last run, at the highest clock once more.
pub fn outcome(runs: &[Run], again: &Run) -> Outcome {
    let mut clocks: Vec<u32> = runs.iter().map(|run| run.clock_mhz).collect();
    clocks.sort_unstable();
    clocks.dedup();
    let of_clock = |mhz: u32| runs.iter().filter(|run| run.clock_mhz == mhz).collect::<Vec<_>>();
    let all: Vec<Measured> = clocks.iter().map(|&mhz| Measured::of(&of_clock(mhz))).collect();
    let mut warnings = Vec::new();
    let (mut levels, lost): (Vec<Measured>, Vec<Measured>) = all.into_iter().partition(Measured::is_reached);
    for level in &lost {
        let (wanted, seen) = (level.clock_mhz, level.seen_mhz.unwrap_or_default());
        let why = if level.throttled > 0.0 { ": heat or a power limit held it down" } else { "" };
        warnings.push(format!("{wanted} MHz is left out: the card ran at {seen} MHz{why}; give --clocks up to that"));
    }
    if let Some(top_s) = levels.last().map(|top| top.seconds) {
        for level in &mut levels {
            let speed = top_s / level.seconds;
            if speed > 1.0 + WIDE {
                warnings.push(format!("{} MHz was faster than the highest clock, by {}", level.clock_mhz, percent(speed - 1.0)));
            }
            level.speed = speed.min(1.0);
        }
    }
    for level in &levels {
        let mhz = level.clock_mhz;
        if level.throttled > 0.0 {
            let part = percent(level.throttled);
            warnings.push(format!("{mhz} MHz: heat or a power limit held the clock down in {part} of the looks"));
        }
        if [level.seconds_spread, level.watts_spread].into_iter().flatten().any(|spread| spread > WIDE) {
            warnings.push(format!("{mhz} MHz: the runs differ; give a longer command, or more --repeat"));
        }
    }
    warnings.extend(drift(&of_clock(again.clock_mhz), again));
    if let Some(shortest) = runs.iter().map(|run| run.span_s).min_by(f64::total_cmp).filter(|&shortest| shortest < SHORT_S) {
        warnings.push(format!(
            "runs of {shortest:.1} s are short: start-up counts, and energy is known to 0.1 s; 10 s or more are better"
        ));
    }
    let idle = runs.iter().map(|run| 1.0 - run.at_work).fold(0.0, f64::max);
    if idle > 0.1 {
        warnings.push(format!(
            "the GPUs were idle in up to {} of a run: its start-up counts too; --live leaves it out",
            percent(idle)
        ));
    }
    if runs.iter().any(|run| run.sampled) {
        warnings.push("the card has no energy counter: watts are power samples".to_owned());
    }
    let fit = Fit::of(&levels.iter().map(Measured::level).collect::<Vec<_>>());
    Outcome { levels, fit, warnings }
}

/// The highest clock came first and comes last: what differs is the card's heat, or somebody else.
fn drift(first: &[&Run], again: &Run) -> Option<String> {
    let differs = |value: &dyn Fn(&Run) -> f64| {
        let values: Vec<f64> = first.iter().map(|run| value(run)).collect();
        let change = value(again) / values.first()? - 1.0;
        (change.abs() > LEAST_DRIFT.max(2.0 * spread(&values).unwrap_or(0.0))).then_some(change)
    };
    let (slower, thirstier) = (differs(&|run| run.seconds), differs(&|run| run.watts));
    let told = [("time", slower), ("power", thirstier)].into_iter().filter_map(|(what, change)| Some((what, change?)));
    let told: Vec<String> = told.map(|(what, change)| format!("{what} by {:+.1} %", change * 1e2)).collect();
    (!told.is_empty()).then(|| {
        format!("drift: from the first to the last run at {} MHz {}; a longer --warm-up?", again.clock_mhz, told.join(" and "))
    })
}

pub fn percent(part: f64) -> String {
    format!("{:.1} %", part * 1e2)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The sample's standard deviation over its median.
fn spread(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt() / median(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(clock_mhz: u32, seconds: f64, watts: f64) -> Run {
        let seen_mhz = Some(clock_mhz);
        Run { clock_mhz, seconds, span_s: 60.0, watts, sampled: false, seen_mhz, throttled: 0.0, at_work: 1.0 }
    }

    #[test]
    fn levels_are_medians_relative_to_the_highest_clock_with_their_spread() {
        let runs = [run(2000, 10.0, 300.0), run(1000, 16.0, 150.0), run(2000, 10.1, 301.0), run(1000, 40.0, 152.0)];
        let runs = [&runs[..], &[run(2000, 9.9, 299.0), run(1000, 16.2, 151.0)]].concat();
        let outcome = outcome(&runs, &run(2000, 10.05, 300.0));
        let levels: Vec<Level> = outcome.levels.iter().map(Measured::level).collect();
        assert_eq!(
            levels.iter().map(|l| (l.clock_mhz, l.watts, l.speed)).collect::<Vec<_>>(),
            [(1000, 151.0, 0.6173), (2000, 300.0, 1.0)]
        );
        assert!(outcome.levels[1].seconds_spread.is_some_and(|spread| (spread - 0.01).abs() < 1e-9));
        assert_eq!(outcome.warnings, ["1000 MHz: the runs differ; give a longer command, or more --repeat"]);
    }

    #[test]
    fn a_clock_that_did_not_run_is_left_out_and_drift_is_told() {
        let held = Run { seen_mhz: Some(1950), throttled: 1.0, ..run(2000, 10.0, 300.0) };
        let runs = [held, run(1900, 10.0, 280.0), run(1000, 16.0, 150.0)];
        let outcome = outcome(&runs, &run(2000, 10.5, 300.0));
        assert_eq!(
            outcome.levels.iter().map(|level| (level.clock_mhz, level.speed)).collect::<Vec<_>>(),
            [(1000, 0.625), (1900, 1.0)]
        );
        assert_eq!(
            outcome.warnings,
            [
                "2000 MHz is left out: the card ran at 1950 MHz: heat or a power limit held it down; give --clocks up to that",
                "drift: from the first to the last run at 2000 MHz time by +5.0 %; a longer --warm-up?"
            ]
        );
    }

    #[test]
    fn no_speed_is_over_one_and_doubts_are_spoken() {
        let short = Run { span_s: 1.0, at_work: 0.5, sampled: true, ..run(1000, 9.0, 150.0) };
        let outcome = outcome(&[run(2000, 10.0, 300.0), short], &run(2000, 10.0, 300.0));
        assert_eq!(outcome.levels[0].speed, 1.0);
        for (warning, part) in
            outcome.warnings.iter().zip(["faster than the highest", "are short", "were idle", "no energy counter"])
        {
            assert!(warning.contains(part), "{warning}");
        }
        assert_eq!(outcome.warnings.len(), 4);
    }
}
