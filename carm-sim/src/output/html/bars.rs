//! Carbon by policy: a bar each, by kind, and lines for the references and for what was possible.

use std::fmt::Write;

use carm::quantity::format_mass;
use carm_page::chart::{Frame, NARROW, WIDE};

use super::{Kind, bound_g, by_kind, named, percent};
use crate::account::summary::PolicySummary;
use crate::policy;
use crate::run::Results;

/// Where a bar and its words are.
struct Row {
    /// From row to row.
    pitch: f64,
    /// Of the name's and the bar's foot, under the row's top.
    name_y: f64,
    bar_y: f64,
    bar_h: f64,
    /// Bars begin and may end there.
    from: f64,
    to: f64,
}

impl Row {
    /// Words beside the bars where there is room for them, else above.
    fn of(frame: Frame) -> Self {
        match frame.class {
            "wide" => Self { pitch: 19.0, name_y: 13.0, bar_y: 3.0, bar_h: 13.0, from: 196.0, to: frame.width - 132.0 },
            _ => Self { pitch: 31.0, name_y: 13.0, bar_y: 17.0, bar_h: 10.0, from: 0.0, to: frame.width - 4.0 },
        }
    }
}

/// A line over all bars.
struct Line {
    class: &'static str,
    name: &'static str,
    grams: f64,
}

/// The section.
pub fn section(results: &Results) -> String {
    let intervals = results.policies.iter().any(|of| of.saved_vs_fcfs_ci.is_some());
    let mut text = "<section class=\"chart\">\n<h2>Carbon by policy</h2>\n<p class=\"say\">Facility carbon of all jobs, and what is saved against \
                    first come, first served at full clock."
        .to_owned();
    if intervals {
        text += " The thin line is the 95&nbsp;% interval over the episodes.";
    }
    text += "</p>\n";
    for frame in [NARROW, WIDE] {
        text += &drawn(results, frame);
    }
    text + "</section>\n"
}

fn drawn(results: &Results, frame: Frame) -> String {
    let (row, all, lines) = (Row::of(frame), by_kind(results), lines(results));
    let fcfs_g = named(results, policy::FCFS).map_or(0.0, |of| of.carbon_g);
    let ends = |of: &PolicySummary| of.saved_vs_fcfs_ci.map(|[low, high]| [fcfs_g * (1.0 - high), fcfs_g * (1.0 - low)]);
    let most = all.iter().map(|(_, of)| ends(of).map_or(of.carbon_g, |[_, high]| high.max(of.carbon_g))).fold(0.0, f64::max);
    let most = lines.iter().map(|line| line.grams).fold(most, f64::max).max(f64::MIN_POSITIVE);
    let x = |grams: f64| row.from + (row.to - row.from) * (grams / most).clamp(0.0, 1.0);
    let head = 15.0 * lines.len().max(1) as f64 + 6.0;
    let mut rows = String::new();
    let mut y = head;
    let mut kind_before = None;
    for (kind, of) in &all {
        if kind_before != Some(kind) {
            let title = Kind::ALL.iter().find(|(one, _)| one == kind).map_or("", |(_, title)| title);
            if kind_before.is_some() {
                y += 8.0;
            } else {
                rows += &heads(frame, y + 12.0);
            }
            let _ =
                writeln!(rows, "<text class=\"title over\" x=\"0\" y=\"{:.1}\">{}</text>", y + 12.0, carm_page::escape(title));
            y += 19.0;
            kind_before = Some(kind);
        }
        let saved = of.saved_vs_fcfs.map_or(String::new(), percent);
        let _ = writeln!(
            rows,
            "<rect class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"2\"><title>{}: {}</title></rect>",
            kind.class(),
            row.from,
            y + row.bar_y,
            (x(of.carbon_g) - row.from).max(1.0),
            row.bar_h,
            of.name,
            format_mass(of.carbon_g)
        );
        if let Some([low, high]) = ends(of).filter(|[low, high]| x(*high) - x(*low) >= 1.0) {
            let middle = y + row.bar_y + row.bar_h / 2.0;
            let _ = writeln!(
                rows,
                "<path class=\"interval\" d=\"M{:.1} {middle:.1}H{:.1}M{0:.1} {:.1}v6M{1:.1} {2:.1}v6\"/>",
                x(low),
                x(high),
                middle - 3.0
            );
        }
        let base = y + row.name_y;
        let _ = writeln!(
            rows,
            "<text class=\"over name\" x=\"0\" y=\"{base:.1}\">{}</text>\
             <text class=\"over value\" x=\"{:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"over value\" x=\"{:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{saved}</text>",
            of.name,
            frame.width - 62.0,
            format_mass(of.carbon_g),
            frame.width
        );
        y += row.pitch;
    }
    let id = format!("bars-{}", frame.class);
    let height = y + 6.0;
    frame.open(height, &id, "Carbon by policy; the figures stand in the tables below")
        + &rules(&lines, y, &x)
        + &rows
        + "</svg>\n"
}

/// What stands in the columns of figures.
fn heads(frame: Frame, y: f64) -> String {
    let head =
        |x: f64, name: &str| format!("<text class=\"tick over\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>");
    format!("{}{}\n", head(frame.width - 62.0, "carbon"), head(frame.width, "saved"))
}

/// The lines with their names above: the rightmost has the top row and its name to the left, so that no line crosses another's name.
fn rules(lines: &[Line], foot: f64, x: &dyn Fn(f64) -> f64) -> String {
    let mut text = String::new();
    for (i, line) in (0..).zip(lines) {
        let (at, y) = (x(line.grams), 12.0 + 15.0 * f64::from(i));
        let label = format!("{}: {}", line.name, format_mass(line.grams));
        let fits = at >= super::labels::width(&label) + 5.0;
        let (edge, anchor) = if fits { (at - 4.0, "end") } else { (at + 4.0, "start") };
        let _ = writeln!(
            text,
            "<path class=\"mark {}\" d=\"M{at:.1} {:.1}V{:.1}\"/>\
             <text class=\"tick over\" x=\"{edge:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>",
            line.class,
            y - 9.0,
            foot
        );
    }
    text
}

/// From the greatest on.
fn lines(results: &Results) -> Vec<Line> {
    let reference = |name: &str| named(results, name).map(|of| of.carbon_g);
    let mut lines: Vec<Line> = [
        ("fcfs", "first come, first served", reference(policy::FCFS)),
        ("static", "the same, static clock", reference(policy::STATIC_CLOCK)),
        ("limit", "limit, each job alone", bound_g(results, |episode| episode.bound_g)),
        ("limit", "limit on these GPUs", bound_g(results, |episode| episode.capacity_bound_g)),
    ]
    .into_iter()
    .filter_map(|(class, name, grams)| Some(Line { class, name, grams: grams? }))
    .collect();
    lines.sort_by(|a, b| b.grams.total_cmp(&a.grams));
    lines
}
