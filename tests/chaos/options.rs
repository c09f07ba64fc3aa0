//! The command line: `--minutes=N --seed=N --faults=LIST`.

use std::fmt;

use crate::faults::Kind;

/// The options of a run.
pub struct Options {
    /// How long load and faults last.
    pub minutes: f64,
    /// Of load and faults.
    pub seed: u64,
    /// The kinds of faults.
    pub faults: Vec<Kind>,
}

impl Options {
    /// Reads the options. None: the test filter of `cargo test NAME` excludes this test. Other options of libtest are ignored.
    pub fn of(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { minutes: 2.0, seed: 1, faults: Kind::ALL.to_vec() };
        let mut filters = Vec::new();
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--minutes", text)) => options.minutes = text.parse().unwrap_or_else(|_| refuse(&argument, "a number")),
                Some(("--seed", text)) => options.seed = text.parse().unwrap_or_else(|_| refuse(&argument, "a number")),
                Some(("--faults", list)) => {
                    let kind = |name: &str| Kind::of(name).unwrap_or_else(|| refuse(&argument, &Kind::names()));
                    options.faults = list.split(',').filter(|name| !name.is_empty()).map(kind).collect();
                }
                _ if !argument.starts_with('-') => filters.push(argument),
                _ if argument == "--list" => return None,
                _ => {}
            }
        }
        (filters.is_empty() || filters.iter().any(|filter| "chaos".contains(filter.as_str()))).then_some(options)
    }
}

fn refuse(argument: &str, expected: &str) -> ! {
    eprintln!("chaos: option '{argument}': expected {expected}");
    std::process::exit(2)
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let faults: Vec<&str> = self.faults.iter().map(|kind| kind.name()).collect();
        write!(f, "--minutes={} --seed={} --faults={}", self.minutes, self.seed, faults.join(","))
    }
}
