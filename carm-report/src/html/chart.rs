//! Grid, power and clock over one axis of time, as inline SVG.

use std::fmt::Write;

use carm_page::chart::{self, Drawing, Frame, GAP, NARROW, WIDE, area_key, greatest, line_key, unbroken};
use chrono::Local;

use super::timeline::{Piece, Timeline};
use crate::words;

/// A row of the runs.
const ROW: f64 = 18.0;
/// A letter of a label is no wider than this, on average.
const LETTER: f64 = 6.0;

/// The section.
pub fn section(timeline: &Timeline) -> String {
    let mut text = "<section class=\"chart\">\n<h2>Over time</h2>\n".to_owned();
    text += &legend(timeline);
    for frame in [NARROW, WIDE] {
        let drawing = Drawing { frame, span: timeline.span(), text: String::new() };
        text += &Panels { timeline, drawing }.draw(frame);
    }
    text + "</section>\n"
}

fn legend(timeline: &Timeline) -> String {
    let mut keys = vec![("grid", "grid"), ("ran", "while the job ran")];
    if timeline.has_estimates() {
        keys.push(("estimated", "estimated"));
    }
    keys.extend([("gpu", "GPUs"), ("host", "host and cooling")]);
    if timeline.has_onsite() {
        keys.push(("onsite", "on-site power"));
    }
    keys.push(("clock", "clock"));
    let keys: Vec<(String, &str)> = keys.into_iter().map(|(class, name)| (swatch(class), name)).collect();
    chart::legend(&keys)
}

fn swatch(class: &str) -> String {
    match class {
        "onsite" | "clock" => line_key(class, 5.0),
        "grid" => area_key("grid") + &line_key("grid", 1.0),
        "estimated" => area_key("grid") + "<path class=\"hatch\" d=\"M0 10L10 0M5 10L14 1\"/>",
        class => area_key(class),
    }
}

struct Panels<'a> {
    timeline: &'a Timeline,
    drawing: Drawing,
}

impl Panels<'_> {
    fn draw(mut self, frame: Frame) -> String {
        let rows = 1 + self.timeline.otherwise.map_or(0, |both| both.len());
        let runs_top = GAP + frame.panel + 8.0;
        let power_top = runs_top + ROW * rows as f64 + GAP;
        let clock_top = power_top + frame.panel + GAP;
        let foot = clock_top + frame.panel;
        let height = foot + 24.0;
        let ids = format!("chart-{}", frame.class);
        let (from, to) = self.drawing.span;
        let span = words::local_span(words::instant(from), words::instant(to));
        let title = format!("Grid intensity, facility power and GPU clock, {span}; the figures stand in the table below");
        self.drawing.text += &frame.open(height, &ids, &title);
        let _ = writeln!(
            self.drawing.text,
            "<defs><pattern id=\"hatch-{ids}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"hatch\" \
             d=\"M0 6L6 0M-1 1L1 -1M5 7L7 5\"/></pattern></defs>"
        );
        self.drawing.time_grid(&Local, GAP, foot);
        self.grid_panel(GAP, &ids);
        self.runs(runs_top);
        self.power_panel(power_top);
        self.clock_panel(clock_top);
        self.drawing.time_labels(&Local, foot + 16.0);
        self.drawing.text + "</svg>\n"
    }

    fn grid_panel(&mut self, top: f64, ids: &str) {
        let (drawing, pieces) = (&mut self.drawing, &self.timeline.pieces);
        let value = |piece: &Piece| piece.g_per_kwh;
        let scale = drawing.scale(top, "Grid, g CO\u{2082}e per kWh", greatest(pieces, &value));
        drawing.area("grid", pieces, &scale, &|_| Some(0.0), &value);
        drawing.area("ran", pieces, &scale, &|_| Some(0.0), &|piece| value(piece).filter(|_| piece.node_s > 0.0));
        let estimated = drawing.path(pieces, &scale, &|_| Some(0.0), &|piece| value(piece).filter(|_| piece.estimated));
        let _ = writeln!(drawing.text, "<path fill=\"url(#hatch-{ids})\" d=\"{estimated}\"/>");
        drawing.line("grid", pieces, &scale, &value);
    }

    /// From when to when the job ran, and would have. Between two runs there is a gap.
    fn runs(&mut self, top: f64) {
        let ran = unbroken(&self.timeline.pieces, &|piece| piece.node_s > 0.0);
        let ran: Vec<(i64, i64)> = ran.iter().map(|run| (run[0].from_ms, run[run.len() - 1].to_ms)).collect();
        let mut rows = vec![("job", ran, "ran")];
        if let Some([full, economical]) = self.timeline.otherwise {
            rows.extend([
                ("full", vec![full], "at once, full clock"),
                ("economical", vec![economical], "at once, economical clock"),
            ]);
        }
        for (i, (class, spans, label)) in rows.into_iter().enumerate() {
            let y = top + ROW * i as f64;
            for &(from, to) in &spans {
                let (x, width) = (self.drawing.x(from), (self.drawing.x(to) - self.drawing.x(from)).max(2.0));
                let when = words::local_span(words::instant(from), words::instant(to));
                let _ = writeln!(
                    self.drawing.text,
                    "<rect class=\"run {class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" rx=\"2\">\
                     <title>{label}: {when}</title></rect>"
                );
            }
            let (Some(&(from, first_to)), Some(&(_, to))) = (spans.first(), spans.last()) else { continue };
            let (x, end) = (self.drawing.x(from), self.drawing.x(to).max(self.drawing.x(from) + 2.0));
            // Beside the bar where there is room for it, else on it, else nowhere: its colour tells.
            let needed = LETTER * label.len() as f64 + 8.0;
            let (at, anchor, on) = if self.drawing.frame.end() - end >= needed {
                (end + 5.0, "start", "")
            } else if x - self.drawing.frame.left >= needed {
                (x - 5.0, "end", "")
            } else if self.drawing.x(first_to) - x >= needed {
                (x + 6.0, "start", class)
            } else {
                continue;
            };
            let _ = writeln!(
                self.drawing.text,
                "<text class=\"tick on {on}\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
                y + 9.8
            );
        }
    }

    fn power_panel(&mut self, top: f64) {
        let (drawing, pieces) = (&mut self.drawing, &self.timeline.pieces);
        let onsite = |piece: &Piece| (piece.onsite_w > 0.0).then_some(piece.onsite_w);
        let used = |piece: &Piece| (piece.node_s > 0.0).then_some(piece.facility_w);
        let gpu = |piece: &Piece| (piece.node_s > 0.0).then_some(piece.gpu_w);
        // What on-site power there is beyond the job's need matters only in that it is there.
        let most_w = greatest(pieces, &used);
        let most_w = greatest(pieces, &onsite).min(1.5 * most_w).max(most_w);
        let kilo = most_w >= 10_000.0;
        let (title, unit) = if kilo { ("Power at the facility, kW", 1e-3) } else { ("Power at the facility, W", 1.0) };
        let scale = drawing.scale(top, title, most_w * unit);
        let (gpu, used) = (|piece: &Piece| gpu(piece).map(|w| w * unit), |piece: &Piece| used(piece).map(|w| w * unit));
        drawing.area("gpu", pieces, &scale, &|_| Some(0.0), &gpu);
        drawing.area("host", pieces, &scale, &gpu, &used);
        if self.timeline.has_onsite() {
            // A margin of paper keeps the line apart from the areas that it crosses.
            for class in ["halo", "onsite"] {
                drawing.line(class, pieces, &scale, &|piece| onsite(piece).map(|watts| watts * unit));
            }
        }
    }

    fn clock_panel(&mut self, top: f64) {
        let (drawing, pieces) = (&mut self.drawing, &self.timeline.pieces);
        let value = |piece: &Piece| piece.clock_mhz;
        let full = self.timeline.full_mhz.map(f64::from);
        let scale = drawing.scale(top, "GPU clock, MHz", greatest(pieces, &value).max(full.unwrap_or(0.0)));
        drawing.area("clock", pieces, &scale, &|_| Some(0.0), &value);
        drawing.line("clock", pieces, &scale, &value);
        if let Some(full) = full {
            drawing.limit(&scale, full, &format!("full clock {full}"));
        }
    }
}
