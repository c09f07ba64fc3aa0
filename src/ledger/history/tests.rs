use super::super::tests::record;
use super::super::{Exit, append, earlier_runs, file_name};
use super::*;
use crate::quantity::format_instant;
use proptest::prelude::*;

const TRAIN: Workload = Workload { uid: 1000, name: "train", gpus: 1 };

fn day(day: u32) -> DateTime<Utc> {
    parse_instant(&format!("2026-05-{day:02}T12:00:00Z")).expect("a day")
}

/// A run of one node and one GPU that ended well on a day of May.
fn done(job: u32, on: u32, work_s: f64) -> Record {
    Record {
        name: Some("train".into()),
        end: format_instant(day(on)),
        exit: Some(Exit { code: 0, signal: 0 }),
        work_done_s: Some(work_s),
        ..record(job)
    }
}

/// The same cut into daily lines; the last one closes.
fn daily(job: u32, days: &[(u32, f64)]) -> Vec<Record> {
    let line = |k: usize| Record {
        since: k.checked_sub(1).map(|before| format_instant(day(days[before].0))),
        closed: k + 1 == days.len(),
        exit: (k + 1 == days.len()).then_some(Exit { code: 0, signal: 0 }),
        ..done(job, days[k].0, days[k].1)
    };
    (0..days.len()).map(line).collect()
}

fn works(records: &[Record]) -> Vec<f64> {
    runs_that_tell(records, &TRAIN).iter().map(|run| run.work_s).collect()
}

#[test]
fn no_run_tells_nothing_and_one_run_tells_its_own_time() {
    assert_eq!(predict([]), None);
    assert_eq!(predict([3599.2]), Some(Prediction { work_s: 3600, runs: 1 }));
}

#[test]
fn names_in_any_script_have_separate_histories() {
    let named = |job, name: &str| Record { name: Some(name.into()), ..done(job, 1, 100.0) };
    let records = [named(1, "训练"), named(2, "测试"), named(3, "__")];
    let runs = |name| runs_that_tell(&records, &Workload { name, ..TRAIN }).len();
    assert_eq!((runs("训练"), runs("测试"), runs("모델")), (1, 1, 0));
}

#[test]
fn default_names_have_no_history() {
    for name in ["", "wrap", "sbatch", "interactive", "bash", "stdin", "0", "63", "python3.11"] {
        let records = [Record { name: Some(name.into()), ..done(1, 1, 100.0) }];
        assert_eq!(runs_that_tell(&records, &Workload { name, ..TRAIN }), [], "{name}");
    }
    for name in ["wrapper", "train.sh", "python-train", "v2"] {
        assert!(!is_default_name(name), "{name}");
    }
}

#[test]
fn of_few_runs_the_longest_counts_and_of_many_the_slowest_are_accidents() {
    let with_outlier = |ordinary: usize| predict(std::iter::once(9000.0).chain(std::iter::repeat_n(100.0, ordinary)));
    assert_eq!(with_outlier(8), Some(Prediction { work_s: 9000, runs: 9 }));
    assert_eq!(with_outlier(9), Some(Prediction { work_s: 100, runs: 10 }));
    assert_eq!(with_outlier(500), Some(Prediction { work_s: 100, runs: NEWEST }));
}

#[test]
fn runs_older_than_the_newest_twenty_do_not_count() {
    let faster_since = std::iter::repeat_n(50.0, NEWEST).chain(std::iter::repeat_n(5000.0, 100));
    assert_eq!(predict(faster_since), Some(Prediction { work_s: 50, runs: NEWEST }));
}

#[test]
fn only_runs_that_are_known_to_have_ended_well_tell() {
    let exit = |code, signal| Record { exit: Some(Exit { code, signal }), ..done(1, 1, 100.0) };
    for untold in [
        exit(1, 0),
        exit(0, 9),
        Record { exit: None, ..done(1, 1, 100.0) },
        Record { closed: false, ..done(1, 1, 100.0) },
        Record { work_done_s: None, ..done(1, 1, 100.0) },
        Record { work_done_s: Some(f64::NAN), ..done(1, 1, 100.0) },
        Record { end: "yesterday".into(), ..done(1, 1, 100.0) },
        Record { marks: vec![Mark::NoProlog], ..done(1, 1, 100.0) },
        Record { request: [("CARM_LATENCY".to_owned(), "50".to_owned())].into(), ..done(1, 1, 100.0) },
        Record { run: 1, ..done(1, 1, 100.0) },
    ] {
        assert_eq!(works(std::slice::from_ref(&untold)), [0.0; 0], "{untold:?}");
    }
    assert_eq!(works(&[exit(0, 0)]), [100.0]);
}

#[test]
fn others_jobs_and_other_jobs_do_not_tell() {
    let one = || done(1, 1, 100.0);
    let two_gpus = vec![one().gpus[0].clone(), one().gpus[0].clone()];
    for foreign in [
        Record { uid: Some(1001), ..one() },
        Record { uid: None, ..one() },
        Record { name: Some("train2".into()), ..one() },
        Record { name: None, ..one() },
        Record { gpus: two_gpus, ..one() },
        Record { gpus: Vec::new(), ..one() },
    ] {
        assert_eq!(works(&[foreign]), [0.0; 0]);
    }
}

#[test]
fn a_job_on_several_nodes_is_one_run_as_long_as_its_slowest_node() {
    let on = |node: &str, work_s| Record { node: node.into(), ..done(1, 1, work_s) };
    let pair = [on("a", 100.0), on("b", 120.0)];
    let two = Workload { gpus: 2, ..TRAIN };
    let runs = runs_that_tell(&pair, &two);
    assert_eq!(runs.iter().map(|run| run.work_s).collect::<Vec<_>>(), [120.0]);
    assert_eq!(works(&pair), [0.0; 0], "two GPUs in all");
    let failed_on_b = [on("a", 100.0), Record { exit: Some(Exit { code: 1, signal: 0 }), ..on("b", 120.0) }];
    assert_eq!(runs_that_tell(&failed_on_b, &two), []);
}

#[test]
fn one_jobs_number_on_two_clusters_is_two_runs() {
    let there = Record { cluster: "other".into(), ..done(1, 2, 300.0) };
    assert_eq!(works(&[done(1, 1, 100.0), there]), [300.0, 100.0]);
}

#[test]
fn the_days_of_a_long_run_add_up_and_a_missing_day_spoils_it() {
    let lines = daily(1, &[(1, 80_000.0), (2, 70_000.0), (3, 5.0)]);
    assert_eq!(works(&lines), [150_005.0]);
    for missing in 0..3 {
        let mut rest = lines.clone();
        rest.remove(missing);
        assert_eq!(works(&rest), [0.0; 0], "without line {missing}");
    }
    let twice = [&lines[..], &lines[1..2]].concat();
    assert_eq!(works(&twice), [150_005.0], "a day that was written twice counts once");
}

#[test]
fn the_run_names_its_card_where_all_its_gpus_are_of_one_model() {
    let mut one = done(1, 1, 100.0);
    one.gpus[0].model = Some("H100".into());
    let model = |records: &[Record], gpus| runs_that_tell(records, &Workload { gpus, ..TRAIN })[0].model.clone();
    assert_eq!(model(std::slice::from_ref(&one), 1).as_deref(), Some("H100"));
    let mut other = Record { node: "b".into(), ..one.clone() };
    other.gpus[0].model = Some("A100".into());
    assert_eq!(model(&[one, other], 2), None);
}

#[test]
fn the_newest_runs_are_found_in_the_files_of_all_nodes_and_of_the_months_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |text| parse_instant(text).expect("a time");
    for (job, node, when) in [
        (1, "a", "2025-10-31T00:00:00Z"),
        (2, "a", "2025-12-31T00:00:00Z"),
        (3, "b", "2026-05-01T00:00:00Z"),
        (4, "a", "2026-05-31T00:00:00Z"),
    ] {
        let line = Record { node: node.into(), end: format_instant(at(when)), ..done(job, 1, f64::from(job)) };
        append(dir.path(), &line, at(when)).expect("a line");
        append(dir.path(), &Record { uid: Some(7), ..line }, at(when)).expect("another user's line");
    }
    let found = earlier_runs(dir.path(), &TRAIN, at("2026-05-31T12:00:00Z"), 1 << 20).expect("a ledger");
    assert_eq!(found.iter().map(|run| run.work_s).collect::<Vec<_>>(), [4.0, 3.0, 2.0]);
    assert_eq!(earlier_runs(&dir.path().join("none"), &TRAIN, day(1), 1 << 20).expect("no folder"), []);
    let file = dir.path().join(file_name("a", at("2026-05-31T00:00:00Z")));
    assert!(earlier_runs(&file, &TRAIN, day(1), 1 << 20).is_err(), "a file is no folder");
}

#[test]
fn no_more_is_read_than_the_caller_allows_and_a_cut_line_is_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    for job in 0..400 {
        append(dir.path(), &done(job, 1, f64::from(job + 1)), day(1)).expect("a line");
    }
    let length = std::fs::metadata(dir.path().join(file_name("solar1", day(1)))).expect("the file").len();
    let found = |most| earlier_runs(dir.path(), &TRAIN, day(1), most).expect("a ledger").len();
    assert_eq!(found(1 << 30), 400);
    assert_eq!(found(length), 400);
    let half = found(length / 2);
    assert!((195..200).contains(&half), "{half} runs in half of the file");
    assert_eq!(found(length / 400 * 5 / 2), 2);
    assert_eq!(found(0), 0);
}

#[test]
fn a_name_that_json_writes_otherwise_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let name = "say \"hi\" \\ 1000";
    append(dir.path(), &Record { name: Some(name.into()), ..done(1, 1, 5.0) }, day(1)).expect("a line");
    let found = earlier_runs(dir.path(), &Workload { name, ..TRAIN }, day(1), 1 << 20).expect("a ledger");
    assert_eq!(found.len(), 1);
}

proptest! {
    #[test]
    fn nine_of_ten_of_the_runs_were_no_longer_than_the_prediction(times in prop::collection::vec(0.5..1e7_f64, 1..60)) {
        let prediction = predict(times.iter().copied()).expect("a prediction");
        let newest = &times[..times.len().min(NEWEST)];
        let within = newest.iter().filter(|&&time| time <= prediction.work_s as f64).count();
        prop_assert!(within * 10 >= newest.len() * 9);
        prop_assert!(newest.iter().any(|time| time.ceil() as u64 == prediction.work_s), "one of the runs");
        let mut other_order = newest.to_vec();
        other_order.reverse();
        prop_assert_eq!(predict(other_order), Some(prediction));
    }

    #[test]
    fn neither_the_order_of_lines_nor_foreign_ones_change_what_tells(
        jobs in prop::collection::vec((1..28_u32, 1.0..1e5_f64, 0..4_u8), 0..12),
        seed in any::<u64>(),
    ) {
        let mut lines: Vec<Record> = Vec::new();
        let mut expected: Vec<f64> = Vec::new();
        for (job, &(on, work_s, kind)) in jobs.iter().enumerate() {
            let job = job as u32;
            match kind {
                0 => lines.push(Record { exit: Some(Exit { code: 1, signal: 0 }), ..done(job, on, work_s) }),
                1 => lines.push(Record { uid: Some(1), ..done(job, on, work_s) }),
                2 => {
                    lines.push(done(job, on, work_s));
                    expected.push(work_s);
                }
                _ => {
                    let cut = daily(job, &[(on, work_s), (on + 1, work_s)]);
                    lines.extend(cut);
                    expected.push(work_s + work_s);
                }
            }
        }
        // A shuffle by the seed.
        lines.sort_by_key(|line| (u64::from(line.job) + line.end.len() as u64 + u64::from(line.closed)).wrapping_mul(seed | 1));
        let mut found = works(&lines);
        found.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        prop_assert_eq!(found, expected);
    }
}
