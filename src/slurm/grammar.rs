//! sbatch's options: their names and whether they take an argument.
//!
//! The table here holds every option of sbatch from 22.05 to 26.05 as getopt knows it. What a site or a later release
//! adds is learned from the text of `sbatch --help`. Where both name an option the table decides: the help text shows
//! `--container` and `--resv-ports` without their arguments, `--export[=names]` with an optional one that is required,
//! and leaves out `--test-only`, `--hint` and a dozen more (22.05 and 24.11).

use crate::request::{self, CarbonOption, OPTIONS};

/// Whether an option takes an argument, in getopt's three ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Never.
    None,
    /// In the same word only: `--nice=10`, `-k` followed by its text.
    Optional,
    /// Always: in the same word, or as the next one.
    Required,
}

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// sbatch's own, or a site plugin's.
    Sbatch,
    /// A carbon option.
    Carbon(CarbonOption),
    /// carm-submit's: never handed to sbatch, never read from a script.
    Submit,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionName {
    /// The long name without its dashes; empty where there is none.
    pub long: String,
    /// The letter, where there is one.
    pub short: Option<u8>,
    /// Its argument.
    pub arity: Arity,
    /// Whose it is.
    pub owner: Owner,
    /// Whether `sbatch --help` named it.
    in_help: bool,
}

/// What a word that looks like an option names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// One option.
    One(&'a OptionName),
    /// Several options begin like this; getopt refuses that. All take arguments in the same way, if `Some`.
    Several(Option<Arity>),
    /// None that is known.
    Unknown,
}

/// Every option that a command line or a script may hold.
#[derive(Debug, Clone)]
pub struct Grammar {
    options: Vec<OptionName>,
}

impl Grammar {
    /// The built-in table, the carbon options, and what carm-submit takes for itself (`own`; by its full name only, so
    /// that no abbreviation of sbatch's becomes ambiguous).
    #[must_use]
    pub fn built_in(own: &[(&str, Arity)]) -> Self {
        let sbatch = |arity: Arity, names: &'static str| {
            names.split_whitespace().map(move |name| {
                let (long, short) = name.split_once('/').map_or((name, None), |(l, s)| (l, s.bytes().next()));
                OptionName { long: long.to_owned(), short, arity, owner: Owner::Sbatch, in_help: false }
            })
        };
        let carbon = OPTIONS.iter().map(|spec| OptionName {
            long: spec.flag.to_owned(),
            short: None,
            arity: match spec.argument {
                request::Argument::None => Arity::None,
                request::Argument::Required(_) => Arity::Required,
                request::Argument::Optional(_) => Arity::Optional,
            },
            owner: Owner::Carbon(spec.option),
            in_help: !spec.hidden,
        });
        let own = own.iter().map(|&(long, arity)| OptionName {
            long: long.to_owned(),
            short: None,
            arity,
            owner: Owner::Submit,
            in_help: false,
        });
        let options = sbatch(Arity::None, WITHOUT_ARGUMENT)
            .chain(sbatch(Arity::Optional, OPTIONAL_ARGUMENT))
            .chain(sbatch(Arity::Required, REQUIRED_ARGUMENT))
            .chain(carbon)
            .chain(own)
            .collect();
        Self { options }
    }

    /// Adds what the text of `sbatch --help` names beyond the table: a site plugin's options, a later release's.
    pub fn learn(&mut self, help: &str) {
        for (long, short, arity) in help.lines().filter_map(help_line) {
            match self.options.iter_mut().find(|o| o.long == long) {
                Some(known) => known.in_help = true,
                None => self.options.push(OptionName {
                    long: long.to_owned(),
                    short: short.filter(|&s| self.options.iter().all(|o| o.short != Some(s))),
                    arity,
                    owner: Owner::Sbatch,
                    in_help: true,
                }),
            }
        }
    }

    /// The option that a long name or an abbreviation of it names, as getopt_long(3) has it: the exact name first, else
    /// the only one that begins so. Where only the table is newer than the installed sbatch, the help text decides.
    #[must_use]
    pub fn long(&self, word: &str) -> Named<'_> {
        if let Some(exact) = self.options.iter().find(|o| o.long == word) {
            return Named::One(exact);
        }
        let begins: Vec<_> =
            self.options.iter().filter(|o| o.owner != Owner::Submit && !word.is_empty() && o.long.starts_with(word)).collect();
        match begins[..] {
            [] => Named::Unknown,
            [only] => Named::One(only),
            [first, ..] => {
                let mut helped = begins.iter().filter(|o| o.in_help);
                match (helped.next(), helped.next()) {
                    (Some(only), None) => Named::One(only),
                    _ => Named::Several(begins.iter().all(|o| o.arity == first.arity).then_some(first.arity)),
                }
            }
        }
    }

    /// The option of a letter.
    #[must_use]
    pub fn short(&self, letter: u8) -> Option<&OptionName> {
        self.options.iter().find(|o| o.short == Some(letter))
    }
}

/// Whether the text of `sbatch --help` shows CARM's plugin at work.
#[must_use]
pub fn help_shows_plugin(help: &str) -> bool {
    let flag = CarbonOption::Budget.spec().flag;
    help.lines().filter_map(help_line).any(|(long, _, _)| long == flag)
}

/// One option's line of `sbatch --help`: `  -a, --array=indexes   job array index values`, `      --nice[=value]  ...`,
/// `  -B  --extra-node-info=S[:C[:T]]  ...` (22.05 forgets the comma).
fn help_line(line: &str) -> Option<(&str, Option<u8>, Arity)> {
    let text = line.trim_start();
    // Headings and the usage line stand at the margin, descriptions (where options are mentioned, too) far to the right.
    if !(1..=8).contains(&(line.len() - text.len())) {
        return None;
    }
    let (short, text) = match text.as_bytes() {
        [b'-', letter, b',' | b' ', ..] if letter.is_ascii_alphabetic() => (Some(*letter), text.get(3..)?.trim_start()),
        _ => (None, text),
    };
    let name = text.strip_prefix("--")?;
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(name.len());
    let (long, rest) = name.split_at(end);
    let arity = match rest.as_bytes() {
        [b'=', ..] => Arity::Required,
        [b'[', b'=', ..] => Arity::Optional,
        _ => Arity::None,
    };
    (!long.is_empty()).then_some((long, short, arity))
}

/// From getopt of 22.05.8, 24.11.5 and 26.05; 25.05 and 25.11 from their manuals.
const WITHOUT_ARGUMENT: &str = "consolidate-segments contiguous external help/h hold/H ignore-pbs overcommit/O \
    oversubscribe/s parsable quiet/Q reboot no-requeue spread-job spread-segments stepmgr test-only usage \
    use-min-nodes verbose/v version/V wait/W";

const OPTIONAL_ARGUMENT: &str = "exclusive get-user-env nice no-kill/k oom-kill-step propagate requeue resv-ports";

const REQUIRED_ARGUMENT: &str = "account/A acctg-freq array/a autocomplete batch bb bbf begin/b chdir/D cluster \
    cluster-constraint clusters/M comment constraint/C container container-id container-type context core-spec/S \
    cores-per-socket cpu-freq cpus-per-gpu cpus-per-task/c deadline delay-boot dependency/d distribution/m error/e \
    exclude/x export export-file extra extra-node-info/B gid gpu-bind gpu-freq gpus/G gpus-per-node gpus-per-socket \
    gpus-per-task gres gres-flags hint input/i job-name/J kill-on-invalid-dep licenses/L mail-type mail-user mcs-label \
    mem mem-bind mem-per-cpu mem-per-gpu mem-update mincpus network nodefile/F nodelist/w nodes/N ntasks/n \
    ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres open-mode output/o partition/p \
    power prefer priority profile qos/q reservation resources segment signal sockets-per-node switches tasks-per-node \
    thread-spec threads-per-core time/t time-min tmp tres-bind tres-per-task uid wait-all-nodes wckey wrap";

#[cfg(test)]
mod tests {
    use super::*;

    const HELP_22_05: &str = include_str!("../../tests/slurm-help/22.05.txt");
    const HELP_24_11: &str = include_str!("../../tests/slurm-help/24.11.txt");
    const HELP_26_05: &str = include_str!("../../tests/slurm-help/26.05.txt");

    fn grammar() -> Grammar {
        Grammar::built_in(&[("dry-run", Arity::None), ("best-effort", Arity::None)])
    }

    fn arity(grammar: &Grammar, word: &str) -> Option<Arity> {
        match grammar.long(word) {
            Named::One(option) => Some(option.arity),
            Named::Several(arity) => arity,
            Named::Unknown => None,
        }
    }

    #[test]
    fn help_names_nothing_that_table_lacks() {
        for help in [HELP_22_05, HELP_24_11, HELP_26_05] {
            let mut learned = grammar();
            let before = learned.options.len();
            learned.learn(help);
            assert_eq!(learned.options.len(), before, "{:?}", learned.options.last());
            assert!(help.lines().filter_map(help_line).count() > 80);
        }
    }

    #[test]
    fn where_the_help_is_clear_it_agrees_with_the_table() {
        // Known faults of the help text: it shows these otherwise than getopt takes them. requeue: an argument from 26.05 on.
        let faulty = ["requeue", "container", "container-id", "resv-ports", "export", "wrap", "no-kill", "get-user-env"];
        for (long, short, arity) in [HELP_22_05, HELP_24_11, HELP_26_05].iter().flat_map(|h| h.lines()).filter_map(help_line) {
            let table = grammar();
            let Named::One(known) = table.long(long) else { panic!("{long}") };
            assert!(known.arity == arity || faulty.contains(&long), "--{long}: {arity:?}");
            assert_eq!(known.short, short, "--{long}");
        }
    }

    #[test]
    fn a_site_plugins_options_are_learned() {
        let mut learned = grammar();
        learned.learn("Options provided by plugins:\n      --container-image=[USER@][REGISTRY#]IMAGE  [pyxis] the image\n      --quick   [x] y\n      --lazy[=N]  z\n");
        assert_eq!(arity(&learned, "container-image"), Some(Arity::Required));
        assert_eq!(arity(&learned, "quick"), Some(Arity::None));
        assert_eq!(arity(&learned, "lazy"), Some(Arity::Optional));
    }

    #[test]
    fn the_plugin_shows_in_the_help() {
        assert!(!help_shows_plugin(HELP_22_05));
        assert!(help_shows_plugin(&format!("{HELP_22_05}\n      --carbon-budget=MASS    [carm] carbon budget\n")));
    }

    #[test]
    fn abbreviations_resolve_as_in_getopt() {
        let grammar = grammar();
        let named = |word| match grammar.long(word) {
            Named::One(option) => option.long.as_str(),
            Named::Several(_) => "several",
            Named::Unknown => "unknown",
        };
        for (word, long) in [
            ("time", "time"),
            ("part", "partition"),
            ("par", "several"),
            ("carbon-b", "carbon-budget"),
            ("carbon-w", "carbon-workers"),
            ("carbon-", "several"),
            ("beg", "begin"),
            ("be", "begin"), // --best-effort is never abbreviated
            ("dry-run", "dry-run"),
            ("dry", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(named(word), long, "--{word}");
        }
        assert_eq!(arity(&grammar, "gpus-per"), Some(Arity::Required), "several, but all with an argument");
    }
}
