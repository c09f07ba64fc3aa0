//! Grid, power and clock over one axis of time, as inline SVG; drawn twice, narrow and wide, because text that is scaled to a
//! phone's width is not readable there.

use std::fmt::Write;

use super::axis;
use super::timeline::{Piece, Timeline};
use crate::words;

/// Where things are, in the SVG's units, which are pixels.
#[derive(Debug, Clone, Copy)]
struct Frame {
    class: &'static str,
    width: f64,
    left: f64,
    right: f64,
    panel: f64,
    ticks: usize,
}

const NARROW: Frame = Frame { class: "narrow", width: 358.0, left: 40.0, right: 10.0, panel: 92.0, ticks: 5 };
const WIDE: Frame = Frame { class: "wide", width: 728.0, left: 48.0, right: 14.0, panel: 112.0, ticks: 9 };

/// Between panels: the title of the next one stands there.
const GAP: f64 = 34.0;
const ROW: f64 = 18.0;
/// A letter of a label is no wider than this, on average.
const LETTER: f64 = 6.0;

/// The section.
pub fn section(timeline: &Timeline) -> String {
    let mut text = "<section class=\"chart\">\n<h2>Over time</h2>\n".to_owned();
    text += &legend(timeline);
    for frame in [NARROW, WIDE] {
        text += &Drawing { timeline, frame, span: timeline.span(), text: String::new() }.draw();
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
    let mut text = "<ul class=\"legend\">\n".to_owned();
    for (class, name) in keys {
        let _ = writeln!(
            text,
            "<li><svg class=\"key\" viewBox=\"0 0 14 10\" aria-hidden=\"true\">{}</svg>{name}</li>",
            swatch(class)
        );
    }
    text + "</ul>\n"
}

fn swatch(class: &str) -> String {
    match class {
        "onsite" | "clock" => format!("<path class=\"line {class}\" d=\"M0 5H14\"/>"),
        "grid" => "<rect class=\"area grid\" width=\"14\" height=\"10\"/><path class=\"line grid\" d=\"M0 1H14\"/>".to_owned(),
        "estimated" => {
            "<rect class=\"area grid\" width=\"14\" height=\"10\"/><path class=\"hatch\" d=\"M0 10L10 0M5 10L14 1\"/>".to_owned()
        }
        class => format!("<rect class=\"area {class}\" width=\"14\" height=\"10\"/>"),
    }
}

/// A panel's scale.
struct Scale {
    top: f64,
    height: f64,
    most: f64,
}

impl Scale {
    fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }
}

struct Drawing<'a> {
    timeline: &'a Timeline,
    frame: Frame,
    span: (i64, i64),
    text: String,
}

impl Drawing<'_> {
    fn draw(mut self) -> String {
        let frame = self.frame;
        let rows = 1 + self.timeline.otherwise.map_or(0, |both| both.len());
        let runs_top = GAP + frame.panel + 8.0;
        let power_top = runs_top + ROW * rows as f64 + GAP;
        let clock_top = power_top + frame.panel + GAP;
        let foot = clock_top + frame.panel;
        let height = foot + 24.0;
        let ids = format!("chart-{}", frame.class);
        let begin = words::local_span(words::instant(self.span.0), words::instant(self.span.1));
        let _ = writeln!(
            self.text,
            "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-labelledby=\"{ids}\">\n\
             <title id=\"{ids}\">Grid intensity, facility power and GPU clock, {begin}; the figures stand in the table below</title>\n\
             <defs><pattern id=\"hatch-{ids}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"hatch\" \
             d=\"M0 6L6 0M-1 1L1 -1M5 7L7 5\"/></pattern></defs>",
            frame.class, frame.width
        );
        self.time_grid(GAP, foot);
        self.grid_panel(GAP, &ids);
        self.runs(runs_top);
        self.power_panel(power_top);
        self.clock_panel(clock_top);
        self.time_labels(foot + 16.0);
        self.text + "</svg>\n"
    }

    fn x(&self, ms: i64) -> f64 {
        let (from, to) = self.span;
        let part = (ms - from) as f64 / (to - from).max(1) as f64;
        self.frame.left + (self.frame.width - self.frame.left - self.frame.right) * part.clamp(0.0, 1.0)
    }

    fn time_grid(&mut self, top: f64, foot: f64) {
        for tick in axis::times(self.span.0, self.span.1, self.frame.ticks) {
            let class = if tick.day { "rule day" } else { "rule" };
            let _ = writeln!(self.text, "<path class=\"{class}\" d=\"M{:.1} {top}V{foot}\"/>", self.x(tick.at_ms));
        }
    }

    fn time_labels(&mut self, y: f64) {
        let right = self.frame.width - self.frame.right;
        for tick in axis::times(self.span.0, self.span.1, self.frame.ticks) {
            let x = self.x(tick.at_ms);
            let anchor = if x > right - 14.0 {
                "end"
            } else if x < self.frame.left + 4.0 {
                "start"
            } else {
                "middle"
            };
            let class = if tick.day { "tick day" } else { "tick" };
            let _ = writeln!(
                self.text,
                "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
                tick.label
            );
        }
    }

    /// Title, round numbers and rules of a panel.
    fn scale(&mut self, top: f64, title: &str, most: f64) -> Scale {
        let numbers = axis::numbers(most);
        let step = numbers.get(1).copied().unwrap_or(1.0);
        let scale = Scale { top, height: self.frame.panel, most: numbers.last().copied().unwrap_or(1.0) };
        let right = self.frame.width - self.frame.right;
        let _ = writeln!(self.text, "<text class=\"title\" x=\"0\" y=\"{:.1}\">{title}</text>", top - 12.0);
        for number in numbers {
            let y = scale.y(number);
            let _ = writeln!(
                self.text,
                "<path class=\"rule\" d=\"M{} {y:.1}H{right}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.frame.left,
                self.frame.left - 5.0,
                y + 3.5,
                axis::label(number, step)
            );
        }
        scale
    }

    fn grid_panel(&mut self, top: f64, ids: &str) {
        let value = |piece: &Piece| piece.g_per_kwh;
        let scale = self.scale(top, "Grid, g CO\u{2082}e per kWh", self.greatest(&value));
        self.area("grid", &scale, &|_| Some(0.0), &value);
        self.area("ran", &scale, &|_| Some(0.0), &|piece| value(piece).filter(|_| piece.node_s > 0.0));
        let estimated = self.path(&scale, &|_| Some(0.0), &|piece| value(piece).filter(|_| piece.estimated));
        let _ = writeln!(self.text, "<path fill=\"url(#hatch-{ids})\" d=\"{estimated}\"/>");
        self.line("grid", &scale, &value);
    }

    /// From when to when the job ran, and would have. Between two runs there is a gap.
    fn runs(&mut self, top: f64) {
        let ran = self.unbroken(&|piece| piece.node_s > 0.0);
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
                let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(2.0));
                let when = words::local_span(words::instant(from), words::instant(to));
                let _ = writeln!(
                    self.text,
                    "<rect class=\"run {class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" rx=\"2\">\
                     <title>{label}: {when}</title></rect>"
                );
            }
            let (Some(&(from, first_to)), Some(&(_, to))) = (spans.first(), spans.last()) else { continue };
            let (x, end) = (self.x(from), self.x(to).max(self.x(from) + 2.0));
            // Beside the bar where there is room for it, else on it, else nowhere: its colour tells.
            let needed = LETTER * label.len() as f64 + 8.0;
            let (at, anchor, on) = if self.frame.width - self.frame.right - end >= needed {
                (end + 5.0, "start", "")
            } else if x - self.frame.left >= needed {
                (x - 5.0, "end", "")
            } else if self.x(first_to) - x >= needed {
                (x + 6.0, "start", class)
            } else {
                continue;
            };
            let _ = writeln!(
                self.text,
                "<text class=\"tick on {on}\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
                y + 9.8
            );
        }
    }

    fn power_panel(&mut self, top: f64) {
        let onsite = |piece: &Piece| (piece.onsite_w > 0.0).then_some(piece.onsite_w);
        let used = |piece: &Piece| (piece.node_s > 0.0).then_some(piece.facility_w);
        let gpu = |piece: &Piece| (piece.node_s > 0.0).then_some(piece.gpu_w);
        // What on-site power there is beyond the job's need matters only in that it is there.
        let most_w = self.greatest(&used);
        let most_w = self.greatest(&onsite).min(1.5 * most_w).max(most_w);
        let kilo = most_w >= 10_000.0;
        let (title, unit) = if kilo { ("Power at the facility, kW", 1e-3) } else { ("Power at the facility, W", 1.0) };
        let scale = self.scale(top, title, most_w * unit);
        self.area("gpu", &scale, &|_| Some(0.0), &|piece| gpu(piece).map(|watts| watts * unit));
        self.area("host", &scale, &|piece| gpu(piece).map(|watts| watts * unit), &|piece| used(piece).map(|watts| watts * unit));
        if self.timeline.has_onsite() {
            // A margin of paper keeps the line apart from the areas that it crosses.
            for class in ["halo", "onsite"] {
                self.line(class, &scale, &|piece| onsite(piece).map(|watts| watts * unit));
            }
        }
    }

    fn clock_panel(&mut self, top: f64) {
        let value = |piece: &Piece| piece.clock_mhz;
        let full = self.timeline.full_mhz.map(f64::from);
        let scale = self.scale(top, "GPU clock, MHz", self.greatest(&value).max(full.unwrap_or(0.0)));
        self.area("clock", &scale, &|_| Some(0.0), &value);
        self.line("clock", &scale, &value);
        if let Some(full) = full {
            let y = scale.y(full);
            let right = self.frame.width - self.frame.right;
            let _ = writeln!(
                self.text,
                "<path class=\"limit\" d=\"M{} {y:.1}H{right}\"/><text class=\"tick\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">full clock {full}</text>",
                self.frame.left,
                y - 4.0
            );
        }
    }

    fn greatest(&self, value: &dyn Fn(&Piece) -> Option<f64>) -> f64 {
        self.timeline.pieces.iter().filter_map(value).fold(0.0, f64::max)
    }

    fn area(&mut self, class: &str, scale: &Scale, low: &dyn Fn(&Piece) -> Option<f64>, high: &dyn Fn(&Piece) -> Option<f64>) {
        let path = self.path(scale, low, high);
        let _ = writeln!(self.text, "<path class=\"area {class}\" d=\"{path}\"/>");
    }

    /// The outline of what lies between two values: along the upper one, and back along the lower.
    fn path(&self, scale: &Scale, low: &dyn Fn(&Piece) -> Option<f64>, high: &dyn Fn(&Piece) -> Option<f64>) -> String {
        let mut path = String::new();
        for run in self.unbroken(&|piece| low(piece).is_some() && high(piece).is_some()) {
            let _ = write!(path, "M{:.1} {:.1}", self.x(run[0].from_ms), scale.y(low(&run[0]).unwrap_or(0.0)));
            for piece in run {
                let _ = write!(path, "V{:.1}H{:.1}", scale.y(high(piece).unwrap_or(0.0)), self.x(piece.to_ms));
            }
            for piece in run.iter().rev() {
                let _ = write!(path, "V{:.1}H{:.1}", scale.y(low(piece).unwrap_or(0.0)), self.x(piece.from_ms));
            }
            path.push('Z');
        }
        path
    }

    fn line(&mut self, class: &str, scale: &Scale, value: &dyn Fn(&Piece) -> Option<f64>) {
        let mut path = String::new();
        for run in self.unbroken(&|piece| value(piece).is_some()) {
            let _ = write!(path, "M{:.1} {:.1}", self.x(run[0].from_ms), scale.y(value(&run[0]).unwrap_or(0.0)));
            for piece in run {
                let _ = write!(path, "V{:.1}H{:.1}", scale.y(value(piece).unwrap_or(0.0)), self.x(piece.to_ms));
            }
        }
        let _ = writeln!(self.text, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// The pieces that follow one another and have what is drawn.
    fn unbroken(&self, has: &dyn Fn(&Piece) -> bool) -> Vec<&[Piece]> {
        let joined = self.timeline.pieces.chunk_by(|a, b| a.to_ms == b.from_ms && has(a) == has(b));
        joined.filter(|run| has(&run[0])).collect()
    }
}
