//! carm-report as its users see it: one job, many jobs, a page; what it says of a ledger with faults.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // clippy exempts test functions, not what they are written with

#[path = "common/browser.rs"]
mod browser;
#[path = "report/ledger.rs"]
#[allow(dead_code)]
mod ledger;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carm::ledger::{Mark, Record, file_name};
use ledger::{ECONOMICAL, FULL, Ran, at, seconds};
use serde_json::Value;

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carm-report"));
    command.args(words).env("TZ", "UTC").current_dir(repository()).stdin(Stdio::null());
    command
}

fn report(words: &[&str]) -> Said {
    let output = command(words).output().expect("running carm-report");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// What is reported without a word on standard error.
fn clean(words: &[&str]) -> String {
    let said = report(words);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
    said.out
}

fn json(words: &[&str]) -> Value {
    serde_json::from_str(&clean(words)).expect("JSON")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

const SMALL: &str = "--ledger=tests/fixtures/ledger";

/// A ledger of the test's own.
struct Ledger {
    folder: tempfile::TempDir,
}

impl Ledger {
    fn of(records: &[Record]) -> Self {
        let ledger = Self { folder: tempfile::tempdir().expect("a folder") };
        for record in records {
            ledger.write(&file_name(&record.node, at(&record.end)), &(serde_json::to_string(record).expect("JSON") + "\n"));
        }
        ledger
    }

    /// Adds text to a file.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + text).expect("a file");
        path
    }

    fn option(&self) -> String {
        format!("--ledger={}", self.folder.path().display())
    }
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no figure"))
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-9), "{a} is not {b}");
}

// The fixture that docs/report.md shows.

#[test]
fn the_ledger_of_the_documentation_is_the_one_that_the_small_world_makes() {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for (name, line) in ledger::small() {
        *files.entry(name).or_default() += &(line + "\n");
    }
    for (name, text) in files {
        let path = repository().join("tests/fixtures/ledger").join(name);
        if std::env::var_os("CARM_WRITE_FIXTURES").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, &text).expect("a file");
        }
        assert_eq!(fs::read_to_string(&path).ok().as_ref(), Some(&text), "{name}: CARM_WRITE_FIXTURES=1 writes it anew");
    }
}

#[test]
fn the_page_of_the_documentation_shows_real_output() {
    for (name, commands) in [("docs/report.md", 3), ("README.md", 1)] {
        let page = fs::read_to_string(repository().join(name)).expect(name);
        let blocks = page.split("```console\n$ carm-report ").skip(1).filter(|block| block.contains(SMALL));
        let mut anew = page.clone();
        let mut shown = 0;
        for block in blocks {
            let block = block.split("```").next().expect("a block");
            let (words, output) = block.split_once('\n').expect("a command");
            let real = clean(&words.split(' ').collect::<Vec<_>>());
            anew = anew.replace(block, &format!("{words}\n{real}"));
            if std::env::var_os("CARM_WRITE_FIXTURES").is_none() {
                assert_eq!(real, output, "{name}: {words}: CARM_WRITE_FIXTURES=1 writes it anew");
            }
            shown += 1;
        }
        assert_eq!(shown, commands, "{name}");
        if anew != page {
            fs::write(repository().join(name), anew).expect("writing it anew");
        }
    }
}

// One job.

#[test]
fn a_job_is_told_as_seff_tells_it() {
    insta::assert_snapshot!(clean(&["4217", SMALL]));
}

#[test]
fn a_job_of_two_nodes_and_two_runs_is_added_up() {
    insta::assert_snapshot!(clean(&["4219", SMALL]));
    let told = json(&["4219", SMALL, "--json"]);
    let job = &told["jobs"][0];
    let lines: Vec<Record> = ledger::small()
        .iter()
        .filter_map(|(_, line)| serde_json::from_str(line).ok())
        .filter(|record: &Record| record.job == 4219)
        .collect();
    assert_eq!((lines.len(), &job["runs"], &job["nodes"]), (4, &2.into(), &serde_json::json!(["solar1", "solar2"])));
    close(figure(&job["energy_kwh"]), lines.iter().map(|line| line.energy_kwh).sum());
    close(figure(&job["carbon_g"]["average"]), lines.iter().map(|line| line.carbon_g).sum());
    close(figure(&job["run_s"]), 3.5 * 3600.0);
}

#[test]
fn the_savings_are_those_that_a_hand_computes() {
    // Four hours' work at 0.8 of the speed from noon on, asked for at midnight; two hours of grid are enough to know by hand.
    let ran = Ran {
        asked: at("2026-05-01T00:00:00Z"),
        start: at("2026-05-01T12:00:00Z"),
        hours: 2.5,
        clock: ECONOMICAL,
        calibration: 0.9,
        ..Ran::new(1)
    };
    let ledger = Ledger::of(&ran.lines());
    let job = json(&["1", "--json", &ledger.option()])["jobs"][0].clone();
    let savings = &job["savings"];
    // Two hours at full clock: 1.2 x (0.9 x 700 W + 100 W) = 876 W from midnight on.
    let full_g = 0.876 * (ledger::grid(at("2026-05-01T00:00:00Z")) + ledger::grid(at("2026-05-01T01:00:00Z")));
    close(figure(&savings["now_full_clock"]["carbon_g"]), full_g);
    close(figure(&savings["now_full_clock"]["run_s"]), 7200.0);
    // Two and a half at the economical one: 1.2 x (0.9 x 430 W + 100 W) = 584.4 W.
    let grid = |hour: u32| ledger::grid(at(&format!("2026-05-01T{hour:02}:00:00Z")));
    close(figure(&savings["now_economical_clock"]["carbon_g"]), 0.5844 * (grid(0) + grid(1) + 0.5 * grid(2)));
    let carbon_g = 0.5844 * (grid(12) + grid(13) + 0.5 * grid(14));
    close(figure(&job["carbon_g"]["average"]), carbon_g);
    close(figure(&savings["now_full_clock"]["saved_g"]), full_g - carbon_g);
}

#[test]
fn a_job_that_ran_at_once_at_full_clock_saved_nothing_and_nothing_is_lost_over_midnight() {
    let job = json(&["4218", SMALL, "--json"])["jobs"][0].clone();
    close(figure(&job["savings"]["now_full_clock"]["carbon_g"]), figure(&job["carbon_g"]["average"]));
    assert!(figure(&job["savings"]["now_full_clock"]["saved_g"]).abs() < 1e-6);
    assert_eq!(job["notes"], serde_json::json!([]));
}

#[test]
fn a_line_of_the_first_release_is_told_without_savings() {
    let text = clean(&["1", SMALL]);
    assert!(text.contains("not known: no profile with its work is recorded"), "{text}");
    assert!(text.contains("Budget:       kept: 20 % of 500 g used"), "{text}");
}

#[test]
fn a_budget_is_called_kept_only_where_all_of_the_run_is_known() {
    let whole = Ran { hours: 30.0, ..Ran::new(7) }.lines();
    let told = |lines: &[Record]| clean(&["7", &Ledger::of(lines).option()]);
    let marked = |mark| vec![whole[0].clone(), Record { marks: vec![mark], ..whole[1].clone() }];
    assert!(told(&whole).contains("Budget:       exceeded: "), "{}", told(&whole));
    let small =
        |lines: Vec<Record>| -> Vec<Record> { lines.into_iter().map(|line| Record { carbon_g: 400.0, ..line }).collect() };
    assert!(told(&small(whole.clone())).contains("Budget:       kept: 40 % of 2.00 kg used\n"));
    assert!(told(&small(whole[..1].to_vec())).contains("Budget:       20 % of 2.00 kg used so far\n"));
    for mark in [Mark::NoGrid, Mark::EnergyLost] {
        assert!(told(&small(marked(mark))).contains("Budget:       40 % of 2.00 kg used, as far as is known\n"));
    }
}

#[test]
fn an_unknown_job_is_refused_with_the_ledgers_name_and_the_way_out() {
    let said = report(&["99", SMALL]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.starts_with("carm-report: job 99: not in the ledger tests/fixtures/ledger; "), "{}", said.err);
    assert!(said.err.contains("give --ledger=DIR"), "{}", said.err);
    let said = report(&["4217", "--ledger=/no/such/folder"]);
    assert!(said.code == 1 && said.err.contains("/no/such/folder: no ledger there; give --ledger=DIR"), "{}", said.err);
}

#[test]
fn an_arrays_task_is_known_by_its_own_number() {
    let said = report(&["123_4", SMALL]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("sacct -X -j 123_4 -o JobIDRaw"), "{}", said.err);
    assert!(report(&["soon", SMALL]).err.contains("'soon': not a job id"));
    assert_eq!(report(&["4217.batch", SMALL]).code, 0);
}

#[test]
fn the_ledger_is_found_by_the_configuration() {
    let ledger = Ledger::of(&Ran::new(7).lines());
    let config = tempfile::tempdir().expect("a folder");
    let path = config.path().join("carm.toml");
    fs::write(&path, format!("[node]\nledger_dir = \"{}\"\n", ledger.folder.path().display())).expect("a file");
    let option = format!("--config={}", path.display());
    assert!(clean(&["7", &option]).starts_with("Job ID:       7 (train)\n"));
    fs::write(&path, "[node]\nledger = 1\n").expect("a file");
    let said = report(&["7", &option]);
    assert!(said.code == 1 && said.err.contains("carm.toml:2: unknown field `ledger`"), "{}", said.err);
}

// A ledger with faults.

#[test]
fn a_span_that_was_written_twice_counts_once_as_it_was_written_last() {
    let lines = Ran::new(7).lines();
    let before = Record { end: "2026-05-01T08:00:01.000Z".into(), carbon_g: 1e6, ..lines[0].clone() };
    let bare = Record { start: None, gpu_energy_j: 0.0, energy_kwh: 0.0, carbon_g: 0.0, ..lines[0].clone() };
    let (once, again) = (Ledger::of(&lines), Ledger::of(&[before, lines[0].clone(), bare]));
    let carbon = |ledger: &Ledger| figure(&json(&["7", "--json", &ledger.option()])["jobs"][0]["carbon_g"]["average"]);
    close(carbon(&again), carbon(&once));
    assert!(clean(&["7", &again.option()]).contains("a span stands twice, and is counted once"));
    let total = |ledger: &Ledger| json(&["--json", &ledger.option()])["total"][0].clone();
    for key in ["jobs", "carbon_g", "energy_kwh", "compared"] {
        assert_eq!(total(&again)[key], total(&once)[key], "{key}");
    }
}

#[test]
fn missing_lines_are_noted_and_never_guessed() {
    let ran = Ran { hours: 80.0, ..Ran::new(7) };
    let lines = ran.lines();
    assert_eq!(lines.len(), 4);
    for (kept, note) in [
        (vec![0, 2, 3], "Notes:        run 0 on solar1: 1 d are in no line"),
        (vec![1, 2, 3], "Notes:        run 0 on solar1: its first lines are not in this ledger"),
        (vec![0, 1], "Notes:        run 0 on solar1: no line ends it"),
    ] {
        let ledger = Ledger::of(&kept.iter().map(|&i: &usize| lines[i].clone()).collect::<Vec<_>>());
        let text = clean(&["7", &ledger.option()]);
        assert!(text.contains(note), "{kept:?}: {text}");
        assert!(text.contains("Saved:        not known: the run's lines are not complete (run 0 on solar1)"), "{text}");
        let total = json(&["--json", &ledger.option()])["total"][0].clone();
        assert_eq!((&total["jobs"], &total["compared"]["jobs"]), (&1.into(), &0.into()));
    }
    let second = Record { run: 1, ..Ran::new(8).lines()[0].clone() };
    assert!(clean(&["8", &Ledger::of(&[second]).option()]).contains("run 0 has no lines in this ledger"));
}

#[test]
fn lines_and_files_that_cannot_be_read_are_named_once_and_left_out() {
    let ledger = Ledger::of(&Ran::new(7).lines());
    let path = ledger.write("solar1.2026-05.jsonl", "{\"version\":2,\"cluster\":\"hpc\",\"job\":7,\n\nhello\n");
    std::os::unix::fs::symlink("/no/such/file", ledger.folder.path().join("gone.2026-05.jsonl")).expect("a link");
    let said = report(&["--json", &ledger.option()]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<&str> = said.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", said.err);
    assert!(lines[0].contains("gone.2026-05.jsonl: No such file"), "{}", said.err);
    assert!(lines[1].contains(&format!("{}:2: EOF", path.display())) && lines[1].contains(":4: expected value"), "{}", said.err);
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&told["total"][0]["jobs"], &told["left_out"]["lines"][1]["line"]), (&1.into(), &4.into()));
    // Of one job only its own lines matter.
    assert_eq!(report(&["7", &ledger.option()]).err.lines().count(), 2);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo of coreutils").success());
}

#[test]
fn hostile_files_are_left_out_in_time() {
    let ledger = Ledger::of(&Ran::new(7).lines());
    let total = &json(&["--json", &ledger.option()])["total"];
    let path = |name: &str| ledger.folder.path().join(name);
    fifo(&path("fifo.2026-05.jsonl"));
    std::os::unix::fs::symlink("/dev/zero", path("zero.2026-05.jsonl")).expect("a link");
    fs::create_dir(path("folder.2026-05.jsonl")).expect("a folder");
    // Sparse: 3 GB in one line, and more than any file of CARM's.
    fs::File::create(path("line.2026-05.jsonl")).and_then(|file| file.set_len(3 << 30)).expect("a file");
    fs::File::create(path("long.2026-05.jsonl")).and_then(|file| file.set_len(1 << 40)).expect("a file");
    let since = std::time::Instant::now();
    let said = report(&["--json", &ledger.option()]);
    assert!(since.elapsed() < std::time::Duration::from_secs(30), "{:?}", since.elapsed());
    assert_eq!(said.code, 0, "{}", said.err);
    let found: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(&found["total"], total);
    let left_out = |name: &str| {
        let files = found["left_out"]["files"].as_array().expect("files");
        let file = files.iter().find(|file| file["path"].as_str().is_some_and(|path| path.contains(name)));
        file.unwrap_or_else(|| panic!("{name}: {files:?}"))["cause"].as_str().expect("a cause").to_owned()
    };
    assert_eq!(left_out("/fifo."), "not a regular file");
    assert_eq!(left_out("/zero."), "not a regular file");
    assert!(left_out("/folder.").contains("directory"));
    assert!(left_out("/long.").starts_with("larger than"));
    assert_eq!(found["left_out"]["lines"].as_array().map(Vec::len), Some(1), "{}", said.err);
}

#[test]
fn absurd_figures_are_no_part_of_totals() {
    let ledger = Ledger::of(&Ran::new(7).lines());
    let total = &json(&["--json", &ledger.option()])["total"];
    let absurd = Record { carbon_g: 1e308, ..Ran::new(8).lines().remove(0) };
    ledger.write("solar1.2026-05.jsonl", &(serde_json::to_string(&absurd).expect("JSON") + "\n"));
    for words in [&["--json"][..], &["--json", "--by=user"]] {
        let said = report(&[words, &[&ledger.option()]].concat());
        assert!(said.err.contains("carbon_g: 1e308: out of range; expected 0 to 1e12"), "{}", said.err);
        let found: Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(&found["total"], total);
    }
    let said = report(&["8", &ledger.option()]);
    assert!(said.err.contains("job 8: not in the ledger"), "{}", said.err);
}

/// Characters that steer a terminal, reverse text or hide: C0, C1, bidi controls, separators, zero-width.
const HOSTILE: &str = "\u{1b}[2J\r\n\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}\u{feff}";

fn hostile_ledger() -> Ledger {
    let (name, user, account) = (format!("{HOSTILE}训练 Größe"), format!("user{HOSTILE}"), format!("{HOSTILE}physics"));
    Ledger::of(&Ran { name, user, account, ..Ran::new(7) }.lines())
}

fn assert_legible(text: &str) {
    assert!(!text.contains(|c: char| c != '\n' && HOSTILE.replace(|c: char| c.is_ascii_graphic(), "").contains(c)), "{text:?}");
}

#[test]
fn foreign_text_steers_no_reader() {
    let ledger = hostile_ledger();
    for words in ["7", "7 --json", "7 --csv", "--by=name", "--by=user --csv", "--by=account --json"] {
        assert_legible(&clean(&[words.split(' ').collect(), vec![ledger.option().as_str()]].concat()));
    }
    let page = ledger.folder.path().join("7.html");
    clean(&["7", &ledger.option(), &format!("--html={}", page.display())]);
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.contains("训练 Größe"), "{page}");
    assert_legible(&page);
}

#[test]
fn letters_beyond_ascii_are_shown() {
    let ledger = Ledger::of(&Ran { name: "训练 Größe".into(), ..Ran::new(7) }.lines());
    for words in ["7", "7 --json", "7 --csv", "--by=name", "--by=name --csv", "--by=name --json"] {
        let text = clean(&[words.split(' ').collect(), vec![ledger.option().as_str()]].concat());
        assert!(text.contains("训练 Größe"), "{text}");
    }
}

#[test]
fn json_keeps_foreign_text_unchanged() {
    assert_eq!(json(&["7", "--json", &hostile_ledger().option()])["jobs"][0]["name"], format!("{HOSTILE}训练 Größe"));
}

#[test]
fn spreadsheet_runs_no_name() {
    let name = "=HYPERLINK(\"http://example.org\",\"x\")";
    let ran = Ran { name: name.into(), user: "+ada".into(), account: "@physics".into(), ..Ran::new(7) };
    let ledger = Ledger::of(&ran.lines());
    let cells = |words: &[&str], row: usize| -> Vec<String> {
        let text = clean(&[words, &["--csv", &ledger.option()]].concat());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.records().nth(row).expect("a row").expect("CSV").iter().map(str::to_owned).collect()
    };
    assert_eq!(cells(&["7"], 0)[2..5], [format!("'{name}"), "'+ada".into(), "'@physics".into()]);
    assert_eq!(cells(&["--by=name"], 0)[0], format!("'{name}"));
}

#[test]
fn job_without_energy_claims_no_accuracy() {
    let mut lines = Ran::new(7).lines();
    for record in &mut lines {
        let lost = |gpu: &mut carm::ledger::Gpu| (gpu.energy_j, gpu.meter) = (0.0, carm::ledger::Meter::Lost);
        record.gpus.iter_mut().for_each(lost);
        // Rust's sum of no floats.
        (record.gpu_energy_j, record.energy_kwh, record.marks) = (-0.0, 0.5, vec![Mark::EnergyLost]);
    }
    let ledger = Ledger::of(&lines);
    let text = clean(&["7", &ledger.option()]);
    assert!(text.contains("GPU energy:   0.00 kWh, in part not known\n"), "{text}");
    assert!(text.contains("Accuracy:     the error of the carbon is not known, because no GPU energy is;"), "{text}");
    let text = clean(&[&ledger.option()]);
    assert!(
        text.contains("Saved: not known for any of 1 job.") && text.contains("a GPU's energy in 1 line, all carbon in 0 lines"),
        "{text}"
    );
    for words in [vec!["7", "--csv"], vec!["7", "--json"], vec!["--csv"], vec!["--json"], vec!["7"], vec![]] {
        let text = clean(&[words, vec![&ledger.option()]].concat());
        assert!(!text.split([',', ' ', '\n']).any(|word| word.starts_with("-0")), "{text}");
    }
    assert_eq!(json(&["7", "--json", &ledger.option()])["jobs"][0]["sensor_error"], Value::Null);
}

#[test]
fn absurd_line_ends_no_report() {
    // Out of range, and nearly the longest in range.
    for (seconds, code) in [(1e300, 1), (3e8, 0)] {
        let mut lines = Ran { hours: 80.0, ..Ran::new(7) }.lines();
        for record in &mut lines {
            record.steps.iter_mut().for_each(|step| step.seconds = seconds);
            record.grid.iter_mut().for_each(|step| step.seconds = seconds);
            record.work_done_s = Some(seconds);
        }
        let ledger = Ledger::of(&lines);
        let page = format!("--html={}", ledger.folder.path().join("7.html").display());
        for words in [vec!["7"], vec!["7", "--json"], vec!["7", "--csv"], vec!["7", &page]] {
            let said = report(&[words.clone(), vec![&ledger.option()]].concat());
            assert!(said.code == code && !said.err.contains("panicked"), "{words:?}: {} {}", said.code, said.err);
        }
    }
}

#[test]
fn file_names_of_others_stay_on_one_line() {
    use std::os::unix::ffi::OsStrExt;
    let ledger = Ledger::of(&Ran::new(7).lines());
    let name = std::ffi::OsStr::from_bytes(b"\x1b[2J\nforged\xff.2026-05.jsonl");
    std::os::unix::fs::symlink("/no/such/file", ledger.folder.path().join(name)).expect("a link");
    let said = report(&["--json", &ledger.option()]);
    assert_eq!((said.code, said.err.lines().count()), (0, 1), "{}", said.err);
    assert_legible(&said.err);
    serde_json::from_str::<Value>(&said.out).expect("JSON");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = command(&["4217", SMALL]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("running it");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
    assert_eq!((child.wait().expect("its end").code(), said.as_str()), (Some(0), ""));
}

// Sums.

/// Some hundred jobs of several users on four nodes over two months, one in ten of days.
fn many() -> Vec<Record> {
    let job = |i: u32| {
        let asked = at("2026-05-01T00:00:00Z") + seconds(f64::from(i) * 12_000.0);
        Ran {
            job: 100 + i,
            node: format!("n{}", i % 4),
            user: format!("user{}", i % 5),
            account: ["physics", "chemistry"][(i % 2) as usize].into(),
            asked,
            start: asked + seconds(f64::from(i % 7) * 3_600.0),
            hours: if i.is_multiple_of(10) { 30.0 + f64::from(i % 40) } else { 0.5 + f64::from(i % 9) },
            gpus: 1 + (i % 3) as usize,
            clock: if i.is_multiple_of(3) { FULL } else { ECONOMICAL },
            calibration: 0.7 + f64::from(i % 6) / 10.0,
            onsite_w: if i.is_multiple_of(4) { 500.0 } else { 0.0 },
            ..Ran::new(0)
        }
    };
    (0..400).flat_map(|i| job(i).lines()).collect()
}

#[test]
fn sums_are_those_of_the_lines_whatever_the_group() {
    let records = many();
    let ledger = Ledger::of(&records);
    let sum = |of: &dyn Fn(&Record) -> f64| records.iter().map(of).sum::<f64>();
    for by in ["user", "account", "site", "month", "day", "name", "cluster", "partition"] {
        let told = json(&[&format!("--by={by}"), "--json", &ledger.option()]);
        let total = &told["total"][0];
        close(figure(&total["carbon_g"]), sum(&|record| record.carbon_g));
        close(figure(&total["energy_kwh"]), sum(&|record| record.energy_kwh));
        assert_eq!((&total["jobs"], &total["compared"]["jobs"]), (&400.into(), &400.into()), "{by}");
        let groups = told["groups"].as_array().expect("groups");
        close(groups.iter().map(|group| figure(&group["carbon_g"])).sum(), sum(&|record| record.carbon_g));
    }
    let physics = json(&["--account=physics", "--json", &ledger.option()]);
    let of_physics: Vec<&Record> = records.iter().filter(|record| record.account.as_deref() == Some("physics")).collect();
    close(figure(&physics["total"][0]["carbon_g"]), of_physics.iter().map(|record| record.carbon_g).sum());
}

#[test]
fn the_sum_of_savings_is_that_of_the_jobs() {
    let records = many();
    let ledger = Ledger::of(&records);
    let total = json(&["--json", &ledger.option()])["total"][0]["compared"].clone();
    let mut jobs: Vec<String> = records.iter().map(|record| record.job.to_string()).collect();
    jobs.dedup();
    let option = ledger.option();
    let words: Vec<&str> = jobs.iter().map(String::as_str).chain(["--json", &option]).collect();
    let told = json(&words);
    let each = |key: &str| {
        told["jobs"].as_array().expect("jobs").iter().map(|job| figure(&job["savings"][key]["carbon_g"])).sum::<f64>()
    };
    close(figure(&total["now_full_clock_g"]), each("now_full_clock"));
    close(figure(&total["now_economical_clock_g"]), each("now_economical_clock"));
}

#[test]
fn a_year_is_the_sum_of_its_months_and_a_window_has_its_first_instant() {
    let ledger = Ledger::of(&many());
    let carbon = |since: &str, until: &str| {
        let words = ["--json", "--since", since, "--until", until, &ledger.option()];
        json(&words)["total"].get(0).map_or(0.0, |total| figure(&total["carbon_g"]))
    };
    let whole = carbon("2026-01-01", "2027-01-01");
    close(carbon("2026-05-01", "2026-06-01") + carbon("2026-06-01", "2026-07-01") + carbon("2026-07-01", "2026-08-01"), whole);
    assert!(carbon("2026-05-01", "2026-06-01") > 0.0);
    let none = ["--json", "--since=now-7d", "--now=2030-01-01T00:00Z", &ledger.option()];
    assert_eq!(json(&none)["total"], serde_json::json!([]));
    let said = report(&["--since=last week", SMALL]);
    assert!(
        said.code == 1 && said.err.contains("--since: 'last week': not a time; give a time such as 2026-05-01"),
        "{}",
        said.err
    );
}

#[test]
fn names_may_be_lists_numbers_and_several_keys() {
    let ledger = Ledger::of(&many());
    let jobs = |words: &[&str]| {
        json(&[words, &["--json", &ledger.option()]].concat())["total"].get(0).map_or(0, |t| t["jobs"].as_u64().expect("a count"))
    };
    assert_eq!(jobs(&["--user=user0,user1"]), 160);
    assert_eq!(jobs(&["-u", "user0", "-u", "user1"]), 160);
    assert_eq!(jobs(&["--user=1000"]), 400);
    assert_eq!(jobs(&["--user=user0", "--account=physics"]), 40);
    assert_eq!(jobs(&["-r", "gpu", "-M", "hpc", "-n", "train"]), 400);
    assert_eq!(jobs(&["--site=south"]), 0);
}

#[test]
fn average_and_marginal_carbon_are_never_added_up() {
    let lines = Ran::new(7).lines();
    let marginal = Record { job: 8, intensity: carm::ledger::Intensity::Marginal, ..lines[0].clone() };
    let ledger = Ledger::of(&[lines[0].clone(), marginal]);
    let total = json(&["--json", &ledger.option()])["total"].clone();
    assert_eq!(total.as_array().map(Vec::len), Some(2));
    assert_eq!((&total[0]["intensity"], &total[1]["intensity"]), (&"average".into(), &"marginal".into()));
    assert!(clean(&["--by=user", &ledger.option()]).contains("ada (marginal)"));
}

#[test]
fn a_table_has_a_row_a_group_and_their_sum() {
    insta::assert_snapshot!(clean(&["--by=user", SMALL]));
}

#[test]
fn values_have_a_header_with_units() {
    insta::assert_snapshot!(clean(&["--by=account", "--csv", SMALL]));
    insta::assert_snapshot!(clean(&["4217", "4218", "--csv", SMALL]));
}

#[test]
fn the_help_is_a_manual_page() {
    insta::assert_snapshot!(clean(&["--help"]));
    assert!(clean(&["--version"]).starts_with("carm-report "));
    let said = report(&["--by=mood"]);
    assert!(said.code == 1 && said.err.contains("'mood'") && said.err.lines().count() == 1, "{}", said.err);
    assert!(report(&["--html=x.html", SMALL]).err.contains("a page shows one job; give its id"));
}

// The page.

fn page_of(job: &str, option: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    assert_eq!(clean(&[job, option, &format!("--html={}", path.display())]), "");
    (folder, path)
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    for job in ["4217", "4218", "4219", "1"] {
        let (_folder, path) = page_of(job, SMALL);
        let page = fs::read_to_string(path).expect("the page");
        for sign in ["<script", "http://", "https://", "@import", " src=", "<link rel=\"stylesheet"] {
            assert!(!page.contains(sign), "{job}: {sign}");
        }
        assert!(page.contains("default-src 'none'"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }
}

#[test]
fn what_others_wrote_is_text_on_the_page() {
    let ran = Ran { name: "<script>alert(1)</script>".into(), user: "a\"b&c".into(), ..Ran::new(7) };
    let ledger = Ledger::of(&ran.lines());
    let (_folder, path) = page_of("7", &ledger.option());
    let page = fs::read_to_string(path).expect("the page");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"));
    assert!(page.contains("a&quot;b&amp;c"));
}

#[test]
fn a_page_fits_a_phone_a_desk_and_paper_and_no_label_covers_another() {
    for job in ["4217", "4218", "4219", "1"] {
        let (_folder, path) = page_of(job, SMALL);
        for width in [320, 390, 700, 1280] {
            let seen = browser::look(&path, width);
            assert!(seen.console.is_empty(), "{job} at {width}: {:?}", seen.console);
            assert!(seen.page_width <= f64::from(width), "{job}: {} px wide on {width}", seen.page_width);
            assert_eq!(seen.covered, Vec::<String>::new(), "{job} at {width}");
            assert!(seen.charts == usize::from(job != "1"), "{job} at {width}: {} charts are shown", seen.charts);
        }
    }
    let (folder, path) = page_of("4217", SMALL);
    let picture = browser::picture(&path, &folder.path().join("page.png"), 390, 844);
    assert!(picture.len() > 20_000, "an empty picture");
    let paper = browser::paper(&path, &folder.path().join("page.pdf"));
    assert!(paper.starts_with(b"%PDF") && paper.len() > 10_000, "no paper");
}

#[test]
fn a_run_of_months_makes_a_page_of_bounded_size() {
    let ran = Ran { hours: 24.0 * 100.0, ..Ran::new(7) };
    let ledger = Ledger::of(&ran.lines());
    let (_folder, path) = page_of("7", &ledger.option());
    let page = fs::read_to_string(&path).expect("the page");
    assert!(page.len() < 200_000, "{} bytes", page.len());
    assert!(page.matches("<tr>").count() <= 27);
}
