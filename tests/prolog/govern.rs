//! The governor beside prolog and epilog: the real daemon on the stand-in's cards.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use carm::ledger::{Meter, Record};
use chrono::{SecondsFormat, TimeDelta, Utc};

use crate::job::{green, job};
use crate::node::{GREENEST_MHZ, Node};

/// A governor that is killed when the test is over.
pub struct Governor(Child);

impl Governor {
    pub fn start(node: &Node) -> Self {
        Self::start_by(node, Command::new(env!("CARGO_BIN_EXE_carm-prolog")))
    }

    /// Where `squeue` is this script.
    pub fn start_with_squeue(node: &Node, script: &str) -> Self {
        Self::start_by(node, with_squeue(node, script, &Command::new(env!("CARGO_BIN_EXE_carm-prolog"))))
    }

    fn start_by(node: &Node, mut command: Command) -> Self {
        let said = || node.log().matches("governing").count();
        let before = said();
        command.arg("--config").arg(node.path("carm.toml")).arg("govern").env_clear().env("SLURM_CONF", node.path("slurm.conf"));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("carm-prolog");
        let governor = Self(child);
        until("the governor is there", || said() > before);
        governor
    }

    /// As systemd ends it.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a process");
        assert!(self.0.wait().expect("its end").success());
    }

    pub fn kill(mut self) {
        self.0.kill().expect("a process");
        self.0.wait().expect("its end");
    }
}

impl Drop for Governor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command in a mount namespace of its own, where `squeue` is this script.
pub fn with_squeue(node: &Node, script: &str, program: &Command) -> Command {
    let squeue = ["/usr/bin", "/usr/local/bin", "/opt/slurm/bin"].map(|dir| Path::new(dir).join("squeue"));
    let squeue = squeue.iter().find(|path| path.exists()).expect("squeue; install it by tests/install-needs slurm");
    let own = node.path("squeue");
    // Anew, not written over: it may be running.
    let _ = std::fs::remove_file(&own);
    std::fs::write(&own, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"", "sh"]);
    command.arg(own).arg(squeue).arg(program.get_program()).args(program.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(program.get_envs().filter_map(|(name, text)| Some((name, text?))));
    command
}

pub fn until(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < Duration::from_secs(30), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A node that is governed every second; clocks move as soon as they may.
pub fn node() -> Node {
    Node::new().node("interval = \"1s\"\ndwell = \"1s\"")
}

pub fn sleep_s(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// An on-site trace beside the grid: so many watts for so many seconds from now on, in turn; none before and after.
pub fn roof(node: &Node, spans: &[(i64, f64)]) {
    let now = Utc::now();
    let at = |seconds: i64| (now + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut rows = format!("{},0\n", at(-1));
    let mut second = 0;
    for &(seconds, watts) in spans {
        for _ in 0..seconds {
            rows += &format!("{},{watts}\n", at(second));
            second += 1;
        }
    }
    std::fs::write(node.path("roof.csv"), format!("time,onsite_w\n{rows}")).expect("a trace");
    let config = std::fs::read_to_string(node.path("carm.toml")).expect("a configuration");
    node.config(&config.replace("gpus = 8\n", "gpus = 8\nonsite = \"roof.csv\"\nonsite_g_per_kwh = 0\n"));
}

pub fn sum(line: &Record, of: fn(&carm::ledger::Step) -> f64) -> f64 {
    line.steps.iter().map(of).sum()
}

#[test]
fn a_governed_job_is_counted_piece_by_piece_and_booked_once() {
    let node = node();
    let governor = Governor::start(&node);
    let before_j = node.energy_j(0);
    node.prolog(&green(7));
    until("the governor's clock", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    // Busy between prolog and epilog alone: what is used while those run is not to be told apart.
    let load = node.busy(&[0]);
    sleep_s(3.5);
    drop(load);
    node.epilog(&green(7)).assert_clean();
    let used_j = node.energy_j(0) - before_j;
    let line = node.line();
    assert!((line.gpu_energy_j - used_j).abs() < 0.1 * used_j, "{} J of {used_j} J", line.gpu_energy_j);
    assert!((sum(&line, |step| step.gpu_energy_j) - line.gpu_energy_j).abs() < 1e-6);
    assert!((sum(&line, |step| step.carbon_g) - line.carbon_g).abs() < 1e-9);
    assert!(line.steps.iter().any(|step| step.clock_mhz == Some(GREENEST_MHZ)), "{:#?}", line.steps);
    assert_eq!(line.clock_changes, 0, "the first clock is no change");
    let (work_s, run_s) = (line.work_done_s.expect("work"), sum(&line, |step| step.seconds));
    assert!((work_s - 0.8 * run_s).abs() < 0.15 * run_s, "{work_s} s of work in {run_s} s");
    assert_eq!((line.marks.as_slice(), line.closed, line.gpus[0].meter), (&[][..], true, Meter::Counter), "{}", node.log());
    assert!(!line.grid.is_empty());
    // What reports compare with needs the profile from the run's first second on.
    let modelled_j = line.modelled_gpu_energy_j.expect("modelled energy");
    assert!((line.gpu_energy_j / modelled_j - 1.0).abs() < 0.25, "{modelled_j} J modelled: {line:#?}");
    governor.stop();
}

#[test]
fn a_log_that_is_rotated_goes_on_in_a_new_file_with_its_next_line() {
    let node = node();
    let governor = Governor::start(&node);
    for turn in ["carm.log.1", "carm.log.2"] {
        std::fs::rename(node.path("carm.log"), node.path(turn)).expect("a log");
        let before = std::fs::read_to_string(node.path(turn)).expect("a log");
        // A broken configuration is said once, in a line of its own; that it is whole again is not said.
        let right = std::fs::read_to_string(node.path("carm.toml")).expect("a configuration");
        node.config(&format!("{right}\n[nonsense]\n"));
        until("a line in the new file", || node.log().contains("the last good one holds"));
        assert_eq!(std::fs::read_to_string(node.path(turn)).expect("a log"), before);
        node.config(&right);
        sleep_s(1.5);
    }
    // As logrotate does by `create`: the new file is there already.
    std::fs::rename(node.path("carm.log"), node.path("carm.log.3")).expect("a log");
    std::fs::write(node.path("carm.log"), "").expect("a log");
    governor.stop();
    assert!(node.log().contains("ended; every job keeps"), "{}", node.log());
}

#[test]
fn monitoring_and_ledger_say_alike_what_a_jobs_carbon_is_made_of() {
    let trace = "source = \"trace\"\npath = \"de.csv\"\n";
    // Nothing is fetched here: the typical day stands in for WattTime's marginal intensity, and that is average.
    let live = "source = \"watttime\"\ntoken_file = \"token\"\n";
    for (source, word) in [(format!("{trace}signal = \"marginal\"\n"), "marginal"), (live.to_owned(), "average")] {
        let node = node();
        let config = std::fs::read_to_string(node.path("carm.toml")).expect("a configuration").replace(trace, &source);
        node.config(&format!("[grid]\ncache_dir = \"{}\"\n{config}", node.path("cache").display()));
        let governor = Governor::start(&node);
        node.prolog(&green(7));
        let page = || String::from_utf8(node.by_hand(&["status", "--prometheus"]).stdout).expect("a page");
        let of_job = format!("partition=\"gpu\",intensity=\"{word}\"}}");
        until("its carbon is shown", || page().contains("\ncarm_job_carbon_grams_total{"));
        let page = page();
        let line_of = |name: &str| page.lines().find(|line| line.starts_with(name)).expect("a series");
        assert!(line_of("carm_job_carbon_grams_total{").contains(&of_job), "{page}");
        let of_grid = format!("kind=\"{word}\"}}");
        assert!(line_of("carm_grid_carbon_intensity_grams_per_kwh{").contains(&of_grid), "{page}");
        node.epilog(&green(7)).assert_clean();
        assert_eq!(node.line().intensity.word(), word);
        governor.stop();
    }
}

#[test]
fn jobs_on_one_gpu_divide_its_onsite_share() {
    let node = node().node("shared_gpus = true");
    roof(&node, &[(30, 8.0 * 600.0)]);
    let ids = [7, 8];
    for id in ids {
        node.prolog(&green(id));
    }
    sleep_s(1.0);
    for id in ids {
        node.epilog(&green(id));
    }
    // One GPU of eight, half of it for each job; the last epilog has a moment alone.
    let onsite_w: f64 = node.ledger().iter().map(|line| line.steps.iter().map(|step| step.onsite_w).fold(0.0, f64::max)).sum();
    assert!((550.0..750.0).contains(&onsite_w), "{onsite_w} W: {:#?}", node.ledger());
}

#[test]
fn a_job_whose_time_runs_out_goes_to_full_clock() {
    let node = node();
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    // 10 s of work, and 5 s are kept in hand: there are some seconds for a slower clock.
    node.prolog(&job(7).work("10s").deadline_in("19s"));
    until("the governor's clock", || node.lock(0).is_some());
    until("full clock", || node.locked().is_empty());
    assert!(node.log().contains("full clock"), "{}", node.log());
    node.epilog(&job(7).work("10s").deadline_in("19s"));
    assert!(node.line().clock_changes >= 1);
}

#[test]
fn a_clock_that_the_driver_does_not_take_is_tried_again_at_every_look() {
    // The GPU does not answer when full clock is due, for three looks and some.
    let node = node().faulty("[[fault]]\ncall = \"nvmlDeviceResetGpuLockedClocks\"\ncode = 15\ntimes = 7\n");
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    let short = job(7).work("10s").deadline_in("19s");
    node.prolog(&short);
    until("the governor's clock", || node.lock(0).is_some());
    until("it is said", || node.log().contains("full clock is not set, and tried again"));
    assert!(node.lock(0).is_some(), "{}", node.log());
    until("full clock", || node.locked().is_empty());
    until("it is known", || node.log().contains(" -> full clock"));
    assert_eq!(node.log().matches("tried again").count(), 1, "{}", node.log());
    node.epilog(&short).assert_clean();
    assert_eq!(node.line().marks, [], "{}", node.log());
}

#[test]
fn clocks_follow_the_sun_within_an_interval() {
    let node = node();
    // All of full clock's power for the one GPU of eight: (380 + 100) x 1.2 W.
    roof(&node, &[(6, 0.0), (6, 8.0 * 600.0)]);
    let sun = Instant::now() + Duration::from_secs(6);
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    // Short enough that some seconds of sun are worth a change.
    let short = job(7).work("40s").deadline_in("5m");
    node.prolog(&short);
    until("the governor's clock", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    until("the sun's full clock", || node.locked().is_empty());
    assert!(Instant::now() + Duration::from_millis(300) >= sun, "before the sun");
    until("the sun is gone", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    node.epilog(&short).assert_clean();
    assert!(node.line().steps.iter().any(|step| step.onsite_w > 0.0));
}

/// The same roof as a zone's data, as carm-grid leaves a meter's.
fn live_roof(node: &Node, spans: &[(i64, f64)]) {
    let now = Utc::now();
    let (mut steps, mut from) = (Vec::new(), now - TimeDelta::seconds(1));
    for &(seconds, watts) in [(1, 0.0)].iter().chain(spans) {
        steps.push(carm::grid::Step::exact(from, watts));
        from += TimeDelta::seconds(seconds);
    }
    let data = carm::grid::cache::ZoneData {
        zone: "roof".into(),
        source: "prometheus".into(),
        intensity: carm::grid::Intensity::Average,
        fetched: now,
        observed_until: now,
        carbon_g_per_kwh: None,
        renewable_share: None,
        onsite_w: carm::grid::Signal::new(steps, from + TimeDelta::hours(1)),
    };
    carm::grid::cache::write(&node.path("cache"), &data).expect("written");
    let zone = "[[zone]]\nname = \"roof\"\nsource = \"prometheus\"\nbase_url = \"http://127.0.0.1:9\"\nquery = \"w\"\nquantity = \"onsite_w\"\n";
    let grid = format!("[grid]\ncache_dir = \"{}\"\n{zone}", node.path("cache").display());
    let config = std::fs::read_to_string(node.path("carm.toml")).expect("a configuration");
    let config = config.replace("gpus = 8\n", "gpus = 8\nonsite_zone = \"roof\"\nonsite_g_per_kwh = 0\n");
    node.config(&(grid + &config));
}

#[test]
fn clocks_follow_a_live_meters_sun() {
    let node = node();
    live_roof(&node, &[(6, 0.0), (6, 8.0 * 600.0), (1, 0.0)]);
    let _governor = Governor::start(&node);
    let _load = node.busy(&[0]);
    let short = job(7).work("40s").deadline_in("5m");
    node.prolog(&short);
    until("the governor's clock", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    until("the sun's full clock", || node.locked().is_empty());
    until("the sun is gone", || node.lock(0).map(|(_, high)| high) == Some(GREENEST_MHZ));
    node.epilog(&short).assert_clean();
    assert!(node.line().steps.iter().any(|step| step.onsite_w > 0.0));
}

#[test]
fn a_killed_governor_begins_again_and_nothing_is_counted_twice_or_lost() {
    let node = node();
    let before_j = node.energy_j(0);
    let mut governor = Governor::start(&node);
    node.prolog(&green(7));
    let load = node.busy(&[0]);
    for round in 0..6 {
        sleep_s(0.35 + 0.07 * f64::from(round));
        governor.kill();
        governor = Governor::start(&node);
    }
    governor.kill();
    drop(load);
    node.epilog(&green(7)).assert_clean();
    let used_j = node.energy_j(0) - before_j;
    let line = node.line();
    assert!((line.gpu_energy_j - used_j).abs() < 0.1 * used_j, "{} J of {used_j} J", line.gpu_energy_j);
    let run_s = sum(&line, |step| step.seconds);
    let span = carm::quantity::parse_instant(&line.end).expect("an end")
        - carm::quantity::parse_instant(line.start.as_deref().expect("a start")).expect("a start");
    assert!((run_s - span.as_seconds_f64()).abs() < 0.05, "{run_s} s of {span}");
    assert_eq!(line.marks, [], "{}", node.log());
}

#[test]
fn an_ended_governor_leaves_a_clock_that_holds_to_the_end() {
    let node = node();
    roof(&node, &[(60, 8.0 * 600.0)]);
    let governor = Governor::start(&node);
    node.prolog(&green(7));
    until("it is governed", || node.log().contains("job 7"));
    governor.stop();
    assert!(node.log().contains("every job keeps a clock that holds"), "{}", node.log());
    assert_eq!(node.lock(0).map(|(_, high)| high), Some(GREENEST_MHZ), "{}", node.log());
    node.epilog(&green(7)).assert_clean();
}

#[test]
fn two_governors_do_not_govern_one_host() {
    let node = node();
    let _governor = Governor::start(&node);
    let second = node.by_hand(&["govern"]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another governor runs on this host"), "{second:?}");
}

#[test]
fn a_card_without_an_energy_counter_is_metered_by_its_power() {
    let node = node().faulty("[[fault]]\ncall = \"nvmlDeviceGetTotalEnergyConsumption\"\ncode = 3\n");
    let _governor = Governor::start(&node);
    let before_j = node.energy_j(0);
    node.prolog(&green(7));
    let load = node.busy(&[0]);
    sleep_s(6.0);
    drop(load);
    node.epilog(&green(7));
    let used_j = node.energy_j(0) - before_j;
    let line = node.line();
    assert_eq!(line.gpus[0].meter, Meter::Power, "{line:#?}");
    assert!((line.gpu_energy_j - used_j).abs() < 0.2 * used_j, "{} J of {used_j} J", line.gpu_energy_j);
}

#[test]
fn every_node_of_a_job_goes_by_the_same_clock_whatever_its_own_meters_say() {
    let node = node();
    let _governor = Governor::start(&node);
    // 16 s of work at full clock emit 1.02 g on one GPU, at 1890 MHz 0.91 g: each node's half of the budget wants both.
    let job = job(7).work("16s").carbon("OBJECTIVE", "carbon").carbon("BUDGET", "1.984").set("SLURM_JOB_NUM_NODES", "2");
    let on = |name: &str, gpu: &str| job.clone().set("SLURMD_NODENAME", name).gpus(gpu);
    node.prolog(&on("wind1", "0")).prolog(&on("wind2", "1"));
    // The one is busy and the other idle: what they use differs by far.
    let _load = node.busy(&[0]);
    let (mut apart, mut both) = (0, std::collections::BTreeSet::new());
    for _ in 0..150 {
        let clocks = (node.lock(0), node.lock(1));
        // Between two calls of one look they may differ.
        apart = if clocks.0 == clocks.1 { 0 } else { apart + 1 };
        assert!(apart < 8, "{clocks:?}: {}", node.log());
        both.insert(clocks.0);
        sleep_s(0.1);
    }
    assert_eq!(both.len(), 2, "{both:?}: {}", node.log());
    node.epilog(&on("wind1", "0")).epilog(&on("wind2", "1"));
    let changes: Vec<u32> = node.ledger().iter().map(|line| line.clock_changes).collect();
    assert_eq!(changes[0], changes[1], "{}", node.log());
}

#[test]
fn a_run_of_days_books_a_line_a_day_that_add_up() {
    let node = node();
    let before_j = node.energy_j(0);
    node.prolog(&green(7).work("40h").deadline_in("70h").ends_in("200h"));
    // As if the prolog had been a day and a bit ago.
    let path = node.path("state/wind1/job-7.json");
    let text = std::fs::read_to_string(&path).expect("a state");
    let mut state: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let start = Utc::now() - TimeDelta::hours(25);
    state["start"] = start.to_rfc3339_opts(SecondsFormat::Millis, true).into();
    // The machine's own count would tell that it was not.
    state["counted"]["uptime"] = serde_json::Value::Null;
    std::fs::write(&path, state.to_string()).expect("a state");
    let governor = Governor::start(&node);
    until("a day's line", || !node.ledger().is_empty());
    let load = node.busy(&[0]);
    sleep_s(2.0);
    drop(load);
    governor.stop();
    node.epilog(&green(7)).assert_clean();
    let lines = node.ledger();
    assert_eq!(lines.iter().map(|line| line.closed).collect::<Vec<_>>(), [false, true], "{lines:#?}");
    let (day, rest) = (&lines[0], &lines[1]);
    assert_eq!((day.since.as_deref(), rest.since.as_deref()), (None, Some(day.end.as_str())));
    assert!(day.grid.is_empty() && !rest.grid.is_empty());
    let hours = |line: &Record| sum(line, |step| step.seconds) / 3600.0;
    assert!((hours(day) - 25.0).abs() < 0.02 && hours(rest) < 0.1, "{} h and {} h", hours(day), hours(rest));
    // The day's work is at the clock that was set, and no second of it is told twice.
    assert!((day.work_done_s.expect("work") / 3600.0 - 0.8 * 25.0).abs() < 0.1, "{:?}", day.work_done_s);
    let used_j = node.energy_j(0) - before_j;
    assert!((day.gpu_energy_j + rest.gpu_energy_j - used_j).abs() < 0.1 * used_j, "{used_j} J");
}

#[test]
fn monitoring_sees_what_the_governor_does_and_nothing_of_one_that_has_ended() {
    let node = node().node("metrics_dir = \"metrics\"");
    std::fs::create_dir(node.path("metrics")).expect("a folder");
    let page = || std::fs::read_to_string(node.path("metrics/carm.prom")).unwrap_or_default();
    let governor = Governor::start(&node);
    node.prolog(&job(7).work("10s").deadline_in("19s"));
    let load = node.busy(&[0]);
    until("full clock is counted", || page().contains("carm_clock_changes_total{") && page().contains("job_id=\"7\""));
    for name in ["carm_job_energy_joules_total", "carm_job_carbon_grams_total", "carm_governor_last_tick_timestamp_seconds"] {
        assert!(page().contains(&format!("\n{name}{{")), "{name}: {}", page());
    }
    drop(load);
    node.epilog(&job(7));
    until("an ended job is gone", || !page().contains("job_id=\"7\""));
    governor.stop();
    assert_eq!(page(), "");
}

#[test]
fn a_budget_share_is_frozen_by_the_governor() {
    let node = node();
    let governor = Governor::start(&node);
    let first = job(7).work("1h").carbon("BUDGET_SHARE", "0.8");
    node.prolog(&first);
    until("a clock within the budget", || node.lock(0).is_some());
    node.epilog(&first).assert_clean();
    until("its line", || !node.ledger().is_empty());
    let budget_g = |line: &Record| line.request.get("CARM_BUDGET").and_then(|text| text.parse::<f64>().ok());
    let frozen_g = budget_g(&node.line()).expect("grams");
    // Requeued, and said to take longer: the same budget.
    let second = job(7).work("2h").carbon("BUDGET_SHARE", "0.8").set("SLURM_RESTART_COUNT", "1");
    node.prolog(&second);
    sleep_s(2.5); // two looks
    node.epilog(&second).assert_clean();
    governor.stop();
    assert_eq!(node.ledger().iter().map(budget_g).collect::<Vec<_>>(), [Some(frozen_g); 2], "{}", node.log());
}
