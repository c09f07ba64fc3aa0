//! Clocks over time: as the planner would have them, and the same on all nodes of a job.

use carm::config::Config;
use carm::plan::{self, Outcome, Plan, Problem, Start};
use carm::profile::Profiles;
use carm::request::Objective;
use carm::site::{Ask, Offer, Outlook};
use chrono::{DateTime, TimeDelta, Utc};

use crate::governor::Governor;
use crate::site::{ROOF_W, Site};
use crate::{assert_true_statement, now, site, span};

/// A job's clock needs so long after a change on the roof: an interval, and what a busy machine adds.
const LATE_S: f64 = 2.5;

/// The planner's own plan of the job from its start on, by the files that the governor reads.
fn planned(site: &Site, start: DateTime<Utc>, (gpus, work_s): (u32, f64), deadline: DateTime<Utc>) -> (Plan, Vec<u32>) {
    let config = Config::load(&site.path("carm.toml")).expect("the configuration");
    let at = config.sites.iter().position(|site| site.name == "roof").expect("the roof");
    let outlook = Outlook::load(&config, &config.sites[at], start).expect("the grid");
    let (profiles, _) = Profiles::load(&site.path("profiles"));
    let profile = profiles.find(config.sites[at].profile.as_ref().expect("a profile"), Some("sim")).expect("the profile");
    let ask = Ask { now: start, gpus, work_h: work_s / 3600.0, start: Start::Fixed(0.0), max_run_h: None };
    let offer = carm::site::offer((at, &config.sites[at]), &outlook, profile, &config.planner, &ask, gpus).expect("an offer");
    let candidate = offer.candidate;
    let clocks = candidate.levels.iter().map(|level| level.clock_mhz).collect();
    let problem = Problem {
        work_gpu_h: f64::from(gpus) * candidate.work_h,
        candidates: vec![candidate],
        objective: Objective::Performance,
        deadline_h: Some(Offer::hours_until(start, deadline)),
        budget_g: None,
    };
    match plan::plan(&problem).expect("a problem") {
        Outcome::Feasible(plan) => (plan, clocks),
        Outcome::Infeasible(short) => panic!("{short:?}"),
    }
}

#[test]
fn the_clocks_follow_the_sun_as_the_planner_has_it() {
    let site = site();
    let governor = Governor::start(&site);
    let script = site.training_script("#SBATCH --gpus=2 --time=5 --carbon-runtime=0:40", 40.0);
    let deadline = now() + TimeDelta::minutes(4);
    let by = format!("--carbon-deadline={}", deadline.format("%Y-%m-%dT%H:%M:%SZ"));
    let job = site.cluster.sbatch(&["--partition=roof", "--nodelist=solar1", &by, &script]).job();
    let line = site.ledger_line(job);
    let (start, end) = span(&line);
    // Two of the site's eight GPUs.
    assert_true_statement(&site, &line, 0.25);
    assert!(line.steps.iter().all(|step| step.onsite_w == 0.0 || step.onsite_w == 0.25 * ROOF_W), "{line:#?}");

    let (plan, clocks) = planned(&site, start, (2, 40.0), deadline);
    let points = site.power_of(&line.gpus[0].uuid, start, end);
    let seconds = |at: DateTime<Utc>| at.timestamp_micros() as f64 / 1e6;
    // The clock that held at an instant under load.
    let held = |at: f64| points.iter().rfind(|point| point.0 <= at).filter(|point| point.1 > 100.0).map(|point| point.2);
    let (mut dark, mut sunny) = (0, 0);
    for tenth in 0..((end - start).num_milliseconds() / 100) {
        let at = start + TimeDelta::milliseconds(100 * tenth);
        let since = at - TimeDelta::milliseconds((LATE_S * 1e3) as i64);
        // Where the roof has held for a while, and the job is not about to end.
        let near_end = at > start + TimeDelta::milliseconds((plan.end_h * 3.6e6) as i64) - TimeDelta::seconds(12);
        if site.roof_w(since) != site.roof_w(at) || near_end {
            continue;
        }
        // Within a slot the plan's levels may come in any order.
        let slot = site.slot_of(at);
        let [from_h, to_h] = [slot.0, slot.1].map(|at| Offer::hours_until(start, at));
        let planned = plan.segments.iter().filter(|s| s.from_h < to_h && s.to_h > from_h);
        let planned: Vec<u32> = planned.map(|segment| clocks[segment.level]).collect();
        let Some(clock_mhz) = held(seconds(at)) else { continue };
        assert!(planned.contains(&clock_mhz), "{at}: {clock_mhz} MHz, {planned:?} planned: {:#?}\n{}", plan.segments, site.log());
        *if site.roof_w(at) > 0.0 { &mut sunny } else { &mut dark } += 1;
    }
    assert!(dark > 50 && sunny > 50, "{dark} and {sunny} tenths of a second were compared: {:#?}", plan.segments);
    assert!(line.clock_changes >= 3, "{}", line.clock_changes);
    site.assert_nothing_is_left();
    governor.stop();
}

#[test]
fn the_nodes_of_a_job_run_at_the_same_clock_at_the_same_moments() {
    let site = site();
    let governor = Governor::start(&site);
    let script = on_both_nodes(&site, "#SBATCH --carbon-runtime=0:30", 30.0);
    let job = site.cluster.sbatch(&["--partition=roof", "--carbon-deadline=now+4minutes", &script]).job();
    let lines = two_lines(&site, job);
    for line in &lines {
        // One of the site's eight GPUs.
        assert_true_statement(&site, line, 0.125);
        assert!(line.steps.iter().any(|step| step.onsite_w > 0.0), "{line:#?}");
    }
    let from = span(&lines[0]).0.max(span(&lines[1]).0);
    let to = span(&lines[0]).1.min(span(&lines[1]).1);
    let logs = [0, 1].map(|at| site.power_of(&lines[at].gpus[0].uuid, from, to));
    let start = from.timestamp_micros() as f64 / 1e6;
    let tenths = (to - from).num_milliseconds() / 100;
    let clock = |log: &[(f64, f64, u32)], at: f64| log.iter().rfind(|p| p.0 <= at).filter(|p| p.1 > 100.0).map(|p| p.2);
    let (mut apart, mut clocks) = (0, std::collections::BTreeSet::new());
    for tenth in 0..tenths {
        let at = start + tenth as f64 / 10.0;
        if let (Some(one), Some(other)) = (clock(&logs[0], at), clock(&logs[1], at)) {
            apart += i64::from(one != other);
            clocks.extend([one, other]);
        }
    }
    assert!(apart * 20 <= tenths, "{apart} of {tenths} tenths of a second apart\n{}", site.log());
    assert!(clocks.len() >= 2, "one clock throughout: {clocks:?}");
    site.assert_nothing_is_left();
    governor.stop().cluster.assert_no_node_was_lost();
}

#[test]
fn each_node_of_a_job_has_its_half_of_the_budget() {
    let site = site();
    site.flatten_grid(400.0);
    let governor = Governor::start(&site);
    // At full clock each node emits 400 g/kWh x 1.2 x 480 W x 20 s = 1.28 g; at the most economical one some 1.1 g.
    let submit = |budget: &str| {
        let script = on_both_nodes(&site, &format!("#SBATCH --carbon-runtime=0:20 --carbon-budget={budget}"), 20.0);
        let job = site.cluster.sbatch(&["--partition=all", &script]).job();
        two_lines(&site, job)
    };
    for line in submit("3g") {
        assert_eq!((line.clock_mhz, &line.marks[..]), (None, &[][..]), "1.5 g a node is enough: {line:#?}");
    }
    for line in submit("2.2g") {
        assert_eq!(&line.marks[..], &[carm::ledger::Mark::OverBudget], "1.1 g a node is not: {line:#?}\n{}", site.log());
        assert!(line.clock_mhz.is_some(), "{line:#?}");
    }
    site.assert_nothing_is_left();
    governor.stop();
}

/// A script for two nodes with a GPU each.
fn on_both_nodes(site: &Site, directives: &str, work_s: f64) -> String {
    let inner = site.training_script("", work_s);
    let inner = std::fs::read_to_string(inner).expect("the script");
    // In a step SLURM_JOB_GPUS is the first node's; both nodes' GPU is their first.
    let step = site.cluster.script("step.sh", &inner.replace("${SLURM_JOB_GPUS//,/ }", "0"));
    let nodes = "#SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=1 --time=5";
    site.cluster.script("nodes.sh", &format!("#!/bin/bash\n{nodes}\n{directives}\nexec srun {step}\n"))
}

/// The ledger's lines of a job on two nodes.
fn two_lines(site: &Site, job: u32) -> Vec<carm::ledger::Record> {
    crate::common::wait_for(&format!("two lines of job {job}"), || {
        let reading = carm::ledger::read_dir(&site.path("ledger")).ok()?;
        let lines: Vec<_> = reading.records.into_iter().filter(|record| record.job == job).collect();
        (lines.len() == 2).then_some(lines)
    })
}
