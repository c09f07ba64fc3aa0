//! Jobs that keep full clock: those that ask for nothing, and those whose request cannot be taken at its word. The latter get
//! one line in the log and a mark in the ledger.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use carm::ledger::Mark;
use carm::request::OPTIONS;
use chrono::TimeDelta;

use crate::job::{Job, green, job};
use crate::node::{Node, assert_marks, files};

/// Runs the job through, and holds it to full clock, one line in the log for the prolog, and these marks.
fn refused(node: &Node, job: &Job, marks: &[Mark], cause: &str) {
    node.prolog(job);
    assert_eq!(node.locked(), [0; 0], "{}", node.log());
    assert_eq!(node.log().lines().count(), 1, "{}", node.log());
    assert!(node.log().contains(cause), "{cause}: {}", node.log());
    node.epilog(job).assert_clean();
    let line = node.line();
    assert_marks(&line, marks);
    assert!(line.decision.contains(cause), "{cause}: {}", line.decision);
}

#[test]
fn a_job_without_carbon_options_costs_no_work_no_word_no_call_and_no_file() {
    let node = Node::new();
    let before = files(&node.path(""));
    node.prolog(&job(7)).epilog(&job(7));
    assert_eq!(files(&node.path("")).len(), before.len(), "{:?}", files(&node.path("")));
    assert!(!node.path("gpus/calls.log").exists(), "NVML was called");
}

#[test]
fn carbon_off_and_jobs_without_gpus_are_left_alone_entirely() {
    let node = Node::new();
    let off = green(7).carbon("OFF", "");
    let none = green(8).without("SLURM_JOB_GPUS").without("CUDA_VISIBLE_DEVICES");
    node.prolog(&off).epilog(&off).prolog(&none).epilog(&none);
    assert!(!node.path("gpus/calls.log").exists() && !node.path("state").exists() && node.ledger().is_empty());
}

#[test]
fn forged_options_of_every_kind_are_refused_whole() {
    let long = "9".repeat(100_000);
    let hostile = ["$(reboot)", "-1", "1e309", "NaN", "\u{202e}fdp", "\u{1b}[2J\nJan 1 kernel: x", "../../etc/passwd", &long];
    for spec in OPTIONS {
        let name = spec.variable.strip_prefix("CARM_").unwrap();
        // Any text means off; a name and a profile's name may be many things.
        if ["OFF", "NAME"].contains(&name) {
            continue;
        }
        for text in hostile {
            let node = Node::new();
            node.prolog(&green(7).carbon(name, text));
            assert_eq!(node.locked(), [0; 0], "{name}={text:.40}: {}", node.log());
            assert_eq!(node.log().lines().count(), 1, "{name}={text:.40}: {}", node.log());
            assert!(node.log().len() < 1000 && !node.log().contains('\u{1b}'), "{}", node.log());
            node.epilog(&green(7).carbon(name, text)).assert_clean();
            assert!(node.line().marks.contains(&Mark::RequestRefused), "{name}={text:.40}: {:?}", node.line());
        }
    }
}

#[test]
fn another_version_and_text_that_is_no_text_are_refused() {
    for version in ["2", "", "1 ", "(null)"] {
        refused(&Node::new(), &green(7).set("SPANK_CARM_V", version), &[Mark::RequestRefused], "CARM_V");
    }
    let mut bytes = green(7);
    bytes.variables.push(("SPANK_CARM_BUDGET".into(), OsString::from_vec(vec![b'5', 0xff])));
    refused(&Node::new(), &bytes, &[Mark::RequestRefused], "--carbon-budget");
}

#[test]
fn a_request_without_what_its_objective_needs_is_refused() {
    let budgetless = green(7).carbon("OBJECTIVE", "carbon");
    refused(&Node::new(), &budgetless, &[Mark::RequestRefused], "--carbon-objective=carbon without --carbon-budget");
    refused(&Node::new(), &green(7).carbon("PROFILE", "no-such"), &[Mark::RequestRefused], "'no-such': no such profile");
}

#[test]
fn job_without_deadline_is_slowed_within_patience() {
    for (work, clock_mhz) in [("1h", Some(1890)), ("20m", None)] {
        let node = Node::new();
        let timeless = job(7).work(work).carbon("OBJECTIVE", "performance");
        node.prolog(&timeless);
        assert_eq!(node.lock(0).map(|(_, highest)| highest), clock_mhz, "{work}: {}", node.log());
        node.epilog(&timeless).assert_clean();
        assert_marks(&node.line(), &[]);
    }
}

#[test]
fn a_service_whose_profile_tells_no_latency_keeps_full_clock_and_the_log_says_so() {
    refused(&Node::new(), &job(7).carbon("LATENCY", "50ms"), &[Mark::LatencyUnknown], "profile 'train' tells no latency");
}

#[test]
fn a_job_is_slowed_only_where_its_limit_and_its_work_are_known() {
    let unlimited = green(7).without("SLURM_JOB_END_TIME");
    refused(&Node::new(), &unlimited, &[Mark::LimitUnknown], "its time limit is not known: ask_limit = false");
    let aimless = job(7).deadline_in("3h");
    refused(&Node::new(), &aimless, &[Mark::WorkUnknown], "--carbon-runtime tells it");

    // What held at submission is no limit: its user may have changed it since.
    let submitted = unlimited.carbon("LIMIT_S", "86400");
    refused(&Node::new(), &submitted, &[Mark::LimitUnknown], "its time limit is not known: ask_limit = false");
}

#[test]
fn later_rounds_of_an_array_bound_the_deadline() {
    let node = Node::new();
    node.prolog(&green(7).carbon("LATER_S", "60"));
    assert_eq!(node.locked(), [0], "{}", node.log());
    refused_without_complaint(&green(7).carbon("LATER_S", "864000"));
}

#[test]
fn a_job_past_its_point_of_no_return_runs_at_full_clock_without_a_mark() {
    for late in [green(7).deadline_in("61m"), green(7).ends_in("61m"), green(7).deadline_in("-1h"), green(7).ends_in("-1h")] {
        refused_without_complaint(&late);
    }
}

fn refused_without_complaint(job: &Job) {
    let node = Node::new();
    refused(&node, job, &[], "no time to spare");
    assert_eq!(node.complaints(), [] as [String; 0]);
}

#[test]
fn a_node_of_no_site_and_a_grid_of_no_data_keep_full_clock() {
    let node = Node::new();
    let two = "[[zone]]\nname = \"DE\"\nsource = \"trace\"\npath = \"de.csv\"\n\
               [[site]]\nname = \"a\"\nzone = \"DE\"\npartition = \"x\"\ngpus = 1\n\
               [[site]]\nname = \"b\"\nzone = \"DE\"\npartition = \"y\"\ngpus = 1\n";
    node.config(&format!("{two}{}", node.node_table()));
    refused(&node, &green(7), &[Mark::NoGrid], "no [[site]] for this node");

    let ended = Node::new().grid(TimeDelta::hours(-30), TimeDelta::hours(1), &[400.0; 24]);
    ended.prolog(&green(7)).epilog(&green(7)).assert_clean();
    assert!(ended.line().decision.contains("no grid data for"), "{:?}", ended.line());
    assert_marks(&ended.line(), &[Mark::NoGrid]);
    assert_eq!(ended.line().carbon_g, 0.0);
    assert!(ended.line().gpu_energy_j > 0.0, "energy is known without a grid");
}

#[test]
fn a_job_that_outlasts_the_grid_data_keeps_full_clock() {
    let node = Node::new().grid(TimeDelta::hours(-1), TimeDelta::minutes(15), &[400.0; 7]);
    refused(&node, &green(7), &[], "the grid is not known to the job's end");
}

#[test]
fn a_budget_share_without_work_keeps_full_clock() {
    refused(&Node::new(), &job(7).carbon("BUDGET_SHARE", "0.8"), &[Mark::WorkUnknown], "its run time is not known");
}
