//! The scores as a table.

use std::fmt::Write as _;

use carm::quantity::counted;
use carm::request::printable;

use super::Score;
use super::saving::{Kept, Kind};

/// All scores.
pub fn table(scores: &[Score]) -> String {
    let mut text = String::new();
    for score in scores {
        // Writing to a string cannot fail.
        let _ = of_zone(&mut text, score);
    }
    text
}

fn of_zone(text: &mut String, score: &Score) -> std::fmt::Result {
    let (day, misses) = ("%Y-%m-%d", &score.misses);
    writeln!(
        text,
        "zone {} ({}): {} forecasts from {} to {}",
        printable(&score.zone),
        printable(&score.source),
        misses.forecasts,
        score.from.format(day),
        score.to.format(day)
    )?;
    let lead = |hours: &i64| format!("{hours:>5} h");
    let leads: String = misses.leads_h.iter().map(lead).collect();
    writeln!(text, "  mean absolute percentage error, by hours ahead")?;
    writeln!(text, "    {:<42}{leads}", "")?;
    let figures = |values: &[Option<f64>]| values.iter().map(|value| figure(*value, 1, 7)).collect::<String>();
    for row in &misses.mape_percent {
        writeln!(text, "    {:<42}{}", row.forecast.name(), figures(&row.by_lead))?;
    }
    writeln!(text, "    {:<42}{}", "in the band of CARM's forecast, %", figures(&misses.in_band_percent))?;
    writeln!(text, "  saving that plans keep")?;
    for saving in &score.savings {
        writeln!(
            text,
            "    {}, {}: {:.1} % is saved by who knows the future",
            job(&saving.kind),
            counted(saving.jobs, "job"),
            saving.perfect_percent
        )?;
        writeln!(text, "    {:<42}{:>9}{:>10}{:>10}", "", "kept, %", "waited, %", "in vain, %")?;
        for kept in saving.kept.iter().filter(|kept| kept.forecast != super::rival::Rival::Perfect) {
            writeln!(
                text,
                "      {:<40}{}{:>10.0}{}",
                way(kept),
                figure(kept.kept_percent, 1, 9),
                kept.waited_percent,
                figure(kept.in_vain_percent, 0, 10)
            )?;
        }
    }
    writeln!(text)
}

fn job(kind: &Kind) -> String {
    let clocks = if kind.clocks { "start and clocks chosen" } else { "start chosen" };
    format!("{} h of work, deadline after {} h, {clocks}", kind.work_h, kind.deadline_h)
}

fn way(kept: &Kept) -> String {
    let rule = if kept.rule { ", waiting only where it is worth it" } else { "" };
    format!("{}{rule}", kept.forecast.name())
}

fn figure(value: Option<f64>, places: usize, width: usize) -> String {
    value.map_or_else(|| format!("{:>width$}", "-"), |value| format!("{value:>width$.places$}"))
}
