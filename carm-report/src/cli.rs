//! The command line: job ids, or what to add up; help in the manner of a manual page.

use std::ffi::OsString;
use std::path::PathBuf;

use carm::quantity::{Moment, parse_past, parse_time};
use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::choose::{Choice, Window};
use crate::exit::Refusal;
use crate::totals::By;

/// What a command line asks for.
#[derive(Debug)]
pub enum Call {
    /// Help or version.
    Show(String),
    /// Single jobs.
    Jobs(JobsCall),
    /// Sums over jobs.
    Totals(TotalsCall),
}

/// Where the ledger is.
#[derive(Debug, Clone)]
pub struct Place {
    pub ledger: Option<PathBuf>,
    pub config: Option<PathBuf>,
}

/// Single jobs.
#[derive(Debug)]
pub struct JobsCall {
    pub jobs: Vec<u32>,
    pub clusters: Vec<String>,
    pub shape: Shape,
    pub html: Option<PathBuf>,
    pub place: Place,
}

/// Sums over jobs.
#[derive(Debug)]
pub struct TotalsCall {
    pub choice: Choice,
    pub by: Option<By>,
    pub shape: Shape,
    pub place: Place,
}

/// The form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Json,
    Csv,
}

const CHOICES: [(&str, char, &str, &str); 6] = [
    ("user", 'u', "NAME", "Jobs of these users: names or numeric ids"),
    ("account", 'A', "NAME", "Jobs of these Slurm accounts"),
    ("site", 's', "NAME", "Jobs at these sites of the configuration"),
    ("cluster", 'M', "NAME", "Jobs of these clusters"),
    ("partition", 'r', "NAME", "Jobs of these partitions"),
    ("name", 'n', "NAME", "Jobs of these names"),
];

/// Reads the command line.
pub fn read(words: &[OsString]) -> Result<Call, Refusal> {
    let found = match command().try_get_matches_from(words) {
        Ok(found) => found,
        Err(error) if !error.use_stderr() => return Ok(Call::Show(error.to_string())),
        Err(error) => {
            // clap's first line names flag and cause; what follows is its usage text.
            let text = error.to_string();
            let cause = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Err(Refusal::new(format!("{cause}; see carm-report --help")));
        }
    };
    let shape = match (found.get_flag("json"), found.get_flag("csv")) {
        (true, _) => Shape::Json,
        (_, true) => Shape::Csv,
        _ => Shape::Text,
    };
    let place = Place { ledger: path(&found, "ledger"), config: path(&found, "config") };
    let html = path(&found, "html");
    let jobs = found.get_many::<String>("jobs").into_iter().flatten().map(|id| job_id(id)).collect::<Result<Vec<_>, _>>()?;
    let names = |key: &str| -> Vec<String> { found.get_many::<String>(key).into_iter().flatten().cloned().collect() };
    if jobs.is_empty() {
        if html.is_some() {
            return Err(Refusal::new("--html: a page shows one job; give its id"));
        }
        let choice = Choice {
            users: names("user"),
            accounts: names("account"),
            sites: names("site"),
            clusters: names("cluster"),
            partitions: names("partition"),
            names: names("name"),
            window: Window { since: time(&found, "since")?, until: time(&found, "until")? },
        };
        let by = found.get_one::<String>("by").and_then(|name| By::of(name));
        return Ok(Call::Totals(TotalsCall { choice, by, shape, place }));
    }
    if html.is_some() && jobs.len() > 1 {
        return Err(Refusal::new("--html: a page shows one job; give one id"));
    }
    Ok(Call::Jobs(JobsCall { jobs, clusters: names("cluster"), shape, html, place }))
}

fn path(found: &ArgMatches, key: &str) -> Option<PathBuf> {
    found.get_one::<PathBuf>(key).cloned()
}

fn job_id(text: &str) -> Result<u32, Refusal> {
    if text.contains('_') {
        let way = format!("the ledger knows an array's tasks by numbers of their own; sacct -X -j {text} -o JobIDRaw tells it");
        return Err(Refusal::new(format!("'{}': {way}", carm::request::printable(text))));
    }
    // `123.0` and `123.batch` are steps; energy is the job's.
    let id = text.split('.').next().unwrap_or_default();
    id.parse().map_err(|_| {
        Refusal::new(format!("'{}': not a job id; give a number, as squeue and sacct show it", carm::request::printable(text)))
    })
}

fn time(found: &ArgMatches, key: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let now = match found.get_one::<String>("now") {
        Some(text) => parse_time(text, &Moment { now: DateTime::UNIX_EPOCH, local: &local })
            .map_err(|error| Refusal::new(format!("--now: '{text}': {error}")))?,
        None => Utc::now(),
    };
    let parse = |text: &String| {
        let refuse = |error| Refusal::new(format!("--{key}: '{}': {error}", carm::request::printable(text)));
        parse_past(text, &Moment { now, local: &local }).map_err(refuse)
    };
    found.get_one::<String>(key).map(parse).transpose()
}

fn local(wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    Local.from_local_datetime(&wall).earliest().map(|instant| instant.to_utc())
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    let choices = CHOICES.map(|(long, short, value, help)| {
        let arg = Arg::new(long).long(long).short(short).value_name(value).help(help);
        let arg = arg.value_delimiter(',').action(ArgAction::Append).help_heading("Which jobs");
        if long == "cluster" { arg.visible_alias("clusters") } else { arg.conflicts_with("jobs") }
    });
    let time = |long: &'static str, short: char, alias: &'static str, help: &'static str| {
        let arg = Arg::new(long).long(long).short(short).visible_alias(alias).value_name("TIME").help(help);
        arg.help_heading("Which jobs").conflicts_with("jobs")
    };
    let file = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("carm-report")
        .version(env!("CARGO_PKG_VERSION"))
        .about("What jobs used and emitted, from the ledger that their nodes write")
        .override_usage("carm-report [OPTIONS] JOBID...\n       carm-report [--by KEY] [WHICH JOBS] [OPTIONS]")
        .after_help(AFTER_HELP)
        .arg(Arg::new("jobs").value_name("JOBID").num_args(0..).help("Slurm's job id; of an array task, its own"))
        .args(choices)
        .arg(time("since", 'S', "starttime", "What was booked at this time or later"))
        .arg(time("until", 'E', "endtime", "What was booked before this time"))
        .arg(
            Arg::new("by")
                .long("by")
                .value_name("KEY")
                .value_parser(PossibleValuesParser::new(By::NAMES))
                .conflicts_with("jobs")
                .hide_possible_values(true)
                .help("A row for each user, account, site, cluster, partition, name, month or day"),
        )
        .arg(flag("json", "Print one JSON object").conflicts_with("csv"))
        .arg(flag("csv", "Print comma-separated values with a header"))
        .arg(file("html", "FILE", "Write one self-contained page about one job, to be looked at or printed"))
        .arg(file("ledger", "DIR", "The ledger [default: ledger_dir of the configuration]"))
        .arg(file("config", "FILE", "Configuration [default: /etc/carm/carm.toml]"))
        .arg(Arg::new("now").long("now").value_name("TIME").hide(true))
}

const AFTER_HELP: &str = "\
Times: 2026-05-01 (from its first second on, local time), 2026-05-01T18:00, today, yesterday,
now-12hours, now-7d. Names may be lists: --user=ada,grace. Without a time, all of the ledger counts.

Carbon is operational, location-based, at the facility: PUE x (measured GPU energy + host power).
Embodied carbon stands apart. Savings are against the same work run at once at full clock, and at
once at the profile's economical clock; docs/report.md has the method and its limits.

Whose jobs you may see is decided by the mode of the ledger's files; a file that you cannot read is
named and left out.

Examples:
  carm-report 4217
  carm-report 4217 --html=4217.html
  carm-report --by=user --since=2026-05-01 --until=2026-06-01
  carm-report --account=physics --by=month --csv

Exit status: 0, or 1 where the command line is wrong, the ledger cannot be read or does not have the job.
";
