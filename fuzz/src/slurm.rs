//! Slurm's text: command lines, scripts, what `sbatch --help`, `--test-only` and `scontrol` print, lists of names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use carm::quantity::{Moment, parse_instant};
use carm::slurm::argv::{self, Given};
use carm::slurm::dependency::{Dependency, read_waited};
use carm::slurm::grammar::{Arity, Grammar, Owner};
use carm::slurm::gres_conf::{Detected, Listing};
use carm::slurm::job::{Job, Options};
use carm::slurm::queue::{gpu_hours, read_queue};
use carm::slurm::{conf, directives, grammar, hostlist, partition, test_only};

use super::{assert_message, select};

/// The first byte selects the parser.
pub fn run(data: &[u8]) {
    let Some((selector, rest)) = select(data) else { return };
    let text = String::from_utf8_lossy(rest);
    match selector % 7 {
        0 => command_line(rest),
        1 => script(rest),
        2 => list(&text),
        3 => {
            assert!(partition::read_partitions(&text).iter().all(|p| !p.name.is_empty()));
        }
        4 => {
            let _ = test_only::read_estimate(&text);
            dependency(&text);
        }
        5 => {
            let hours = gpu_hours(&read_queue(&text), 24.0);
            assert!(hours.is_finite() && hours >= 0.0, "{hours} GPU-hours");
        }
        _ => {
            help(&text);
            gres(&text);
        }
    }
}

fn carm_submits() -> Grammar {
    Grammar::built_in(&[("dry-run", Arity::None), ("config", Arity::Required)])
}

fn is_carms(option: &Given) -> bool {
    option.owner != Owner::Sbatch
}

/// Words apart by NUL: what sbatch is to see holds no option of CARM's, and all the rest in its order.
fn command_line(bytes: &[u8]) {
    let words: Vec<OsString> = bytes.split(|&b| b == 0).map(|w| OsStr::from_bytes(w).to_owned()).collect();
    let grammar = carm_submits();
    let line = argv::divide(&grammar, &words);
    describe(line.described());
    let plain = line.for_sbatch(&line.sbatch, &[], &line.script);
    let again = argv::divide(&grammar, &plain);
    assert!(!again.options.iter().any(is_carms), "{plain:?}");
    assert_eq!(again.script, line.script);
    let of_sbatch = |o: &&Given| !is_carms(o);
    let named =
        |options: &[Given]| -> Vec<_> { options.iter().filter(of_sbatch).map(|o| (o.name.clone(), o.value.clone())).collect() };
    assert_eq!(named(&again.options), named(&line.options));
}

/// A script's directives: refused in one line, or blanked of CARM's options with every byte in its place.
fn script(bytes: &[u8]) {
    let grammar = Grammar::built_in(&[]);
    match directives::read(&grammar, bytes) {
        Ok(found) => {
            describe(&found.scan.options);
            let plain = found.without_carbon(bytes);
            assert_eq!(plain.len(), bytes.len());
            assert!(directives::read(&grammar, &plain).is_ok_and(|again| !again.has_carbon()));
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

/// A job can be described from any options, GPU requests among them.
fn describe<'a>(given: impl IntoIterator<Item = &'a Given>) {
    let mut options = Options::default();
    options.lay_over(given);
    let now = parse_instant("2026-05-01T00:00:00Z").unwrap();
    let job = Job::read(&options, &Moment { now, local: &|wall| Some(wall.and_utc()) });
    if let Some(gpus) = job.gpus.known() {
        assert!(gpus.count > 0);
    }
}

/// An option's value, and behind the first line's end what squeue says of the jobs that it names.
fn dependency(text: &str) {
    let (option, queue) = text.split_once('\n').unwrap_or((text, ""));
    let Some(dependency) = Dependency::parse(option) else { return };
    let jobs = read_waited(queue);
    let asked = dependency.unknown(&jobs, &[]);
    assert!(asked.iter().all(|id| !id.is_empty() && id.bytes().all(|c| c.is_ascii_digit() || c == b'_')), "{asked:?}");
    assert!(dependency.unknown(&jobs, &asked).is_empty());
    let _ = dependency.clear(&jobs);
}

fn list(text: &str) {
    let Some(names) = hostlist::expand(text) else { return };
    assert!(!names.is_empty() && names.len() <= 65_536, "{}", names.len());
    for name in names.iter().take(16) {
        assert_eq!(hostlist::expand(name).as_deref(), Some(std::slice::from_ref(name)), "{text:?}");
    }
}

fn help(text: &str) {
    let mut learned = Grammar::built_in(&[]);
    learned.learn(text);
    let _ = grammar::help_shows_plugin(text);
    for word in text.split_whitespace().take(32) {
        let _ = learned.long(word.trim_start_matches('-'));
    }
}

/// gres.conf, and slurm.conf after a NUL: the order has no file twice, and an error is one line.
fn gres(text: &str) {
    let (gres, slurm) = text.split_once('\0').unwrap_or((text, "NodeName=n1 Gres=gpu:4"));
    let include = |path: &str| Err(format!("{path:.80?}: no such file"));
    let found = |n| Detected { kind: "nvidia_a100".into(), file: format!("/dev/nvidia{}", n ^ 1), nvml_index: n };
    let order = conf::read(gres, &include).and_then(|gres| {
        let slurm = conf::read(slurm, &include)?;
        Listing::read(&gres, Some(&slurm), "n1")?.order(&[0, 1, 2, 3].map(found))
    });
    match order {
        Ok(mut files) => {
            let count = files.len();
            files.sort();
            files.dedup();
            assert_eq!(files.len(), count, "{files:?}");
        }
        Err(error) => assert_message(&error),
    }
}
