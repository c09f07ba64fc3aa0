//! Slurm's configuration files, line by line, as `src/common/parse_config.c` reads them (22.05 to 26.05).
//!
//! A comment starts at an unescaped `#`, a backslash at a line's end continues the line, and any other backslash escapes one
//! character. A pair is `Key=value`: blanks around `=` and double quotes around the value are allowed.

use crate::text::printable;

/// `Include` deeper than this is a loop.
const MAX_DEPTH: usize = 8;
/// A bound for hostile text: slurm.conf of the largest clusters has some 10,000 lines.
const MAX_LINES: usize = 200_000;

/// The pairs of one line, in order.
pub type Pairs = Vec<(String, String)>;

/// The lines of a file with its includes in place; `include` maps the path of an `Include` line to that file's text.
///
/// # Errors
/// A line that Slurm itself would refuse, or an include that cannot be read.
pub fn read(text: &str, include: &dyn Fn(&str) -> Result<String, String>) -> Result<Vec<Pairs>, String> {
    let mut lines = Vec::new();
    read_into(text, include, 0, &mut lines)?;
    Ok(lines)
}

fn read_into(
    text: &str,
    include: &dyn Fn(&str) -> Result<String, String>,
    depth: usize,
    lines: &mut Vec<Pairs>,
) -> Result<(), String> {
    for line in logical_lines(text) {
        let line = line.trim();
        if lines.len() >= MAX_LINES {
            return Err("too many lines".into());
        }
        if let Some(path) = included(line) {
            if depth >= MAX_DEPTH {
                return Err("Include is nested too deeply".into());
            }
            read_into(&include(path)?, include, depth + 1, lines)?;
        } else if !line.is_empty() {
            lines.push(pairs(line)?);
        }
    }
    Ok(())
}

/// Joins continued lines and strips comments and escapes.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut whole = String::new();
    for line in text.split('\n') {
        let line = without_comment(line);
        let end = line.trim_end();
        let backslashes = end.len() - end.trim_end_matches('\\').len();
        // Slurm removes the last backslash alone and joins without a blank.
        if backslashes % 2 == 1 {
            whole.push_str(&end[..end.len() - 1]);
            continue;
        }
        whole.push_str(line);
        lines.push(without_escapes(&std::mem::take(&mut whole)));
    }
    lines.push(without_escapes(&whole));
    lines
}

fn without_comment(line: &str) -> &str {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            '#' if !escaped => return &line[..at],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    line
}

fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        plain.extend(if c == '\\' { letters.next() } else { Some(c) });
    }
    plain
}

fn included(line: &str) -> Option<&str> {
    let (word, path) = line.split_once(|c: char| c.is_ascii_whitespace())?;
    (word.eq_ignore_ascii_case("include") && !path.trim_start().starts_with('=')).then_some(path.trim())
}

fn pairs(line: &str) -> Result<Pairs, String> {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (key, value, after) = pair(rest).ok_or_else(|| format!("'{}': not Key=value", printable(rest)))?;
        pairs.push((key.to_ascii_lowercase(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(pairs)
}

fn pair(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))?;
    let (key, rest) = text.split_at(end);
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    if key.is_empty() || value.is_empty() {
        return None;
    }
    if let Some((quoted, after)) = value.strip_prefix('"').and_then(|value| value.split_once('"'))
        && after.chars().next().is_none_or(char::is_whitespace)
    {
        return Some((key, quoted, after));
    }
    let end = value.find(char::is_whitespace).unwrap_or(value.len());
    Some((key, &value[..end], &value[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<Pairs>, String> {
        let include = |path: &str| if path == "more" { Ok("B=2".to_owned()) } else { Ok("Include loop".to_owned()) };
        read(text, &include)
    }

    fn pair_list(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn blanks_quotes_and_case_follow_slurm() {
        let expected = pair_list(&[("name", "gpu"), ("file", "/dev/nvidia[0-3]")]);
        assert_eq!(lines("Name = gpu File = \"/dev/nvidia[0-3]\"\n"), Ok(vec![expected.clone()]));
        assert_eq!(lines("NAME=gpu \\\n  file=/dev/nvidia[0-3] # comment\r\n"), Ok(vec![expected]));
    }

    #[test]
    fn escapes_and_continuations_follow_slurm() {
        assert_eq!(lines("A=x\\#y"), Ok(vec![pair_list(&[("a", "x#y")])]));
        assert_eq!(lines("A=x\\\ny"), Ok(vec![pair_list(&[("a", "xy")])]));
        assert_eq!(lines("A=x\\\\\nB=2"), Ok(vec![pair_list(&[("a", "x\\")]), pair_list(&[("b", "2")])]));
    }

    #[test]
    fn includes_stand_in_place() {
        assert_eq!(lines("A=1\nInclude more\nC=3").map(|lines| lines.len()), Ok(3));
        assert_eq!(lines("include loop"), Err("Include is nested too deeply".into()));
    }

    #[test]
    fn garbage_is_refused() {
        assert_eq!(lines("Name=gpu what"), Err("'what': not Key=value".into()));
    }
}
