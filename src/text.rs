//! Text that CARM did not write, made fit to print: job names, users, file names, replies of services.
//!
//! Such text passes here before it reaches a terminal, a log, a web page, a metric's label, CSV or JSON. Letters of every script stay.
//! What a terminal obeys or a reader cannot see is escaped: control characters, line and paragraph separators, bidirectional controls
//! ("Trojan Source", CVE-2021-42574), zero-width and unassigned characters.

/// The longest job name that is stored, in characters. Slurm has no limit of its own.
const NAME: usize = 128;

/// The longest value that a message quotes, in characters.
const QUOTED: usize = 60;

/// Characters of a long message that stay at its begin, and at its end, where parsers name what they expected.
const END_OF_MESSAGE: usize = 220;

/// Text on one line: `\n`, `\u{1b}` and the like stand for what would steer a terminal or hide.
#[must_use]
pub fn legible(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_legible(c) { line.push(c) } else { line.extend(c.escape_default()) }
    }
    line
}

/// Text of several lines, each of them legible.
#[must_use]
pub fn legible_lines(text: &str) -> String {
    text.split('\n').map(legible).collect::<Vec<_>>().join("\n")
}

/// A job's name as Slurm has it, legible, cut after 128 characters.
#[must_use]
pub fn job_name(text: &str) -> String {
    legible(text).chars().take(NAME).collect()
}

/// A value for a message: legible, cut after 60 characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let rest = if text.chars().nth(QUOTED).is_some() { "..." } else { "" };
    legible(&text.chars().take(QUOTED).collect::<String>()) + rest
}

/// A refused value, in ASCII: a full-width digit or a Cyrillic letter looks like the right one, and its escape shows why it is not.
#[must_use]
pub fn ascii(text: &str) -> String {
    let escaped = |c: char| if c.is_ascii() { c.to_string() } else { c.escape_default().to_string() };
    printable(text).chars().map(escaped).collect()
}

/// A parser's message on one line. Parsers quote the whole value that they refuse; the middle of a long message is left out.
#[must_use]
pub fn parser_message(message: &str) -> String {
    let mut message: Vec<char> = message.replace('\n', ", ").chars().collect();
    if message.len() > 2 * END_OF_MESSAGE {
        let end = message.len() - END_OF_MESSAGE;
        message.splice(END_OF_MESSAGE..end, " ... ".chars());
    }
    legible(&message.into_iter().collect::<String>())
}

/// A cell of CSV that no spreadsheet runs: a text that begins as a formula gets a leading apostrophe, a number stays
/// (<https://owasp.org/www-community/attacks/CSV_Injection>). Where the decimal sign is a comma, Excel splits cells at semicolons:
/// each part is treated so.
#[must_use]
pub fn csv_cell(text: &str) -> String {
    let is_number = |part: &str| part.parse().is_ok_and(f64::is_finite);
    let is_formula = |part: &str| part.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) && !is_number(part);
    let guarded = |part: &str| if is_formula(part) { format!("'{part}") } else { part.to_owned() };
    legible(text).split(';').map(guarded).collect::<Vec<_>>().join(";")
}

/// JSON whose strings hold no character that steers a terminal: such characters become JSON's own escapes, so that every reader
/// gets the text back unchanged. Line ends between the values stay.
#[must_use]
pub fn json(serialised: &str) -> String {
    let mut text = String::with_capacity(serialised.len());
    for c in serialised.chars() {
        if c == '\n' || is_legible(c) {
            text.push(c);
        } else {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

fn is_legible(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ if c.is_control() || is_invisible(c) => false,
        // The space of Chinese and Japanese text, and others.
        _ if c.is_whitespace() => !matches!(c, '\u{2028}' | '\u{2029}'),
        // The standard library's table of printable characters (no Cc, Cf, Cs, Co, Cn). A combining mark counts as printable only
        // behind another character.
        _ => String::from_iter(['x', c]).escape_debug().count() == 2,
    }
}

/// Unicode's Default_Ignorable_Code_Point as far as the general category calls it a letter or a mark.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_script_stay() {
        for name in [
            "训练",
            "Größe",
            "Gro\u{308}ße",
            "모델",
            "ДА",
            "ประเทศไทย",
            "हिन्दी",
            "שלום",
            "مرحبا",
            "模型\u{3000}二",
            "é 🚀 \\ ' \"",
        ] {
            assert_eq!(legible(name), name);
        }
    }

    #[test]
    fn what_steers_or_hides_is_escaped() {
        for (text, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
            ("c1 \u{9b}2J", "c1 \\u{9b}2J"),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
        ] {
            assert_eq!(legible(text), shown);
        }
        let hidden = "\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\
                      \u{61c}\u{2028}\u{2029}\u{2060}\u{feff}\u{ad}\u{180e}\u{3164}\u{fe0f}\u{e0041}\u{fff9}\u{85}\u{a0000}\u{e000}";
        for c in hidden.chars() {
            assert_eq!(legible(&c.to_string()), c.escape_default().to_string());
        }
    }

    #[test]
    fn a_long_value_is_cut_by_characters() {
        assert_eq!(printable(&"训".repeat(60)), "训".repeat(60));
        assert_eq!(printable(&"训".repeat(61)), "训".repeat(60) + "...");
        assert_eq!(ascii("５kg 'о'\u{1b}"), "\\u{ff15}kg '\\u{43e}'\\u{1b}");
        assert_eq!(job_name(&"训".repeat(200)), "训".repeat(128));
    }

    #[test]
    fn a_long_message_keeps_both_ends() {
        let message = parser_message(&format!("begin\n{}\u{1b}end", "x".repeat(1000)));
        assert!(message.starts_with("begin, x") && message.ends_with("\\u{1b}end") && message.len() < 460, "{message}");
    }

    #[test]
    fn a_formula_becomes_text() {
        for (text, cell) in [
            ("=HYPERLINK(\"http://x\",\"y\")", "'=HYPERLINK(\"http://x\",\"y\")"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(1)", "'@SUM(1)"),
            (" =1+1", "' =1+1"),
            ("＝1+1", "'＝1+1"),
            ("a;=1+1;b", "a;'=1+1;b"),
            ("\t=1", "\\t=1"),
            ("\r=1", "\\r=1"),
            ("-inf", "'-inf"),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn a_number_or_plain_text_stays_as_it_is() {
        for text in ["", "-5", "+3", "-1.5e-7", "train", "a=b", "a-b", "1;2", "训练", "2026-05-01T12:00:00.000Z"] {
            assert_eq!(csv_cell(text), text);
        }
    }

    #[test]
    fn json_reads_back_the_same() {
        let name = "训练 \u{9b}2J\u{202e}\u{7f}\u{1b}\u{e0041}\n";
        let value = serde_json::json!({"name": name});
        let text = json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
        assert!(text.chars().all(|c| c == '\n' || is_legible(c)) && text.contains("训练"), "{text:?}");
    }
}
