//! How busy a place is, and what of that a plan keeps to.
//!
//! Slurm's word on room is an estimate, work and bookings count time limits for run times: none of it may cost a job. So a request that
//! would fail for it alone is planned without, the surest first.

use crate::plan::{Candidate, Level, Slot, Start};
use crate::site::{close_between, fast_enough};

/// Longer than any forecast, h: Slurm names the year 2537 where it waits for a job without a time limit.
pub const NEVER_H: f64 = 1e5;

/// How busy a place is, as far as Slurm tells; nothing is known of a place by [`Busy::default`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Busy {
    /// When there is room, h after now, where that is later than the job's own earliest start.
    pub room_h: Option<f64>,
    /// The least speed at which the work that waits there still fits ([`crate::site::least_speed`]).
    pub least_speed: f64,
    /// The hours that deferred jobs have booked ([`crate::site::booked`]), h after now.
    pub booked: Vec<(f64, f64)>,
}

/// What of that a plan keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heed {
    /// It starts no earlier than Slurm expects room.
    pub room: bool,
    /// It leaves out clocks that are too slow for what waits behind it.
    pub load: bool,
    /// It keeps clear of the hours that deferred jobs have booked.
    pub booked: bool,
}

impl Heed {
    /// All of it.
    pub const ALL: Self = Self { room: true, load: true, booked: true };

    /// From all of it to nothing: others' plans are the first to be no business of a job that must run beside them.
    pub(super) const LESS_AND_LESS: [Self; 4] = [
        Self::ALL,
        Self { room: true, load: true, booked: false },
        Self { room: true, load: false, booked: false },
        Self { room: false, load: false, booked: false },
    ];

    /// Whether it keeps to something that the other does not.
    pub(super) fn is_more_than(self, other: Self) -> bool {
        self.room && !other.room || self.load && !other.load || self.booked && !other.booked
    }
}

impl Busy {
    /// A candidate that keeps to it, as far as told.
    pub(super) fn heeded(&self, candidate: &Candidate, heed: Heed) -> Candidate {
        let start = self.room_h.filter(|_| heed.room).map_or(candidate.start, |room_h| not_before(candidate.start, room_h));
        let levels: Vec<Level> =
            if heed.load { fast_enough(&candidate.levels, self.least_speed) } else { candidate.levels.clone() };
        Candidate { start, levels, slots: self.cut(&candidate.slots, heed), ..*candidate }
    }

    /// Slots without the hours that are booked.
    pub(super) fn cut(&self, slots: &[Slot], heed: Heed) -> Vec<Slot> {
        close_between(slots.to_vec(), if heed.booked { &self.booked } else { &[] })
    }
}

/// The same start, not before there is room. A user's patience with greener power is no patience with a queue: what is past
/// it starts as soon as it can.
fn not_before(start: Start, room_h: f64) -> Start {
    match start {
        Start::Fixed(at) => Start::Fixed(at.max(room_h)),
        Start::Within { earliest_h, latest_h } => {
            let earliest_h = earliest_h.max(room_h);
            Start::Within { earliest_h, latest_h: latest_h.max(earliest_h) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_room_past_its_users_patience() {
        let own = Start::Within { earliest_h: 0.0, latest_h: 3.0 };
        assert_eq!(not_before(own, 2.0), Start::Within { earliest_h: 2.0, latest_h: 3.0 });
        assert_eq!(not_before(own, 5.0), Start::Within { earliest_h: 5.0, latest_h: 5.0 });
        assert_eq!(not_before(Start::Fixed(1.0), 0.5), Start::Fixed(1.0));
    }
}
