use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use carm::config::Service;
use carm::grid::Intensity;
use chrono::TimeDelta;

use super::super::bench::{Bench, at, example};
use super::*;

const SHORT: Bounds = Bounds { time: Duration::from_millis(1500), out_bytes: 100_000, err_bytes: 1000 };

/// Somebody who is not root and whom this test may run as.
fn somebody() -> String {
    if Uid::effective().is_root() { "nobody".to_owned() } else { User::from_uid(Uid::effective()).unwrap().unwrap().name }
}

fn bench(words: &[&str]) -> Bench {
    let mut bench = Bench::of(Service::Command, "roof");
    bench.live.command = words.iter().map(|&word| word.to_owned()).collect();
    bench.live.user = Some(somebody());
    bench
}

fn script(text: &str) -> Bench {
    bench(&["/bin/sh", "-c", text])
}

fn ask(bench: &Bench) -> Result<Reading, String> {
    let Bench { live, intensity, now, since, until, .. } = bench;
    let ask = Ask { live, intensity: *intensity, token: None, now: *now, since: *since, until: *until };
    ask_within(&ask, SHORT).map_err(|fault| fault.to_string())
}

fn told(series: &Series) -> Vec<(i64, i64, f64)> {
    let hour = |point: &Point| ((point.from - at("2026-05-01T00:00:00Z")).num_minutes(), point.length.num_minutes(), point.value);
    series.observed.iter().chain(&series.forecast).map(hour).collect()
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/command.md");
    let bench = bench(&["/bin/echo", example(page, 0)]);
    let reading = ask(&bench).expect("a reading");
    let line = |point: &Point| {
        let band = point.band.map_or(String::new(), |(low, high)| format!(" ({low} to {high})"));
        let kind = if point.from <= bench.now { "observed" } else { "forecast" };
        let (from, minutes) = (point.from.format("%Y-%m-%dT%H:%MZ"), point.length.num_minutes());
        format!("{from}, {minutes} minutes: {} g/kWh{band}, {kind}", point.value)
    };
    let carbon = &reading.carbon_g_per_kwh;
    let told: Vec<String> = carbon.observed.iter().chain(&carbon.forecast).map(line).collect();
    assert_eq!(told.join("\n"), example(page, 1));
}

#[test]
fn what_has_begun_is_past_the_rest_forecast_and_what_is_known_is_left_out() {
    let rows = "time,onsite_w,renewable_share\n2026-04-30T11:00Z,1,0.1\n2026-04-30T12:00Z,2,0.2\n2026-04-30T13:00Z,3,0.3\n";
    let reading = ask(&bench(&["/bin/echo", rows])).expect("a reading");
    // A day back from ten past twelve.
    assert_eq!(told(&reading.onsite_w), [(-720, 60, 2.0), (-660, 60, 3.0)]);
    assert_eq!(told(&reading.renewable_share), [(-720, 60, 0.2), (-660, 60, 0.3)]);
    let rows = "time,onsite_w\n2026-05-01T11:00Z,1\n2026-05-01T12:00Z,2\n2026-05-01T13:00Z,3\n";
    let reading = ask(&bench(&["/bin/echo", rows])).expect("a reading");
    assert_eq!((reading.onsite_w.observed.len(), reading.onsite_w.forecast.len()), (2, 1));
    assert_eq!((reading.carbon_g_per_kwh, reading.remarks.len()), (Series::default(), 0));
}

#[test]
fn it_runs_as_the_named_user_without_groups_environment_or_a_shell() {
    let mut bench = script(
        "printf 'time,onsite_w\\n2026-05-01T12:00Z,%s\\n2026-05-01T13:00Z,%s\\n' \"$(id -u)\" \"$(id -G | wc -w)\"; \
         env | cut -d= -f1 | sort | tr '\\n' ' ' >&2; pwd >&2",
    );
    let expected = User::from_name(&somebody()).unwrap().unwrap();
    let reading = ask(&bench).expect("a reading");
    assert_eq!(reading.onsite_w.observed[0].value, f64::from(expected.uid.as_raw()));
    if Uid::effective().is_root() {
        assert_eq!(reading.onsite_w.forecast[0].value, 1.0, "one group, its own");
    } else {
        eprintln!("not checked: only root changes groups");
    }
    bench.live.command[2].push_str("; exit 3");
    let error = ask(&bench).expect_err("a status");
    assert!(error.starts_with("command '/bin/sh': ended with status 3: 'HOME LANG LOGNAME PATH PWD TZ USER"), "{error}");
    // Words are words.
    let reading = ask(&bench_of_words("time,onsite_w\n2026-05-01T12:00Z,1 # $(id) ; `id` *\n2026-05-01T13:00Z,1\n"));
    assert!(reading.expect_err("no number").contains("onsite_w '1 # $(id) ; `id` *': not a number"));
}

fn bench_of_words(text: &str) -> Bench {
    bench(&["/bin/echo", text])
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mark = folder.path().join("numbers");
    let started = Instant::now();
    let text = format!("sleep 600 & echo $! > {0}; echo $$ >> {0}; echo busy >&2; wait", mark.display());
    let error = ask(&script(&text)).expect_err("too long");
    assert_eq!(error, "command '/bin/sh': took longer than 1.5 s and was ended: 'busy'");
    assert!(started.elapsed() < Duration::from_secs(60));
    for number in fs::read_to_string(&mark).unwrap().lines() {
        assert!(is_gone(number), "{number} is still there");
    }
}

/// Whether a process has ended, be it that nobody has waited for it yet.
fn is_gone(number: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match fs::read_to_string(format!("/proc/{number}/stat")) {
            Err(_) => return true,
            Ok(stat) if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) => return true,
            Ok(_) if Instant::now() > deadline => return false,
            Ok(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn a_child_that_stays_behind_with_the_output_open_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mark = folder.path().join("number");
    let rows = "time,onsite_w\\n2026-05-01T12:00Z,1\\n2026-05-01T13:00Z,1\\n";
    let text = format!("sleep 600 & echo $! > {}; printf '{rows}'", mark.display());
    let reading = ask(&script(&text)).expect("a reading");
    assert_eq!(reading.onsite_w.observed.len(), 1);
    assert!(is_gone(fs::read_to_string(&mark).unwrap().trim()), "it is still there");
}

#[test]
fn output_without_an_end_is_ended_and_much_on_standard_error_is_no_trouble() {
    let error = ask(&script("yes")).expect_err("too much");
    assert_eq!(error, "command '/bin/sh': printed more than 100000 bytes and was ended");
    let rows = "time,onsite_w\\n2026-05-01T12:00Z,1\\n2026-05-01T13:00Z,1\\n";
    let reading = ask(&script(&format!("head -c 300000 /dev/zero >&2; printf '{rows}'"))).expect("a reading");
    assert_eq!(reading.onsite_w.observed.len(), 1);
}

#[test]
fn what_goes_wrong_is_told_in_its_own_words() {
    for (text, cause) in [
        ("echo; echo '  no meter: \u{1b}[31m/dev/ttyS0' >&2; echo more >&2; exit 2", "ended with status 2: 'no meter: "),
        ("kill -9 $$", "was ended by signal 9"),
        ("true", "its output, line 1: no column 'time'"),
        ("echo time,onsite_w", "its output, line 1: a trace needs two rows"),
        (
            "printf 'time,onsite_w\\n2026-05-01T12:00,1\\n'",
            "its output, line 2: time '2026-05-01T12:00': not RFC 3339 with a zone",
        ),
        ("printf '\\377\\376'", "its output, line 1: not UTF-8 text"),
    ] {
        let error = ask(&script(text)).expect_err(cause);
        assert!(error.starts_with(&format!("command '/bin/sh': {cause}")) && !error.contains('\u{1b}'), "{error}");
    }
    let absent = ask(&bench(&["/nonexistent/roof"])).expect_err("absent");
    assert!(absent.contains("command '/nonexistent/roof': cannot be run as user") && absent.contains("No such file"), "{absent}");
    let relative = ask(&bench(&["roof"])).expect_err("relative");
    assert_eq!(relative, "command 'roof': give its whole path; there is no search for it");
}

#[test]
fn nothing_runs_as_root_and_only_root_runs_it_as_somebody_else() {
    let as_user = |user: &str, mine: u32| {
        let mut bench = script("true");
        bench.live.user = Some(user.to_owned());
        account(&bench.live, Uid::from_raw(mine))
    };
    assert_eq!(as_user("root", 0), Err("user: 'root' is root by another name; name another user".to_owned()));
    assert_eq!(as_user("nobody-of-here", 0), Err("user: 'nobody-of-here': this host knows no such user".to_owned()));
    let nobody = User::from_name("nobody").unwrap().expect("nobody is everywhere");
    let uid = nobody.uid.as_raw();
    assert_eq!(as_user("nobody", 0).expect("root may").ids, Some((uid, nobody.gid.as_raw())));
    assert_eq!(as_user("nobody", uid).expect("itself").ids, None);
    let expected = "user: 'nobody': carm-grid runs as daemon, and only root can run a command as somebody else; \
                    run carm-grid as root, or give user = \"daemon\"";
    let daemon = User::from_name("daemon").unwrap().expect("daemon is everywhere").uid.as_raw();
    assert_eq!(as_user("nobody", daemon), Err(expected.to_owned()));
}

#[test]
fn a_trace_of_the_world_is_read_as_it_is() {
    let mut bench = Bench { intensity: Intensity::Marginal, ..script("true") };
    let world = bench.world();
    let mut text = "time,carbon_g_per_kwh,onsite_w\n".to_owned();
    for minutes in (0..48 * 60).step_by(30) {
        let t = bench.since.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc() + TimeDelta::minutes(minutes);
        text += &format!("{},{},{}\n", t.format("%Y-%m-%dT%H:%M:%SZ"), world.marginal("X", t), world.onsite_w("X", t));
    }
    bench.live.command = vec!["/bin/echo".to_owned(), text];
    let reading = bench.ask().expect("a reading");
    super::super::bench::holds(&reading.carbon_g_per_kwh.observed, 48, 30, 1e-9, |t| world.marginal("X", t));
    super::super::bench::holds(&reading.onsite_w.forecast, 23, 30, 1e-9, |t| world.onsite_w("X", t));
    assert_eq!(bench.server.seen().len(), 0, "nobody else is asked");
    assert_eq!(bench.areas(), Ok(Vec::new()));
}
