//! What the pages of CARM's programs share: one self-contained document that runs nothing and loads nothing, its style for a phone, a desk and paper,
//! and inline SVG with round axes. What a page says is its program's.

pub mod axis;
pub mod chart;

use carm::text::legible_lines;

/// Colours, letters, cards, charts, lists and tables, light, dark and printed.
const STYLE: &str = include_str!("page.css");

/// A whole page: a title and a body, both HTML, and the style that they need beyond what all pages have.
#[must_use]
pub fn document(title: &str, style: &str, body: &str) -> String {
    // The policy makes sure of what the page promises: it loads nothing, from nowhere, and runs nothing.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Figures that stand out: what each is, the figure, and what there is to say of it.
#[must_use]
pub fn cards(cards: &[(&str, String, String)]) -> String {
    let card = |(name, shown, what): &(&str, String, String)| {
        format!("<div><h2>{name}</h2><p class=\"figure\">{}</p><p>{}</p></div>\n", figure(shown), escape(what))
    };
    format!("<section class=\"cards\">\n{}</section>\n", cards.iter().map(card).collect::<String>())
}

/// A figure that stays on one line with its unit.
#[must_use]
pub fn figure(text: &str) -> String {
    escape(text).replace(' ', "&nbsp;")
}

/// Text for HTML. Line ends stay: HTML takes them for blanks, and `<pre>` for line ends.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in legible_lines(text).chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn html_shows_markup_and_hidden_characters() {
        let shown = escape("<b title='x'>\u{202e}训练\u{9b}&amp;\nGröße\u{200b}\"");
        assert_eq!(shown, "&lt;b title=&#39;x&#39;&gt;\\u{202e}训练\\u{9b}&amp;amp;\nGröße\\u{200b}&quot;");
    }
}
