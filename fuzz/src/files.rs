//! Files: traces, profiles, the configuration, lines of the ledger.

use std::path::Path;

use carm::config::Config;
use carm::grid::{Signal, Trace};
use carm::ledger::{Line, Record};
use carm::profile::Profile;

use super::{assert_message, select};

/// The first byte selects the kind of file.
pub fn run(data: &[u8]) {
    let Some((selector, rest)) = select(data) else { return };
    match selector % 4 {
        0 => trace(rest),
        1 => profile(&String::from_utf8_lossy(rest)),
        2 => config(&String::from_utf8_lossy(rest)),
        _ => ledger_line(rest),
    }
}

fn trace(bytes: &[u8]) {
    match Trace::parse(bytes, Path::new("trace.csv")) {
        Ok(trace) => {
            let all = [(&trace.carbon_g_per_kwh, 10_000.0), (&trace.renewable_share, 1.0), (&trace.onsite_w, f64::MAX)];
            assert!(all.iter().any(|(signal, _)| signal.is_some()));
            for (signal, most) in all {
                if let Some(signal) = signal {
                    signal_within(signal, most);
                }
            }
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

fn signal_within(signal: &Signal, most: f64) {
    let steps = signal.steps();
    assert!(steps.windows(2).all(|w| w[0].from < w[1].from));
    assert!(steps.iter().all(|s| s.value >= 0.0 && s.value <= most));
    let (start, end) = (signal.start(), signal.end());
    assert!(steps.last().is_some_and(|s| s.from < end));
    assert!(signal.at(start).is_some() && signal.at(end).is_none());
    assert!(signal.integrate(start, end).is_some());
}

fn profile(text: &str) {
    match Profile::parse(text, Path::new("profile.toml")) {
        Ok(profile) => {
            assert!(profile.levels.iter().all(|l| l.speed > 0.0 && l.speed <= 1.0 && l.watts.is_finite()));
            assert!(profile.levels.iter().any(|l| l.speed == 1.0 && l.clock_mhz == profile.top_clock_mhz()));
            let scaled = profile.scaled_to(1_980);
            assert_eq!(scaled.levels.len(), profile.levels.len());
            assert!(profile.relative_throughput(2, 1).is_none_or(|e| e > 0.0 && e.is_finite()));
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

fn config(text: &str) {
    match Config::parse(text, Path::new("carm.toml")) {
        Ok(config) => {
            for site in &config.sites {
                let _ = config.zone_of(site);
            }
            let _ = config.site_of(Some("gpu"), "node1");
            let _ = config.site_of(None, "node1");
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

/// What the ledger's readers do with one line: what was read can be written and read again, and the quick reader says of it what the other does.
fn ledger_line(bytes: &[u8]) {
    let mut head = Vec::new();
    if let Err(cause) = Line::parse(bytes, &mut head) {
        assert_message(&cause);
    }
    if let Ok(record) = Record::parse(bytes) {
        let written = serde_json::to_vec(&record).expect("a record is written");
        let again = Record::parse(&written).expect("what CARM writes it reads");
        let line = Line::parse(&written, &mut head).expect("what one reader reads the other reads");
        assert_eq!((line.job, line.read_steps().len()), (again.job, again.steps.len()));
    }
}
