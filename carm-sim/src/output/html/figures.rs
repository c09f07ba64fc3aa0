//! All figures, in tables that fit a phone, with a line for each of what it means; then by workload and by episode.

use std::fmt::Write;

use carm::quantity::format_mass;
use carm_page::{escape, figure};

use super::{by_kind, maybe, number, points, told};
use crate::account::summary::PolicySummary;
use crate::run::Results;

/// A column: its head, what it means in a line, its cell, which is HTML, and whether a policy has something to say in it: a column in which none has is
/// left out.
struct Column {
    head: &'static str,
    meaning: &'static str,
    cell: fn(&PolicySummary) -> String,
    has: fn(&PolicySummary) -> bool,
}

/// Episodes beyond so many are left to `--json`.
const EPISODES: usize = 104;

/// The sections.
pub fn sections(results: &Results) -> String {
    let mut text = "<section class=\"figures\">\n<h2>All figures</h2>\n".to_owned();
    for (title, columns) in TABLES {
        let said = |column: &&Column| results.policies.iter().any(column.has);
        text += &table(results, title, &columns.iter().filter(said).collect::<Vec<_>>());
    }
    text + "</section>\n" + &workloads(results) + &episodes(results)
}

/// All tables.
const TABLES: [(&str, &[Column]); 5] = [
    (
        "Carbon",
        &[
            Column {
                head: "Carbon",
                meaning: "Facility CO\u{2082}e of all jobs, operational.",
                cell: |of| figure(&format_mass(of.carbon_g)),
                has: |_| true,
            },
            Column {
                head: "Saved<br>%",
                meaning: "Carbon against first come, first served at full clock.",
                cell: |of| maybe(of.saved_vs_fcfs, points),
                has: |_| true,
            },
            Column {
                head: "95 %",
                meaning: "The interval of that saving, %: bootstrap over the episodes, 1000 samples.",
                cell: interval,
                has: |of| of.saved_vs_fcfs_ci.is_some(),
            },
            Column {
                head: "vs static<br>%",
                meaning: "Carbon against the one clock of least energy, at once: what needs no carbon signal.",
                cell: |of| maybe(of.saved_vs_static_clock, points),
                has: |_| true,
            },
            Column {
                head: "of pos&shy;sible<br>%",
                meaning: "The saving over what the jobs could save, were each alone, pauses free and the future known.",
                cell: |of| maybe(of.share_of_bound, points),
                has: |of| of.share_of_bound.is_some(),
            },
            Column {
                head: "together<br>%",
                meaning: "The saving over what all jobs together could save on the GPUs that there are.",
                cell: |of| maybe(of.share_of_capacity_bound, points),
                has: |of| of.share_of_capacity_bound.is_some(),
            },
        ],
    ),
    (
        "Energy",
        &[
            Column {
                head: "All<br>kWh",
                meaning: "Facility energy: PUE \u{d7} (GPU + host).",
                cell: |of| number(of.energy_kwh),
                has: |_| true,
            },
            Column { head: "Grid<br>kWh", meaning: "Of it from the grid.", cell: |of| number(of.grid_kwh), has: |_| true },
            Column { head: "Roof<br>kWh", meaning: "Of it from on-site power.", cell: |of| number(of.onsite_kwh), has: |_| true },
            Column {
                head: "Saved<br>%",
                meaning: "Energy against first come, first served; deferral saves carbon and no energy.",
                cell: |of| maybe(of.energy_saved_vs_fcfs, points),
                has: |_| true,
            },
            Column {
                head: "GPU\u{2011}h",
                meaning: "GPU-hours occupied: slow clocks occupy more.",
                cell: |of| number(of.busy_gpu_h),
                has: |_| true,
            },
        ],
    ),
    (
        "Waiting and slowdown",
        &[
            Column {
                head: "End<br>h",
                meaning: "Turnaround of training jobs: mean hours from submission to end.",
                cell: |of| number(of.turnaround_h_mean),
                has: |_| true,
            },
            Column {
                head: "Wait<br>h",
                meaning: "Mean hours from submission to first start.",
                cell: |of| number(of.waiting_h_mean),
                has: |_| true,
            },
            Column {
                head: "Wait<br>p95",
                meaning: "Nineteen of twenty jobs wait no longer, h.",
                cell: |of| number(of.waiting_h_p95),
                has: |_| true,
            },
            Column {
                head: "Wait<br>p99",
                meaning: "Ninety-nine of a hundred jobs wait no longer, h.",
                cell: |of| number(of.waiting_h_p99),
                has: |_| true,
            },
            Column {
                head: "Slow<br>mean",
                meaning: "Bounded slowdown: turnaround over run time at full clock (10 s at least), 1 at least.",
                cell: |of| number(of.bounded_slowdown_mean),
                has: |_| true,
            },
            Column {
                head: "Slow<br>p95",
                meaning: "Nineteen of twenty jobs are slowed no more.",
                cell: |of| number(of.bounded_slowdown_p95),
                has: |_| true,
            },
            Column {
                head: "Slow<br>p99",
                meaning: "Ninety-nine of a hundred jobs are slowed no more.",
                cell: |of| number(of.bounded_slowdown_p99),
                has: |_| true,
            },
        ],
    ),
    (
        "Deadlines, latency, budgets, limits",
        &[
            Column {
                head: "Late",
                meaning: "Jobs that ended after their deadline, or that their limit ended, of those with a deadline.",
                cell: |of| format!("{}<wbr>/{}", of.deadline_misses, of.deadline_jobs),
                has: |of| of.deadline_jobs > 0,
            },
            Column {
                head: "not with fcfs",
                meaning: "Of the late jobs those that first come, first served has in time.",
                cell: |of| of.deadline_misses_beyond_fcfs.to_string(),
                has: |of| of.deadline_jobs > 0,
            },
            Column {
                head: "by clock",
                meaning: "Of the late jobs those that would have been in time at full clock from the same starts on; the others started too late.",
                cell: |of| of.deadline_misses_by_clock.to_string(),
                has: |of| of.deadline_jobs > 0,
            },
            Column {
                head: "Slow ser&shy;vices",
                meaning: "Services with an hour in which requests were answered too late.",
                cell: |of| of.latency_misses.to_string(),
                has: has_services,
            },
            Column {
                head: "of hours<br>%",
                meaning: "Such hours over all hours of service.",
                cell: |of| points(of.latency_miss_share),
                has: has_services,
            },
            Column {
                head: "Over budget",
                meaning: "Jobs that emitted more than their budget, of those with one.",
                cell: |of| format!("{}<wbr>/{}", of.budget_overruns, of.budget_jobs),
                has: |of| of.budget_jobs > 0,
            },
            Column {
                head: "Killed",
                meaning: "Jobs that their time limit ended.",
                cell: |of| of.killed_by_limit.to_string(),
                has: |_| true,
            },
        ],
    ),
    (
        "Clocks and performance per carbon",
        &[
            Column {
                head: "Clock changes",
                meaning: "How often a running job's clock was changed, all jobs.",
                cell: |of| of.clock_changes.to_string(),
                has: |_| true,
            },
            Column {
                head: "Pauses",
                meaning: "How often jobs were paused or got another width.",
                cell: |of| of.pauses.to_string(),
                has: |_| true,
            },
            Column {
                head: "PPC",
                meaning: "Performance per carbon: training work (GPU-h at full clock) over mean turnaround (h) and carbon (g).",
                cell: |of| maybe(of.ppc, number),
                has: |of| of.ppc.is_some(),
            },
            Column {
                head: "GPU\u{2011}h<br>per kg",
                meaning: "Training work for a kilogram of its carbon.",
                cell: |of| maybe(of.gpu_h_per_kg, number),
                has: |of| of.gpu_h_per_kg.is_some(),
            },
        ],
    ),
];

fn has_services(of: &PolicySummary) -> bool {
    of.workloads.iter().any(|workload| workload.service)
}

fn interval(of: &PolicySummary) -> String {
    of.saved_vs_fcfs_ci.map_or("&ndash;".to_owned(), |[low, high]| format!("{} to&nbsp;{}", points(low), points(high)))
}

fn table(results: &Results, title: &str, columns: &[&Column]) -> String {
    let heads: String = columns.iter().map(|column| format!("<th>{}</th>", column.head)).collect();
    let mut text = format!("<h3>{title}</h3>\n{}", head("Policy", &heads));
    for (kind, of) in by_kind(results) {
        let cells: String = columns.iter().map(|column| format!("<td>{}</td>", (column.cell)(of))).collect();
        let _ = writeln!(text, "<tr class=\"{}\"><td>{}</td>{cells}</tr>", kind.class(), policy(&of.name));
    }
    text += "</tbody>\n</table></div>\n<dl>\n";
    for column in columns {
        let name = column.head.replace("<br>%", "").replace("<br>", " ").replace("&shy;", "");
        let _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", escape(column.meaning));
    }
    text + "</dl>\n"
}

fn head(first: &str, heads: &str) -> String {
    format!("<div class=\"scroll\"><table>\n<thead><tr><th>{first}</th>{heads}</tr></thead>\n<tbody>\n")
}

/// A name that may break at its dashes.
fn policy(name: &str) -> String {
    escape(name).replace('-', "-<wbr>")
}

/// What each workload saves; nothing where there is one alone.
fn workloads(results: &Results) -> String {
    let Some(first) = results.policies.first().filter(|of| of.workloads.len() > 1) else { return String::new() };
    let mut heads = String::new();
    for of in &first.workloads {
        let kind = if of.service { "service" } else { "training" };
        heads += &format!("<th>{}<br>{kind}, {}</th>", policy(&of.workload), of.jobs);
    }
    let mut text = format!(
        "<section class=\"figures\">\n<h2>Saved by workload</h2>\n<p class=\"say\">Carbon, %, against the same workload's under first come, first served; beside its kind how \
         many jobs it has.</p>\n{}",
        head("Policy", &heads)
    );
    for (kind, of) in by_kind(results) {
        let cells: String =
            of.workloads.iter().map(|workload| format!("<td>{}</td>", maybe(workload.saved_vs_fcfs, points))).collect();
        let _ = writeln!(text, "<tr class=\"{}\"><td>{}</td>{cells}</tr>", kind.class(), policy(&of.name));
    }
    text + "</tbody>\n</table></div>\n</section>\n"
}

/// Each episode, and what one policy came to in it: the weeks in which it lost, too.
fn episodes(results: &Results) -> String {
    let Some(told) = told(results) else { return String::new() };
    let zones = results.episodes.iter().any(|episode| episode.zone.is_some());
    let mut heads = if zones { "<th>Zone</th>".to_owned() } else { String::new() };
    heads += "<th>Jobs</th><th>GPUs</th><th>Load<br>%</th><th>Saved<br>%</th><th>vs static<br>%</th><th>Late</th>";
    let mut text = format!(
        "<section class=\"figures\">\n<h2>Episodes</h2>\n<p class=\"say\">Load: training demand at full clock over the GPUs. Saved, late: under <b>{}</b>.</p>\n{}",
        told.name,
        head("Begin, UTC", &heads)
    );
    for (episode, of) in results.episodes.iter().zip(&told.episodes).take(EPISODES) {
        let zone =
            if zones { format!("<td>{}</td>", escape(episode.zone.as_deref().unwrap_or_default())) } else { String::new() };
        let begin = episode.start.get(..16).unwrap_or(&episode.start).replace('T', " ");
        let _ = writeln!(
            text,
            "<tr><td>{begin}</td>{zone}<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            episode.jobs,
            episode.gpus,
            points(episode.load),
            maybe(of.saved_vs_fcfs, points),
            maybe(of.saved_vs_static_clock, points),
            of.deadline_misses
        );
    }
    text += "</tbody>\n</table></div>\n";
    if results.episodes.len() > EPISODES {
        let _ = writeln!(text, "<p class=\"say\">And {} more: --json has them all.</p>", results.episodes.len() - EPISODES);
    }
    text + "</section>\n"
}
