//! Sums as a table, as JSON, as comma-separated values.

use carm::ledger::Intensity;
use carm::quantity::{counted, decimals, format_instant, format_mass};
use carm::text::{csv_cell, legible};
use serde_json::{Value, json};

use crate::choose::Choice;
use crate::exit::Refusal;
use crate::job_json::write;
use crate::style::{self, Style};
use crate::totals::{Sum, Totals};
use crate::words;

/// The widest label.
const LABEL: usize = 32;

/// As a table, a row a group, and what to know of it.
pub fn text(totals: &Totals, choice: &Choice) -> String {
    let style = Style::of_stdout();
    if totals.all.is_empty() {
        return "no lines in the ledger fit\n".to_owned();
    }
    let both = totals.all.len() > 1;
    let embodied = totals.all.iter().any(|sum| sum.embodied_g > 0.0);
    let key = totals.by.map_or("", |by| by.name());
    let mut head = vec![key.to_owned()];
    head.extend(["Jobs", "GPU-hours", "GPU energy", "Energy", "Carbon"].map(str::to_owned));
    if embodied {
        head.push("Embodied".to_owned());
    }
    head.extend(["Saved", "of full clock", "of economical"].map(str::to_owned));
    let rows: Vec<Vec<String>> = totals.groups.iter().chain(&totals.all).map(|sum| row(sum, both, embodied)).collect();
    let widths: Vec<usize> =
        (0..head.len()).map(|i| rows.iter().chain([&head]).map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    let draw = |cells: &[String]| {
        let cell = |(i, cell): (usize, &String)| {
            if i == 0 { format!("{cell:<w$}", w = widths[i]) } else { format!("{cell:>w$}", w = widths[i]) }
        };
        cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    text += &(style.bold(&draw(&head)) + "\n");
    let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
    for (i, cells) in rows.iter().enumerate() {
        if i == totals.groups.len() && i > 0 {
            text += &(rule.clone() + "\n");
        }
        text += &(draw(cells) + "\n");
    }
    text.push('\n');
    for sentence in sentences(totals, choice) {
        text += &(style::fold(&sentence, style::WIDTH).join("\n") + "\n");
    }
    text
}

fn row(sum: &Sum, both: bool, embodied: bool) -> Vec<String> {
    let (jobs, _) = sum.jobs();
    let mut label: String = legible(&sum.label).chars().take(LABEL).collect();
    if both {
        label += &format!(" ({})", words::intensity(sum.intensity));
    }
    let mut cells = vec![
        label,
        jobs.to_string(),
        decimals(sum.gpu_h, words::digits(sum.gpu_h)),
        words::energy(sum.gpu_kwh),
        words::energy(sum.energy_kwh),
        format_mass(sum.carbon_g),
    ];
    if embodied {
        cells.push(format_mass(sum.embodied_g));
    }
    let compared = sum.compared;
    let part = |baseline_g: f64| match baseline_g {
        g if g > 0.0 => format!("{} %", decimals(100.0 * (g - compared.carbon_g) / g, 1)),
        _ => "-".to_owned(),
    };
    let saved = if compared.full_g > 0.0 { format_mass(compared.full_g - compared.carbon_g) } else { "-".to_owned() };
    cells.extend([saved, part(compared.full_g), part(compared.economical_g)]);
    cells
}

fn sentences(totals: &Totals, choice: &Choice) -> Vec<String> {
    let mut sentences = Vec::new();
    let window = match (choice.window.since, choice.window.until) {
        (None, None) => "all of the ledger".to_owned(),
        (Some(since), None) => format!("from {}", words::local(since)),
        (None, Some(until)) => format!("until {}", words::local(until)),
        (Some(since), Some(until)) => words::local_span(since, until),
    };
    sentences.push(format!("Booked: {window}. Carbon: operational, location-based, at the facility."));
    for sum in &totals.all {
        let (jobs, told) = sum.jobs();
        let kind = if totals.all.len() > 1 { format!(" ({} intensity)", words::intensity(sum.intensity)) } else { String::new() };
        if told == 0 {
            sentences.push(format!("Saved{kind}: not known for any of {}.", counted(jobs, "job")));
        } else {
            sentences.push(format!(
                "Saved{kind}: known for {told} of {}; their runs emitted {} instead of {} at once at full clock, or {} at once \
                 at the profile's economical clock.",
                counted(jobs, "job"),
                format_mass(sum.compared.carbon_g),
                format_mass(sum.compared.full_g),
                format_mass(sum.compared.economical_g)
            ));
        }
        if sum.estimated_kwh > 0.0 {
            sentences.push(format!("Grid estimated for {} of the energy.", words::percent(sum.estimated_kwh / sum.energy_kwh)));
        }
        if sum.lost + sum.no_grid > 0 {
            sentences.push(format!(
                "Not counted: a GPU's energy in {}, all carbon in {} without grid data.",
                counted(sum.lost, "line"),
                counted(sum.no_grid, "line")
            ));
        }
    }
    sentences
}

/// As one JSON object.
pub fn json(totals: &Totals, choice: &Choice) -> Result<String, Refusal> {
    let one = |sum: &Sum, key: Option<&str>| {
        let (jobs, told) = sum.jobs();
        let compared = sum.compared;
        let mut value = json!({
            "intensity": words::intensity(sum.intensity), "jobs": jobs, "runs": sum.runs, "gpu_h": sum.gpu_h, "gpu_kwh": sum.gpu_kwh,
            "energy_kwh": sum.energy_kwh, "carbon_g": sum.carbon_g, "embodied_g": sum.embodied_g,
            "estimated_kwh": sum.estimated_kwh, "lines_without_energy": sum.lost, "lines_without_grid": sum.no_grid,
            "compared": {"jobs": told, "carbon_g": compared.carbon_g, "now_full_clock_g": compared.full_g,
                         "now_economical_clock_g": compared.economical_g},
        });
        if let (Some(key), Value::Object(object)) = (key, &mut value) {
            object.insert(key.to_owned(), sum.label.clone().into());
        }
        value
    };
    let key = totals.by.map(|by| by.name());
    write(&json!({
        "version": 1,
        "since": choice.window.since.map(format_instant),
        "until": choice.window.until.map(format_instant),
        "by": key,
        "groups": totals.groups.iter().map(|sum| one(sum, key)).collect::<Vec<_>>(),
        "total": totals.all.iter().map(|sum| one(sum, None)).collect::<Vec<_>>(),
        "left_out": totals.left_out.json(),
    }))
}

/// As comma-separated values: a row a group and none for their sum; without groups, the sum.
pub fn csv(totals: &Totals) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let key = totals.by.map_or("total", |by| by.name());
    writer.write_record([
        key,
        "intensity",
        "jobs",
        "gpu_h",
        "gpu_kwh",
        "energy_kwh",
        "carbon_g",
        "embodied_g",
        "jobs_compared",
        "compared_carbon_g",
        "now_full_clock_g",
        "now_economical_clock_g",
        "estimated_kwh",
    ])?;
    for sum in if totals.by.is_some() { &totals.groups } else { &totals.all } {
        let (jobs, told) = sum.jobs();
        let intensity: Intensity = sum.intensity;
        let figures = [sum.compared.carbon_g, sum.compared.full_g, sum.compared.economical_g, sum.estimated_kwh];
        let mut cells = vec![csv_cell(&sum.label), words::intensity(intensity).to_owned(), jobs.to_string()];
        cells.extend([sum.gpu_h, sum.gpu_kwh, sum.energy_kwh, sum.carbon_g, sum.embodied_g].map(|figure| figure.to_string()));
        cells.push(told.to_string());
        cells.extend(figures.map(|figure| figure.to_string()));
        writer.write_record(cells)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
