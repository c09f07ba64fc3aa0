//! The job's carbon beside that of the runs that were not, as bars that are text, too.

use std::fmt::Write;

use carm::quantity::format_mass;
use carm_page::{escape, figure};

use crate::account::Account;
use crate::job_text::saved;

/// The section; empty where there is nothing to compare with.
pub fn section(account: &Account) -> String {
    let (Ok(compared), Some((_, grams))) = (&account.baselines, account.carbon()) else { return String::new() };
    let most = grams.max(compared.full.carbon_g).max(compared.economical.carbon_g).max(f64::MIN_POSITIVE);
    let against = |baseline_g: f64| {
        let (saved, good) = saved(baseline_g, grams);
        match good {
            Some(true) => format!("this job saved {saved}"),
            Some(false) => format!("this job: {saved}"),
            None => "as much as this job".to_owned(),
        }
    };
    let rows = [
        ("job", "This job".to_owned(), grams, String::new()),
        (
            "full",
            format!("At once, full clock ({} MHz)", compared.full_mhz),
            compared.full.carbon_g,
            against(compared.full.carbon_g),
        ),
        (
            "economical",
            format!("At once, economical clock ({} MHz)", compared.economical_mhz),
            compared.economical.carbon_g,
            against(compared.economical.carbon_g),
        ),
    ];
    let mut text = "<section>\n<h2>Carbon, compared</h2>\n<div class=\"bars\">\n".to_owned();
    for (class, label, grams, note) in rows {
        let note = if note.is_empty() { String::new() } else { format!("<br><small>{}</small>", escape(&note)) };
        let _ = writeln!(
            text,
            "<p>{} &middot; <b>{}</b>{note}</p>\n<svg class=\"bar {class}\" viewBox=\"0 0 100 3\" preserveAspectRatio=\"none\" \
             aria-hidden=\"true\"><rect width=\"{:.2}\" height=\"3\"/></svg>",
            escape(&label),
            figure(&format_mass(grams)),
            (grams / most * 100.0).clamp(0.3, 100.0)
        );
    }
    text + "</div>\n</section>\n"
}
