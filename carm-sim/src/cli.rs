//! The command line.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use crate::capacity::Engine;
use crate::exit::{Refusal, warn};
use crate::output::{csv, html, json, records, table};
use crate::policy;
use crate::run::{Options, Progress, simulate};
use crate::scenario::{Scenario, Setting};

/// Does what the command line asks for, and gives what goes to standard output.
///
/// # Errors
/// The command line or the scenario is wrong, or a file cannot be read or written.
pub fn run(words: &[OsString]) -> Result<String, Refusal> {
    let found = match command().try_get_matches_from(words) {
        Ok(found) => found,
        Err(error) if !error.use_stderr() => return Ok(error.to_string()),
        Err(error) => {
            let text = error.to_string();
            let cause = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Err(Refusal::new(format!("{cause}; see carm-sim --help")));
        }
    };
    match found.subcommand() {
        Some(("run", found)) => scenario(found),
        _ => Ok(policy::names().into_iter().map(|name| name.to_owned() + "\n").collect()),
    }
}

fn scenario(found: &ArgMatches) -> Result<String, Refusal> {
    let path = found.get_one::<PathBuf>("scenario").cloned().unwrap_or_default();
    let data = std::env::var_os("CARM_DATA").filter(|data| !data.is_empty()).map(PathBuf::from);
    let texts = |name: &str| found.get_many::<String>(name).into_iter().flatten();
    let setting = |text: &String| text.parse::<Setting>().map_err(|cause| Refusal::new(format!("--set: '{text}': {cause}")));
    let settings = texts("set").map(setting).collect::<Result<Vec<_>, _>>()?;
    let (mut scenario, remarks) = Scenario::load(&path, &settings, data.as_deref()).map_err(Refusal::new)?;
    if let Some(seed) = found.get_one::<u64>("seed") {
        scenario.seed = *seed;
    }
    let names: Vec<String> = match found.contains_id("policy") {
        true => texts("policy").cloned().collect(),
        false => scenario.policies.clone(),
    };
    if let Some(name) = names.iter().find(|name| policy::named(name).is_none()) {
        let known = policy::names().join(", ");
        return Err(Refusal::new(format!(
            "--policy: '{}': no such policy; give some of {known}",
            carm::request::printable(name)
        )));
    }
    let engine = found.get_one::<String>("bounds").map(|name| Engine::named(name)).transpose();
    let capacity = engine.map_err(|cause| Refusal::new(format!("--bounds: {cause}")))?;
    let (page, each) = (found.get_one::<PathBuf>("html"), found.get_one::<PathBuf>("records"));
    let quiet = found.get_flag("quiet");
    let bar = Bar::new(!quiet && std::io::stderr().is_terminal());
    let at_hand = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        threads: found.get_one::<u16>("threads").map_or(at_hand, |threads| usize::from(*threads)),
        keep_first: page.is_some() || each.is_some(),
        capacity,
        progress: Some(&bar),
    };
    let mut results = simulate(&scenario, &names, &options).map_err(Refusal::new)?;
    bar.0.finish_and_clear();
    results.remarks.splice(..0, remarks.into_iter().map(|remark| remark.0));
    if !quiet {
        results.remarks.iter().for_each(|remark| warn(remark));
    }
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).map_err(|error| Refusal::new(format!("writing {}: {error}", path.display())))
    };
    if let Some(path) = page {
        write(path, html::page(&results))?;
    }
    if let (Some(path), Some(kept)) = (each, &results.kept) {
        write(path, records::text(kept))?;
    }
    match (found.get_flag("json"), found.get_flag("csv")) {
        (true, _) => json::text(&results).map_err(Refusal::new),
        (_, true) => Ok(csv::text(&results)),
        _ => Ok(table::text(&results)),
    }
}

/// The progress bar; nothing where nobody watches.
struct Bar(ProgressBar);

impl Bar {
    fn new(shown: bool) -> Self {
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} jobs, {eta} left");
        Self(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }
}

impl Progress for Bar {
    fn expect(&self, jobs: u64) {
        self.0.inc_length(jobs);
    }

    fn done(&self) {
        self.0.inc(1);
    }
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    let run = Command::new("run")
        .about("Simulate a scenario under some policies")
        .arg(
            Arg::new("scenario")
                .value_name("SCENARIO.toml")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The scenario"),
        )
        .arg(
            Arg::new("policy")
                .long("policy")
                .value_name("NAME")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("These policies alone [default: the scenario's]"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("The scenario with a key set otherwise: planner.host_watts=0, site.0.gpus=64"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .help("Another seed than the scenario's"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..))
                .help("Threads [default: one a core]; results do not depend on them"),
        )
        .arg(
            Arg::new("bounds")
                .long("bounds")
                .value_name("HOW")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(Engine::Prices.name())
                .value_parser(Engine::ALL.map(Engine::name))
                .help(
                    "Work out what is possible on the GPUs that there are: by prices, or exactly by highs (a build of its own)",
                ),
        )
        .arg(flag("json", "Print one JSON object").conflicts_with("csv"))
        .arg(flag("csv", "Print comma-separated values with a header"))
        .arg(
            Arg::new("html")
                .long("html")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write one self-contained page"),
        )
        .arg(
            Arg::new("records")
                .long("records")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write what became of each job of the first episode, as comma-separated values"),
        )
        .arg(flag("quiet", "No progress bar and no remarks").short('q'));
    Command::new("carm-sim")
        .version(env!("CARGO_PKG_VERSION"))
        .about("What a cluster would emit under a policy: CARM's planner and governor against traces, baselines and bounds")
        .subcommand_required(true)
        .subcommand(run)
        .subcommand(Command::new("policies").about("List the policies"))
        .after_help(AFTER_HELP)
}

const AFTER_HELP: &str = "\
Data: $CARM_DATA in a scenario's paths is that variable's folder; without it the data are made up, and
the results say so.

Examples:
  carm-sim run scenario.toml
  carm-sim run scenario.toml --policy=fcfs,carm-performance --json
  carm-sim run scenario.toml --set planner.host_watts=0 --csv

Exit status: 0, or 1 where the command line or the scenario is wrong, or a file cannot be read or written.
";
