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
    let found = of_job(dir.path(), "c", 7, at()).expect("a ledger");
    assert_eq!(found.iter().map(|r| (r.run, r.node.as_str())).collect::<Vec<_>>(), [(0, "a"), (0, "b"), (1, "a")]);
    assert_eq!(of_job(&dir.path().join("none"), "c", 7, at()).expect("none"), []);
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
    assert_eq!(of_job(dir.path(), "c", 1, at()).expect("a ledger"), expected);
}
