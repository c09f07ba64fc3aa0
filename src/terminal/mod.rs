//! What a text may use of the terminal that it is read on, and what charts on it are made of: its width, its characters, its
//! colours; lines of cells, bars, a time axis. What is drawn is left to the programs; they hand in environment, stream and time zone.

mod axis;
mod canvas;

pub use axis::{column, ticks};
pub use canvas::{Canvas, Tone};

/// The narrowest and the widest that is drawn for.
const NARROWEST: usize = 60;
const WIDEST: usize = 200;
/// Where nothing tells the width.
const USUAL: usize = 100;

/// A terminal, or a file in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terminal {
    /// Whether it is a terminal at all.
    pub real: bool,
    /// Columns, 60 to 200.
    pub width: usize,
    /// Whether it shows UTF-8; else plain ASCII.
    pub utf8: bool,
    /// Whether it shows colours, and its user wants them.
    pub colour: bool,
}

impl Terminal {
    /// From the environment, whether the stream is a terminal, and the width that it tells when asked.
    #[must_use]
    pub fn of(variable: &dyn Fn(&str) -> Option<String>, terminal: bool, asked: impl FnOnce() -> Option<usize>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        // POSIX: the first of the three that is set and not empty decides.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        let dumb = set("TERM").is_some_and(|kind| kind == "dumb");
        Self {
            real: terminal,
            width: columns.or_else(asked).unwrap_or(USUAL).clamp(NARROWEST, WIDEST),
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
            colour: terminal && !dumb && set("NO_COLOR").is_none(),
        }
    }

    /// The one character where it shows UTF-8, the other where not.
    #[must_use]
    pub fn pick(self, utf8: char, ascii: char) -> char {
        if self.utf8 { utf8 } else { ascii }
    }

    /// A full cell of a bar; shaded where the figure is an estimate.
    #[must_use]
    pub fn fill(self, estimated: bool) -> char {
        if estimated { self.pick('░', ':') } else { self.pick('█', '#') }
    }

    /// A cell that is filled in part, from below; `None` where that is not to be seen.
    #[must_use]
    pub fn part(self, share: f64) -> Option<char> {
        let steps = if self.utf8 { "▁▂▃▄▅▆▇█" } else { "_-=" };
        let count = steps.chars().count();
        let step = (share * count as f64).round() as usize;
        step.checked_sub(1).and_then(|step| steps.chars().nth(step.min(count - 1)))
    }

    /// The cell of a bar so many cells high, `step` cells above its foot; an estimate's is shaded, and its top not drawn in parts.
    #[must_use]
    pub fn bar(self, height: f64, step: usize, estimated: bool) -> Option<char> {
        let part = (height - step as f64).clamp(0.0, 1.0);
        let full = part >= 1.0 - 1e-9 && (!estimated || height - step as f64 > 1.0 + 1e-9);
        if full { Some(self.fill(estimated)) } else { self.part(part) }
    }
}

#[cfg(test)]
mod tests {
    use super::Terminal;

    fn terminal(variables: &[(&str, &str)], terminal: bool, asked: Option<usize>) -> Terminal {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Terminal::of(&variable, terminal, || asked)
    }

    #[test]
    fn columns_wins_over_the_terminal_and_both_over_the_usual_width() {
        assert_eq!(terminal(&[("COLUMNS", "72")], true, Some(90)).width, 72);
        assert_eq!(terminal(&[("COLUMNS", "wide")], true, Some(90)).width, 90);
        assert_eq!(terminal(&[], false, None).width, 100);
        assert_eq!((terminal(&[], true, Some(20)).width, terminal(&[], true, Some(900)).width), (60, 200));
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides_on_utf_8() {
        assert!(terminal(&[("LC_ALL", ""), ("LANG", "C.UTF-8")], false, None).utf8);
        assert!(!terminal(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")], false, None).utf8);
        assert!(!terminal(&[], true, None).utf8);
    }

    #[test]
    fn colour_is_for_terminals_whose_users_want_it() {
        assert!(terminal(&[], true, None).colour && !terminal(&[], false, None).colour);
        assert!(!terminal(&[("NO_COLOR", "1")], true, None).colour);
        assert!(!terminal(&[("TERM", "dumb")], true, None).colour);
    }
}
