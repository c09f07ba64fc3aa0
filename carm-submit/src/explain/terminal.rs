//! What the explanation may use of the terminal that it is read on: its width, its characters, its colours. Decided from the
//! environment and from standard error; what is drawn is left to [`super::draw`].

use std::io::IsTerminal;

use crate::script::variable;

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
    /// Standard error's.
    pub fn of_stderr() -> Self {
        let stderr = std::io::stderr();
        let asked = || terminal_size::terminal_size_of(&stderr).map(|(width, _)| usize::from(width.0));
        let variable = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        Self::from(&variable, stderr.is_terminal(), asked)
    }

    fn from(variable: &dyn Fn(&str) -> Option<String>, terminal: bool, asked: impl FnOnce() -> Option<usize>) -> Self {
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
}

#[cfg(test)]
mod tests {
    use super::Terminal;

    fn terminal(variables: &[(&str, &str)], terminal: bool, asked: Option<usize>) -> Terminal {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Terminal::from(&variable, terminal, || asked)
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
