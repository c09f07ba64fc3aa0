//! Colours of standard output, where it is a terminal whose user wants them, and lines that fit on it.

use std::io::IsTerminal;

/// The widest line.
pub const WIDTH: usize = 100;

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// Standard output's.
    pub fn of_stdout() -> Self {
        // https://no-color.org: any value but the empty one.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        Self { colour: std::io::stdout().is_terminal() && !unwanted && !dumb }
    }

    /// A title.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What is good news, or bad.
    pub fn verdict(self, good: bool, text: &str) -> String {
        self.paint(if good { "32" } else { "33" }, text)
    }

    fn paint(self, attributes: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{attributes}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Breaks a text between words, to lines of so many columns.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
