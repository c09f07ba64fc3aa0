//! Draws a dry run's picture as lines of text: the frontier above, the grid's hours and the run below, on one time axis, and
//! a key. Decides characters and places; the figures come from [`super::picture`].

use carm::quantity::format_mass;
use carm::terminal::{Canvas, Terminal, Tone, column, ticks};
use chrono::{Local, TimeDelta};

use super::local;
use super::picture::{Mark, Picture, Point};

/// Columns left of the plots: a figure, the axis.
const GUTTER: usize = 12;
const FRONTIER_ROWS: usize = 9;
const GRID_ROWS: usize = 5;
/// Least height of the frontier's scale, as a share of its top: a plateau looks flat.
const LEAST_SCALE: f64 = 0.1;

/// How many columns a terminal has for the plots.
pub fn columns(terminal: Terminal) -> usize {
    terminal.width - GUTTER - 1
}

/// The chart.
pub fn lines(picture: &Picture, terminal: Terminal) -> Vec<String> {
    let drawing = Drawing { picture, terminal, columns: columns(terminal) };
    let mut canvas = Canvas::new(terminal.width);
    drawing.frontier(&mut canvas);
    drawing.hours(&mut canvas);
    drawing.key(&mut canvas);
    canvas.lines(terminal.colour)
}

struct Drawing<'p> {
    picture: &'p Picture,
    terminal: Terminal,
    columns: usize,
}

/// The frontier's scale, g.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn row(&self, carbon_g: f64) -> usize {
        let share = (self.high - carbon_g) / (self.high - self.low);
        (share.clamp(0.0, 1.0) * (FRONTIER_ROWS - 1) as f64).round() as usize
    }
}

impl Drawing<'_> {
    fn pick(&self, utf8: char, ascii: char) -> char {
        self.terminal.pick(utf8, ascii)
    }

    /// The column in which an instant lies; `None` past the picture's edges.
    fn column(&self, hours: f64) -> Option<usize> {
        column(hours, self.picture.end_h, self.columns)
    }

    fn glyph(&self, mark: Mark) -> (char, Tone) {
        match mark {
            Mark::Chosen => (self.pick('●', '@'), Tone::Chosen),
            Mark::Performance => (self.pick('▼', 'P'), Tone::Other),
            Mark::Carbon => (self.pick('▲', 'C'), Tone::Other),
            Mark::Ppc => (self.pick('◆', 'E'), Tone::Other),
            Mark::Now => (self.pick('×', 'x'), Tone::Now),
        }
    }

    fn scale(&self) -> Scale {
        let picture = self.picture;
        let shown = || picture.curve.iter().flatten().copied().chain(picture.points.iter().map(|p| p.carbon_g));
        let mut high = shown().fold(0.0, f64::max);
        let mut low = shown().fold(f64::INFINITY, f64::min).min(high);
        if let Some(budget) = picture.budget_g {
            low = low.min(budget);
            high = if budget <= high * 1.25 { high.max(budget) } else { high };
        }
        low = low.min(high * (1.0 - LEAST_SCALE));
        if high <= low { Scale { low: 0.0, high: 1.0 } } else { Scale { low, high } }
    }

    /// The plot's frame: the axis at the left, the deadline's line.
    fn frame(&self, canvas: &mut Canvas, top: usize, rows: usize) {
        for row in top..top + rows {
            canvas.put(row, GUTTER - 1, self.pick('│', '|'), Tone::Faint);
            if let Some(column) = self.picture.deadline_h.and_then(|deadline| self.column(deadline)) {
                canvas.put(row, GUTTER + column, self.pick('┊', ':'), Tone::Limit);
            }
        }
    }

    fn axis(&self, canvas: &mut Canvas, row: usize, ticks: &[(usize, String)]) {
        canvas.put(row, GUTTER - 1, self.pick('└', '+'), Tone::Faint);
        for column in 0..self.columns {
            let tick = ticks.iter().any(|(at, _)| *at == column);
            let line = if tick { self.pick('┴', '+') } else { self.pick('─', '-') };
            canvas.put(row, GUTTER + column, line, Tone::Faint);
        }
    }

    fn label(&self, canvas: &mut Canvas, row: usize, text: &str, tone: Tone) {
        let text: String = text.chars().take(GUTTER - 2).collect();
        canvas.text(row, GUTTER - 2 - text.chars().count(), &text, tone);
    }

    fn frontier(&self, canvas: &mut Canvas) {
        let picture = self.picture;
        if picture.curve.is_empty() {
            return;
        }
        canvas.line("  frontier  least carbon (CO2e) by the time the run ends", Tone::Title);
        let (top, scale) = (canvas.rows(), self.scale());
        self.frame(canvas, top, FRONTIER_ROWS);
        self.label(canvas, top, &format_mass(scale.high), Tone::Plain);
        self.label(canvas, top + FRONTIER_ROWS - 1, &format_mass(scale.low), Tone::Plain);
        if let Some(budget) = picture.budget_g.filter(|&budget| budget <= scale.high) {
            let row = top + scale.row(budget);
            (0..self.columns).for_each(|c| canvas.put(row, GUTTER + c, self.pick('╌', '.'), Tone::Limit));
            self.label(canvas, row, &format_mass(budget), Tone::Limit);
        }
        let mut before: Option<usize> = None;
        for (column, carbon_g) in picture.curve.iter().enumerate().take(self.columns) {
            let Some(carbon_g) = carbon_g else { continue };
            let row = scale.row(*carbon_g);
            let from = before.unwrap_or(row).min(row);
            for between in from..=row {
                let stroke = match between {
                    _ if from == row => self.pick('─', '-'),
                    r if r == from => self.pick('╮', '.'),
                    r if r == row => self.pick('╰', '\''),
                    _ => self.pick('│', '|'),
                };
                canvas.put(top + between, GUTTER + column, stroke, Tone::Plain);
            }
            before = Some(row);
        }
        // The chosen point last, before it that of now: each may cover others, never the other way round.
        let layer = |mark: Mark| match mark {
            Mark::Performance | Mark::Carbon | Mark::Ppc => 0,
            Mark::Now => 1,
            Mark::Chosen => 2,
        };
        let mut points: Vec<&Point> = picture.points.iter().collect();
        points.sort_by_key(|point| layer(point.mark));
        for point in points {
            let Some(column) = self.column(point.end_h) else { continue };
            let (glyph, tone) = self.glyph(point.mark);
            let row = top + scale.row(point.carbon_g);
            canvas.put(row, GUTTER + column, glyph, tone);
            if point.mark == Mark::Chosen {
                self.label(canvas, row, &format_mass(point.carbon_g), Tone::Chosen);
            }
        }
        self.axis(canvas, top + FRONTIER_ROWS, &self.ticks());
    }

    fn hours(&self, canvas: &mut Canvas) {
        let picture = self.picture;
        let columns: Vec<Hour> = (0..self.columns).map(|column| self.hour(column)).collect();
        let mut notes = vec!["gCO2e/kWh"];
        if columns.iter().any(|hour| hour.estimated) {
            notes.push("shaded: estimated");
        }
        if columns.iter().any(|hour| hour.closed) {
            notes.push(if self.terminal.utf8 { "╱: closed" } else { "/: closed" });
        }
        let notes = notes.join(", ");
        let room = self.terminal.width.saturating_sub("  grid      at , ".len() + notes.chars().count());
        let shown = |glyph: char| if glyph.is_ascii() || self.terminal.utf8 { glyph } else { '?' };
        let site: String = carm::request::printable(&picture.site).chars().map(shown).collect();
        let site = fitting(&site, room);
        canvas.line(&format!("  grid      at {site}, {notes}"), Tone::Title);

        let top = canvas.rows();
        let highest = columns.iter().map(|hour| hour.g_per_kwh).fold(0.0, f64::max);
        self.frame(canvas, top, GRID_ROWS);
        self.label(canvas, top, &figure(highest), Tone::Plain);
        self.label(canvas, top + GRID_ROWS - 1, "0", Tone::Plain);
        for (column, hour) in columns.iter().enumerate() {
            let height = if highest > 0.0 { hour.g_per_kwh / highest * GRID_ROWS as f64 } else { 0.0 };
            for step in 0..GRID_ROWS {
                let (place, at) = (top + GRID_ROWS - 1 - step, GUTTER + column);
                if hour.closed {
                    canvas.put(place, at, self.pick('╱', '/'), Tone::Faint);
                } else if let Some(cell) = self.terminal.bar(height, step, hour.estimated) {
                    canvas.put(place, at, cell, Tone::Grid);
                }
            }
        }
        self.onsite(canvas, &columns);
        self.runs(canvas);
        let ticks = self.ticks();
        self.axis(canvas, canvas.rows(), &ticks);
        let row = canvas.rows();
        let mut free = 0;
        for (column, text) in &ticks {
            let from = (GUTTER + column).saturating_sub(text.chars().count() / 2);
            if from >= free && from + text.chars().count() <= self.terminal.width {
                canvas.text(row, from, text, Tone::Plain);
                free = from + text.chars().count() + 2;
            }
        }
    }

    fn onsite(&self, canvas: &mut Canvas, columns: &[Hour]) {
        let most = columns.iter().map(|hour| hour.onsite_w).fold(0.0, f64::max);
        if most <= 0.0 {
            return;
        }
        let row = canvas.rows();
        self.frame(canvas, row, 1);
        self.label(canvas, row, "on-site", Tone::Plain);
        for (column, hour) in columns.iter().enumerate() {
            if let Some(part) = self.terminal.part(hour.onsite_w / most) {
                canvas.put(row, GUTTER + column, part, Tone::Other);
            }
        }
    }

    fn runs(&self, canvas: &mut Canvas) {
        let span = |from_h: f64, to_h: f64| {
            let scale = self.columns as f64 / self.picture.end_h;
            let from = ((from_h * scale) as usize).min(self.columns - 1);
            from..(((to_h * scale) - 1e-9).ceil() as usize).clamp(from + 1, self.columns)
        };
        if !self.picture.run.is_empty() {
            let row = canvas.rows();
            self.frame(canvas, row, 1);
            self.label(canvas, row, "run", Tone::Chosen);
            for stretch in &self.picture.run {
                let full = stretch.clock > 0.999;
                let glyph = if full { self.pick('█', '#') } else { self.terminal.part(stretch.clock).unwrap_or(' ') };
                span(stretch.from_h, stretch.to_h).for_each(|c| canvas.put(row, GUTTER + c, glyph, Tone::Chosen));
            }
        }
        if let Some((from_h, to_h)) = self.picture.now_run {
            let row = canvas.rows();
            self.frame(canvas, row, 1);
            let label = if from_h < 1.0 / 120.0 { "or now" } else { "or full" };
            self.label(canvas, row, label, Tone::Now);
            span(from_h, to_h).for_each(|c| canvas.put(row, GUTTER + c, self.pick('×', 'x'), Tone::Now));
        }
    }

    /// The column's mean hour.
    fn hour(&self, column: usize) -> Hour {
        let width = self.picture.end_h / self.columns as f64;
        let (from, to) = (column as f64 * width, (column + 1) as f64 * width);
        let (mut sum, mut at, mut covered) = (Hour::default(), 0.0, 0.0);
        for slot in &self.picture.slots {
            let overlap = (to.min(at + slot.hours) - from.max(at)).max(0.0);
            at += slot.hours;
            if overlap > 0.0 {
                covered += overlap;
                sum.g_per_kwh += slot.g_per_kwh * overlap;
                sum.onsite_w += slot.onsite_w * overlap;
                sum.estimated |= slot.estimated;
                sum.closed |= slot.closed;
            }
        }
        if covered > 0.0 {
            sum.g_per_kwh /= covered;
            sum.onsite_w /= covered;
        }
        sum
    }

    fn ticks(&self) -> Vec<(usize, String)> {
        ticks(&Local, self.picture.now, self.picture.end_h, self.columns)
    }

    fn key(&self, canvas: &mut Canvas) {
        let picture = self.picture;
        let until = |hours: f64| local(picture.now + TimeDelta::milliseconds((hours * 3.6e6).round() as i64));
        let entry = |label: &str, figure: &str, end: &str| format!("{label:<22} {figure:>9}  {end}");
        let row = |canvas: &mut Canvas, glyph: char, tone: Tone, text: String| {
            let row = canvas.rows();
            canvas.put(row, 2, glyph, tone);
            canvas.text(row, 4, &text, Tone::Plain);
        };
        for Point { mark, label, end_h, carbon_g } in &picture.points {
            let (glyph, tone) = self.glyph(*mark);
            row(canvas, glyph, tone, entry(label, &format_mass(*carbon_g), &format!("ends {}", until(*end_h))));
        }
        if let Some(budget) = picture.budget_g {
            row(canvas, self.pick('╌', '.'), Tone::Limit, entry("budget", &format_mass(budget), ""));
        }
        if let Some(deadline) = picture.deadline_h {
            row(canvas, self.pick('┊', ':'), Tone::Limit, entry("deadline", "", &format!("by   {}", until(deadline))));
        }
        if let Some(grams) = picture.wanted.and_then(|wanted| wanted.least_carbon_g) {
            row(canvas, ' ', Tone::Plain, entry("least that is possible", &format_mass(grams), ""));
        }
        if let Some(end_h) = picture.wanted.and_then(|wanted| wanted.earliest_end_h) {
            row(canvas, ' ', Tone::Plain, entry("earliest possible end", "", &format!("ends {}", until(end_h))));
        }
        if picture.run.iter().any(|stretch| stretch.clock <= 0.999) {
            row(canvas, self.pick('▅', '-'), Tone::Chosen, "run: the higher the faster its clock".to_owned());
        }
        let most_w = (0..self.columns).map(|column| self.hour(column).onsite_w).fold(0.0, f64::max);
        if most_w > 0.0 {
            let text = format!("on-site power for this job, up to {} kW", figure(most_w / 1000.0));
            row(canvas, self.pick('▅', '-'), Tone::Other, text);
        }
    }
}

/// What a column shows of the grid.
#[derive(Default)]
struct Hour {
    g_per_kwh: f64,
    onsite_w: f64,
    estimated: bool,
    closed: bool,
}

fn figure(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn fitting(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(2)).chain("..".chars()).collect()
}
