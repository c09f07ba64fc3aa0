//! Charts as inline SVG, each drawn twice, narrow and wide, because text that is scaled to a phone's width is not readable there; and panels over
//! one axis of time, with values that hold from step to step.

use std::fmt::Write;

use chrono::TimeZone;

use crate::axis;

/// Where things are, in the SVG's units, which are pixels.
#[expect(missing_docs, reason = "pixels, as the names have it")]
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// `narrow` or `wide`: the style shows one of them.
    pub class: &'static str,
    pub width: f64,
    /// Margins: numbers stand in the left one.
    pub left: f64,
    pub right: f64,
    /// The height of a panel.
    pub panel: f64,
    /// Times along the foot, at most.
    pub ticks: usize,
}

/// For a phone.
pub const NARROW: Frame = Frame { class: "narrow", width: 358.0, left: 40.0, right: 10.0, panel: 92.0, ticks: 5 };
/// For a desk and for paper.
pub const WIDE: Frame = Frame { class: "wide", width: 728.0, left: 48.0, right: 14.0, panel: 112.0, ticks: 9 };

impl Frame {
    /// Where the right margin begins.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.width - self.right
    }

    /// The head of a chart: how high it is, its name among the page's charts, and what it shows, for those who do not see it.
    #[must_use]
    pub fn open(&self, height: f64, id: &str, title: &str) -> String {
        format!(
            "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-labelledby=\"{id}\">\n<title id=\"{id}\">{title}</title>\n",
            self.class, self.width
        )
    }
}

/// Between panels: the title of the next one stands there.
pub const GAP: f64 = 34.0;

/// What the colours and lines of a chart stand for: swatches ([`area_key`], [`line_key`]) and words.
#[must_use]
pub fn legend(keys: &[(String, &str)]) -> String {
    let mut text = "<ul class=\"legend\">\n".to_owned();
    for (swatch, name) in keys {
        let _ = writeln!(text, "<li><svg class=\"key\" viewBox=\"0 0 14 10\" aria-hidden=\"true\">{swatch}</svg>{name}</li>");
    }
    text + "</ul>\n"
}

/// The swatch of an area.
#[must_use]
pub fn area_key(class: &str) -> String {
    format!("<rect class=\"area {class}\" width=\"14\" height=\"10\"/>")
}

/// The swatch of a line, so many pixels below the top.
#[must_use]
pub fn line_key(class: &str, y: f64) -> String {
    format!("<path class=\"line {class}\" d=\"M0 {y}H14\"/>")
}

/// A panel's scale, from 0 on.
#[expect(missing_docs, reason = "pixels, and the greatest value")]
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub top: f64,
    pub height: f64,
    pub most: f64,
}

impl Scale {
    /// Where a value is.
    #[must_use]
    pub fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }
}

/// A piece of time with values that hold in it.
pub trait Piece {
    /// Its begin and its end, ms since 1970.
    fn span_ms(&self) -> (i64, i64);
}

/// A value of a piece, where it has one.
pub type Value<'v, P> = dyn Fn(&P) -> Option<f64> + 'v;

/// Panels over one span of time, as they are drawn.
#[derive(Debug)]
pub struct Drawing {
    /// Where things are.
    pub frame: Frame,
    /// From when to when, ms since 1970.
    pub span: (i64, i64),
    /// The SVG so far.
    pub text: String,
}

impl Drawing {
    /// Where an instant is.
    #[must_use]
    pub fn x(&self, ms: i64) -> f64 {
        let (from, to) = self.span;
        let part = (ms - from) as f64 / (to - from).max(1) as f64;
        self.frame.left + (self.frame.width - self.frame.left - self.frame.right) * part.clamp(0.0, 1.0)
    }

    /// Rules at round times.
    pub fn time_grid<Z: TimeZone>(&mut self, zone: &Z, top: f64, foot: f64) {
        for tick in axis::times(zone, self.span.0, self.span.1, self.frame.ticks) {
            let class = if tick.day { "rule day" } else { "rule" };
            let _ = writeln!(self.text, "<path class=\"{class}\" d=\"M{:.1} {top}V{foot}\"/>", self.x(tick.at_ms));
        }
    }

    /// The round times themselves.
    pub fn time_labels<Z: TimeZone>(&mut self, zone: &Z, y: f64) {
        let right = self.frame.end();
        for tick in axis::times(zone, self.span.0, self.span.1, self.frame.ticks) {
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
    pub fn scale(&mut self, top: f64, title: &str, most: f64) -> Scale {
        let numbers = axis::numbers(most);
        let step = numbers.get(1).copied().unwrap_or(1.0);
        let scale = Scale { top, height: self.frame.panel, most: numbers.last().copied().unwrap_or(1.0) };
        let right = self.frame.end();
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

    /// A greatest value that others are held against, with its name.
    pub fn limit(&mut self, scale: &Scale, value: f64, label: &str) {
        let (y, right) = (scale.y(value), self.frame.end());
        let _ = writeln!(
            self.text,
            "<path class=\"limit\" d=\"M{} {y:.1}H{right}\"/><text class=\"tick\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            self.frame.left,
            y - 4.0
        );
    }

    /// What lies between two values.
    pub fn area<P: Piece>(&mut self, class: &str, pieces: &[P], scale: &Scale, low: &Value<P>, high: &Value<P>) {
        let path = self.path(pieces, scale, low, high);
        let _ = writeln!(self.text, "<path class=\"area {class}\" d=\"{path}\"/>");
    }

    /// The outline of what lies between two values: along the upper one, and back along the lower.
    pub fn path<P: Piece>(&self, pieces: &[P], scale: &Scale, low: &Value<P>, high: &Value<P>) -> String {
        let mut path = String::new();
        for run in unbroken(pieces, &|piece| low(piece).is_some() && high(piece).is_some()) {
            let _ = write!(path, "M{:.1} {:.1}", self.x(run[0].span_ms().0), scale.y(low(&run[0]).unwrap_or(0.0)));
            for piece in run {
                let _ = write!(path, "V{:.1}H{:.1}", scale.y(high(piece).unwrap_or(0.0)), self.x(piece.span_ms().1));
            }
            for piece in run.iter().rev() {
                let _ = write!(path, "V{:.1}H{:.1}", scale.y(low(piece).unwrap_or(0.0)), self.x(piece.span_ms().0));
            }
            path.push('Z');
        }
        path
    }

    /// A value over time.
    pub fn line<P: Piece>(&mut self, class: &str, pieces: &[P], scale: &Scale, value: &Value<P>) {
        let mut path = String::new();
        for run in unbroken(pieces, &|piece| value(piece).is_some()) {
            let _ = write!(path, "M{:.1} {:.1}", self.x(run[0].span_ms().0), scale.y(value(&run[0]).unwrap_or(0.0)));
            for piece in run {
                let _ = write!(path, "V{:.1}H{:.1}", scale.y(value(piece).unwrap_or(0.0)), self.x(piece.span_ms().1));
            }
        }
        let _ = writeln!(self.text, "<path class=\"line {class}\" d=\"{path}\"/>");
    }
}

/// The pieces that follow one another and have what is drawn.
pub fn unbroken<'p, P: Piece>(pieces: &'p [P], has: &dyn Fn(&P) -> bool) -> Vec<&'p [P]> {
    let joined = pieces.chunk_by(|a, b| a.span_ms().1 == b.span_ms().0 && has(a) == has(b));
    joined.filter(|run| has(&run[0])).collect()
}

/// The greatest of a value; 0 of none.
pub fn greatest<P>(pieces: &[P], value: &Value<P>) -> f64 {
    pieces.iter().filter_map(value).fold(0.0, f64::max)
}
