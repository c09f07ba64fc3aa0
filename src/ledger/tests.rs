use super::*;
use crate::quantity::parse_instant;

pub(super) fn record(job: u32) -> Record {
    Record {
        version: RECORD_VERSION,
        cluster: "c".into(),
        job,
        run: 0,
        node: "solar1".into(),
        uid: Some(1000),
        user: Some("ada".into()),
        account: None,
        partition: Some("gpu".into()),
        name: None,
        site: Some("north".into()),
        zone: Some("DE".into()),
        grid_source: Some("de.csv".into()),
        start: Some("2026-05-01T00:00:00.000Z".into()),
        end: "2026-05-01T01:00:00.000Z".into(),
        request: [("CARM_BUDGET".to_owned(), "500".to_owned())].into(),
        clock_mhz: Some(1410),
        decision: "least carbon by the deadline".into(),
        work_s: Some(3600),
        gpus: vec![Gpu { uuid: "GPU-1".into(), model: None, energy_j: 1e6, meter: Meter::Counter, share: 1.0 }],
        gpu_energy_j: 1e6,
        energy_kwh: 0.5,
        carbon_g: 100.0,
        host_watts: 100.0,
        pue: 1.2,
        estimated_share: 0.0,
        marks: vec![],
        since: None,
        closed: true,
        exit: None,
        asked: None,
        work_done_s: None,
        profile: None,
        modelled_gpu_energy_j: None,
        clock_changes: 0,
        intensity: Intensity::Average,
        embodied_g: 0.0,
        steps: Vec::new(),
        grid: Vec::new(),
    }
}

fn at() -> chrono::DateTime<chrono::Utc> {
    parse_instant("2026-05-31T23:59:59Z").expect("a time")
}

#[test]
fn lines_are_added_and_read_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().join("made/on/the/way");
    for job in [1, 2] {
        let path = append(&dir, &record(job), at()).expect("a line");
        assert_eq!(path.file_name().and_then(|n| n.to_str()), Some("solar1.2026-05.jsonl"));
    }
    let reading = read_dir(&dir).expect("a ledger");
    assert_eq!(reading.records, [record(1), record(2)]);
    assert_eq!(reading.bad, []);
}

#[test]
fn a_torn_line_costs_itself_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = append(dir.path(), &record(1), at()).expect("a line");
    let whole = std::fs::read(&path).expect("the file");
    std::fs::write(&path, [&whole[..], &whole[..whole.len() / 2]].concat()).expect("a torn write");
    append(dir.path(), &record(2), at()).expect("a line after a torn one");
    let reading = read_dir(dir.path()).expect("a ledger");
    assert_eq!(reading.records, [record(1), record(2)]);
    assert_eq!(reading.bad.iter().map(|b| b.line).collect::<Vec<_>>(), [2]);
}

#[test]
fn lines_of_a_later_release_and_of_no_release_are_named_and_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.jsonl");
    let later = serde_json::to_string(&Record { version: 99, ..record(1) }).expect("JSON");
    let unknown_mark = serde_json::to_string(&record(2)).expect("JSON").replace("\"marks\":[]", "\"marks\":[\"of-tomorrow\"]");
    std::fs::write(&path, format!("{later}\nhello\n\n{unknown_mark}\n\u{fffd}\n")).expect("a file");
    let reading = read_dir(dir.path()).expect("a ledger");
    assert_eq!(reading.records.len(), 1);
    assert_eq!(reading.records[0].marks, [Mark::Other]);
    assert_eq!(reading.bad.iter().map(|b| b.line).collect::<Vec<_>>(), [1, 2, 5]);
    assert_eq!(reading.bad[0].cause, "version 99 is newer than this program's 2");
}

#[test]
fn a_line_of_the_first_release_loads() {
    // As version 1 wrote it; it must load for ever.
    let line = include_str!("../../tests/fixtures/ledger-v1.jsonl");
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("n.jsonl"), line).expect("a file");
    let reading = read_dir(dir.path()).expect("a ledger");
    assert_eq!((reading.records.len(), reading.bad.len()), (1, 0));
    assert_eq!(reading.records[0].carbon_g, 100.0);
    assert!(reading.records[0].closed, "it ended its run");
}

#[test]
fn a_line_of_version_2_loads_with_every_field() {
    let line = include_str!("../../tests/fixtures/ledger-v2.jsonl");
    let record: Record = serde_json::from_str(line).expect("a record");
    assert_eq!(serde_json::to_value(&record).expect("JSON"), serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    assert!(record.exit.is_some_and(Exit::is_success) && record.steps.len() == 1 && record.grid.len() == 1);
}

#[test]
fn a_hostile_node_name_stays_inside_the_folder() {
    assert_eq!(file_name("../../etc/passwd", at()), "_.._etc_passwd.2026-05.jsonl");
    assert_eq!(file_name("..", at()), "unnamed.2026-05.jsonl");
    assert!(file_name(&"n".repeat(1000), at()).len() < 255);
}

#[test]
fn a_jobs_lines_are_found_on_every_node_in_this_month_and_the_last() {
    let dir = tempfile::tempdir().expect("a folder");
    let day = |text| parse_instant(text).expect("a time");
    let of = |job, run, node: &str| Record { run, node: node.into(), ..record(job) };
    for (record, at) in [
        (of(7, 0, "b"), "2026-04-30T00:00:00Z"),
        (of(7, 0, "a"), "2026-05-01T00:00:00Z"),
        (of(77, 0, "a"), "2026-05-01T00:00:00Z"),
        (Record { cluster: "other".into(), ..of(7, 0, "a") }, "2026-05-01T00:00:00Z"),
        (of(7, 1, "a"), "2026-05-31T23:59:59Z"),
        (of(7, 0, "c"), "2026-03-31T00:00:00Z"),
    ] {
        append(dir.path(), &record, day(at)).expect("a line");
    }
    let found = of_job(dir.path(), "c", 7, at()).expect("a ledger").records;
    assert_eq!(found.iter().map(|r| (r.run, r.node.as_str())).collect::<Vec<_>>(), [(0, "a"), (0, "b"), (1, "a")]);
    assert_eq!(of_job(&dir.path().join("none"), "c", 7, at()).expect("none"), Reading::default());
}

#[test]
fn a_line_that_was_written_again_counts_once_and_the_last_of_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let day = |end: &str, closed| Record { end: format!("2026-05-{end}T01:00:00.000Z"), closed, ..record(1) };
    let rest = Record { since: Some(day("03", false).end), ..day("04", true) };
    for line in [day("02", false), day("03", false), rest.clone(), rest.clone(), Record { run: 1, ..rest.clone() }] {
        append(dir.path(), &line, at()).expect("a line");
    }
    let expected = [day("03", false), rest.clone(), Record { run: 1, ..rest }];
    assert_eq!(read_dir(dir.path()).expect("a ledger").records, expected);
    assert_eq!(of_job(dir.path(), "c", 1, at()).expect("a ledger").records, expected);
}

/// A ledger that users may write, with one good line of job 1.
fn open_ledger() -> (tempfile::TempDir, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = dir.path().join("ledger");
    let good = append(&ledger, &Record { node: "good".into(), ..record(1) }, at()).expect("a line");
    std::fs::set_permissions(&ledger, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    (dir, good)
}

#[test]
fn append_refuses_link_in_shared_ledger() {
    let (dir, _) = open_ledger();
    let target = dir.path().join("cron");
    std::fs::write(&target, "").expect("a file");
    std::os::unix::fs::symlink(&target, dir.path().join("ledger/solar1.2026-05.jsonl")).expect("a link");
    let error = append(&dir.path().join("ledger"), &record(2), at()).expect_err("a link").to_string();
    assert!(error.contains("is a symbolic link, and group or others may write"), "{error}");
    assert_eq!(std::fs::read(&target).expect("the file"), b"");
}

#[test]
fn hostile_files_cost_themselves_alone() {
    let (dir, good) = open_ledger();
    let ledger = dir.path().join("ledger");
    let at_name = |name: &str| ledger.join(format!("{name}.2026-05.jsonl"));
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mkfifoat(rustix::fs::CWD, at_name("fifo"), mode).expect("a FIFO");
    std::os::unix::fs::symlink("/dev/zero", at_name("zero")).expect("a link");
    std::os::unix::fs::symlink(&good, at_name("linked")).expect("a link");
    std::fs::create_dir(at_name("folder")).expect("a folder");
    // Sparse: a line of 6 GB that takes no room on disk.
    std::fs::File::create(at_name("large")).and_then(|file| file.set_len(6 << 30)).expect("a file");
    let since = std::time::Instant::now();
    let reading = of_job(&ledger, "c", 1, at()).expect("a ledger");
    assert_eq!((reading.records.len(), reading.bad_files.len()), (1, 4), "{:?}", reading.bad_files);
    let workload = Workload { uid: 1000, name: "train", gpus: 1 };
    assert_eq!(earlier_runs(&ledger, &workload, at(), 4 << 20).expect("a ledger"), []);
    assert!(since.elapsed() < std::time::Duration::from_secs(20), "{:?}", since.elapsed());
}

#[test]
fn line_out_of_range_is_refused() {
    let line = include_str!("../../tests/fixtures/ledger-v2.jsonl").trim_end();
    for (figure, name) in [
        ("\"gpu_energy_j\":1000000.0,\"energy_kwh\"", "gpu_energy_j"),
        ("\"energy_kwh\":0.5", "energy_kwh"),
        ("\"carbon_g\":100.0,\"intensity\"", "carbon_g"),
        ("\"work_done_s\":1440.0", "work_done_s"),
        ("\"modelled_gpu_energy_j\":774000.0", "modelled_gpu_energy_j"),
        ("\"embodied_g\":2.5", "embodied_g"),
        ("\"host_watts\":100.0", "host_watts"),
        ("\"pue\":1.2", "pue"),
        ("\"estimated_share\":0.0", "estimated_share"),
        ("\"share\":1.0", "share"),
        ("\"watts\":700.0", "watts"),
        ("\"seconds\":7200.0", "seconds"),
        ("\"g_per_kwh\":300.0", "g_per_kwh"),
    ] {
        for value in ["1e308", "-1.0"] {
            let (key, was) = figure.split_once(':').expect("a figure");
            let rest = was.split_once(',').map_or(String::new(), |(_, rest)| format!(",{rest}"));
            let hostile = line.replacen(figure, &format!("{key}:{value}{rest}"), 1);
            assert_ne!(hostile, line, "{figure}");
            let causes =
                [Record::parse(hostile.as_bytes()).map(|_| ()), Line::parse(hostile.as_bytes(), &mut Vec::new()).map(|_| ())];
            for cause in causes {
                let cause = cause.expect_err(figure);
                assert!(cause.starts_with(&format!("{name}: ")) && cause.contains("out of range; expected 0 to"), "{cause}");
            }
        }
    }
    let steps = line.replacen("\"onsite_w\":50.0", "\"onsite_w\":1e308", 1);
    assert!(Record::parse(steps.as_bytes()).is_err());
    assert_eq!(Line::parse(steps.as_bytes(), &mut Vec::new()).expect("a line").read_steps().len(), 0);
}

#[test]
fn bad_lines_are_counted_beside_good_ones() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = append(dir.path(), &Record { carbon_g: 1e308, ..record(1) }, at()).expect("a line");
    append(dir.path(), &record(2), at()).expect("a line");
    let reading = read_dir(dir.path()).expect("a ledger");
    assert_eq!(reading.records, [record(2)]);
    let cause = "carbon_g: 1e308: out of range; expected 0 to 1e12".to_owned();
    assert_eq!(reading.bad, [BadLine { path, line: 1, cause }]);
}
