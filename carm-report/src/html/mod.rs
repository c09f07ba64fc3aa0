//! A job as one self-contained page: no script, no network, figures as text and as inline SVG; for a phone, a desk and paper.

mod bars;
mod chart;
mod timeline;

use std::fmt::Write;

use carm::quantity::{decimals, format_duration, format_mass};
use carm_page::escape;

use crate::account::{Account, State};
use crate::job_text::{self, Fact};
use crate::words;
use timeline::Timeline;

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn page(account: &Account) -> String {
    let name = account.last.name.as_ref().map_or(String::new(), |name| format!(", {name}"));
    let title = escape(&format!("Job {}{name}", account.job.job));
    let timeline = Timeline::of(account);
    let mut body = String::new();
    body += &header(account, &title);
    body += &cards(account);
    body += &bars::section(account);
    body += &match &timeline {
        Some(timeline) => chart::section(timeline),
        None => {
            "<section><h2>Over time</h2><p>The ledger does not hold this run in pieces: there is nothing to draw.</p></section>\n"
                .to_owned()
        }
    };
    body += &facts(&job_text::facts(account));
    if let Some(timeline) = &timeline {
        body += &pieces(timeline);
    }
    body += METHOD;
    carm_page::document(&format!("{title}: carbon account"), STYLE, &body)
}

const METHOD: &str = "<footer>\n<p>Carbon is operational and location-based: PUE &times; (measured GPU energy + host power), times the \
grid&#8217;s intensity of the time, on-site power first. Embodied carbon stands apart (O and M of SCI, ISO/IEC 21031). Both comparisons \
are computed from this record: the same work by the profile&#8217;s speeds, its modelled energy scaled by measured over modelled energy of \
this run, on the grid from the time on at which the job could have started. Times are local to where this page was made.</p>\n\
<p>Made by carm-report from the ledger.</p>\n</footer>\n";

fn header(account: &Account, title: &str) -> String {
    let last = account.last;
    let by = last.user.as_ref().map_or(String::new(), |user| format!("{} &middot; ", escape(user)));
    let site = last.site.as_ref().map_or(String::new(), |site| format!(" at {}", escape(site)));
    let state = match account.state {
        State::Ended(exit) => words::exit(exit),
        State::Open => "not ended".to_owned(),
    };
    let span = account.begin.map_or_else(|| words::local(account.end), |begin| words::local_span(begin, account.end));
    format!(
        "<header>\n<h1>{title}</h1>\n<p>{by}{}{site} &middot; {} &middot; {}</p>\n</header>\n",
        escape(&last.cluster),
        escape(&span),
        escape(&state)
    )
}

fn cards(account: &Account) -> String {
    let mut cards: Vec<(&str, String, String)> = Vec::new();
    for (intensity, grams) in &account.carbon_g {
        let error = account.error.map(|error| decimals(error * 100.0, 1));
        let error = error.map_or(String::new(), |error| format!(", \u{b1}\u{a0}{error}\u{a0}%"));
        let what = format!("CO\u{2082}e, {} intensity{error}", words::intensity(*intensity));
        cards.push(("Carbon", format_mass(*grams), what));
    }
    if let (Ok(compared), Some((_, grams))) = (&account.baselines, account.carbon()) {
        let (saved, good) = job_text::saved(compared.full.carbon_g, grams);
        let part = 100.0 * (compared.full.carbon_g - grams) / compared.full.carbon_g;
        let percent = format!("{} %", decimals(part, 0));
        let (figure, what) = match good {
            Some(true) => (percent, format!("{saved} against full clock at once")),
            Some(false) => (percent, format!("{saved}, against full clock at once")),
            None => ("0 %".to_owned(), "as much as at full clock at once".to_owned()),
        };
        cards.push(("Saved", figure, what));
    }
    cards.push((
        "Energy",
        words::energy(account.energy_kwh),
        format!("{} of it the GPUs\u{2019} own", words::energy(account.gpu_kwh)),
    ));
    let waited = account.waited().map_or_else(
        || format!("{} GPU-hours", decimals(account.gpu_h, words::digits(account.gpu_h))),
        |waited| format!("put off by {}", format_duration(waited.as_seconds_f64())),
    );
    cards.push(("Run time", format_duration(account.run_s), waited));
    carm_page::cards(&cards)
}

fn facts(facts: &[Fact]) -> String {
    let mut text = "<section>\n<h2>Account</h2>\n<dl>\n".to_owned();
    for fact in facts {
        let class = match fact.good {
            Some(true) => " class=\"good\"",
            Some(false) => " class=\"bad\"",
            None => "",
        };
        if !fact.subject.is_empty() {
            let _ = writeln!(text, "<dt>{}</dt>", fact.subject);
        }
        let _ = writeln!(text, "<dd{class}>{}</dd>", escape(&fact.said));
    }
    text + "</dl>\n</section>\n"
}

fn pieces(timeline: &Timeline) -> String {
    let onsite = timeline.has_onsite();
    let mut text =
        "<section>\n<h2>The run in figures</h2>\n<table>\n<thead><tr><th>From</th><th>Clock<br>MHz</th><th>Power<br>W</th>\
                    <th>Grid<br>g/kWh</th>"
            .to_owned();
    text += if onsite { "<th>On-site<br>W</th>" } else { "" };
    text += "<th>Carbon<br>g</th></tr></thead>\n<tbody>\n";
    for piece in timeline.rows() {
        let number = |value: Option<f64>| value.map_or("&ndash;".to_owned(), |value| decimals(value, 0));
        let star = if piece.estimated { "*" } else { "" };
        let site = if onsite { format!("<td>{}</td>", decimals(piece.onsite_w, 0)) } else { String::new() };
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}{star}</td>{site}<td>{}</td></tr>",
            words::local_short(words::instant(piece.from_ms)),
            number(piece.clock_mhz),
            decimals(piece.facility_w, 0),
            number(piece.g_per_kwh),
            decimals(piece.carbon_g, words::digits(piece.carbon_g))
        );
    }
    text += "</tbody>\n</table>\n";
    if timeline.has_estimates() {
        text += "<p>* estimated</p>\n";
    }
    text + "</section>\n"
}
