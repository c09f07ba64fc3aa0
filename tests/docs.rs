//! The documentation is held to the code: options, configuration keys, ledger fields and messages that it names are those
//! that there are, all of them and no others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use carm::config::Config;
use carm::ledger::{Mark, Meter, Record};
use carm::request::{Argument, OPTIONS};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn set<T: Into<String>>(names: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// The part of a page under a heading, up to the next one of the same or a higher level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let from = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading '{heading}'")) + heading.len() + 2;
    let level = heading.bytes().take_while(|&b| b == b'#').count();
    let ends = (1..=level).filter_map(|level| page[from..].find(&format!("\n{} ", "#".repeat(level))));
    &page[from..ends.min().map_or(page.len(), |end| from + end)]
}

/// The first cells of a section's tables, without their code marks; the header's has none.
fn first_cells(section: &str) -> Vec<String> {
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    cells.map(|(cell, _)| cell.replace("\\|", "|")).collect()
}

/// The keys that a table of carm.toml takes, from the refusal of one that it does not.
fn keys_of(table: &str) -> BTreeSet<String> {
    let error = Config::parse(&format!("{table}\nno_such_key = 1\n"), Path::new("carm.toml")).expect_err("no key").to_string();
    let (_, expected) = error.split_once(", expected ").unwrap_or_else(|| panic!("{error}"));
    set(expected.split('`').skip(1).step_by(2))
}

/// The tables of carm.toml, as one writes their heads.
fn tables() -> Vec<String> {
    let repeated = ["zone", "site"];
    keys_of("")
        .into_iter()
        .map(|name| if repeated.contains(&&*name) { format!("[[{name}]]") } else { format!("[{name}]") })
        .collect()
}

#[test]
fn the_page_of_options_has_every_option_with_its_argument_help_and_variable() {
    let page = text("docs/options.md");
    let mut headings = BTreeSet::new();
    for spec in OPTIONS.iter().filter(|spec| !spec.hidden) {
        let heading = match spec.argument {
            Argument::None => format!("### `--{}`", spec.flag),
            Argument::Required(name) => format!("### `--{}={name}`", spec.flag),
            Argument::Optional(name) => format!("### `--{}[={name}]`", spec.flag),
        };
        let section = section(&page, &heading);
        assert_eq!(section.trim_start().lines().next(), Some(spec.help), "{heading}");
        assert!(section.contains(&format!("Environment: `{}`", spec.variable)), "{heading}: {}", spec.variable);
        assert!(
            section.lines().any(|line| line.starts_with("    ") && line.contains(&format!("--{}", spec.flag))),
            "{heading}: an example"
        );
        headings.insert(heading);
    }
    assert_eq!(set(page.lines().filter(|line| line.starts_with("### "))), headings);
    for spec in OPTIONS.iter().filter(|spec| spec.hidden) {
        assert!(page.contains(&format!("`--{}`", spec.flag)) && page.contains(spec.variable), "--{}", spec.flag);
    }
}

#[test]
fn the_page_of_the_configuration_has_every_key_and_no_other() {
    let page = text("docs/configuration.md");
    for table in tables() {
        let documented = first_cells(section(&page, &format!("## {table}")));
        assert_eq!(set(documented.clone()), keys_of(&table), "{table}");
        assert_eq!(documented.len(), keys_of(&table).len(), "{table}: a key stands twice");
    }
}

/// A line's key or table head behind a comment's mark.
fn keyed(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
}

/// The sample with every commented key and table taken in; prose has a blank behind its mark.
fn whole_sample() -> String {
    text("etc/carm.toml").lines().map(|line| keyed(line).unwrap_or(line).to_owned() + "\n").collect()
}

#[test]
fn the_sample_configuration_works_as_it_is_and_shows_the_defaults() {
    let sample = Config::parse(&text("etc/carm.toml"), Path::new("/etc/carm/carm.toml")).expect("the sample");
    let default = Config::embedded(0);
    assert_eq!((&sample.planner, &sample.grid, &sample.node), (&default.planner, &default.grid, &default.node));
    assert_eq!(sample.zones[0].source, default.zones[0].source);

    // Of two keys that exclude each other, one.
    let whole = whole_sample().replace("\nonsite = ", "\n#onsite = ");
    let whole = Config::parse(&whole, Path::new("/etc/carm/carm.toml")).expect("the sample with every key");
    assert_eq!((&whole.planner, &whole.grid), (&default.planner, &default.grid));
    let examples = carm::config::Node {
        site: whole.node.site,
        gpu_files: whole.node.gpu_files.clone(),
        shared_gpus: whole.node.shared_gpus,
        restore_mhz: whole.node.restore_mhz,
        metrics_dir: whole.node.metrics_dir.clone(),
        ..default.node.clone()
    };
    assert_eq!(whole.node, examples);
}

#[test]
fn the_sample_configuration_has_every_key() {
    let whole = whole_sample();
    for table in tables() {
        let mut shown = BTreeSet::new();
        let mut inside = false;
        for line in whole.lines() {
            if line.starts_with('[') {
                inside = line == table;
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| inside && !line.starts_with('#')) {
                shown.insert(key.to_owned());
            }
        }
        assert_eq!(shown, keys_of(&table), "{table}");
    }
}

#[test]
fn a_fresh_installation_plans_the_first_try() {
    // What the sample says of size must not keep an ordinary job from being planned.
    let sample = Config::parse(&text("etc/carm.toml"), Path::new("/etc/carm/carm.toml")).expect("the sample");
    assert!(sample.sites.len() == 1 && sample.sites[0].gpus >= 1000);
    assert_eq!(sample.site_of(Some("any"), "node1").map(|(index, _)| index), Some(0));
}

#[test]
fn the_page_of_the_ledger_has_every_field_mark_and_meter() {
    let page = text("docs/ledger.md");
    let line = text("tests/fixtures/ledger-v2.jsonl").lines().next().expect("a line").to_owned();
    let mut record: Record = serde_json::from_str(&line).expect("a record");
    record.gpus.truncate(1);
    let fields = |value: &serde_json::Value| set(value.as_object().expect("an object").keys().cloned());
    let value = serde_json::to_value(&record).expect("JSON");
    assert_eq!(set(first_cells(section(&page, "## A line"))), fields(&value));
    assert_eq!(set(first_cells(section(&page, "## A GPU of a line"))), fields(&value["gpus"][0]));

    let name = |value: serde_json::Value| value.as_str().expect("a name").to_owned();
    let marks = std::iter::successors(Some(Mark::NoProlog), |mark| after(*mark));
    let marks = set(marks.map(|mark| name(serde_json::to_value(mark).expect("JSON"))));
    assert_eq!(set(first_cells(section(&page, "## Marks"))), marks);
    for meter in [Meter::Counter, Meter::Power, Meter::Lost] {
        match meter {
            // A new meter wants a line in the page, and a place in the list above.
            Meter::Counter | Meter::Power | Meter::Lost => {}
        }
        assert!(
            section(&page, "## A GPU of a line").contains(&format!("`{}`", name(serde_json::to_value(meter).expect("JSON"))))
        );
    }
}

/// Every mark in turn; a new one does not compile until it has its place.
fn after(mark: Mark) -> Option<Mark> {
    match mark {
        Mark::NoProlog => Some(Mark::LimitUnknown),
        Mark::LimitUnknown => Some(Mark::WorkUnknown),
        Mark::WorkUnknown => Some(Mark::RequestRefused),
        Mark::RequestRefused => Some(Mark::NoGrid),
        Mark::NoGrid => Some(Mark::EnergyLost),
        Mark::EnergyLost => Some(Mark::SharedGpu),
        Mark::SharedGpu => Some(Mark::ClocksUntouched),
        Mark::ClocksUntouched => Some(Mark::OverBudget),
        Mark::OverBudget => Some(Mark::LatencyUnknown),
        Mark::LatencyUnknown => Some(Mark::Unconfigured),
        Mark::Unconfigured => Some(Mark::CutShort),
        Mark::CutShort => Some(Mark::NoEpilog),
        Mark::NoEpilog => Some(Mark::OtherHand),
        Mark::OtherHand => Some(Mark::Throttled),
        Mark::Throttled => Some(Mark::ClocksOff),
        Mark::ClocksOff => Some(Mark::Other),
        Mark::Other => None,
    }
}

/// All Rust text below a folder, strings that go on in the next line joined.
fn source(folder: &str) -> String {
    let mut all = String::new();
    let mut folders: Vec<PathBuf> = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all += &std::fs::read_to_string(&path).expect("a source file");
            }
        }
    }
    let joined: Vec<&str> = all.split("\\\n").enumerate().map(|(i, part)| if i > 0 { part.trim_start() } else { part }).collect();
    joined.concat()
}

#[test]
fn every_message_of_the_page_of_troubles_stands_in_the_code() {
    let page = text("docs/troubleshooting.md");
    let library = source("src");
    for (heading, folder) in
        [("## carm-prolog's log", "carm-prolog/src"), ("## carm-submit", "carm-submit/src"), ("## sbatch", "spank-plugin/src")]
    {
        let code = source(folder);
        let messages = first_cells(section(&page, heading));
        assert!(!messages.is_empty(), "{heading}");
        for message in messages {
            // A colon may come from the error that a cause is put behind.
            let fragments = message.split(['{', '}']).step_by(2).map(|fragment| fragment.trim_matches([':', ' ']));
            let fragments: Vec<&str> = fragments.filter(|fragment| fragment.len() > 2).collect();
            assert!(!fragments.is_empty(), "{message}");
            for fragment in fragments {
                assert!(
                    code.contains(fragment) || library.contains(fragment),
                    "{heading}: '{message}': nothing says '{fragment}'"
                );
            }
        }
    }
}

#[test]
fn pages_link_to_pages_that_exist() {
    let pages = ["docs", "docs/grid"].map(|folder| std::fs::read_dir(repository().join(folder)).expect(folder));
    for path in pages.into_iter().flatten().map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
        let page = std::fs::read_to_string(&path).expect("a page");
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let exists = file.is_empty() || file.contains("://") || path.with_file_name(file).exists();
            assert!(exists, "{}: links to {target}", path.display());
        }
    }
}

#[test]
fn pages_name_every_tested_slurm_release() {
    let list = text("tests/slurm/releases");
    let majors: Vec<&str> =
        list.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').nth(1).expect("a major release")).collect();
    assert!(!majors.is_empty());
    for page in ["README.md", "docs/install.md", "docs/troubleshooting.md"] {
        let text = text(page);
        for major in &majors {
            assert!(text.contains(major), "{page}: no {major}; tests/slurm/releases has it");
        }
    }
}
