//! The command line: a verb and its options, and what all verbs share. Each verb's own options stand in its file.

use std::ffi::OsString;
use std::path::PathBuf;

use carm::config::{Config, DEFAULT_PATH, Zone};
use carm::quantity::{Moment, parse_time};
use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::exit::{Refusal, show};
use crate::{check, fetch, import, score, show as show_verb, zones};

/// Reads the command line; `None` where it asked for help or version, which then are shown.
pub fn read(words: &[OsString]) -> Result<Option<ArgMatches>, Refusal> {
    match command().try_get_matches_from(words) {
        Ok(found) => Ok(Some(found)),
        Err(error) if !error.use_stderr() => show(&error.to_string()).map(|()| None),
        Err(error) => {
            // clap's first line names flag and cause; what follows is its usage text.
            let text = error.to_string();
            let cause = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Err(Refusal::new(format!("{cause}; see carm-grid --help")))
        }
    }
}

fn command() -> Command {
    let verbs = [fetch::command(), check::command(), show_verb::command(), zones::command(), import::command(), score::command()];
    Command::new("carm-grid")
        .version(env!("CARGO_PKG_VERSION"))
        .about("What the grid is doing: fetches, forecasts and shows the signals that CARM plans with")
        .disable_help_subcommand(true)
        .arg_required_else_help(false)
        .subcommands(verbs)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .global(true)
                .help("Configuration [default: /etc/carm/carm.toml]"),
        )
        .arg(Arg::new("now").long("now").value_name("TIME").global(true).hide(true))
        .after_help(AFTER_HELP)
}

const AFTER_HELP: &str = "\
The zones stand in the configuration; docs/grid/ has a page for each source.

Exit status: 0; 1 where the command line or the configuration is wrong; of fetch and check also 3 where a
zone's source failed and the data at hand are still good, and 4 where a zone has no data to plan with.
";

/// `--zone NAME`, any number of times: those of the configuration that are meant.
pub fn zone_arg(help: &'static str) -> Arg {
    Arg::new("zone").long("zone").value_name("NAME").action(ArgAction::Append).help(help)
}

/// What a verb needs of the configuration and the clock.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// The present: `--now`, or the machine's.
    pub now: DateTime<Utc>,
}

/// Reads the configuration that the command line names.
pub fn setup(found: &ArgMatches) -> Result<Setup, Refusal> {
    let path = found.get_one::<PathBuf>("config").cloned().unwrap_or_else(|| DEFAULT_PATH.into());
    let config = Config::load(&path).map_err(Refusal::new)?;
    Ok(Setup { config, now: now(found)? })
}

/// The present: `--now`, or the machine's.
pub fn now(found: &ArgMatches) -> Result<DateTime<Utc>, Refusal> {
    let Some(text) = found.get_one::<String>("now") else { return Ok(Utc::now()) };
    parse_time(text, &Moment { now: DateTime::UNIX_EPOCH, local: &local })
        .map_err(|error| Refusal::new(format!("--now: '{text}': {error}")))
}

/// What the wall clock of this host calls an instant.
pub fn local(wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    Local.from_local_datetime(&wall).earliest().map(|instant| instant.to_utc())
}

impl Setup {
    /// The zones that `--zone` names; all where it names none.
    ///
    /// # Errors
    /// The configuration has no zone of that name.
    pub fn zones(&self, found: &ArgMatches) -> Result<Vec<&Zone>, Refusal> {
        let Some(names) = found.get_many::<String>("zone") else { return Ok(self.config.zones.iter().collect()) };
        names.map(|name| self.zone(name, "--zone")).collect()
    }

    /// The zone of a name; `what` says where the name stood.
    ///
    /// # Errors
    /// The configuration has none.
    pub fn zone(&self, name: &str, what: &str) -> Result<&Zone, Refusal> {
        let known = || self.config.zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", ");
        let absent = || {
            let name = carm::request::printable(name);
            Refusal::new(format!("{what}: '{name}': no such [[zone]] in the configuration; give one of {}", known()))
        };
        self.config.zones.iter().find(|zone| zone.name == name).ok_or_else(absent)
    }
}
