//! A batch script's `#SBATCH` lines, by sbatch's own rules, and the same script without its carbon options.
//!
//! The rules (22.05 to 26.05, tried on 22.05.8 and 24.11.5): a directive begins at the start of a line and may touch the
//! word (`#SBATCH-N1`); other comments and blank lines are skipped; the first command ends the reading. Single and double
//! quotes group, a backslash takes the next character as it is, `#` outside quotes begins a comment even inside a word,
//! an empty argument or the word `hetjob` ends its line, and all lines together make one command line, so that an
//! option's argument may stand on the next one.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::argv::{self, Scan};
use super::grammar::{Grammar, Owner};

/// The largest script that is read for directives; slurmctld's own default for a whole script is 4 MB.
pub const MAX_SCRIPT: usize = 4 << 20;

/// What a script's directives say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// The words of all directives (of a heterogeneous job: of its first component).
    pub words: Vec<OsString>,
    /// Where each word stands in the script, quotes included.
    places: Vec<Range<usize>>,
    /// What getopt finds in them.
    pub scan: Scan,
    /// The other components of a heterogeneous job, each begun by a `hetjob` (or `packjob`) line.
    pub later: Vec<Directives>,
    /// The lines of another batch system that set a time or resources, where there are some: `#PBS` or `#BSUB`. sbatch
    /// translates them and lets them win over `#SBATCH`.
    pub foreign: Option<&'static str>,
}

/// Why a script's directives cannot be read. sbatch refuses each of these scripts, too, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// A quote that does not end on its line.
    #[error("line {line}: unmatched {quote}")]
    Quote {
        /// The line, from 1.
        line: usize,
        /// The quote.
        quote: char,
    },
    /// A `:` where an option should stand.
    #[error("line {0}: unexpected ':'")]
    Colon(usize),
    /// A word among the directives that is no option.
    #[error("'{0}' is no option")]
    Stray(String),
    /// DOS line ends.
    #[error("DOS line ends (CR LF)")]
    DosLines,
    /// More than 4 MB.
    #[error("larger than {} MB", MAX_SCRIPT >> 20)]
    TooLarge,
}

/// Reads a script's directives.
///
/// # Errors
/// The script is one that sbatch refuses.
pub fn read(grammar: &Grammar, script: &[u8]) -> Result<Directives, DirectiveError> {
    if script.len() > MAX_SCRIPT {
        return Err(DirectiveError::TooLarge);
    }
    if script.windows(2).any(|pair| pair == b"\r\n") {
        return Err(DirectiveError::DosLines);
    }
    let mut components = vec![Directives::default()];
    let mut start = 0;
    for (index, line) in script.split(|&b| b == b'\n').enumerate() {
        let place = start;
        start += line.len() + 1;
        let magic = [b"#SBATCH".as_slice(), b"#SLURM"].into_iter().find(|m| line.starts_with(m));
        let Some(magic) = magic else {
            match line.iter().find(|&&b| !is_space(b)) {
                None | Some(b'#') => continue,
                Some(_) => break,
            }
        };
        let text = line.get(magic.len()..).unwrap_or_default();
        let first = text.iter().position(|&b| !is_space(b)).unwrap_or(text.len());
        if begins_component(text.get(first..).unwrap_or_default()) {
            // sbatch reads no option from the line itself.
            components.push(Directives::default());
            continue;
        }
        if let Some(component) = components.last_mut() {
            read_line(text, index + 1, place + magic.len(), component)?;
        }
    }
    for component in &mut components {
        component.scan = argv::scan(grammar, &component.words);
        if let Some(stray) = component.scan.rest.and_then(|at| component.words.get(at)) {
            return Err(DirectiveError::Stray(crate::request::printable(&stray.to_string_lossy())));
        }
    }
    let mut components = components.into_iter();
    let first = components.next().unwrap_or_default();
    Ok(Directives { later: components.collect(), foreign: foreign(script), ..first })
}

/// Another batch system whose lines sbatch translates.
struct Foreign {
    magic: &'static str,
    /// Letters of options without an argument that bear on no plan.
    flags: &'static [u8],
    /// The same of options with one: accounts, names, files, mail. `-l`, `-W`, `-q` and whatever else there is may set a
    /// time, resources, a partition or a hold.
    harmless: &'static [u8],
}

/// In the order in which sbatch looks for them; it translates those of one system only (xlate.c and opt.c, 22.05 to
/// 26.05: there are no others, and it reads on behind the first command).
const FOREIGN: [Foreign; 2] = [
    Foreign { magic: "#BSUB", flags: b"", harmless: b"ceJMo" },
    Foreign { magic: "#PBS", flags: b"IVz", harmless: b"AcCdejkmMNoprSuvw" },
];

/// sbatch stops looking for such lines behind so many that are no comment.
const FOREIGN_LINES: usize = 100;

fn foreign(script: &[u8]) -> Option<&'static str> {
    for system in &FOREIGN {
        let mut words = Directives::default();
        let (mut found, mut other, mut unread) = (false, 0, false);
        for line in script.split(|&b| b == b'\n') {
            match line.strip_prefix(system.magic.as_bytes()) {
                Some(text) => {
                    found = true;
                    unread |= read_line(text, 0, 0, &mut words).is_err();
                }
                None if !line.starts_with(b"#") => {
                    other += 1;
                    if other > FOREIGN_LINES {
                        break;
                    }
                }
                None => {}
            }
        }
        if found {
            return (unread || system.bears_on_plan(&words.words)).then_some(system.magic);
        }
    }
    None
}

impl Foreign {
    fn bears_on_plan(&self, words: &[OsString]) -> bool {
        let mut words = words.iter().map(|word| word.as_bytes());
        while let Some(word) = words.next() {
            let mut letters = match word {
                b"-cwd" => b"c", // bsub's long name with one dash
                [b'-', letters @ ..] => letters,
                _ => return true,
            };
            while let [letter, rest @ ..] = letters {
                letters = if self.flags.contains(letter) { rest } else { &[] };
                if self.harmless.contains(letter) {
                    // The argument is the rest of the word, or the next one.
                    if rest.is_empty() {
                        words.next();
                    }
                } else if !self.flags.contains(letter) {
                    return true;
                }
            }
        }
        false
    }
}

/// Splits one directive's text into words; `place` is where the text begins in the script.
fn read_line(text: &[u8], number: usize, place: usize, found: &mut Directives) -> Result<(), DirectiveError> {
    let mut at = 0;
    loop {
        while text.get(at).is_some_and(|&b| is_space(b)) {
            at += 1;
        }
        let begin = at;
        if begins_component(text.get(at..).unwrap_or_default()) {
            return Ok(());
        }
        if text.get(at) == Some(&b':') {
            return Err(DirectiveError::Colon(number));
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some(&byte) = text.get(at) {
            match (quote, byte) {
                (None, b) if is_space(b) => break,
                (_, b'\\') => {
                    at += 1;
                    // The escaped character is copied as it is, whatever it is.
                    match text.get(at) {
                        Some(&b) if b == b' ' || quote.is_some() || !is_space(b) => word.push(b),
                        _ => break,
                    }
                }
                (Some(open), b) if b == open => quote = None,
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'#') => break,
                _ => word.push(byte),
            }
            at += 1;
        }
        if let Some(open) = quote {
            return Err(DirectiveError::Quote { line: number, quote: char::from(open) });
        }
        if word.is_empty() {
            return Ok(());
        }
        found.words.push(OsString::from_vec(word));
        found.places.push(place + begin..place + at);
    }
}

/// Whether a text begins with the word that opens another component of a heterogeneous job.
fn begins_component(text: &[u8]) -> bool {
    [b"hetjob".as_slice(), b"packjob"].iter().any(|word| {
        text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && text.get(word.len()).is_none_or(|&b| is_space(b))
    })
}

/// C's isspace(3) in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

impl Directives {
    /// Whether a carbon option stands in the script.
    #[must_use]
    pub fn has_carbon(&self) -> bool {
        self.carbon_places().next().is_some()
    }

    /// The script without its carbon options, for an sbatch that does not know them. Every line stays in its place.
    #[must_use]
    pub fn without_carbon(&self, script: &[u8]) -> Vec<u8> {
        let mut text = script.to_vec();
        for place in self.carbon_places() {
            text.get_mut(place).unwrap_or_default().fill(b' ');
        }
        text
    }

    fn carbon_places(&self) -> impl Iterator<Item = Range<usize>> {
        std::iter::once(self).chain(&self.later).flat_map(|component| {
            let carbon = component.scan.options.iter().filter(|o| matches!(o.owner, Owner::Carbon(_)));
            carbon.flat_map(|o| component.places.get(o.words.clone()).unwrap_or_default().iter().cloned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(script: &str) -> Result<Directives, DirectiveError> {
        read(&Grammar::built_in(&[]), script.as_bytes())
    }

    fn words(script: &str) -> Vec<String> {
        read_text(script).expect(script).words.iter().map(|w| w.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn reading_stops_at_the_first_command_and_skips_other_comments() {
        let script =
            "#!/bin/bash\n# note\n\n   # more\n#SBATCH -N1\n #SBATCH -n9\n##SBATCH -n9\n#SBATCH --time=5\necho\n#SBATCH -n9\n";
        assert_eq!(words(script), ["-N1", "--time=5"]);
    }

    #[test]
    fn several_options_stand_on_a_line_with_quotes_escapes_and_comments() {
        for (line, expected) in [
            ("#SBATCH -N1 --time 5 # comment -n9", vec!["-N1", "--time", "5"]),
            ("#SBATCH --comment=\"a b\" -J 'x # y'", vec!["--comment=a b", "-J", "x # y"]),
            ("#SBATCH --comment=a\\ b\\#c", vec!["--comment=a b#c"]),
            ("#SBATCH -N1#comment", vec!["-N1"]),
            ("#SBATCH-N1", vec!["-N1"]),
            ("#SBATCH\t-N1\t", vec!["-N1"]),
            ("#SBATCH --comment=\"say \\\"hi\\\"\"", vec!["--comment=say \"hi\""]),
            ("#SBATCH -N1 \"\" -n9", vec!["-N1"]),
            ("#SLURM -N1", vec!["-N1"]),
            ("#SBATCH -N1 hetjob -n9", vec!["-N1"]),
        ] {
            assert_eq!(words(&format!("#!/bin/sh\n{line}")), expected, "{line}");
        }
    }

    #[test]
    fn an_argument_may_stand_on_the_next_line() {
        let found = read_text("#!/bin/sh\n#SBATCH -t\n#SBATCH 5 -N1\n").expect("read");
        assert_eq!(found.scan.options.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["time", "nodes"]);
    }

    #[test]
    fn the_components_of_a_heterogeneous_job_stand_apart() {
        let script = "#!/bin/sh\n#SBATCH -N1\n#SBATCH HETJOB -N9\n#SBATCH -N2 --carbon-off\n";
        let found = read_text(script).expect("read");
        assert_eq!((&found.words, found.later.len()), (&vec![OsString::from("-N1")], 1));
        assert_eq!(found.later[0].words, ["-N2", "--carbon-off"]);
        assert!(!String::from_utf8_lossy(&found.without_carbon(script.as_bytes())).contains("carbon"));
    }

    #[test]
    fn a_script_that_sbatch_refuses_is_refused() {
        for (script, message) in [
            ("#!/bin/sh\n#SBATCH --comment=\"open\n", "line 2: unmatched \""),
            ("#!/bin/sh\n#SBATCH -N1 : -N2\n", "line 2: unexpected ':'"),
            ("#!/bin/sh\n#SBATCH stray -N2\n", "'stray' is no option"),
            ("#!/bin/sh\r\n#SBATCH -N1\r\n", "DOS line ends (CR LF)"),
        ] {
            assert_eq!(read_text(script).expect_err(script).to_string(), message);
        }
        assert_eq!(read(&Grammar::built_in(&[]), &vec![b'#'; MAX_SCRIPT + 1]), Err(DirectiveError::TooLarge));
    }

    #[test]
    fn foreign_time_and_resources_are_seen() {
        let foreign = |text: &str| read_text(&format!("#!/bin/sh\n{text}\n")).expect(text).foreign;
        for text in [
            "#PBS -l walltime=1:00",
            "#PBS -lnodes=1:gpus=2",
            "#PBS -q gpu",
            "#PBS -t 1-4",
            "#PBS -h",
            "#PBS -Vl walltime=1:00",
            "#PBS -W depend=afterok:1",
            "#PBS --resource_list walltime=1",
            "#PBS -N x -l walltime=1:00",
            "#PBS -N \"open",
            "sleep 1\n#PBS -l walltime=1:00",
        ] {
            assert_eq!(foreign(text), Some("#PBS"), "{text}");
        }
        for text in ["#BSUB -W 1:00", "#BSUB -n 4", "#BSUB -q gpu", "#BSUB -x", "#PBS -N x\n#BSUB -W 10"] {
            assert_eq!(foreign(text), Some("#BSUB"), "{text}");
        }
    }

    #[test]
    fn foreign_names_and_files_are_harmless() {
        for text in [
            "#PBS -N train -A physics -j oe -o out -e err -m ae -M me@example.org -V",
            "#PBS -Vo out",
            "#PBS",
            "#PBS -N train # -l walltime=1:00",
            " #PBS -l walltime=1:00",
            "##PBS -l walltime=1:00",
            "#BSUB -J train -o out -cwd /tmp",
            "#BSUB -J train\n#PBS -l walltime=1:00", // sbatch translates those of one system
            &format!("{}#PBS -l walltime=1:00", "true\n".repeat(101)),
        ] {
            assert_eq!(read_text(&format!("#!/bin/sh\n{text}\n")).expect(text).foreign, None, "{text}");
        }
    }

    #[test]
    fn carbon_options_are_blanked_and_nothing_else_moves() {
        let script = "#!/bin/sh\n#SBATCH -N1 --carbon-budget=\"2 kg\" -t5 # --carbon-off\n#SBATCH --carbon-deadline\n#SBATCH now+8h --gpus=2\necho --carbon-off\n";
        let found = read_text(script).expect("read");
        assert!(found.has_carbon());
        let plain = String::from_utf8(found.without_carbon(script.as_bytes())).expect("text");
        assert_eq!(
            plain.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
            ["#!/bin/sh", "#SBATCH -N1 -t5 # --carbon-off", "#SBATCH", "#SBATCH --gpus=2", "echo --carbon-off"]
        );
        assert_eq!(plain.len(), script.len());
    }

    proptest! {
        #[test]
        fn any_script_is_read_or_refused(script in prop::collection::vec(any::<u8>(), 0..200), head in "(#SBATCH [-a-z='\"\\\\ #:]{0,30}\n){0,4}") {
            let grammar = Grammar::built_in(&[]);
            let whole = [head.as_bytes(), &script].concat();
            if let Ok(found) = read(&grammar, &whole) {
                let plain = found.without_carbon(&whole);
                prop_assert_eq!(plain.len(), whole.len());
                let again = read(&grammar, &plain);
                prop_assert!(again.is_ok_and(|again| !again.has_carbon()));
            }
        }
    }
}
