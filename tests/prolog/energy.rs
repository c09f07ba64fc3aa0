//! What the ledger says a job used and emitted, against the stand-in's own counter and power log.

use std::time::Duration;

use carm::ledger::Meter;
use carm::quantity::parse_instant;
use chrono::TimeDelta;

use crate::job::green;
use crate::node::{GRID, Node, assert_marks};

/// The power log of one card integrated between two instants (seconds since 1970), in joules, at `g_per_kwh(t)` each.
fn integrate(node: &Node, gres: u32, from: f64, to: f64, weight: impl Fn(f64) -> f64) -> f64 {
    let text = std::fs::read_to_string(node.path("gpus/power.csv")).unwrap();
    let card = Node::card(gres).to_string();
    let changes = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        (fields[1] == card).then(|| (fields[0].parse::<f64>().unwrap(), fields[2].parse::<f64>().unwrap()))
    });
    let changes: Vec<(f64, f64)> = changes.collect();
    let step = 0.001;
    let watts_at = |t: f64| changes.iter().rev().find(|(at, _)| *at <= t).map_or(0.0, |(_, watts)| *watts);
    let steps = ((to - from) / step) as usize;
    (0..steps).map(|k| from + (k as f64 + 0.5) * step).map(|t| watts_at(t) * weight(t) * step).sum()
}

fn seconds(text: &str) -> f64 {
    parse_instant(text).unwrap().timestamp_micros() as f64 / 1e6
}

fn assert_near(what: &str, got: f64, expected: f64, part: f64) {
    assert!((got - expected).abs() <= part * expected.abs(), "{what}: {got} instead of {expected}");
}

#[test]
fn the_lines_energy_is_the_counters_difference_and_its_carbon_the_integral_over_the_grid() {
    let node = Node::new();
    let job = green(7).gpus("0,2");
    let before = [node.energy_j(0), node.energy_j(2)];
    node.prolog(&job);
    let started = [node.energy_j(0), node.energy_j(2)];
    let load = node.busy(&[0, 2]);
    std::thread::sleep(Duration::from_millis(2000));
    let ended = [node.energy_j(0), node.energy_j(2)];
    node.epilog(&job);
    let after = [node.energy_j(0), node.energy_j(2)];
    drop(load);
    let line = node.line();
    for (k, gpu) in line.gpus.iter().enumerate() {
        assert_eq!((gpu.meter, gpu.share), (Meter::Counter, 1.0));
        assert!(gpu.energy_j >= ended[k] - started[k] && gpu.energy_j <= after[k] - before[k], "{gpu:?}");
    }
    let (from, to) = (seconds(line.start.as_deref().unwrap()), seconds(&line.end));
    let gpu_j = integrate(&node, 0, from, to, |_| 1.0) + integrate(&node, 2, from, to, |_| 1.0);
    assert_near("GPU energy", line.gpu_energy_j, gpu_j, 0.03);
    let facility_kwh = 1.2 * (line.gpu_energy_j + 2.0 * 100.0 * (to - from)) / 3.6e6;
    assert_near("facility energy", line.energy_kwh, facility_kwh, 1e-3);
    assert_near("carbon", line.carbon_g, facility_kwh * GRID, 1e-3);
    assert_eq!((line.estimated_share, line.site.as_deref(), line.zone.as_deref()), (0.0, Some("north"), Some("DE")));
    assert_marks(&line, &[]);
}

#[test]
fn a_grid_that_changes_every_second_is_followed() {
    let values: Vec<f64> = (0..7200).map(|k| if k % 2 == 0 { 100.0 } else { 700.0 }).collect();
    let node = Node::new().grid(TimeDelta::milliseconds(-500), TimeDelta::seconds(1), &values);
    let trace = std::fs::read_to_string(node.path("de.csv")).unwrap();
    let first = seconds(trace.lines().nth(1).unwrap().split(',').next().unwrap());
    let job = green(7).work("10m").deadline_in("1h");
    let load = node.busy(&[0]);
    node.prolog(&job);
    std::thread::sleep(Duration::from_millis(2300));
    node.epilog(&job);
    drop(load);
    let line = node.line();
    let (from, to) = (seconds(line.start.as_deref().unwrap()), seconds(&line.end));
    let grid = |t: f64| values[(t - first) as usize];
    let gpu_g = integrate(&node, 0, from, to, grid) / 3.6e6;
    let host_g: f64 = (0..((to - from) * 1e4) as usize).map(|k| grid(from + k as f64 / 1e4) * 100.0 / 1e4).sum::<f64>() / 3.6e6;
    // The clock falls in the prolog, which takes its time on a busy machine. The mean of the grid would be off by far more.
    assert_near("carbon", line.carbon_g, 1.2 * (gpu_g + host_g), 0.05);
}

#[test]
fn a_line_names_the_grid_that_it_was_counted_by_and_not_the_one_that_was_wanted() {
    let node = Node::new();
    let sites = format!(
        "[grid]\ncache_dir = \"{}\"\n[[zone]]\nname = \"DE\"\nsource = \"watttime\"\ntoken_file = \"token\"\n\
         [[site]]\nname = \"north\"\nzone = \"DE\"\npartition = \"gpu\"\ngpu = \"rtx4090\"\nprofile = \"train\"\ngpus = 8\n{}",
        node.path("cache").display(),
        node.node_table()
    );
    node.config(&sites);
    node.prolog(&green(7)).epilog(&green(7));
    let line = node.line();
    assert_eq!(line.grid_source.as_deref(), Some(carm::grid::TYPICAL_DAY_SOURCE), "nothing was fetched: {}", node.log());
    assert_eq!((line.intensity.word(), line.estimated_share), ("average", 1.0), "WattTime's would be marginal");
}

#[test]
fn account_all_books_a_job_without_carbon_options_at_full_clock() {
    let node = Node::new().node("account = \"all\"");
    let plain = crate::job::job(7).gpus("3");
    node.prolog(&plain);
    assert_eq!(node.locked(), [0; 0]);
    std::thread::sleep(Duration::from_millis(300));
    node.epilog(&plain).assert_clean();
    let line = node.line();
    assert!(line.gpu_energy_j > 30.0 * 0.3 && line.carbon_g > 0.0, "{line:?}");
    assert_eq!((line.decision.as_str(), line.clock_mhz), ("no carbon options", None));
    assert_marks(&line, &[]);
    assert!(line.request.is_empty());
}

#[test]
fn a_requeued_jobs_run_goes_by_the_prologs_count_and_the_budget_by_what_is_left() {
    let node = Node::new();
    // 400 g/kWh, PUE 1.2, 1 h of work: full clock 230.4 g, 1890 MHz 203.6 g.
    let job = green(7).carbon("OBJECTIVE", "carbon").carbon("BUDGET", "240");
    node.prolog(&job);
    assert_eq!(node.locked(), [0; 0], "full clock is within the budget: {}", node.log());
    // The epilog of a requeued run counts the next run already.
    node.epilog(&job.clone().restarted(1));
    assert_eq!(node.line().run, 0);
    // A shared ledger shows the run's two nodes: 30 g each in the mean.
    let first = node.line();
    std::fs::remove_dir_all(node.path("ledger")).unwrap();
    for (name, carbon_g) in [("wind1", 10.0), ("wind9", 50.0)] {
        let spent = carm::ledger::Record { carbon_g, node: name.into(), ..first.clone() };
        carm::ledger::append(&node.path("ledger"), &spent, chrono::Utc::now()).unwrap();
    }
    node.prolog(&job.clone().restarted(1));
    assert_eq!(node.locked(), [0], "210 g are left: {}", node.log());
    node.epilog(&job.restarted(2));
    let line = node.ledger().into_iter().find(|line| line.run == 1).unwrap();
    assert_eq!((line.run, line.decision.as_str()), (1, "fastest within the budget"));
}

#[test]
fn every_node_of_a_job_goes_by_its_share_of_the_budget() {
    let node = Node::new();
    let job = green(7).carbon("OBJECTIVE", "carbon").carbon("BUDGET", "420");
    node.prolog(&job);
    assert_eq!(node.locked(), [0; 0], "one node may use it all: {}", node.log());
    node.epilog(&job).prolog(&job.clone().set("SLURM_JOB_NUM_NODES", "2"));
    assert_eq!(node.locked(), [0], "of two each has 210 g: {}", node.log());
}

#[test]
fn a_budget_that_is_used_up_means_the_least_carbon_or_what_on_budget_says() {
    for (lines, locked, decision) in [
        ("", true, "the budget cannot be met; least carbon"),
        ("on_budget = \"full\"", false, "its budget is used up, and on_budget keeps its clock"),
    ] {
        let node = Node::new().node(lines);
        let job = green(7).carbon("OBJECTIVE", "carbon").carbon("BUDGET", "1").restarted(1);
        let other = Node::new();
        let spent = carm::ledger::Record { carbon_g: 5.0, run: 0, ..other.whole_job(&green(7)) };
        carm::ledger::append(&node.path("ledger"), &spent, chrono::Utc::now()).unwrap();
        node.prolog(&job);
        assert_eq!(node.lock(0).is_some(), locked, "{}", node.log());
        node.epilog(&job);
        let line = &node.ledger()[1];
        assert_marks(line, &[carm::ledger::Mark::OverBudget]);
        assert_eq!(line.decision, decision);
    }
}

#[test]
fn a_job_that_begins_over_its_budget_has_full_clock_where_on_budget_wants_no_slower_one() {
    for (on_budget, locked) in [("floor", true), ("full", false), ("notify", false)] {
        let node = Node::new().node(&format!("on_budget = \"{on_budget}\""));
        let job = green(7).carbon("OBJECTIVE", "carbon").carbon("BUDGET", "1");
        node.prolog(&job);
        assert_eq!(node.lock(0).is_some(), locked, "{on_budget}: {}", node.log());
        node.epilog(&job);
        assert_marks(&node.line(), &[carm::ledger::Mark::OverBudget]);
    }
}
