//! What a line says for those who come later (how the run ended, the work done, the profile), and what the prolog takes from
//! earlier lines.

use carm::ledger::{Exit, Mark, Record, append};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, Node, assert_marks};

/// A job of a name, without a word on its run time.
fn named(id: u32) -> crate::job::Job {
    job(id).deadline_in("3h").carbon("NAME", "train")
}

/// A node on which this user's job of that name ran for 50 minutes on one such card.
fn after(change: impl Fn(&mut Record)) -> Node {
    let node = Node::new();
    let mut earlier = Node::new().whole_job(&named(1).work("1h"));
    earlier.work_done_s = Some(3000.0);
    earlier.exit = Some(Exit { code: 0, signal: 0 });
    change(&mut earlier);
    append(&node.path("ledger"), &earlier, Utc::now()).unwrap();
    node
}

#[test]
fn a_job_whose_name_has_a_history_is_slowed_without_a_word_on_its_run_time() {
    let node = after(|_| ());
    node.prolog(&named(7));
    assert_eq!(node.lock(0).map(|(_, most)| most), Some(GREENEST_MHZ), "{}", node.log());
    node.epilog(&named(7));
    let line = node.ledger().into_iter().find(|line| line.job == 7).unwrap();
    assert_eq!((line.work_s, line.decision.as_str()), (Some(3000), "least carbon by the deadline"));
    assert_marks(&line, &[]);
    assert!(node.log().contains("run time 3000 s at full clock, by 1 earlier runs of 'train'"), "{}", node.log());
}

#[test]
fn what_was_said_of_the_run_time_goes_before_history() {
    assert_eq!(after(|_| ()).whole_job(&named(7).work("1h")).work_s, Some(3600));
    assert_eq!(after(|_| ()).whole_job(&named(7).carbon("RUNTIME", "00:30:00")).work_s, Some(1800));
}

#[test]
fn another_users_card_or_ending_is_no_history() {
    type Change = fn(&mut Record);
    let changes: [Change; 4] = [
        |record| record.uid = Some(1001),
        |record| record.gpus[0].model = Some("NVIDIA A100".into()),
        |record| record.exit = None,
        |record| record.name = None,
    ];
    for change in changes {
        let line = after(change).whole_job(&named(7));
        assert_marks(&line, &[Mark::WorkUnknown]);
        assert_eq!((line.work_s, line.clock_mhz), (None, None));
    }
}

fn run_s(line: &Record) -> f64 {
    let at = |text: &str| carm::quantity::parse_instant(text).unwrap();
    (at(&line.end) - at(line.start.as_deref().unwrap())).as_seconds_f64()
}

fn near(got: Option<f64>, expected: f64) -> bool {
    got.is_some_and(|got| (got - expected).abs() <= 0.002 * expected.max(1.0))
}

#[test]
fn a_slow_run_has_done_less_work_and_names_its_profile() {
    let node = Node::new();
    node.prolog(&green(7).gpus("0,1"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    node.epilog(&green(7).gpus("0,1"));
    let line = node.line();
    // 1890 MHz: 239.4 W, speed 0.8.
    assert!(near(line.work_done_s, 0.8 * run_s(&line)), "{line:?}");
    assert!(near(line.modelled_gpu_energy_j, 2.0 * 239.4 * run_s(&line)), "{line:?}");
    let profile = line.profile.unwrap();
    assert_eq!((profile.name.as_str(), profile.measured), ("train", true));
    assert_eq!((profile.full.clock_mhz, profile.full.watts, profile.full.speed), (2520, 380.0, 1.0));
    assert_eq!((profile.economical.clock_mhz, profile.economical.speed), (GREENEST_MHZ, 0.8));
}

#[test]
fn a_run_at_full_clock_has_done_the_work_of_its_time() {
    let unknown = Node::new().whole_job(&job(7).deadline_in("3h"));
    assert!(near(unknown.work_done_s, run_s(&unknown)) && unknown.profile.is_some(), "{unknown:?}");
    let plain = Node::new().node("account = \"all\"").whole_job(&job(7));
    assert!(near(plain.work_done_s, run_s(&plain)), "{plain:?}");
    assert_eq!((plain.profile, plain.modelled_gpu_energy_j), (None, None));
}

#[test]
fn a_failure_is_booked_and_a_success_only_where_slurm_confirms_it() {
    let exit = |name: &str, text: &str| {
        let node = Node::new();
        node.prolog(&green(7)).epilog(&green(7).set(name, text));
        node.line().exit
    };
    assert_eq!(exit("SLURM_JOB_EXIT_CODE2", "3:0"), Some(Exit { code: 3, signal: 0 }));
    assert_eq!(exit("SLURM_JOB_EXIT_CODE", "768"), Some(Exit { code: 3, signal: 0 }));
    assert_eq!(exit("SLURM_JOB_EXIT_CODE", "9"), Some(Exit { code: 0, signal: 9 }));
    // slurmd says the same of a job that was cancelled, and these nodes may not ask.
    assert_eq!(exit("SLURM_JOB_EXIT_CODE2", "0:0"), None);
    assert_eq!(exit("SLURM_JOB_EXIT_CODE2", "$(reboot)"), None);
    let node = Node::new();
    node.prolog(&green(7)).epilog(&green(7).set("SLURM_JOB_EXIT_CODE2", "3:0").restarted(1));
    assert_eq!(node.line().exit, None, "the run was requeued");
}

#[test]
fn when_a_deferred_job_could_have_started_stands_in_its_first_runs_line() {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let hour_ago = text(Utc::now() - TimeDelta::hours(1));
    let asked = |value: &str| Node::new().whole_job(&green(7).carbon("ASKED", value));
    assert_eq!(asked(&hour_ago).asked, Some(hour_ago.clone()));
    assert_eq!(asked(&text(Utc::now() + TimeDelta::hours(1))).asked, None, "later than the start");
    let forged = asked("now+1h");
    assert_eq!((forged.asked.as_ref(), &forged.marks[..]), (None, &[Mark::RequestRefused][..]));
    let requeued = Node::new().whole_job(&green(7).carbon("ASKED", &hour_ago).restarted(1));
    assert_eq!(requeued.asked, None);
}

#[test]
fn the_state_that_an_earlier_release_left_is_read() {
    let node = Node::new();
    node.prolog(&green(7));
    let path = node.path("state/wind1/job-7.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(state.as_object_mut().unwrap().remove("profile").is_some());
    std::fs::write(&path, state.to_string()).unwrap();
    node.epilog(&green(7)).assert_clean();
    let line = node.line();
    assert_marks(&line, &[]);
    assert_eq!((line.clock_mhz, line.profile, line.work_done_s), (Some(GREENEST_MHZ), None, None));
}
