//! A site's signals: the grid's carbon intensity and the on-site power, loaded once and asked for any span.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use super::close_between;
use crate::config::{Config, Site, Source};
use crate::grid::{self, Signal, Step, TYPICAL_DAY_SOURCE, TraceError};
use crate::plan::Slot;
use crate::quantity::Moment;

/// What the grid and the roof of one site do over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Carbon intensity of the grid in g/kWh.
    pub intensity: Signal,
    /// On-site power of the whole site in watts; no data counts as none.
    pub onsite_w: Option<Signal>,
    /// Life-cycle intensity of the on-site power in g/kWh.
    pub onsite_g_per_kwh: f64,
    /// Where the intensity comes from, for people.
    pub source: String,
}

/// A site whose grid is not known.
#[derive(Debug, thiserror::Error)]
pub enum OutlookError {
    /// A trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A trace lacks the column that is needed.
    #[error("{}: no column {column}; it is needed here", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// The data do not reach the present.
    #[error(
        "zone '{zone}': no grid data for {at}: the data run from {from} to {to}; extend the trace, or set extend = \"forecast\""
    )]
    NoData {
        /// The zone.
        zone: String,
        /// The instant asked for.
        at: DateTime<Utc>,
        /// Where data start.
        from: DateTime<Utc>,
        /// Where data end.
        to: DateTime<Utc>,
    },
}

impl Outlook {
    /// Loads a site's signals, for planning from `now` up to the configuration's horizon.
    ///
    /// # Errors
    /// A trace cannot be read, lacks a column, or has no data for `now`.
    pub fn load(config: &Config, site: &Site, now: DateTime<Utc>) -> Result<Self, OutlookError> {
        let zone = config.zone_of(site);
        let horizon = now + TimeDelta::milliseconds((config.planner.horizon_s * 1e3) as i64);
        let (intensity, source) = match &zone.source {
            Source::TypicalDay { utc_offset_s } => {
                // A day back as well: what has run is booked against it too.
                let day = grid::typical_day(now - TimeDelta::days(31), horizon, *utc_offset_s);
                (day, TYPICAL_DAY_SOURCE.to_owned())
            }
            Source::Trace { path, extend } => {
                let trace = grid::load::trace(path)?;
                let (clean, fossil) = (config.grid.renewable_g_per_kwh, config.grid.fossil_g_per_kwh);
                let from_share = |share: Signal| share.map(|rho| rho * clean + (1.0 - rho) * fossil);
                let given = trace.carbon_g_per_kwh.or_else(|| trace.renewable_share.map(from_share));
                let given = given.map(|signal| if *extend { grid::extend(&signal, horizon) } else { signal });
                (given, path.display().to_string())
            }
        };
        let intensity =
            intensity.ok_or_else(|| OutlookError::Column { path: source.clone().into(), column: "carbon_g_per_kwh" })?;
        if intensity.at(now).is_none() {
            let (from, to) = (intensity.start(), intensity.end());
            return Err(OutlookError::NoData { zone: zone.name.clone(), at: now, from, to });
        }
        let onsite_w = match &site.onsite {
            None => None,
            Some(path) => {
                let trace = grid::load::trace(path)?;
                let missing = || OutlookError::Column { path: path.clone(), column: "onsite_w" };
                Some(trace.onsite_w.ok_or_else(missing)?)
            }
        };
        Ok(Self { intensity, onsite_w, onsite_g_per_kwh: site.onsite_g_per_kwh, source })
    }

    /// The planner's slots from `now` to `until` (or the end of the data): the union of both signals' steps. `share` is the
    /// part of the on-site power that the job may count on.
    #[must_use]
    pub fn slots(&self, now: DateTime<Utc>, until: DateTime<Utc>, share: f64) -> Vec<Slot> {
        self.slots_at(now, until, share, |step| step.value)
    }

    /// The same slots at the lower and at the upper edge of the grid's band; `None` where no value carries one.
    #[must_use]
    pub fn band(&self, now: DateTime<Utc>, until: DateTime<Utc>, share: f64) -> Option<(Vec<Slot>, Vec<Slot>)> {
        let edge = |value: fn(&Step) -> f64| self.slots_at(now, until, share, value);
        self.intensity.has_band().then(|| (edge(|step| step.low), edge(|step| step.high)))
    }

    fn slots_at(&self, now: DateTime<Utc>, until: DateTime<Utc>, share: f64, value: impl Fn(&Step) -> f64) -> Vec<Slot> {
        let end = until.min(self.intensity.end());
        self.spans(now, end)
            .into_iter()
            .map(|(from, to, step)| Slot {
                hours: grid::signal_hours(to - from),
                g_per_kwh: value(&step),
                onsite_w: self.onsite_at(from) * share,
                estimated: step.estimated,
                closed: false,
            })
            .collect()
    }

    /// Marks the slots' parts in which the site is closed, cutting them at the windows' borders.
    #[must_use]
    pub fn close(slots: Vec<Slot>, site: &Site, moment: &Moment) -> Vec<Slot> {
        if site.closed.is_empty() {
            return slots;
        }
        let length_h: f64 = slots.iter().map(|slot| slot.hours).sum();
        let until = moment.now + TimeDelta::milliseconds((length_h * 3.6e6).ceil() as i64);
        let hours = |instant: DateTime<Utc>| grid::signal_hours(instant - moment.now);
        let spans: Vec<(f64, f64)> =
            site.closed.iter().flat_map(|window| window.spans(moment, until)).map(|(a, z)| (hours(a), hours(z))).collect();
        close_between(slots, &spans)
    }

    /// [`from`, `to`] in spans in which nothing changes; `share` is the part of the on-site power that the job counts on. Where the
    /// data end, the nearest value holds and counts as estimated: what was emitted is never booked as nothing.
    #[must_use]
    pub fn spans_between(&self, from: DateTime<Utc>, to: DateTime<Utc>, share: f64) -> Vec<Span> {
        let (first, last) = (self.intensity.start(), self.intensity.end());
        let known = (from.clamp(first, last), to.clamp(first, last));
        let edge = |at: DateTime<Utc>| self.intensity.at(at).map_or(0.0, |step| step.value);
        let before = (from, known.0, Step::estimate(from, edge(first)));
        let after = (known.1, to, Step::estimate(known.1, edge(last - TimeDelta::microseconds(1))));
        let spans = std::iter::once(before).chain(self.spans(known.0, known.1)).chain(std::iter::once(after));
        spans
            .filter(|(from, to, _)| from < to)
            .map(|(from, to, step)| Span {
                from,
                to,
                g_per_kwh: step.value,
                onsite_w: self.onsite_at(from) * share,
                estimated: step.estimated,
            })
            .collect()
    }

    fn onsite_at(&self, instant: DateTime<Utc>) -> f64 {
        self.onsite_w.as_ref().and_then(|signal| signal.at(instant)).map_or(0.0, |step| step.value)
    }

    /// [`from`, `to`) cut at every boundary of either signal, with the grid's step that holds in each piece.
    fn spans(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>, Step)> {
        if from >= to {
            return Vec::new();
        }
        let mut cuts: Vec<DateTime<Utc>> = self.intensity.boundaries(from, to).collect();
        if let Some(onsite) = &self.onsite_w {
            cuts.extend(onsite.boundaries(from, to));
            cuts.extend([onsite.end()].into_iter().filter(|&end| from < end && end < to));
            cuts.sort_unstable();
            cuts.dedup();
        }
        let starts = std::iter::once(from).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain(std::iter::once(to));
        starts.zip(ends).filter_map(|(from, to)| Some((from, to, self.intensity.at(from)?))).collect()
    }
}

/// A span of time in which neither the grid nor the roof changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Its begin.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// Grid intensity in g/kWh.
    pub g_per_kwh: f64,
    /// On-site power that the job may count on, in watts.
    pub onsite_w: f64,
    /// Whether the intensity is an estimate.
    pub estimated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn slots_are_cut_where_a_site_closes_and_opens() {
        let text = "[[zone]]\nname = \"Z\"\nsource = \"typical-day\"\n[[site]]\nname = \"a\"\nzone = \"Z\"\n\
                    closed = [\"17:30-20:00\", \"2026-05-01T19:00Z/2026-05-01T20:15Z\"]\n";
        let config = Config::parse(text, Path::new("carm.toml")).expect("a configuration");
        let now = crate::quantity::parse_instant("2026-05-01T17:00:00Z").expect("a time");
        let moment = Moment { now, local: &|wall| Some(wall.and_utc()) };
        let slots = (0..5).map(|hour| Slot::grid(1.0, f64::from(hour))).collect();
        let cut = Outlook::close(slots, &config.sites[0], &moment);
        let shown: Vec<(f64, f64, bool)> = cut.iter().map(|slot| (slot.hours, slot.g_per_kwh, slot.closed)).collect();
        assert_eq!(
            shown,
            [
                (0.5, 0.0, false),
                (0.5, 0.0, true),
                (1.0, 1.0, true),
                (1.0, 2.0, true),
                (0.25, 3.0, true),
                (0.75, 3.0, false),
                (1.0, 4.0, false)
            ]
        );
    }
}
