//! The page: one self-contained file with what a paper would show: carbon by policy, carbon against waiting, clocks and renewables over a week, all
//! figures and what they mean, and the scenario itself. No script, no network; a function of the results alone.

mod bars;
mod figures;
mod labels;
mod scatter;
pub mod week;

use carm::quantity::{counted, decimals, format_mass};
use carm_page::{escape, figure};

use crate::account::summary::PolicySummary;
use crate::policy;
use crate::run::Results;

const STYLE: &str = include_str!("page.css");

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let title = escape(&results.scenario);
    let mut body = header(results, &title);
    body += &notices(results);
    if let Some(told) = told(results) {
        body += &cards(results, told);
    }
    body += &bars::section(results);
    body += &scatter::section(results);
    body += &week::section(results);
    body += &figures::sections(results);
    body += &format!("<section class=\"source\">\n<h2>The scenario</h2>\n<pre>{}</pre>\n</section>\n", escape(&results.text));
    body += &format!(
        "<footer>\n<p>Made by {PROGRAM}, seed {}. Carbon is operational and location-based: PUE &times; (GPU + host) power, on-site power \
         first, the rest times the grid&#8217;s intensity of the time; power of idle GPUs is not counted, and pauses cost nothing. Policies, their sources and the \
         simulator&#8217;s limits are in docs/simulator.md.</p>\n</footer>\n",
        results.seed
    );
    carm_page::document(&format!("{title}: carbon by policy, simulated"), STYLE, &body)
}

const PROGRAM: &str = concat!("carm-sim ", env!("CARGO_PKG_VERSION"));

/// What a policy is among the others: the style's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Reference,
    Baseline,
    Carm,
    Lever,
}

impl Kind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Reference, "References: no carbon signal"),
        (Self::Baseline, "Baselines: other people's policies"),
        (Self::Carm, "CARM"),
        (Self::Lever, "CARM with one lever alone"),
    ];

    fn of(name: &str) -> Self {
        match name.strip_prefix("carm-") {
            Some(objective) if objective.contains('-') => Self::Lever,
            Some(_) => Self::Carm,
            None if name == policy::FCFS || name == policy::STATIC_CLOCK => Self::Reference,
            None => Self::Baseline,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Baseline => "baseline",
            Self::Carm => "carm",
            Self::Lever => "lever",
        }
    }
}

/// All policies that were run, by kind, in the order of the results.
fn by_kind(results: &Results) -> Vec<(Kind, &PolicySummary)> {
    let mut all: Vec<_> = results.policies.iter().chain(&results.besides).map(|of| (Kind::of(&of.name), of)).collect();
    all.sort_by_key(|(kind, _)| *kind);
    all
}

/// A reference.
fn named<'r>(results: &'r Results, name: &str) -> Option<&'r PolicySummary> {
    results.policies.iter().chain(&results.besides).find(|of| of.name == name)
}

/// The policy that cards and the week tell of: the first of CARM's, else the first that is no reference, else the first.
fn told(results: &Results) -> Option<&PolicySummary> {
    let first = |wanted: &[Kind]| results.policies.iter().find(|of| wanted.contains(&Kind::of(&of.name)));
    first(&[Kind::Carm]).or(first(&[Kind::Lever, Kind::Baseline])).or(results.policies.first())
}

/// The sum of a bound over the episodes, g; none where one lacks it.
fn bound_g(results: &Results, of: impl Fn(&crate::run::Episode) -> Option<f64>) -> Option<f64> {
    results.episodes.iter().map(of).sum::<Option<f64>>().filter(|_| !results.episodes.is_empty())
}

fn header(results: &Results, title: &str) -> String {
    let episodes = results.episodes.len();
    let jobs: usize = results.episodes.iter().map(|episode| episode.jobs).sum();
    format!(
        "<header>\n<h1>{title}</h1>\n<p><b>Simulated: no job ran.</b> {} of {}, {}, {} forecast, seed {}, \
         {PROGRAM}</p>\n</header>\n",
        counted(episodes, "episode"),
        days(results.length_h),
        counted(jobs, "job"),
        escape(&results.forecast),
        results.seed
    )
}

fn days(hours: f64) -> String {
    let days = hours / 24.0;
    if days.fract() == 0.0 { format!("{days:.0} day{}", if days == 1.0 { "" } else { "s" }) } else { format!("{days:.1} days") }
}

/// What the reader must know before he believes a figure.
fn notices(results: &Results) -> String {
    let mut notices: Vec<(&str, String)> = Vec::new();
    if !results.made_up.is_empty() {
        let what = results.made_up.join(", ");
        let why: String = results.remarks.iter().map(|remark| format!(" {remark}.")).collect();
        let say = "Shapes as real ones have, figures that nothing has: results on them say nothing about any country or cluster.";
        notices.push(("Made up", format!("{what}. {say}{why}")));
    }
    let modelled = modelled(results);
    if !modelled.is_empty() {
        notices.push(("Modelled, not measured", format!("power and speed by clock in {}.", modelled.join(", "))));
    }
    let dropped: usize = results.episodes.iter().map(|episode| episode.dropped).sum();
    if dropped > 0 {
        notices.push(("Left out", format!("{} for more GPUs than any site has.", counted(dropped, "job"))));
    }
    let notice = |(head, text): &(&str, String)| format!("<p class=\"notice\"><b>{head}:</b> {}</p>\n", escape(text));
    notices.iter().map(notice).collect()
}

/// Profiles that jobs of the first episode ran by, and that nobody measured on the card.
fn modelled(results: &Results) -> Vec<String> {
    let Some(kept) = &results.kept else { return Vec::new() };
    let mut names = Vec::new();
    for job in &kept.world.jobs {
        let places = kept.world.sites.iter().filter(|place| !place.measured(job.workload));
        for name in places.map(|place| format!("profile '{}'", place.profiles[job.workload].name)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn cards(results: &Results, told: &PolicySummary) -> String {
    let mut cards: Vec<(&str, String, String)> = Vec::new();
    let fcfs = named(results, policy::FCFS);
    let against = fcfs.map_or(String::new(), |fcfs| format!("; {} with fcfs", format_mass(fcfs.carbon_g)));
    cards.push(("Carbon", format_mass(told.carbon_g), format!("under {}{against}", told.name)));
    if let Some(saved) = told.saved_vs_fcfs {
        let ci =
            told.saved_vs_fcfs_ci.map_or(String::new(), |[low, high]| format!(" (95 %: {} to {})", percent(low), percent(high)));
        let also = told.saved_vs_static_clock.map_or(String::new(), |saved| {
            format!("; {} against the static energy-optimal clock, which needs no carbon signal", percent(saved))
        });
        cards.push(("Saved", percent(saved), format!("against full clock at once{ci}{also}")));
    }
    match (told.share_of_capacity_bound, told.share_of_bound) {
        (Some(share), _) => {
            cards.push(("Of what is possible", percent(share), "of what all jobs together could save on these GPUs".into()))
        }
        (None, Some(share)) => {
            cards.push(("Of what is possible", percent(share), "of what each job could save if it were alone".into()))
        }
        (None, None) => {}
    }
    let late = format!(
        "; {} of {} deadlines missed, {} of them not by fcfs",
        told.deadline_misses, told.deadline_jobs, told.deadline_misses_beyond_fcfs
    );
    let late = if told.deadline_jobs > 0 { late } else { String::new() };
    let before = fcfs.map_or(String::new(), |fcfs| format!(", {} h with fcfs", number(fcfs.waiting_h_mean)));
    cards.push(("Waiting", format!("{} h", number(told.waiting_h_mean)), format!("in the mean{before}{late}")));
    carm_page::cards(&cards)
}

/// A part as a percentage.
fn percent(part: f64) -> String {
    points(part) + " %"
}

/// A part in hundredths, with the minus sign that typesetters use.
fn points(part: f64) -> String {
    let text = decimals(100.0 * part, 1);
    match text.strip_prefix('-') {
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

/// A number with three digits.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 || v == 0.0 => format!("{value:.2}"),
        v if v >= 0.0995 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}

/// A cell that may have no figure.
fn maybe(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or("&ndash;".to_owned(), |value| figure(&text(value)))
}
