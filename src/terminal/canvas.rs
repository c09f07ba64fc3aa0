//! Lines of single characters, each with a tone, that grow as they are written on. What is written past the edge is cut.

/// What a character is to be to the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it comes.
    Plain,
    /// A heading.
    Title,
    /// Axes and frames.
    Faint,
    /// The grid's intensity.
    Grid,
    /// What is chosen.
    Chosen,
    /// What stands beside it.
    Other,
    /// What is at once.
    Now,
    /// What must not be passed.
    Limit,
}

impl Tone {
    /// Its ANSI attributes (ECMA-48 SGR), in the terminal's own sixteen colours.
    fn attributes(self) -> &'static str {
        match self {
            Tone::Plain => "0",
            Tone::Title => "1",
            Tone::Faint => "2",
            Tone::Grid => "34",
            Tone::Chosen => "1;32",
            Tone::Other => "36",
            Tone::Now => "33",
            Tone::Limit => "31",
        }
    }
}

/// The lines.
#[derive(Debug)]
pub struct Canvas {
    width: usize,
    cells: Vec<Vec<(char, Tone)>>,
}

impl Canvas {
    /// Empty, so many columns wide.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self { width, cells: Vec::new() }
    }

    /// How many lines there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.cells.len()
    }

    /// Writes a character.
    pub fn put(&mut self, row: usize, column: usize, glyph: char, tone: Tone) {
        if column >= self.width {
            return;
        }
        while self.cells.len() <= row {
            self.cells.push(Vec::new());
        }
        let line = &mut self.cells[row];
        if line.len() <= column {
            line.resize(column + 1, (' ', Tone::Plain));
        }
        line[column] = (glyph, tone);
    }

    /// Writes a text.
    pub fn text(&mut self, row: usize, column: usize, text: &str, tone: Tone) {
        text.chars().enumerate().for_each(|(i, glyph)| self.put(row, column + i, glyph, tone));
    }

    /// Writes a text on a new line.
    pub fn line(&mut self, text: &str, tone: Tone) {
        self.text(self.rows(), 0, text, tone);
    }

    /// The lines as text, without blanks at their ends; with colours if wanted.
    #[must_use]
    pub fn lines(&self, colour: bool) -> Vec<String> {
        let line = |cells: &Vec<(char, Tone)>| {
            let end = cells.iter().rposition(|(glyph, _)| *glyph != ' ').map_or(0, |last| last + 1);
            let (mut text, mut current) = (String::new(), Tone::Plain);
            for &(glyph, tone) in &cells[..end] {
                if colour && glyph != ' ' && tone != current {
                    text += &format!("\x1b[0;{}m", tone.attributes());
                    current = tone;
                }
                text.push(glyph);
            }
            if current == Tone::Plain { text } else { text + "\x1b[0m" }
        };
        self.cells.iter().map(line).collect()
    }
}
