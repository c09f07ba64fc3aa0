//! A signal's past as means over cells of one length, counted back from where it ends: all models work on it.

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::grid::Signal;

/// As much of the past is looked at: five weeks, so that a weekday has its like and a lead time of a week its misses.
const LOOKED_AT: TimeDelta = TimeDelta::days(35);
/// The cells that a forecast may have, in minutes: all divide the hour. Below a quarter of an hour the same time yesterday tells nothing.
const CELLS_MIN: [i64; 4] = [60, 30, 20, 15];

/// The past in cells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lattice {
    /// The means, oldest first.
    pub y: Vec<f64>,
    /// Cells an hour.
    pub per_hour: usize,
    /// Where the last cell ends.
    pub end: DateTime<Utc>,
}

impl Lattice {
    /// The past of a signal up to `end`, in cells as long as most of its steps of the last day, a quarter of an hour at least and
    /// an hour at most. `None` for less than a day.
    pub fn of(signal: &Signal, end: DateTime<Utc>) -> Option<Self> {
        let start = end.checked_sub_signed(LOOKED_AT).map_or(signal.start(), |first| first.max(signal.start()));
        if end > signal.end() || end - start < TimeDelta::days(1) {
            return None;
        }
        let minutes = usual_step(signal, end).num_minutes();
        let cell_min = CELLS_MIN.into_iter().find(|&cell| cell <= minutes).unwrap_or(15);
        let cell = TimeDelta::minutes(cell_min);
        let count = (end - start).num_minutes() / cell_min;
        let first = end - cell * i32::try_from(count).ok()?;
        let steps = signal.steps();
        let mut index = steps.partition_point(|step| step.from <= first).checked_sub(1)?;
        let mut y = Vec::with_capacity(usize::try_from(count).ok()?);
        let mut at = first;
        // Whole seconds keep a step that fills its cell what it is.
        let seconds = |span: TimeDelta| span.num_milliseconds() as f64 / 1e3;
        while at < end {
            let until = at + cell;
            let mut sum = 0.0;
            while at < until {
                let next = steps.get(index + 1).map_or(end.max(until), |next| next.from);
                let to = next.min(until);
                sum += steps[index].value * seconds(to - at);
                at = to;
                if at == next {
                    index += 1;
                }
            }
            y.push(sum / seconds(cell));
        }
        Some(Self { y, per_hour: usize::try_from(60 / cell_min).ok()?, end })
    }

    /// The same in cells of an hour; what is left over at the front is dropped.
    pub fn hourly(&self) -> Self {
        let y = self.y.rchunks_exact(self.per_hour).rev().map(|cells| cells.iter().sum::<f64>() / cells.len() as f64).collect();
        Self { y, per_hour: 1, end: self.end }
    }

    /// A cell's length.
    pub fn cell(&self) -> TimeDelta {
        TimeDelta::minutes(60 / self.per_hour as i64)
    }

    /// The kind of day in which cells lie: a working day (0), Saturday (1) or Sunday (2), in UTC. `cells[0]` is the oldest cell; as many
    /// follow past the end.
    pub fn kinds_of_day(&self, ahead: usize) -> Vec<u8> {
        let first = self.end - self.cell() * i32::try_from(self.y.len()).unwrap_or(i32::MAX);
        let start_s = first.timestamp();
        let cell_s = self.cell().num_seconds();
        // Days since 1970-01-01, a Thursday.
        let kind = |cell: usize| match (start_s + cell_s * cell as i64).div_euclid(86_400).rem_euclid(7) {
            2 => 1,
            3 => 2,
            _ => 0,
        };
        debug_assert_eq!(kind(0) == 2, first.weekday() == chrono::Weekday::Sun);
        (0..self.y.len() + ahead).map(kind).collect()
    }
}

/// The most frequent length of the steps of the last day before `end`; the longest of equally frequent ones.
fn usual_step(signal: &Signal, end: DateTime<Utc>) -> TimeDelta {
    let from = end - TimeDelta::days(1);
    let mut borders: Vec<DateTime<Utc>> = signal.boundaries(from, end).collect();
    borders.push(end);
    let mut lengths: Vec<TimeDelta> = borders.windows(2).map(|pair| pair[1] - pair[0]).collect();
    lengths.sort_unstable();
    let runs = lengths.chunk_by(|a, b| a == b);
    runs.max_by_key(|run| run.len()).map_or(TimeDelta::hours(1), |run| run[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Step;
    use crate::quantity::parse_instant;

    fn signal(minutes: i64, count: i64) -> Signal {
        let start = parse_instant("2026-05-01T00:10:00Z").expect("a time");
        let steps = (0..count).map(|i| Step::exact(start + TimeDelta::minutes(minutes * i), i as f64)).collect();
        Signal::new(steps, start + TimeDelta::minutes(minutes * count)).expect("a signal")
    }

    #[test]
    fn five_minutes_become_quarters_and_hours_by_their_means() {
        let signal = signal(5, 300);
        let lattice = Lattice::of(&signal, signal.end()).expect("more than a day");
        assert_eq!((lattice.per_hour, lattice.y.len()), (4, 100));
        assert_eq!(lattice.y[..2], [1.0, 4.0]);
        assert_eq!(lattice.hourly().y[0], 5.5);
        assert_eq!(lattice.hourly().y.len(), 25);
    }

    #[test]
    fn odd_steps_are_weighed_with_their_time_and_half_hours_stay() {
        let mut steps = signal(60, 30).steps().to_vec();
        steps[29].from += TimeDelta::minutes(15);
        let signal = Signal::new(steps, signal(60, 30).end()).expect("a signal");
        let lattice = Lattice::of(&signal, signal.end()).expect("more than a day");
        assert_eq!((lattice.per_hour, lattice.y[29]), (1, 28.75));
        let halves = self::signal(30, 50);
        assert_eq!(Lattice::of(&halves, halves.end()).expect("more than a day").y.len(), 50);
        assert_eq!(Lattice::of(&halves, halves.start() + TimeDelta::hours(23)), None);
    }

    #[test]
    fn a_day_is_a_working_day_or_one_of_the_weekend() {
        // 2026-05-01 is a Friday.
        let kinds = Lattice::of(&signal(60, 72), signal(60, 72).end()).expect("three days").kinds_of_day(30);
        assert_eq!((kinds[0], kinds[24], kinds[48], kinds[72]), (0, 1, 2, 0));
        assert_eq!(kinds.len(), 102);
    }
}
