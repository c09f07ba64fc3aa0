//! A job as text, a line a subject, as seff prints it.

use carm::counterfactual::Untold;
use carm::ledger::{Intensity, Mark, Meter};
use carm::quantity::{decimals, format_duration, format_mass};
use carm::text::legible;

use crate::account::{Account, Compared, State};
use crate::style::{self, Style};
use crate::words;

/// Columns of the subject.
const KEY: usize = 14;

/// A line of the account: what it is of, what is said, and whether that is good news or bad.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Empty where the line goes on with the subject of the one before.
    pub subject: &'static str,
    pub said: String,
    pub good: Option<bool>,
}

/// The jobs, an empty line between them.
pub fn text(accounts: &[Account]) -> String {
    let style = Style::of_stdout();
    accounts
        .iter()
        .map(|account| facts(account).iter().map(|fact| shown(fact, style)).collect())
        .collect::<Vec<String>>()
        .join("\n")
}

fn shown(fact: &Fact, style: Style) -> String {
    let subject = if fact.subject.is_empty() { String::new() } else { format!("{}:", fact.subject) };
    let line = |(i, part): (usize, &String)| {
        let subject = format!("{:KEY$}", if i == 0 { subject.as_str() } else { "" });
        let part = fact.good.map_or_else(|| part.clone(), |good| style.verdict(good, part));
        format!("{}{part}\n", style.bold(&subject))
    };
    style::fold(&legible(&fact.said), style::WIDTH - KEY).iter().enumerate().map(line).collect()
}

/// All that is said of a job.
pub fn facts(account: &Account) -> Vec<Fact> {
    let mut page = Page { facts: Vec::new() };
    who(account, &mut page);
    what(account, &mut page);
    carbon(account, &mut page);
    kept(account, &mut page);
    trust(account, &mut page);
    page.facts
}

struct Page {
    facts: Vec<Fact>,
}

impl Page {
    fn line(&mut self, subject: &'static str, said: &str) {
        self.judged(subject, said, None);
    }

    fn judged(&mut self, subject: &'static str, said: &str, good: Option<bool>) {
        self.facts.push(Fact { subject, said: said.to_owned(), good });
    }
}

fn who(account: &Account, page: &mut Page) {
    let last = account.last;
    let name = last.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
    page.line("Job ID", &format!("{}{name}", account.job.job));
    page.line("Cluster", &last.cluster);
    let user = last.user.clone().or_else(|| Some(format!("uid {}", last.uid?))).unwrap_or_else(|| "not recorded".to_owned());
    let more: Vec<String> = [("account", &last.account), ("partition", &last.partition)]
        .iter()
        .filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)))
        .collect();
    page.line("User", &[vec![user], more].concat().join(", "));
    let runs = account.job.runs.len();
    let requeued = if runs > 1 { format!(", {runs} runs") } else { String::new() };
    match account.state {
        State::Ended(exit) => page.line("State", &(words::exit(exit) + &requeued)),
        State::Open => page.line("State", &format!("no line ends it: it goes on, or a node went down{requeued}")),
    }
    let site = last.site.as_deref().unwrap_or("none found");
    let grid = last.zone.as_ref().map_or(String::new(), |zone| {
        format!(", grid {zone}{}", last.grid_source.as_ref().map_or(String::new(), |source| format!(" ({source})")))
    });
    page.line("Site", &format!("{site}{grid}"));
}

fn what(account: &Account, page: &mut Page) {
    match account.begin {
        Some(begin) => {
            let waited = account.waited().map_or(String::new(), |waited| {
                format!("; could have started {} earlier", format_duration(waited.as_seconds_f64()))
            });
            let span = words::local_span(begin, account.end);
            page.line("Ran", &format!("{span}, {}{waited}", format_duration(account.run_s)));
        }
        None => page.line("Ran", &format!("until {}; its start is not known", words::local(account.end))),
    }
    let gpus: Vec<String> = account.gpus.iter().map(|(model, count)| format!("{count} x {model}")).collect();
    let nodes = match account.nodes.as_slice() {
        [] => String::new(),
        nodes @ [_, ..] if nodes.len() <= 4 => format!(" on {}", nodes.join(", ")),
        nodes => format!(" on {} nodes, {} to {}", nodes.len(), nodes[0], nodes[nodes.len() - 1]),
    };
    let gpus = if gpus.is_empty() { "not known".to_owned() } else { gpus.join(", ") };
    page.line("GPUs", &format!("{gpus}{nodes}, {} GPU-hours", decimals(account.gpu_h, words::digits(account.gpu_h))));
    page.line("Clock", &clock(account));
    page.line("GPU energy", &format!("{}, {}", words::energy(account.gpu_kwh), measured(account)));
    let last = account.last;
    let facility = format!(
        "{} at the facility: PUE {} x (GPUs + {} W of host each)",
        words::energy(account.energy_kwh),
        last.pue,
        last.host_watts
    );
    page.line("Energy", &facility);
}

fn clock(account: &Account) -> String {
    let Some(clocks) = account.clocks else { return "full clock; which that is is not recorded".to_owned() };
    let of = clocks.full_mhz.map_or(String::new(), |full| format!(" of {full}"));
    let range = if clocks.low_mhz == clocks.high_mhz {
        format!("{}{of} MHz", clocks.low_mhz)
    } else {
        format!("{} to {}{of} MHz, mean {:.0}", clocks.low_mhz, clocks.high_mhz, clocks.mean_mhz)
    };
    let changes = match clocks.changes {
        0 => String::new(),
        1 => ", set once".to_owned(),
        n => format!(", set {n} times"),
    };
    format!("{range}{}{changes}", if clocks.seen { "" } else { " as set" })
}

fn measured(account: &Account) -> String {
    let how = |meter: &Meter| match meter {
        Meter::Counter => "measured by NVML's energy counter",
        Meter::Power => "summed from power samples",
        Meter::Lost => "in part not known",
    };
    if account.meters.is_empty() { "of no GPU".to_owned() } else { account.meters.iter().map(how).collect::<Vec<_>>().join(", ") }
}

fn carbon(account: &Account, page: &mut Page) {
    for (intensity, grams) in &account.carbon_g {
        let kind = match intensity {
            Intensity::Average => "average intensity",
            Intensity::Marginal => "marginal intensity",
        };
        page.line("Carbon", &format!("{} CO2e, operational, location-based, {kind}", format_mass(*grams)));
    }
    if account.embodied_g > 0.0 {
        let embodied = format_mass(account.embodied_g);
        page.line("Embodied", &format!("{embodied} CO2e of the GPUs' making, apart (M of SCI, ISO/IEC 21031; carbon is its O)"));
    }
    match (&account.baselines, account.carbon()) {
        (Ok(compared), Some((_, grams))) => {
            let baselines = [
                ("Saved", compared.full.carbon_g, format!("at once at full clock ({} MHz)", compared.full_mhz)),
                ("", compared.economical.carbon_g, format!("at once at the economical clock ({} MHz)", compared.economical_mhz)),
            ];
            for (key, baseline_g, what) in baselines {
                let (saved, good) = saved(baseline_g, grams);
                page.judged(key, &format!("{saved} against {} {what}", format_mass(baseline_g)), good);
            }
        }
        (Err((Untold::NoProfile, _)), _) => page.line("Saved", &format!("not known: {}", Untold::NoProfile)),
        (Err((cause, part)), _) => page.line("Saved", &format!("not known: {cause} ({part})")),
        (Ok(_), None) => {}
    }
}

/// `1.2 kg (31 %) less`, and whether that is good.
pub fn saved(baseline_g: f64, grams: f64) -> (String, Option<bool>) {
    let saved_g = baseline_g - grams;
    let part = if baseline_g > 0.0 { format!(" ({})", words::percent(saved_g.abs() / baseline_g)) } else { String::new() };
    if saved_g.abs() < 0.005 * baseline_g.max(1e-9) {
        (format!("nothing{part}"), None)
    } else if saved_g > 0.0 {
        (format!("{}{part}", format_mass(saved_g)), Some(true))
    } else {
        (format!("{}{part} more emitted", format_mass(-saved_g)), Some(false))
    }
}

fn kept(account: &Account, page: &mut Page) {
    if let Some(budget) = account.budget {
        let used = format!("{} of {} used", words::percent(budget.used), format_mass(budget.grams));
        let gaps = account.marks.iter().any(|mark| matches!(mark, Mark::NoGrid | Mark::EnergyLost | Mark::NoProlog));
        // What is not known, or is yet to come, can only add to it.
        match account.state {
            _ if budget.used > 1.0 => page.judged("Budget", &format!("exceeded: {used}"), Some(false)),
            _ if gaps => page.line("Budget", &format!("{used}, as far as is known")),
            State::Open => page.line("Budget", &format!("{used} so far")),
            State::Ended(_) => page.judged("Budget", &format!("kept: {used}"), Some(true)),
        }
    }
    if let Some(deadline) = account.deadline {
        let at = words::local(deadline.at);
        let spare = format_duration(deadline.spare_s.abs());
        match account.state {
            State::Open => page.line("Deadline", &format!("{at}; the job has not ended")),
            State::Ended(_) if deadline.spare_s >= 0.0 => {
                page.judged("Deadline", &format!("kept: {at}, {spare} to spare"), Some(true))
            }
            State::Ended(_) => page.judged("Deadline", &format!("missed: {at}, by {spare}"), Some(false)),
        }
    }
}

fn trust(account: &Account, page: &mut Page) {
    for (i, sentence) in doubts(account).iter().enumerate() {
        page.line(if i == 0 { "Accuracy" } else { "" }, sentence);
    }
    for (i, mark) in account.marks.iter().enumerate() {
        page.line(if i == 0 { "Marks" } else { "" }, &format!("{}: {}", words::mark_name(*mark), words::mark(*mark)));
    }
    for (i, note) in account.job.notes.iter().enumerate() {
        page.line(if i == 0 { "Notes" } else { "" }, &note.to_string());
    }
}

/// How far the figures may be off, a sentence each.
pub fn doubts(account: &Account) -> Vec<String> {
    let constants = "host power and PUE are the configuration's constants";
    let mut doubts = vec![match account.error {
        Some(error) => format!(
            "carbon within {} % by the GPUs' sensor (NVIDIA states 5 % of its reading, for older cards); {constants}",
            decimals(error * 100.0, 1)
        ),
        None => format!("the error of the carbon is not known, because no GPU energy is; {constants}"),
    }];
    if account.estimated_share > 0.0 {
        doubts.push(format!("grid estimated for {} of the time", words::percent(account.estimated_share)));
    }
    if let Ok(Compared { calibration: (low, high), full, .. }) = account.baselines {
        let range = if (high - low).abs() < 0.005 { format!("{low:.2}") } else { format!("{low:.2} to {high:.2}") };
        let modelled = account.last.profile.as_ref().is_none_or(|profile| !profile.measured);
        let profile = account.last.profile.as_ref().map_or("", |profile| profile.name.as_str());
        let kind = if modelled { "modelled, not measured on this card" } else { "measured" };
        let grid = if full.estimated_share > 0.0 {
            format!("; their grid was estimated for {}", words::percent(full.estimated_share))
        } else {
            String::new()
        };
        doubts.push(format!("savings rest on profile {profile} ({kind}); measured over modelled energy: {range}{grid}"));
    }
    doubts
}
