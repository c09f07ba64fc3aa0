//! From what a source said to signals: sorted, without repetitions, without gaps, joined with what was known before, and
//! continued by CARM's own forecast. The same for all sources.
//!
//! - A value that cannot be (not a number, out of its range) is a gap and a remark. Where most values are such, the unit is
//!   another one: most observed intensities refuse the answer; any other part is left out.
//! - Of two values for one time the later in the answer counts, and a remark says so: services list corrections last.
//! - A gap of up to three hours is filled by a straight line, a longer one by the day before; both are marked as estimated.
//!   A forecast ends at a gap of more than a day and a half.
//! - Where the observations end before the forecast begins, CARM's own forecast bridges the gap.

use std::ops::RangeInclusive;

use carm::grid::cache::{self, ZoneData};
use carm::grid::{Intensity, Quantity, Signal, Step, extend_as};
use carm::quantity::{counted, format_instant};
use chrono::{DateTime, TimeDelta, Utc};

use crate::source::{Point, Reading, Series};

/// How much history is kept: five weeks, for forecasts that look at the same day of earlier weeks.
const KEPT: TimeDelta = TimeDelta::days(35);
/// A gap of at most this is filled by a straight line.
const SHORT_GAP: TimeDelta = TimeDelta::hours(3);
/// A forecast's gap of at most this is filled by what was a day before. History is filled across any hole: real services had
/// holes of 45 h (Great Britain, October 2023), and five weeks of history are worth more than two days of guesses harm.
const LONGEST_GAP: TimeDelta = TimeDelta::hours(36);
/// A value that holds longer is of no grid's data.
const LONGEST_STEP: TimeDelta = TimeDelta::days(1);
/// The name of the signal that decides whether a reading is refused.
const CARBON: &str = "carbon_g_per_kwh";
/// More steps than any source has: five weeks and a month ahead, minute by minute.
const MOST_POINTS: usize = 200_000;

/// What the signals are of, and how far they are to reach.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The zone's name.
    pub zone: &'a str,
    /// The source's word.
    pub source: &'a str,
    /// Which intensity was asked for.
    pub intensity: Intensity,
    /// The present.
    pub now: DateTime<Utc>,
    /// How far CARM's own forecast goes; `None`: the zone wants none.
    pub until: Option<DateTime<Utc>>,
}

/// What is known of a zone now, and what the admin should know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// For the cache.
    pub data: ZoneData,
    /// What is odd, although it can be used.
    pub remarks: Vec<String>,
}

/// Makes signals of a reading and of what was known earlier of the same zone from the same source.
///
/// # Errors
/// The reading holds a value that cannot be, or nothing at all: the cause, in words.
pub fn assemble(reading: &Reading, earlier: Option<&ZoneData>, frame: &Frame) -> Result<Assembled, String> {
    let mut remarks = reading.remarks.clone();
    let mut ends = Vec::new();
    let mut one = |name: &str, series: &Series, earlier: Option<&Signal>, known_until, range| {
        let joined = join(name, series, earlier, known_until, range, frame, &mut remarks)?;
        Ok::<_, String>(joined.map(|joined| {
            ends.extend(joined.observed_until);
            joined.signal
        }))
    };
    let until = earlier.map(|data| data.observed_until);
    let carbon_g_per_kwh = one(
        CARBON,
        &reading.carbon_g_per_kwh,
        earlier.and_then(|data| data.carbon_g_per_kwh.as_ref()),
        until,
        cache::CARBON_G_PER_KWH,
    )
    .map_err(|cause| [&[cause], reading.remarks.as_slice()].concat().join("; "))?;
    let renewable_share = one(
        "renewable_share",
        &reading.renewable_share,
        earlier.and_then(|data| data.renewable_share.as_ref()),
        until,
        cache::RENEWABLE_SHARE,
    )?;
    // A roof takes no power: what its meter draws at night counts as nothing.
    let roof =
        Series { observed: at_least_zero(&reading.onsite_w.observed), forecast: at_least_zero(&reading.onsite_w.forecast) };
    let onsite_w = one("onsite_w", &roof, earlier.and_then(|data| data.onsite_w.as_ref()), until, cache::ONSITE_W)?;
    if carbon_g_per_kwh.is_none() && renewable_share.is_none() && onsite_w.is_none() {
        return Err("an answer without data; look at area, and at whether the service has data of it".to_owned());
    }
    // What all signals have been observed up to: from there on they are asked for again.
    let observed_until = ends.into_iter().min().unwrap_or(frame.now).min(frame.now);
    let data = ZoneData {
        zone: frame.zone.to_owned(),
        source: frame.source.to_owned(),
        intensity: frame.intensity,
        fetched: frame.now,
        observed_until,
        carbon_g_per_kwh,
        renewable_share,
        onsite_w,
    };
    Ok(Assembled { data, remarks })
}

fn at_least_zero(points: &[Point]) -> Vec<Point> {
    let clamp = |value: f64| if value < 0.0 { 0.0 } else { value };
    let point = |point: &Point| Point {
        value: clamp(point.value),
        band: point.band.map(|(low, high)| (clamp(low), clamp(high))),
        ..*point
    };
    points.iter().map(point).collect()
}

/// A step with its own end: what points, cached steps and filled gaps have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    step: Step,
    end: DateTime<Utc>,
}

impl Piece {
    fn length(&self) -> TimeDelta {
        self.end - self.step.from
    }
}

struct Joined {
    signal: Signal,
    /// None where the source gives no observations of it.
    observed_until: Option<DateTime<Utc>>,
}

fn join(
    name: &str,
    series: &Series,
    earlier: Option<&Signal>,
    known_until: Option<DateTime<Utc>>,
    range: RangeInclusive<f64>,
    frame: &Frame,
    remarks: &mut Vec<String>,
) -> Result<Option<Joined>, String> {
    let observed = match pieces(name, &series.observed, &range, remarks) {
        Err(cause) if name == CARBON => return Err(cause),
        other => optional(other, remarks),
    };
    let forecast = optional(pieces(name, &series.forecast, &range, remarks), remarks);
    if observed.is_empty() && forecast.is_empty() {
        return Ok(None);
    }
    // What has not begun was not observed, whatever the service calls it.
    let (observed, ahead): (Vec<_>, Vec<_>) = observed.into_iter().partition(|piece| piece.step.from <= frame.now);
    if let Some(first) = ahead.first().filter(|first| first.step.from > frame.now + TimeDelta::minutes(10)) {
        let time = format_instant(first.step.from);
        remarks.push(format!("{name}: an observation of {time}, which is ahead of this host's clock; it counts as forecast"));
    }
    let forecast = over(ahead, forecast);
    let oldest = frame.now - KEPT;
    // Without observations, what was forecast for the past is the best that is known of it.
    let known_until = if observed.is_empty() { frame.now } else { known_until.unwrap_or(oldest) };
    let known = earlier.map(|signal| cut(signal, oldest, known_until)).unwrap_or_default();
    let was_observed = !observed.is_empty();
    let mut past = without_gaps(over(known, observed), Keep::Latest, name, remarks);
    past.retain(|piece| piece.end > oldest);
    let observed_until = past.last().map(|piece| piece.end).filter(|_| was_observed);
    let forecast = after(forecast, past.last().map(|piece| piece.end));
    let mut all = bridged(past, forecast, frame, name, remarks);
    if all.len() > MOST_POINTS {
        all.drain(..all.len() - MOST_POINTS);
    }
    let Some(signal) = signal(&all) else { return Ok(None) };
    let signal = match frame.until {
        Some(until) => extend_as(&signal, quantity(name), observed_until.unwrap_or(frame.now), until),
        None => signal,
    };
    Ok(Some(Joined { signal, observed_until }))
}

/// A part that the intensity does not depend on; none of it, and a remark, where it is mostly impossible.
fn optional(part: Result<Vec<Piece>, String>, remarks: &mut Vec<String>) -> Vec<Piece> {
    part.unwrap_or_else(|cause| {
        remarks.push(format!("{cause}; left out"));
        Vec::new()
    })
}

/// What a signal of the cache is of.
fn quantity(name: &str) -> Quantity {
    match name {
        "renewable_share" => Quantity::RenewableShare,
        "onsite_w" => Quantity::OnsiteW,
        _ => Quantity::CarbonGPerKwh,
    }
}

/// Points in order, each with a time and a value that can be, none twice. A point that cannot be is left out with a remark.
///
/// # Errors
/// More than half of the points cannot be: the unit is another one.
fn pieces(name: &str, points: &[Point], range: &RangeInclusive<f64>, remarks: &mut Vec<String>) -> Result<Vec<Piece>, String> {
    let mut sorted: Vec<Piece> = Vec::with_capacity(points.len());
    let mut impossible = Vec::new();
    for point in points {
        match piece(name, point, range) {
            Ok(piece) => sorted.push(piece),
            Err(cause) => impossible.push(cause),
        }
    }
    if let Some(first) = impossible.first() {
        let (count, all) = (impossible.len(), points.len());
        if count * 2 > all {
            return Err(format!("{first}; {count} of {all} values cannot be, as in another unit"));
        }
        remarks.push(if count == 1 {
            format!("{first}; left out")
        } else {
            format!("{first}, and {} more; left out", count - 1)
        });
    }
    // Stable: of two for one time, the later in the answer stays the later.
    sorted.sort_by_key(|piece| piece.step.from);
    let (mut contradictions, mut example) = (0_usize, String::new());
    let mut once: Vec<Piece> = Vec::with_capacity(sorted.len());
    for piece in sorted {
        match once.last_mut() {
            Some(last) if last.step.from == piece.step.from => {
                if last.step.value != piece.step.value {
                    contradictions += 1;
                    example = format!("{} and {} at {}", last.step.value, piece.step.value, format_instant(piece.step.from));
                }
                *last = piece;
            }
            _ => once.push(piece),
        }
    }
    if contradictions > 0 {
        let count = counted(contradictions, "time");
        remarks.push(format!("{name}: two values for {count} ({example}); the later in the answer counts"));
    }
    for index in 1..once.len() {
        let next = once[index].step.from;
        once[index - 1].end = once[index - 1].end.min(next);
    }
    Ok(once)
}

/// A point as a piece.
///
/// # Errors
/// Its value, band, length or time cannot be.
fn piece(name: &str, point: &Point, range: &RangeInclusive<f64>) -> Result<Piece, String> {
    let time = || format_instant(point.from);
    let (low, high) = point.band.unwrap_or((point.value, point.value));
    if let Some(value) = [point.value, low, high].into_iter().find(|value| !range.contains(value)) {
        let (least, most) = (range.start(), range.end());
        return Err(format!("{name} of {value} at {}: cannot be; expected {least} to {most}", time()));
    }
    if point.length <= TimeDelta::zero() || point.length > LONGEST_STEP {
        return Err(format!("{name} at {}: holds for {} s; expected up to a day", time(), point.length.num_seconds()));
    }
    let end = point.from.checked_add_signed(point.length).ok_or_else(|| format!("{name} at {}: no time of a grid", time()))?;
    let (low, high) = (low.min(point.value), high.max(point.value));
    let step = Step { low, high, provisional: point.provisional, ..Step::exact(point.from, point.value) };
    Ok(Piece { step, end })
}

/// What was known, with newer pieces over it.
fn over(known: Vec<Piece>, newer: Vec<Piece>) -> Vec<Piece> {
    let (Some(first), Some(last)) = (newer.first(), newer.last()) else { return known };
    let (first, last) = (first.step.from, last.end);
    let mut all: Vec<Piece> = Vec::with_capacity(known.len() + newer.len());
    // Where the newer ones have a gap, what was known there stays.
    let mut next = newer.iter().peekable();
    for mut piece in known {
        if piece.step.from < first {
            piece.end = piece.end.min(first);
        } else if piece.step.from < last {
            while next.peek().is_some_and(|newer| newer.end <= piece.step.from) {
                next.next();
            }
            match next.peek() {
                Some(newer) if newer.step.from <= piece.step.from => continue,
                Some(newer) => piece.end = piece.end.min(newer.step.from),
                None => {}
            }
        }
        all.push(piece);
    }
    all.extend(newer);
    all.sort_by_key(|piece| piece.step.from);
    all
}

/// A cached signal's steps in [`from`, `to`).
fn cut(signal: &Signal, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Piece> {
    let steps = signal.steps();
    let ends = steps.iter().skip(1).map(|step| step.from).chain([signal.end()]);
    let pieces = steps.iter().zip(ends).filter(|(step, end)| step.from < to && *end > from);
    pieces.map(|(step, end)| Piece { step: *step, end: end.min(to) }).collect()
}

/// What of a forecast lies after an instant.
fn after(forecast: Vec<Piece>, from: Option<DateTime<Utc>>) -> Vec<Piece> {
    let Some(from) = from else { return forecast };
    let rest = forecast.into_iter().filter(|piece| piece.end > from);
    rest.map(|piece| Piece { step: Step { from: piece.step.from.max(from), ..piece.step }, ..piece }).collect()
}

/// Which side of a gap is kept that is too long to fill.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Earliest,
    Latest,
}

fn without_gaps(pieces: Vec<Piece>, keep: Keep, name: &str, remarks: &mut Vec<String>) -> Vec<Piece> {
    let mut whole: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if let Some(&last) = whole.last().filter(|last| last.end < piece.step.from) {
            match filled(&whole, last, piece, keep) {
                Some(fill) => whole.extend(fill),
                None => {
                    let (from, to) = (format_instant(last.end), format_instant(piece.step.from));
                    if keep == Keep::Earliest {
                        remarks.push(format!("{name}: no data from {from} to {to}; what comes after is left out"));
                        return whole;
                    }
                    remarks.push(format!("{name}: no data from {from} to {to}; what was before is left out"));
                    whole.clear();
                }
            }
        }
        whole.push(piece);
    }
    whole
}

/// What fills the gap between two pieces; none where it is too long.
fn filled(before: &[Piece], last: Piece, next: Piece, keep: Keep) -> Option<Vec<Piece>> {
    let (from, to) = (last.end, next.step.from);
    let gap = to - from;
    let day = TimeDelta::days(1);
    if keep == Keep::Earliest && gap > LONGEST_GAP {
        return None;
    }
    let length = last.length().min(TimeDelta::hours(1));
    let mut fill: Vec<Piece> = Vec::new();
    let mut at = from;
    while at < to {
        let value = if gap <= SHORT_GAP {
            let part = (at - last.step.from).as_seconds_f64() / (to - last.step.from).as_seconds_f64();
            last.step.value + part * (next.step.value - last.step.value)
        } else {
            // A gap of more than a day looks at what was filled before.
            let same_time = at - day;
            let look = |pieces: &[Piece]| {
                let index = pieces.partition_point(|piece| piece.step.from <= same_time).checked_sub(1)?;
                pieces.get(index).filter(|piece| piece.end > same_time).map(|piece| piece.step.value)
            };
            look(before).or_else(|| look(&fill))?
        };
        let end = (at + length).min(to);
        fill.push(Piece { step: Step::estimate(at, value), end });
        at = end;
    }
    Some(fill)
}

/// The past and the forecast as one, with CARM's own forecast between them where the source leaves a gap.
fn bridged(past: Vec<Piece>, forecast: Vec<Piece>, frame: &Frame, name: &str, remarks: &mut Vec<String>) -> Vec<Piece> {
    let forecast = without_gaps(forecast, Keep::Earliest, name, remarks);
    let (Some(&last), Some(&first)) = (past.last(), forecast.first()) else {
        return if past.is_empty() { forecast } else { past };
    };
    if last.end >= first.step.from {
        return past.into_iter().chain(forecast).collect();
    }
    let short = first.step.from - last.end <= SHORT_GAP;
    let own = || {
        let longer = extend_as(&signal(&past)?, quantity(name), last.end, first.step.from);
        (longer.end() >= first.step.from).then(|| cut(&longer, last.end, first.step.from))
    };
    let plain = || filled(&past, last, first, Keep::Earliest);
    let fill = if short { plain() } else { own().or_else(plain) };
    match fill {
        Some(fill) => past.into_iter().chain(fill).chain(forecast).collect(),
        // Of two parts that nothing joins, the one that tells the present.
        None if first.step.from <= frame.now => forecast,
        None => {
            let (from, to) = (format_instant(last.end), format_instant(first.step.from));
            remarks.push(format!("{name}: no data from {from} to {to}; the forecast after it is left out"));
            past
        }
    }
}

/// Contiguous pieces as a signal.
fn signal(pieces: &[Piece]) -> Option<Signal> {
    Signal::new(pieces.iter().map(|piece| piece.step).collect(), pieces.last()?.end)
}

#[cfg(test)]
mod tests;
