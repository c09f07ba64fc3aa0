//! Draws a zone's coming days as lines of text: bars of intensity, renewable share and on-site power on one time axis, and below
//! them the present and the best times to run.

use carm::grid::{Signal, Step};
use carm::terminal::{Canvas, Terminal, Tone, ticks};
use carm::text::legible;
use chrono::{DateTime, Local, TimeDelta, Utc};

use super::look::Look;
use super::windows::{self, Window};
use crate::given::ages as ages_of;
use crate::wrap::wrapped;

/// Columns left of the bars: a figure, the axis.
const GUTTER: usize = 12;
const INTENSITY_ROWS: usize = 7;
const OTHER_ROWS: usize = 3;
/// A difference below that is none, in percent.
const SAME_PERCENT: f64 = 0.5;
/// Where the text of a line below the chart begins.
const TEXT: usize = 12;

/// The chart of a zone.
pub fn lines(look: &Look, terminal: Terminal) -> Vec<String> {
    let end_h = hours(look.until - look.now);
    let drawing = Drawing { look, terminal, columns: terminal.width - GUTTER - 1, end_h };
    let mut canvas = Canvas::new(terminal.width);
    drawing.heading(&mut canvas);
    let windows: Vec<Window> = look.carbon_g_per_kwh.iter().flat_map(windows::best).collect();
    if let Some(signal) = &look.carbon_g_per_kwh {
        let from_share = if look.from_share { ", computed from the renewable share" } else { "" };
        let title = format!("  {} intensity, {}{from_share}", look.intensity.word(), look.unit);
        drawing.plot(&mut canvas, &title, signal, INTENSITY_ROWS, Tone::Grid, &|value| figure(value));
        drawing.marks(&mut canvas, &windows);
    }
    if let Some(signal) = &look.renewable_share {
        let percent = |value: f64| format!("{:.0} %", value * 100.0);
        drawing.plot(&mut canvas, "  renewable share", signal, OTHER_ROWS, Tone::Chosen, &percent);
    }
    if let Some(signal) = &look.onsite_w {
        drawing.plot(&mut canvas, "  on-site power", signal, OTHER_ROWS, Tone::Other, &watts);
    }
    drawing.axis(&mut canvas);
    drawing.words(&mut canvas, &windows);
    canvas.lines(terminal.colour)
}

struct Drawing<'l> {
    look: &'l Look,
    terminal: Terminal,
    columns: usize,
    end_h: f64,
}

impl Drawing<'_> {
    /// Text of others' making, in characters that the terminal shows and does not obey.
    fn shown(&self, text: &str) -> String {
        let shown = |glyph: char| glyph.is_ascii() || self.terminal.utf8;
        legible(text).chars().map(|glyph| if shown(glyph) { glyph } else { '?' }).collect()
    }

    fn heading(&self, canvas: &mut Canvas) {
        let look = self.look;
        let ages = look.fetched.zip(look.observed_until);
        let ages = ages.map(|(fetched, observed)| format!(", {}", ages_of(fetched, observed, look.now))).unwrap_or_default();
        let old = if look.old { "; past max_age: all of it is estimated; carm-grid check says why" } else { "" };
        let text = self.shown(&format!("zone {}: {}{ages}{old}", look.zone, look.source));
        self.lines(canvas, &text, 4, Tone::Title);
    }

    /// A text on as many lines as it needs.
    fn lines(&self, canvas: &mut Canvas, text: &str, indent: usize, tone: Tone) {
        wrapped(text, self.terminal.width, indent).iter().for_each(|line| canvas.line(line, tone));
    }

    fn label(&self, canvas: &mut Canvas, row: usize, text: &str, tone: Tone) {
        let text: String = text.chars().take(GUTTER - 2).collect();
        canvas.text(row, GUTTER - 2 - text.chars().count(), &text, tone);
    }

    /// The mean of a signal over a column's hours, and whether a part of it is estimated.
    fn mean(&self, signal: &Signal, column: usize) -> Option<(f64, bool)> {
        let at = |column: usize| {
            let hours = self.end_h * column as f64 / self.columns as f64;
            self.look.now + TimeDelta::milliseconds((hours * 3.6e6).round() as i64)
        };
        let (from, to) = (at(column), at(column + 1).min(signal.end()));
        let sum = signal.integrate(from, to).filter(|_| from < to)?;
        let begins = std::iter::once(from).chain(signal.boundaries(from, to));
        let estimated = begins.filter_map(|at| signal.at(at)).any(|step| step.estimated);
        Some((sum / hours(to - from), estimated))
    }

    fn plot(&self, canvas: &mut Canvas, title: &str, signal: &Signal, rows: usize, tone: Tone, figure: &dyn Fn(f64) -> String) {
        let means: Vec<_> = (0..self.columns).map(|column| self.mean(signal, column)).collect();
        let estimated = means.iter().flatten().any(|(_, estimated)| *estimated);
        canvas.line(&format!("{title}{}", if estimated { "; shaded: estimated" } else { "" }), Tone::Title);
        let (top, most) = (canvas.rows(), means.iter().flatten().map(|(value, _)| *value).fold(0.0, f64::max));
        for row in top..top + rows {
            canvas.put(row, GUTTER - 1, self.terminal.pick('│', '|'), Tone::Faint);
        }
        self.label(canvas, top, &figure(most), Tone::Plain);
        self.label(canvas, top + rows - 1, "0", Tone::Plain);
        for (column, mean) in means.iter().enumerate() {
            let Some((value, estimated)) = mean else { continue };
            let height = if most > 0.0 { value / most * rows as f64 } else { 0.0 };
            for step in 0..rows {
                if let Some(cell) = self.terminal.bar(height, step, *estimated) {
                    canvas.put(top + rows - 1 - step, GUTTER + column, cell, tone);
                }
            }
        }
    }

    /// Where the best windows lie, a row each.
    fn marks(&self, canvas: &mut Canvas, windows: &[Window]) {
        for window in windows {
            let row = canvas.rows();
            canvas.put(row, GUTTER - 1, self.terminal.pick('│', '|'), Tone::Faint);
            self.label(canvas, row, &format!("best {} h", window.hours), Tone::Chosen);
            let at = |instant: DateTime<Utc>| hours(instant - self.look.now) / self.end_h * self.columns as f64;
            let from = (at(window.from) as usize).min(self.columns - 1);
            let to = ((at(window.to) - 1e-9).ceil() as usize).clamp(from + 1, self.columns);
            (from..to).for_each(|column| canvas.put(row, GUTTER + column, self.terminal.pick('▀', '='), Tone::Chosen));
        }
    }

    fn axis(&self, canvas: &mut Canvas) {
        let ticks = ticks(&Local, self.look.now, self.end_h, self.columns);
        let row = canvas.rows();
        canvas.put(row, GUTTER - 1, self.terminal.pick('└', '+'), Tone::Faint);
        for column in 0..self.columns {
            let tick = ticks.iter().any(|(at, _)| *at == column);
            let line = if tick { self.terminal.pick('┴', '+') } else { self.terminal.pick('─', '-') };
            canvas.put(row, GUTTER + column, line, Tone::Faint);
        }
        let mut free = 0;
        for (column, text) in &ticks {
            let from = (GUTTER + column).saturating_sub(text.chars().count() / 2);
            if from >= free && from + text.chars().count() <= self.terminal.width {
                canvas.text(row + 1, from, text, Tone::Plain);
                free = from + text.chars().count() + 2;
            }
        }
    }

    fn words(&self, canvas: &mut Canvas, windows: &[Window]) {
        let look = self.look;
        let now = |signal: &Option<Signal>| signal.as_ref().and_then(|signal| signal.at(look.now));
        let mark = |step: Step| match step {
            Step { estimated: true, .. } => " (estimated)",
            Step { provisional: true, .. } => " (provisional)",
            _ => "",
        };
        let mut present = Vec::new();
        present.extend(now(&look.carbon_g_per_kwh).map(|s| format!("{} g/kWh{}", figure(s.value), mark(s))));
        present.extend(now(&look.renewable_share).map(|s| format!("renewable share {:.0} %{}", s.value * 100.0, mark(s))));
        present.extend(now(&look.onsite_w).map(|s| format!("on-site {}{}", watts(s.value), mark(s))));
        self.lines(canvas, &format!("  now       {}", present.join(", ")), TEXT, Tone::Plain);
        let minute = |at: DateTime<Utc>| at.with_timezone(&Local).format("%a %Y-%m-%d %H:%M").to_string();
        for window in windows {
            let against = match 100.0 * (1.0 - window.mean_g_per_kwh / window.at_once_g_per_kwh) {
                _ if window.from == look.now => "now is best".to_owned(),
                percent if percent > SAME_PERCENT => format!("{percent:.0} % less than at once"),
                _ => "as much as at once".to_owned(),
            };
            let guess = match window.estimated_share {
                share if share >= 0.995 => ", estimated",
                share if share > 0.0 => ", partly estimated",
                _ => "",
            };
            let text = format!(
                "  {:<9} {}, {} g/kWh: {against}{guess}",
                format!("best {} h", window.hours),
                minute(window.from),
                figure(window.mean_g_per_kwh)
            );
            self.lines(canvas, &text, TEXT, Tone::Plain);
        }
        self.lines(canvas, &format!("  times     {}", time_zone(look.now, look.until)), TEXT, Tone::Plain);
    }
}

/// The time zone of all times of a chart; two offsets where clocks change in it.
fn time_zone(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let offset = |at: DateTime<Utc>| at.with_timezone(&Local).format("UTC%:z").to_string();
    match (offset(from), offset(to)) {
        (first, last) if first != last => format!("local time, {first}, later {last}"),
        (first, _) if first == "UTC+00:00" => "UTC".to_owned(),
        (first, _) => format!("local time, {first}"),
    }
}

fn hours(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 3.6e6
}

fn figure(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn watts(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} MW", value / 1e6),
        value if value >= 1e3 => format!("{:.1} kW", value / 1e3),
        value => format!("{value:.0} W"),
    }
}
