//! Clocks and renewables over a week: the first days of the first episode under one policy, site by site, as the engine's own account of the
//! site's slots has them.

use std::fmt::Write;

use carm_page::chart::{self, Drawing, Frame, GAP, NARROW, WIDE, area_key, greatest, line_key};
use carm_page::escape;
use chrono::{DateTime, FixedOffset, Utc};

use super::told;
use crate::account::SlotSum;
use crate::policy;
use crate::run::Results;
use crate::world::Place;

/// So long, h, and so many sites.
const WEEK_H: f64 = 168.0;
const SITES: usize = 4;
/// More slots than this are put together to hours.
const FINE: usize = 400;

/// A piece of the week: one slot, or those of an hour.
#[expect(missing_docs, reason = "the names have their units")]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Piece {
    pub from_h: f64,
    pub to_h: f64,
    /// What the site did.
    pub sum: SlotSum,
    /// The grid's intensity and the roof's power, means over its time.
    pub g_per_kwh: f64,
    pub onsite_w: f64,
    /// What the site drew under first come, first served, kWh, where that was among the policies.
    pub fcfs_kwh: Option<f64>,
    /// The episode's begin, ms since 1970.
    begin_ms: i64,
}

impl Piece {
    fn hours(&self) -> f64 {
        self.to_h - self.from_h
    }

    fn onsite_used_w(&self) -> f64 {
        1000.0 * self.sum.onsite_kwh / self.hours()
    }

    fn drawn_w(&self) -> f64 {
        1000.0 * (self.sum.onsite_kwh + self.sum.grid_kwh) / self.hours()
    }

    /// The mean clock of the GPUs that ran, MHz.
    fn clock_mhz(&self) -> Option<f64> {
        (self.sum.busy_gpu_h > 1e-9).then(|| self.sum.mhz_gpu_h / self.sum.busy_gpu_h)
    }
}

impl chart::Piece for Piece {
    fn span_ms(&self) -> (i64, i64) {
        let at = |hour: f64| self.begin_ms + (hour * 3.6e6).round() as i64;
        (at(self.from_h), at(self.to_h))
    }
}

/// A site's week under a policy, and what it drew under another.
#[must_use]
pub fn pieces(place: &Place, start: DateTime<Utc>, own: &[SlotSum], fcfs: Option<&[SlotSum]>, until_h: f64) -> Vec<Piece> {
    let count = place.borders_h.partition_point(|&border| border < until_h - 1e-9);
    let mut pieces: Vec<Piece> = Vec::new();
    for (slot, sum) in own.iter().enumerate().take(count) {
        let (from_h, to_h) = (place.borders_h[slot], place.slot_end(slot).min(until_h));
        let hours = to_h - from_h;
        let fcfs_kwh = fcfs.and_then(|slots| slots.get(slot)).map(|sum| sum.grid_kwh + sum.onsite_kwh);
        let joins = |last: &&mut Piece| count > FINE && (from_h + 1e-6).floor() <= (last.from_h + 1e-6).floor();
        match pieces.last_mut().filter(joins) {
            Some(last) => {
                let part = hours / (to_h - last.from_h);
                last.g_per_kwh += (place.g_per_kwh[slot] - last.g_per_kwh) * part;
                last.onsite_w += (place.onsite_w[slot] - last.onsite_w) * part;
                last.to_h = to_h;
                last.sum.grid_kwh += sum.grid_kwh;
                last.sum.onsite_kwh += sum.onsite_kwh;
                last.sum.carbon_g += sum.carbon_g;
                last.sum.busy_gpu_h += sum.busy_gpu_h;
                last.sum.mhz_gpu_h += sum.mhz_gpu_h;
                last.fcfs_kwh = last.fcfs_kwh.zip(fcfs_kwh).map(|(a, b)| a + b);
            }
            None => pieces.push(Piece {
                from_h,
                to_h,
                sum: *sum,
                g_per_kwh: place.g_per_kwh[slot],
                onsite_w: place.onsite_w[slot],
                fcfs_kwh,
                begin_ms: start.timestamp_millis(),
            }),
        }
    }
    pieces
}

/// The section; empty where no episode was kept.
pub fn section(results: &Results) -> String {
    let (Some(kept), Some(told)) = (&results.kept, told(results)) else { return String::new() };
    let Some(run) = kept.runs.iter().find(|run| run.policy == told.name) else { return String::new() };
    let fcfs = kept.runs.iter().find(|run| run.policy == policy::FCFS && run.policy != told.name);
    let ended_h = run.records.iter().map(|record| record.end_h).fold(0.0, f64::max);
    let until_h = WEEK_H.min(ended_h.ceil().max(1.0));
    let more = if kept.world.sites.len() > SITES {
        format!("; the first {SITES} of {} sites", kept.world.sites.len())
    } else {
        String::new()
    };
    let mut text = format!(
        "<section class=\"chart\">\n<h2>Clocks and renewables over a week</h2>\n<p class=\"say\">The first {} of the first episode under <b>{}</b>{more}.</p>\n",
        super::days(until_h),
        told.name
    );
    let roof = kept.world.sites.iter().any(|place| place.truth.onsite_w.is_some());
    let mut keys =
        vec![(area_key("grid") + &line_key("grid", 1.0), "grid intensity"), (area_key("from-grid"), "drawn from the grid")];
    if roof {
        keys.extend([(area_key("from-roof"), "drawn from the roof"), (line_key("onsite", 5.0), "on-site power there is")]);
    }
    if fcfs.is_some() {
        keys.push((line_key("fcfs", 5.0), "drawn with fcfs"));
    }
    keys.push((area_key("clock") + &line_key("clock", 1.0), "mean clock of running GPUs"));
    text += &chart::legend(&keys);
    for (i, place) in kept.world.sites.iter().enumerate().take(SITES) {
        let pieces = pieces(place, kept.world.start, &run.slots[i], fcfs.map(|run| &run.slots[i][..]), until_h);
        text += &format!("<h3>{}</h3>\n", escape(&heading(place)));
        for frame in [NARROW, WIDE] {
            text += &drawn(place, &pieces, frame, i);
        }
    }
    text + "</section>\n"
}

fn heading(place: &Place) -> String {
    let offset = format!("{:+}", place.utc_offset_h).replace('-', "\u{2212}");
    format!("{}: {} GPUs in zone {}, times of UTC{offset}", place.site.name, place.site.gpus, place.truth.source)
}

fn drawn(place: &Place, pieces: &[Piece], frame: Frame, site: usize) -> String {
    let begin = |piece: Option<&Piece>| piece.map_or((0, 0), chart::Piece::span_ms);
    let span = (begin(pieces.first()).0, begin(pieces.last()).1);
    let zone = FixedOffset::east_opt((place.utc_offset_h * 3600.0) as i32).unwrap_or(chrono::Offset::fix(&Utc));
    let power_top = GAP + frame.panel + GAP;
    let clock_top = power_top + frame.panel + GAP;
    let foot = clock_top + frame.panel;
    let id = format!("week-{site}-{}", frame.class);
    let title = format!("Grid intensity, power and mean clock at {} over the week", escape(&place.site.name));
    let mut drawing = Drawing { frame, span, text: frame.open(foot + 24.0, &id, &title) };
    drawing.time_grid(&zone, GAP, foot);
    let nought = |_: &Piece| Some(0.0);

    let grid = |piece: &Piece| Some(piece.g_per_kwh);
    let scale = drawing.scale(GAP, "Grid, g CO\u{2082}e per kWh", greatest(pieces, &grid));
    drawing.area("grid", pieces, &scale, &nought, &grid);
    drawing.line("grid", pieces, &scale, &grid);

    let most_w = greatest(pieces, &|piece| Some(piece.drawn_w().max(1000.0 * piece.fcfs_kwh.unwrap_or(0.0) / piece.hours())));
    let most_w = greatest(pieces, &|piece| Some(piece.onsite_w)).min(1.5 * most_w).max(most_w);
    let (words, unit) = if most_w >= 2000.0 { ("Power drawn, kW", 1e-3) } else { ("Power drawn, W", 1.0) };
    let scale = drawing.scale(power_top, words, most_w * unit);
    let roof = |piece: &Piece| Some(piece.onsite_used_w() * unit);
    let all = |piece: &Piece| Some(piece.drawn_w() * unit);
    drawing.area("from-roof", pieces, &scale, &nought, &roof);
    drawing.area("from-grid", pieces, &scale, &roof, &all);
    drawing.line("fcfs", pieces, &scale, &|piece| piece.fcfs_kwh.map(|kwh| 1000.0 * kwh / piece.hours() * unit));
    if place.truth.onsite_w.is_some() {
        // A margin of paper keeps the line apart from the areas that it crosses.
        for class in ["halo", "onsite"] {
            drawing.line(class, pieces, &scale, &|piece| (piece.onsite_w > 0.0).then_some(piece.onsite_w * unit));
        }
    }

    let full_mhz = place.levels.iter().flatten().map(|level| level.clock_mhz).max().unwrap_or(0);
    let scale = drawing.scale(clock_top, "Mean clock, MHz", f64::from(full_mhz));
    drawing.area("clock", pieces, &scale, &nought, &Piece::clock_mhz);
    drawing.line("clock", pieces, &scale, &Piece::clock_mhz);
    drawing.limit(&scale, f64::from(full_mhz), &format!("full clock {full_mhz}"));
    drawing.time_labels(&zone, foot + 16.0);
    let _ = writeln!(drawing.text, "</svg>");
    drawing.text
}
