//! Breaks long lines between words.

/// A line as lines of at most `width` characters; those after the first are indented. A word that is longer than a line stays
/// whole: addresses are copied from messages.
pub fn wrapped(line: &str, width: usize, indent: usize) -> Vec<String> {
    let (mut lines, mut rest) = (Vec::new(), line.to_owned());
    while rest.chars().count() > width {
        let text = rest.len() - rest.trim_start().len();
        let blanks: Vec<(usize, usize)> =
            rest.char_indices().enumerate().filter(|(_, (at, c))| *c == ' ' && *at > text).map(|(i, (at, _))| (i, at)).collect();
        // The last blank in reach, else the first one.
        let Some(&(_, at)) = blanks.iter().rev().find(|(i, _)| *i <= width).or(blanks.first()) else { break };
        lines.push(rest[..at].trim_end().to_owned());
        rest = format!("{:indent$}{}", "", rest[at..].trim_start());
    }
    lines.push(rest.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_between_words_with_an_indent() {
        let lines = wrapped("zone GB   ok  average intensity, to the evening", 22, 4);
        assert_eq!(lines, ["zone GB   ok  average", "    intensity, to the", "    evening"]);
        assert_eq!(wrapped("as wide", 7, 4), ["as wide"]);
        assert_eq!(wrapped("a http://127.0.0.1/so/long b", 10, 2), ["a", "  http://127.0.0.1/so/long", "  b"]);
        assert_eq!(wrapped("0123456789", 5, 2), ["0123456789"]);
    }
}
