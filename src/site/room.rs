//! Room at a site over time: when its GPUs are spoken for, by what Slurm's queue says.
//!
//! A job that is deferred to a green hour holds no GPU yet, and Slurm's own estimate does not count it: without this every job
//! would be planned into the same hour. carm-submit makes bookings from `squeue`, carm-sim from its own queue: the same
//! function for both. CARM's own rule: each booking lasts for its whole time limit, so the hours are overstated rather than
//! understated, and whoever plans with them plans without them where nothing else meets the request.

use crate::plan::Slot;

/// GPUs that a job holds or will hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Booking {
    /// How many.
    pub gpus: u64,
    /// From when on, h after now; `None`: as soon as there is room, after the bookings before it in the list.
    pub from_h: Option<f64>,
    /// For how long at most, h.
    pub length_h: f64,
}

/// Bookings are rounded outwards to whole steps of this length, h: so many cuts of a plan's slots are enough.
const STEP_H: f64 = 1.0 / 12.0;

/// The spans, in h after now and rising, that deferred jobs have booked: in which they leave fewer than `wanted` of `gpus` free beside
/// those `ahead` (running, or waiting for nothing but room), up to `until_h`. The time until those ahead leave room is not
/// among them: whoever comes now waits in Slurm's queue for that, and starts as soon as there is room.
#[must_use]
pub fn booked(ahead: &[Booking], deferred: &[Booking], gpus: u64, wanted: u64, until_h: f64) -> Vec<(f64, f64)> {
    if deferred.is_empty() {
        return Vec::new();
    }
    let room_h = full(ahead, gpus, wanted, until_h).first().filter(|span| span.0 <= 0.0).map_or(0.0, |span| span.1);
    // Deferred jobs have their times: those that wait for room find it beside them, as Slurm's backfill would.
    let all: Vec<Booking> = deferred.iter().chain(ahead).copied().collect();
    let spans = full(&all, gpus, wanted, until_h).into_iter();
    spans.map(|(from, to)| (from.max(room_h), to)).filter(|(from, to)| from < to).collect()
}

/// The spans in which fewer than `wanted` of `gpus` are free.
fn full(bookings: &[Booking], gpus: u64, wanted: u64, until_h: f64) -> Vec<(f64, f64)> {
    let steps = (until_h / STEP_H).ceil().clamp(0.0, 1e5) as usize;
    let mut taken = vec![0_u64; steps];
    for booking in bookings.iter().filter(|booking| booking.from_h.is_some()) {
        book(&mut taken, booking.from_h.unwrap_or_default(), booking);
    }
    // Who waits begins where it fits for its whole length; what begins past the end takes nothing of what is looked at.
    for booking in bookings.iter().filter(|booking| booking.from_h.is_none()) {
        let length = ((booking.length_h / STEP_H).ceil() as usize).max(1);
        let mut from = 0;
        let mut run = 0;
        for (step, taken) in taken.iter().enumerate() {
            if run == length {
                break;
            }
            if taken.saturating_add(booking.gpus) > gpus {
                (from, run) = (step + 1, 0);
            } else {
                run += 1;
            }
        }
        book(&mut taken, from as f64 * STEP_H, booking);
    }
    let mut spans: Vec<(f64, f64)> = Vec::new();
    for (step, _) in taken.iter().enumerate().filter(|&(_, &taken)| taken > 0 && taken.saturating_add(wanted) > gpus) {
        let (from, to) = (step as f64 * STEP_H, (step + 1) as f64 * STEP_H);
        match spans.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => spans.push((from, to)),
        }
    }
    spans
}

fn book(taken: &mut [u64], from_h: f64, booking: &Booking) {
    let step = |hours: f64, round: fn(f64) -> f64| (round(hours / STEP_H).clamp(0.0, taken.len() as f64)) as usize;
    // A booking that ends with a step does not reach into the next by a rounding.
    let (from, to) = (step(from_h + 1e-9, f64::floor), step(from_h + booking.length_h - 1e-9, f64::ceil));
    for taken in taken.get_mut(from..to.max(from)).unwrap_or_default() {
        *taken = taken.saturating_add(booking.gpus);
    }
}

/// A millisecond, h: no slot is shorter.
const SHORTEST_H: f64 = 1e-3 / 3600.0;

/// Closes the slots' parts that lie inside the spans (h after now, the first slot's begin), cutting them at the borders. What is
/// closed already stays so.
#[must_use]
pub fn close_between(slots: Vec<Slot>, spans: &[(f64, f64)]) -> Vec<Slot> {
    if spans.is_empty() {
        return slots;
    }
    // A cut so close to a border that no slot would be left between them is none.
    let mut cuts: Vec<f64> = spans.iter().flat_map(|&(a, z)| [a, z]).collect();
    cuts.sort_unstable_by(f64::total_cmp);
    let (mut cut, mut from) = (Vec::with_capacity(slots.len() + cuts.len()), 0.0);
    for slot in slots {
        let end = from + slot.hours;
        let first = cuts.partition_point(|&at| at <= from + SHORTEST_H);
        let inside = cuts[first..].iter().copied().take_while(|&at| at < end - SHORTEST_H);
        let mut begin = from;
        for border in inside.chain([end]).collect::<Vec<_>>() {
            if border - begin < SHORTEST_H {
                continue; // two spans with the same border
            }
            let middle = (begin + border) / 2.0;
            let closed = slot.closed || spans.iter().any(|&(a, z)| a <= middle && middle < z);
            cut.push(Slot { hours: border - begin, closed, ..slot });
            begin = border;
        }
        from = end;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(from_h: f64, gpus: u64, length_h: f64) -> Booking {
        Booking { gpus, from_h: Some(from_h), length_h }
    }

    fn waiting(gpus: u64, length_h: f64) -> Booking {
        Booking { gpus, from_h: None, length_h }
    }

    #[test]
    fn hours_in_which_too_few_gpus_are_left_are_full() {
        let bookings = [at(0.0, 4, 2.0), at(5.0, 6, 1.0), at(5.5, 2, 3.0)];
        assert_eq!(full(&bookings, 8, 4, 24.0), [(5.0, 6.0)]);
        assert_eq!(full(&bookings, 8, 6, 24.0), [(0.0, 2.0), (5.0, 6.0)]);
        assert_eq!(full(&bookings, 8, 8, 24.0), [(0.0, 2.0), (5.0, 8.5)]);
        assert_eq!(full(&bookings, 8, 8, 6.0), [(0.0, 2.0), (5.0, 6.0)], "no further than is looked");
        assert_eq!(full(&[], 8, 9, 24.0), [], "a job that never fits is no business of bookings");
    }

    #[test]
    fn who_waits_for_room_is_booked_where_it_fits_whole() {
        // Eight GPUs are taken for two hours; a wide job waits, and a narrow one behind it.
        let bookings = [at(0.0, 8, 2.0), waiting(8, 3.0), waiting(2, 1.0)];
        assert_eq!(full(&bookings, 8, 7, 24.0), [(0.0, 6.0)]);
        assert_eq!(full(&bookings, 8, 6, 24.0), [(0.0, 5.0)]);
        // A gap of an hour before a booking is enough for the narrow one alone.
        let gap = [at(0.0, 8, 2.0), at(3.0, 8, 1.0), waiting(8, 3.0), waiting(2, 1.0)];
        assert_eq!(full(&gap, 8, 8, 24.0), [(0.0, 7.0)]);
    }

    #[test]
    fn what_is_ahead_now_is_waited_for_and_what_is_deferred_is_kept_clear_of() {
        let ahead = [at(0.0, 8, 2.0)];
        assert_eq!(booked(&ahead, &[], 8, 4, 24.0), [], "Slurm's queue itself");
        assert_eq!(booked(&ahead, &[at(5.0, 6, 1.0)], 8, 4, 24.0), [(5.0, 6.0)]);
        assert_eq!(booked(&ahead, &[at(1.0, 6, 3.0)], 8, 4, 24.0), [(2.0, 4.0)], "from when on those ahead leave room");
        assert_eq!(booked(&ahead, &[at(5.0, 4, 1.0)], 8, 4, 24.0), [], "both fit beside each other");
    }

    #[test]
    fn a_booking_takes_whole_steps_and_no_more() {
        assert_eq!(full(&[at(0.0, 8, 1.0 / 12.0)], 8, 1, 24.0), [(0.0, 1.0 / 12.0)]);
        assert_eq!(full(&[at(0.02, 8, 0.01)], 8, 1, 24.0), [(0.0, 1.0 / 12.0)]);
    }

    #[test]
    fn slots_are_closed_where_a_span_says_so_and_stay_closed() {
        let slots = vec![Slot::grid(1.0, 1.0), Slot { closed: true, ..Slot::grid(1.0, 2.0) }];
        let shown: Vec<(f64, f64, bool)> =
            close_between(slots, &[(0.25, 1.5)]).iter().map(|slot| (slot.hours, slot.g_per_kwh, slot.closed)).collect();
        assert_eq!(shown, [(0.25, 1.0, false), (0.75, 1.0, true), (0.5, 2.0, true), (0.5, 2.0, true)]);
    }

    proptest! {
        #[test]
        fn spans_rise_apart_and_no_booking_makes_room(
            jobs in prop::collection::vec((prop::option::of(0.0_f64..30.0), 0_u64..9, 0.0_f64..9.0), 0..12),
            wanted in 1_u64..9,
        ) {
            let bookings: Vec<Booking> =
                jobs.iter().map(|&(from_h, gpus, length_h)| Booking { gpus, from_h, length_h }).collect();
            let spans = full(&bookings, 8, wanted, 24.0);
            prop_assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0) && spans.iter().all(|&(a, z)| a < z && z <= 24.1));
            let hours = |spans: &[(f64, f64)]| spans.iter().map(|(a, z)| z - a).sum::<f64>();
            let more: Vec<Booking> = bookings.iter().copied().chain([at(3.0, 8, 2.0)]).collect();
            if bookings.iter().all(|booking| booking.from_h.is_some()) {
                prop_assert!(hours(&full(&more, 8, wanted, 24.0)) >= hours(&spans) - 1e-9);
            }
        }
    }
}
