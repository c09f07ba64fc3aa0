//! Results as a table on the terminal.

use carm::quantity::{counted, decimals, format_mass};

use crate::account::summary::PolicySummary;
use crate::run::Results;

const HEADS: [&str; 11] =
    ["policy", "carbon", "kWh", "saved", "vs static", "of possible", "together", "waiting h", "slowdown", "late", "clocks"];

/// The column of the bound that knows the GPUs: shown where it was worked out.
const TOGETHER: usize = 6;

/// The text.
#[must_use]
pub fn text(results: &Results) -> String {
    let mut rows: Vec<[String; 11]> = vec![HEADS.map(str::to_owned)];
    rows.extend(results.policies.iter().map(row));
    let widths: Vec<usize> = (0..11).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 11]| {
        let cells = row.iter().zip(&widths).enumerate().filter(|(i, _)| *i != TOGETHER || results.capacity.is_some());
        let cell = |(i, (text, &width)): (usize, (&String, &usize))| match i {
            0 => format!("{text:<width$}"),
            _ => format!("{text:>width$}"),
        };
        cells.map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let jobs: usize = results.episodes.iter().map(|episode| episode.jobs).sum();
    let dropped: usize = results.episodes.iter().map(|episode| episode.dropped).sum();
    let mut text = format!(
        "{}: {} of {:.1} days, {}, {} forecast, seed {}\n",
        results.scenario,
        counted(results.episodes.len(), "episode"),
        results.length_h / 24.0,
        counted(jobs, "job"),
        results.forecast,
        results.seed
    );
    if dropped > 0 {
        text += &format!("left out: {}, for more GPUs than any site has\n", counted(dropped, "job"));
    }
    results.remarks.iter().for_each(|remark| text += &format!("{remark}\n"));
    text += "\n";
    rows.iter().for_each(|row| text += &line(row));
    text += "\nsaved: carbon against first come, first served at full clock, and against the same at the static energy-optimal clock;\n\
             of possible: part of what each job alone could save; late: jobs after their deadline, and of these not late with fcfs\n";
    if results.capacity.is_some() {
        text += "together: part of what all jobs together could save on the GPUs that there are\n";
    }
    text
}

fn row(of: &PolicySummary) -> [String; 11] {
    let percent = |part: Option<f64>| part.map_or("-".to_owned(), |part| format!("{} %", decimals(100.0 * part, 1)));
    [
        of.name.clone(),
        format_mass(of.carbon_g),
        format!("{:.0}", of.energy_kwh),
        percent(of.saved_vs_fcfs),
        percent(of.saved_vs_static_clock),
        percent(of.share_of_bound),
        percent(of.share_of_capacity_bound),
        format!("{:.2}", of.waiting_h_mean),
        format!("{:.2}", of.bounded_slowdown_mean),
        format!("{}/{}", of.deadline_misses, of.deadline_misses_beyond_fcfs),
        of.clock_changes.to_string(),
    ]
}
