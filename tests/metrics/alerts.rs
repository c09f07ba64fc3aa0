//! Each alert of etc/grafana/alerts.yml fires when it should, by promtool's rule tests on pages that carm-prolog wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::families::FAMILIES;
use super::job::green;
use super::node::Node;
use super::{repository, text};

const TICK: &str = "carm_governor_last_tick_timestamp_seconds";

/// promtool on PATH, or of Debian's package `prometheus`, unpacked below target/: to install the package would start a server.
fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.exists()) {
        return Some(found);
    }
    let target = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let folder = target.join("promtool");
    let (program, unpacked) = (folder.join("promtool"), folder.join("usr/bin/promtool"));
    std::fs::create_dir_all(&folder).unwrap();
    // Tests of this program run beside each other.
    let lock = std::fs::File::create(target.join("promtool.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    if !program.exists() {
        let unpack = "apt-get download -q prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool; rm prometheus_*.deb";
        let done = Command::new("bash").args(["-ec", unpack]).current_dir(&folder).output();
        if done.is_ok_and(|output| output.status.success()) {
            std::fs::rename(unpacked, &program).unwrap();
        }
    }
    program.exists().then_some(program)
}

/// What a governor writes until its page is as it should be. It is killed: the page stays.
fn governed(node: &Node, ready: impl Fn(&str) -> bool) -> String {
    std::fs::create_dir_all(node.path("metrics")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_carm-prolog"));
    command.arg("--config").arg(node.path("carm.toml")).arg("govern").env("SLURM_CONF", node.path("slurm.conf"));
    let mut governor = command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").spawn().unwrap();
    let since = Instant::now();
    let page = loop {
        let page = std::fs::read_to_string(node.path("metrics/carm.prom")).unwrap_or_default();
        if ready(&page) || since.elapsed() > Duration::from_secs(30) {
            break page;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    governor.kill().unwrap();
    governor.wait().unwrap();
    assert!(ready(&page), "{page}\n{}", node.log());
    page
}

fn node() -> Node {
    Node::new().node("metrics_dir = \"metrics\"\ninterval = \"1s\"")
}

fn ticks(page: &str) -> bool {
    page.contains(&format!("\n{TICK}{{"))
}

/// Samples of two hours, one a minute: a page for ten minutes, then another. No page: the file is not there.
fn series(first: &str, then: Option<&str>, governor_lives: bool) -> String {
    let samples = |page: &str| -> BTreeMap<String, String> {
        let lines = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        lines.map(|(series, value)| (series.to_owned(), value.to_owned())).collect()
    };
    let (first, then) = (samples(first), then.map(samples).unwrap_or_default());
    let all: std::collections::BTreeSet<&String> = first.keys().chain(then.keys()).collect();
    let line = |name: &&String| {
        let part = |samples: &BTreeMap<String, String>, count: u32| {
            samples.get(*name).map_or_else(|| format!("_x{count}"), |value| format!("{value}+0x{}", count - 1))
        };
        let values = match (name.starts_with(TICK), then.contains_key(*name)) {
            // promtool's clock starts at 0: a tick a minute, or the last one at 0.
            (true, true) if governor_lives => "0+60x120".to_owned(),
            (true, true) => "0x120".to_owned(),
            (true, false) => "0+60x9".to_owned(),
            _ => format!("{} {}", part(&first, 10), part(&then, 111)),
        };
        format!("      - series: '{}'\n        values: '{values}'\n", name.replace('\'', "''"))
    };
    all.iter().map(line).collect()
}

/// Runs the rules on the series; the alerts that fire after an hour.
fn fires(series: &str, expected: &[&str]) {
    let Some(promtool) = promtool() else {
        eprintln!("SKIPPED: no promtool, and apt-get cannot download the package prometheus: no alert is tested");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.yml");
    let sample = |name: &&str| format!("          - labels: '{{alertname=\"{name}\"}}'\n            value: 1\n");
    let samples: String = expected.iter().map(sample).collect();
    let samples = if samples.is_empty() { " []\n".to_owned() } else { format!("\n{samples}") };
    let test = format!(
        "rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{series}    promql_expr_test:\n\
         \x20     - expr: 'count by (alertname) (ALERTS{{alertstate=\"firing\"}})'\n        eval_time: 1h\n        exp_samples:{samples}",
        repository().join("etc/grafana/alerts.yml").display()
    );
    std::fs::write(&file, &test).unwrap();
    let output = Command::new(promtool).args(["test", "rules"]).arg(&file).output().unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{printed}\n{test}");
}

#[test]
fn healthy_node_fires_no_alert() {
    let node = node();
    node.prolog(&green(7));
    let page = governed(&node, ticks);
    fires(&series(&page, Some(&page), true), &[]);
}

#[test]
fn killed_governor_fires() {
    let page = governed(&node(), ticks);
    fires(&series(&page, Some(&page), false), &["CarmGovernorSilent"]);
}

#[test]
fn stopped_governor_fires() {
    let page = governed(&node(), ticks);
    fires(&series(&page, None, false), &["CarmGovernorStopped"]);
}

#[test]
fn zone_that_was_never_fetched_fires() {
    let node = node().live();
    node.prolog(&green(7));
    let page = governed(&node, |page| page.contains("carm_grid_data_available{"));
    assert!(!page.contains("carm_grid_data_age_seconds{"), "{page}");
    fires(&series(&page, Some(&page), true), &["CarmGridDataMissing"]);
}

#[test]
fn trace_that_ended_fires() {
    let node = node().grid(TimeDelta::hours(-3), TimeDelta::minutes(15), &[400.0; 4]);
    node.prolog(&green(7));
    let page = governed(&node, ticks);
    fires(&series(&page, Some(&page), true), &["CarmGridDataMissing"]);
}

#[test]
fn day_old_grid_data_fire() {
    let node = node();
    let day = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
    std::fs::File::options().append(true).open(node.path("de.csv")).unwrap().set_modified(day).unwrap();
    node.prolog(&green(7));
    let page = governed(&node, |page| page.contains("carm_grid_data_age_seconds{"));
    fires(&series(&page, Some(&page), true), &["CarmGridDataOld"]);
}

#[test]
fn ledger_that_refuses_a_line_fires() {
    // The renderer's own example, which has an error of the ledger.
    let after = text("tests/metrics/example.prom");
    let errors = "carm_ledger_errors_total{node=\"n1\"}";
    let before = after.replace(&format!("{errors} 1\n"), &format!("{errors} 0\n"));
    assert_ne!(before, after);
    // What was refused waits.
    fires(&series(&before, Some(&after), true), &["CarmLedgerFails", "CarmLedgerStalls"]);
}

#[test]
fn line_that_waits_for_the_ledger_fires() {
    let node = node();
    node.prolog(&green(7));
    let waiting = |page: &str, lines: u32| page.contains(&format!("\ncarm_ledger_lines_waiting{{node=\"wind1\"}} {lines}\n"));
    let before = governed(&node, |page| waiting(page, 0));
    // As a delivery that is stuck in the ledger's file system holds it.
    let stuck = std::fs::File::create(node.path("state/.locks/deliver.lock")).unwrap();
    rustix::fs::flock(&stuck, rustix::fs::FlockOperation::LockExclusive).unwrap();
    node.epilog(&green(7));
    let after = governed(&node, |page| waiting(page, 1));
    assert!(after.contains("\ncarm_ledger_errors_total{node=\"wind1\"} 0\n"), "{after}");
    let by_hand = String::from_utf8(node.by_hand(&["status", "--prometheus"]).stdout).unwrap();
    assert!(waiting(&by_hand, 1), "{by_hand}");
    fires(&series(&before, Some(&after), true), &["CarmLedgerStalls"]);
}

#[test]
fn every_alert_rests_on_metrics_that_are() {
    let rules = text("etc/grafana/alerts.yml");
    let words = rules.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| word.starts_with("carm_"));
    let unknown: Vec<&str> = words.filter(|word| !FAMILIES.iter().any(|family| *word == family.name)).collect();
    assert_eq!(unknown, [""; 0]);
    let page = text("docs/metrics.md");
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(page.contains(&format!("| `{name}` |")), "docs/metrics.md lacks {name}");
        assert!(text("tests/metrics/alerts.rs").contains(&format!("\"{name}\"")), "{name} is not tested");
    }
}
