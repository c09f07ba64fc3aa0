//! sbatch's command line: where its options end, which of them are whose, and what sbatch is to see.
//!
//! Scanning follows getopt_long(3) as sbatch calls it (22.05 to 26.05): options stop at the first word that is none, a
//! `:` between them separates the components of a heterogeneous job, `--` ends them. What this module does not
//! understand it leaves in place: sbatch itself refuses it, in its own words.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::grammar::{Arity, Grammar, Named, Owner};

/// One option as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The full long name.
    pub name: String,
    /// Whose option it is.
    pub owner: Owner,
    /// Its argument, where it has one.
    pub value: Option<OsString>,
    /// The words that hold it: one, or two where the argument stands apart. Letters joined in one word share it.
    pub words: Range<usize>,
}

impl Given {
    /// The argument as text; `None` where there is none or where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.value.as_deref()?.to_str()
    }
}

/// What getopt would find in a list of words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The options in their order; of a heterogeneous job those of every component.
    pub options: Vec<Given>,
    /// The word after the last option: the script, or the first stray word of a directive.
    pub rest: Option<usize>,
    /// The word `--` that ends the options, where there is one.
    pub terminator: Option<usize>,
    /// The words `:` between the components of a heterogeneous job.
    pub separators: Vec<usize>,
    /// Words that sbatch will refuse, or that only a newer sbatch knows: taken as options without a separate argument.
    pub unknown: Vec<String>,
}

/// Finds the options in `words` (without the program's name).
#[must_use]
pub fn scan(grammar: &Grammar, words: &[OsString]) -> Scan {
    let mut found = Scan::default();
    let mut at = 0;
    while let Some(word) = words.get(at).map(|w| w.as_bytes()) {
        match word {
            b":" => {
                found.separators.push(at);
                at += 1;
            }
            b"--" => {
                found.terminator = Some(at);
                found.rest = Some(at + 1).filter(|&next| next < words.len());
                return found;
            }
            [b'-', b'-', long @ ..] => at = scan_long(grammar, words, at, long, &mut found),
            [b'-', letters @ ..] if !letters.is_empty() => at = scan_letters(grammar, words, at, letters, &mut found),
            _ => {
                found.rest = Some(at);
                return found;
            }
        }
    }
    found
}

/// Takes `--name`, `--name=value` or `--name value` and gives the position after it.
fn scan_long(grammar: &Grammar, words: &[OsString], at: usize, long: &[u8], found: &mut Scan) -> usize {
    let (name, joined) = match long.iter().position(|&b| b == b'=') {
        Some(equals) => {
            let (name, value) = long.split_at(equals);
            (name, value.get(1..).map(|v| OsStr::from_bytes(v).to_owned()))
        }
        None => (long, None),
    };
    let name = String::from_utf8_lossy(name);
    let (option, arity) = match grammar.long(&name) {
        Named::One(option) => (Some(option), option.arity),
        Named::Several(Some(arity)) => (None, arity),
        Named::Several(None) | Named::Unknown => (None, Arity::None),
    };
    let value_apart = arity == Arity::Required && joined.is_none();
    let missing = value_apart && at + 1 >= words.len();
    let end = if value_apart && !missing { at + 2 } else { at + 1 };
    match option {
        Some(option) if !missing => found.options.push(Given {
            name: option.long.clone(),
            owner: option.owner,
            value: joined.or_else(|| if value_apart { words.get(at + 1).cloned() } else { None }),
            words: at..end,
        }),
        // An option of CARM's without its argument is named as one: its own error says what is expected.
        Some(option) if option.owner != Owner::Sbatch => {
            found.options.push(Given { name: option.long.clone(), owner: option.owner, value: None, words: at..end })
        }
        _ => found.unknown.push(format!("--{name}")),
    }
    end
}

/// Takes `-H`, `-Hs`, `-N2`, `-N 2`, `-HN2` and gives the position after it.
fn scan_letters(grammar: &Grammar, words: &[OsString], at: usize, letters: &[u8], found: &mut Scan) -> usize {
    let mut rest = letters;
    while let [letter, tail @ ..] = rest {
        rest = tail;
        let Some(option) = grammar.short(*letter) else {
            found.unknown.push(format!("-{}", char::from(*letter)));
            continue;
        };
        let joined = (!tail.is_empty()).then(|| OsString::from_vec(tail.to_vec()));
        let (value, end) = match option.arity {
            Arity::None => (None, at + 1),
            Arity::Optional => (joined, at + 1),
            Arity::Required if joined.is_some() => (joined, at + 1),
            Arity::Required => match words.get(at + 1) {
                Some(next) => (Some(next.clone()), at + 2),
                None => {
                    found.unknown.push(format!("-{}", char::from(*letter)));
                    return at + 1;
                }
            },
        };
        found.options.push(Given { name: option.long.clone(), owner: option.owner, value, words: at..end });
        if option.arity != Arity::None {
            return end;
        }
    }
    at + 1
}

/// A command line divided: what is CARM's, what is sbatch's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Every option in its order.
    pub options: Vec<Given>,
    /// The words before the script that sbatch is to see, byte for byte and in their order: neither the carbon options
    /// nor carm-submit's own. With a heterogeneous job's separators, without a closing `--`.
    pub sbatch: Vec<OsString>,
    /// The same with the carbon options where the user wrote them.
    pub written: Vec<OsString>,
    /// The options of the first component of a heterogeneous job end before this word.
    component_end: usize,
    /// Whether `--` stood before the script.
    pub terminated: bool,
    /// The script and its arguments; empty where the script comes from `--wrap` or standard input.
    pub script: Vec<OsString>,
    /// Whether it describes several components of one job.
    pub heterogeneous: bool,
    /// Words that no known option begins with.
    pub unknown: Vec<String>,
}

/// Divides a command line (without the program's name).
#[must_use]
pub fn divide(grammar: &Grammar, words: &[OsString]) -> CommandLine {
    let found = scan(grammar, words);
    let end = found.terminator.or(found.rest).unwrap_or(words.len());
    let mut line = CommandLine {
        terminated: found.terminator.is_some(),
        script: found.rest.and_then(|rest| words.get(rest..)).unwrap_or_default().to_vec(),
        heterogeneous: !found.separators.is_empty(),
        component_end: found.separators.first().copied().unwrap_or(end),
        unknown: found.unknown,
        options: found.options,
        ..CommandLine::default()
    };
    for (at, word) in words.iter().enumerate().take(end) {
        // Only long options are CARM's, so a word is never shared between an option of CARM's and one of sbatch's.
        match line.options.iter().find(|o| o.words.contains(&at)).map(|o| o.owner) {
            Some(Owner::Submit) => {}
            Some(Owner::Carbon(_)) => line.written.push(word.clone()),
            Some(Owner::Sbatch) | None => {
                line.written.push(word.clone());
                line.sbatch.push(word.clone());
            }
        }
    }
    line
}

impl CommandLine {
    /// The options that describe the job; of a heterogeneous job those of its first component.
    pub fn described(&self) -> impl Iterator<Item = &Given> {
        self.options.iter().filter(|o| o.words.start < self.component_end)
    }

    /// The words for sbatch: its options (`sbatch` or `written`), `added` after them so that it wins, then the script.
    #[must_use]
    pub fn for_sbatch(&self, options: &[OsString], added: &[OsString], script: &[OsString]) -> Vec<OsString> {
        let terminator = self.terminated.then(|| OsString::from("--"));
        options.iter().chain(added).cloned().chain(terminator).chain(script.iter().cloned()).collect()
    }

    /// Whether the script stands in `--wrap`.
    #[must_use]
    pub fn wrapped(&self) -> bool {
        self.options.iter().any(|o| o.name == "wrap")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grammar() -> Grammar {
        Grammar::built_in(&[("dry-run", Arity::None), ("config", Arity::Required)])
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect()
    }

    fn divided(line: &str) -> CommandLine {
        divide(&grammar(), &words(line))
    }

    fn values(line: &str) -> Vec<String> {
        let show = |o: &Given| format!("{}={}", o.name, o.text().unwrap_or("-"));
        divided(line).options.iter().map(show).collect()
    }

    #[test]
    fn the_script_is_found_behind_every_form_of_option() {
        for options in [
            "",
            "--time=5",
            "--time 5",
            "--tim 5",
            "-t5",
            "-t 5",
            "-Ht5",
            "-HOt 5",
            "-N2 -n 4",
            "--nice --export ALL -k",
            "--get-user-env -kx",
            "--",
            "-t 5 --",
            "--carbon-budget 2kg",
            "--carbon-suspend --carbon-off",
            "--dry-run --config carm.toml",
            "--exclusive -s -W",
            "--carbon-b=1kg -d afterok:1",
            "--wrap-is-no-option=5",
        ] {
            let line = divided(&format!("{options} job.sh --time=9 -N 1 : --carbon-budget=5kg"));
            assert_eq!(line.script, words("job.sh --time=9 -N 1 : --carbon-budget=5kg"), "{options}");
            assert!(!line.heterogeneous, "{options}");
        }
    }

    #[test]
    fn joined_letters_keep_their_meaning() {
        assert_eq!(values("-HsN2 job.sh"), ["hold=-", "oversubscribe=-", "nodes=2"]);
        assert_eq!(values("-kt5 job.sh"), ["no-kill=t5"]);
        assert_eq!(values("-t5 -vv"), ["time=5", "verbose=-", "verbose=-"]);
    }

    #[test]
    fn a_script_on_standard_input_has_no_word() {
        assert_eq!(divided("-t5 --gpus 2").script, words(""));
        assert_eq!(divided("-t5 -").script, words("-"));
        assert!(divided("--wrap hostname -t5").wrapped());
    }

    #[test]
    fn carbon_options_and_own_flags_are_taken_out() {
        let line = divided("-t5 --carbon-budget 2kg --dry-run --config x --gpus=2 --carbon-off -- job.sh a");
        assert_eq!(line.sbatch, words("-t5 --gpus=2"));
        assert_eq!(line.written, words("-t5 --carbon-budget 2kg --gpus=2 --carbon-off"));
        let handed = line.for_sbatch(&line.sbatch, &words("--begin=now+60"), &line.script);
        assert_eq!(handed, words("-t5 --gpus=2 --begin=now+60 -- job.sh a"));
    }

    #[test]
    fn the_components_of_a_heterogeneous_job_are_seen() {
        let line = divided("-N1 : -N2 --carbon-budget=1kg job.sh :");
        assert!(line.heterogeneous);
        assert_eq!(line.described().map(|o| o.text()).collect::<Vec<_>>(), [Some("1")]);
        assert_eq!(line.sbatch, words("-N1 : -N2"));
        assert_eq!(line.script, words("job.sh :"));
    }

    #[test]
    fn an_option_that_lacks_its_argument_is_left_to_sbatch() {
        let line = divided("-N2 --time");
        assert_eq!((line.sbatch, line.unknown), (words("-N2 --time"), vec!["--time".to_owned()]));
        let line = divided("--carbon-budget");
        assert_eq!((line.sbatch, line.written), (words(""), words("--carbon-budget")));
    }

    #[test]
    fn words_that_are_not_utf_8_pass_through() {
        let odd = OsString::from_vec(b"--comment=\xff\xfe".to_vec());
        let all = [odd.clone(), OsString::from("job.sh"), OsString::from_vec(vec![0xff])];
        let line = divide(&grammar(), &all);
        assert_eq!(line.for_sbatch(&line.sbatch, &[], &line.script), all);
        assert_eq!(line.options.first().and_then(Given::text), None);
    }

    fn any_word() -> impl Strategy<Value = OsString> {
        prop_oneof![
            Just("--".to_owned()),
            Just(":".to_owned()),
            Just("-".to_owned()),
            "--(time|par|nice|carbon-budget|carbon-off|carbon-s|gpus|wrap|dry-run|config|x)(=.{0,4})?",
            "-[a-zA-Z]{1,4}",
            "[a-z.]{0,6}",
            ".{0,8}",
        ]
        .prop_map(OsString::from)
    }

    proptest! {
        #[test]
        fn nothing_that_is_sbatchs_is_lost_or_reordered(all in prop::collection::vec(any_word(), 0..12)) {
            let line = divide(&grammar(), &all);
            let handed = line.for_sbatch(&line.sbatch, &[], &line.script);
            let written = line.for_sbatch(&line.written, &[], &line.script);
            let (mut handed, mut written) = (handed.iter(), written.iter());
            for (at, word) in all.iter().enumerate() {
                let owner = line.options.iter().find(|o| o.words.contains(&at)).map(|o| o.owner);
                if owner != Some(Owner::Submit) {
                    prop_assert_eq!(written.next(), Some(word));
                }
                if !matches!(owner, Some(Owner::Submit | Owner::Carbon(_))) {
                    prop_assert_eq!(handed.next(), Some(word));
                }
            }
            prop_assert_eq!((handed.next(), written.next()), (None, None));
        }
    }
}
