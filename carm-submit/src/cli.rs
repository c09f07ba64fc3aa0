//! carm-submit's own command line: the flags that it keeps for itself, and its help.
//!
//! Everything else on the command line is sbatch's or a carbon option; [`carm::slurm::argv`] tells them apart before clap
//! sees a word, because clap cannot pass on options of which it does not know whether they take a value.

use std::ffi::OsString;
use std::path::PathBuf;

use carm::request::{Argument, OPTIONS};
use carm::slurm::argv;
use carm::slurm::grammar::{Arity, Grammar, Owner};
use clap::{Arg, ArgAction, Command, value_parser};

use crate::exit::Refusal;
use crate::explain;
use crate::sbatch;

/// What a command line asks for.
#[derive(Debug)]
pub enum Call {
    /// Help or version.
    Show(String),
    /// A submission.
    Submit(Box<Submission>),
}

/// A submission as written.
#[derive(Debug)]
pub struct Submission {
    /// The words, without the program's name.
    pub words: Vec<OsString>,
    /// What is known of options before sbatch's help was asked.
    pub grammar: Grammar,
    /// carm-submit's own flags.
    pub flags: Flags,
}

/// carm-submit's own flags.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// Plan and submit nothing.
    pub dry_run: bool,
    /// Print the plan as one JSON object.
    pub json: bool,
    /// Submit an infeasible request all the same.
    pub best_effort: bool,
    /// Make a fault of CARM's own an error.
    pub strict: bool,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The present instant, for reproducible runs.
    pub now: Option<String>,
}

const OWN: &[(&str, Arity)] = &[
    ("dry-run", Arity::None),
    ("json", Arity::None),
    ("best-effort", Arity::None),
    ("strict", Arity::None),
    ("config", Arity::Required),
    ("now", Arity::Required),
];

/// Reads the command line.
pub fn read(words: &[OsString]) -> Result<Call, Refusal> {
    let grammar = Grammar::built_in(OWN);
    let line = argv::divide(&grammar, words);
    if line.options.iter().any(|o| o.name == "help") {
        return Ok(Call::Show(folded(&command().render_help().to_string())));
    }
    if line.options.iter().any(|o| o.name == "version") && !sbatch::is_own_name() {
        return Ok(Call::Show(command().render_version()));
    }
    let own = line.options.iter().filter(|o| o.owner == Owner::Submit).map(|o| {
        let mut word = OsString::from(format!("--{}", o.name));
        if let Some(value) = &o.value {
            word.push("=");
            word.push(value);
        }
        word
    });
    let found = command().try_get_matches_from(std::iter::once("carm-submit".into()).chain(own)).map_err(|error| {
        // clap's first line names flag and cause; what follows is its usage text.
        let text = error.to_string();
        Refusal::wrong(text.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    let flags = Flags {
        dry_run: found.get_flag("dry-run"),
        json: found.get_flag("json"),
        best_effort: found.get_flag("best-effort"),
        strict: found.get_flag("strict"),
        config: found.get_one::<PathBuf>("config").cloned(),
        now: found.get_one::<String>("now").cloned(),
    };
    if flags.json && !flags.dry_run {
        return Err(Refusal::wrong("--json: a plan is printed instead of a submission; give --dry-run, too"));
    }
    Ok(Call::Submit(Box::new(Submission { words: words.to_vec(), grammar, flags })))
}

/// The columns of the help: those of a plain terminal.
const COLUMNS: usize = 80;

/// Help without lines that are too long for a plain terminal. What is said of an option stays in its column.
fn folded(help: &str) -> String {
    let column = |line: &str| {
        let name = line.trim_start();
        let begin = line.len() - name.len();
        let gap = name.find("  ").filter(|_| name.starts_with('-'));
        gap.map_or(0, |gap| begin + name.len() - name[gap..].trim_start().len())
    };
    help.lines().flat_map(|line| explain::fold_under(line, COLUMNS, column(line))).map(|line| line + "\n").collect()
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).overrides_with(name)
    };
    let carbon = OPTIONS.iter().filter(|spec| !spec.hidden).enumerate().map(|(order, spec)| {
        let arg = Arg::new(spec.flag).long(spec.flag).help(spec.help).help_heading("Carbon options").display_order(order);
        match spec.argument {
            Argument::None => arg.action(ArgAction::SetTrue),
            Argument::Required(name) => arg.value_name(name),
            Argument::Optional(name) => arg.value_name(name).num_args(0..=1).require_equals(true),
        }
    });
    Command::new("carm-submit")
        .version(env!("CARGO_PKG_VERSION"))
        .about("sbatch, carbon-aware: plans when, where and at which clocks a job runs, says so, and hands it to sbatch")
        .override_usage("carm-submit [CARBON OPTIONS] [any sbatch options] SCRIPT [ARGS...]")
        .after_help(
            "By default, without carbon options: a job that asks for GPUs gets the start, the\n\
             site and the clocks of least carbon, and ends at most half its predicted run\n\
             time later than it could, 12 h at most. It is not delayed where it runs less\n\
             than 30 min, nobody knows its run time, or it depends on other jobs. Its time\n\
             limit grows with slower clocks. Where CARM cannot plan, or the job asks for no\n\
             GPUs, sbatch gets it as written.\n\n\
             All of sbatch's options pass through to it; `sbatch --help` lists them.\n\
             Carbon options may also stand in #SBATCH lines or in the environment\n\
             (CARM_BUDGET, ...); the command line wins, then the environment.\n\
             Exit status: sbatch's own; 3 where no plan meets the request.\n",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(carbon)
        .next_help_heading("Options of carm-submit")
        .arg(flag("dry-run", "Plan and explain, submit nothing; works where no Slurm is installed"))
        .arg(flag("json", "Print the plan as one JSON object on standard output"))
        .arg(flag("best-effort", "Submit a request that cannot be met, with the plan that comes closest"))
        .arg(flag("strict", "Refuse the job where CARM cannot plan, instead of submitting it as written"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .overrides_with("config")
                .help("Configuration [default: CARM_CONFIG, else /etc/carm/carm.toml]"),
        )
        .arg(flag("help", "Print this help").short('h'))
        .arg(flag("version", "Print the version").short('V'))
        .arg(Arg::new("now").long("now").value_name("TIME").overrides_with("now").hide(true))
}
