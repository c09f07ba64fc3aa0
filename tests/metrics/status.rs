//! `carm-prolog status --prometheus`: the journal, the driver and the grid as they are.

use super::job::green;
use super::node::{GREENEST_MHZ, GRID, Node};

/// The value of the one series that begins with this.
fn value(page: &str, series: &str) -> Option<f64> {
    let mut lines = page.lines().filter(|line| line.starts_with(series));
    let line = lines.next()?;
    assert_eq!(lines.next(), None, "{series} stands for several");
    line.rsplit_once(' ')?.1.parse().ok()
}

fn page(node: &Node) -> String {
    let output = node.by_hand(&["status", "--prometheus"]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_running_jobs_figures_are_shown_and_vanish_when_it_ends() {
    let node = Node::new();
    let job = green(7).gpus("2").carbon("OBJECTIVE", "performance").carbon("BUDGET", "500");
    node.prolog(&job);
    let (first, second) = (page(&node), page(&node));
    let labels = r#"{node="wind1",job_id="7",user="ada",partition="gpu"}"#;
    let used = |page: &str| value(page, &format!("carm_job_energy_joules_total{labels}")).expect("joules");
    assert!(used(&first) > 0.0 && used(&second) > used(&first), "{} {}", used(&first), used(&second));
    assert_eq!(value(&first, &format!("carm_job_budget_grams{labels}")), Some(500.0));
    assert_eq!(value(&first, &format!("carm_job_clock_limit_megahertz{labels}")), Some(f64::from(GREENEST_MHZ)));
    let held = format!(r#"{{node="wind1",gpu_uuid="{}""#, Node::uuid(2));
    assert_eq!(value(&first, &format!("carm_gpu_clock_limit_megahertz{held}")), Some(f64::from(GREENEST_MHZ)));
    assert_eq!(value(&first, r#"carm_job_gpu_info{node="wind1",job_id="7""#), Some(1.0));
    assert_eq!(value(&first, r#"carm_grid_carbon_intensity_grams_per_kwh{node="wind1""#), Some(GRID));
    assert!(value(&first, r#"carm_grid_data_age_seconds{node="wind1""#).expect("an age") < 600.0);
    // Nobody has counted the job yet, and no governor is here: not known is not nothing.
    for absent in ["carm_job_carbon_grams_total", "carm_job_work_done_ratio", "carm_governor", "carm_clock_changes_total"] {
        assert!(!first.contains(absent), "{absent}: {first}");
    }

    node.epilog(&job);
    let after = page(&node);
    assert!(!after.contains("carm_job_") && !after.contains("carm_gpu_clock_limit"), "{after}");
    assert_eq!(after.matches("\ncarm_gpu_power_watts{").count(), 8);
}

#[test]
fn before_any_job_every_gpu_is_shown_and_no_state_is_made() {
    let node = Node::new();
    let page = page(&node);
    assert_eq!(page.matches("\ncarm_gpu_clock_megahertz{").count(), 8, "{page}");
    assert!(!node.path("state").exists());
}

#[test]
fn what_a_card_does_not_tell_is_absent() {
    let node = Node::new().faulty(&format!("[[fault]]\ngpu = {}\ncall = \"nvmlDeviceGetPowerUsage\"\ncode = 3\n", Node::card(1)));
    let page = page(&node);
    assert_eq!(page.matches("\ncarm_gpu_power_watts{").count(), 7);
    assert!(!page.contains(&format!("carm_gpu_power_watts{{node=\"wind1\",gpu_uuid=\"{}\"", Node::uuid(1))));
    assert_eq!(page.matches("\ncarm_gpu_clock_megahertz{").count(), 8);
}

#[test]
fn text_for_prometheus_and_json_are_asked_for_apart() {
    let output = Node::new().by_hand(&["status", "--json", "--prometheus"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("'--json' cannot be used with '--prometheus'"), "{said}");
}

#[test]
fn nodes_that_share_a_host_are_told_apart_and_no_gpu_stands_twice() {
    let node = Node::new();
    node.prolog(&green(7)).prolog(&green(8).gpus("1").set("SLURMD_NODENAME", "wind2"));
    let page = page(&node);
    let of = |name: &str, gpu: u32| page.contains(&format!("carm_gpu_info{{node=\"{name}\",gpu_uuid=\"{}\"", Node::uuid(gpu)));
    assert!(of("wind1", 0) && of("wind2", 1) && of("wind1", 2), "{page}");
    assert_eq!(page.matches("\ncarm_gpu_info{").count(), 8);
    assert_eq!(page.matches("# TYPE carm_gpu_info gauge").count(), 1);
    assert_eq!(
        value(&page, &format!("carm_job_gpu_info{{node=\"wind2\",job_id=\"8\",gpu_uuid=\"{}\"", Node::uuid(1))),
        Some(1.0)
    );
}
