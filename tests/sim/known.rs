//! Savings that were worked out before, by other means, from the same data: the simulator must find them again.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use carm_sim::run::{Options, Results, simulate};
use carm_sim::scenario::Scenario;

/// Jobs of eight hours, one every 25 h, alone on their GPUs, in California in 2022.
fn eight_hours(data: &Path) -> Results {
    let folder = tempfile::tempdir().unwrap();
    let jobs = (0..340).fold("arrival_time,length,cpus\n".to_owned(), |mut text, i| {
        writeln!(text, "{},8,1", 25 * i).unwrap();
        text
    });
    std::fs::write(folder.path().join("jobs.csv"), jobs).unwrap();
    let text = "[time]\nstart = \"2022-01-01T00:00:00Z\"\nlength = \"360d\"\n[planner]\nmax_delay = \"24h\"\nhost_watts = 0\npue = 1\n\
        [[zone]]\nname = \"z\"\npath = \"$CARM_DATA/carbon/US-CAL-CISO_2022.csv\"\n[[site]]\nname = \"s\"\nzone = \"z\"\ngpus = 4\n\
        [jobs]\nsource = \"pai\"\npath = \"jobs.csv\"\ndeadline_factor = 3\n";
    let (scenario, _) = Scenario::parse(text, &folder.path().join("s.toml"), Some(data)).unwrap();
    let options = Options { threads: 2, keep_first: false, capacity: None, progress: None };
    let names = ["fcfs-static-clock", "lowest-window", "wait-awhile", "carm-performance"].map(str::to_owned);
    simulate(&scenario, &names, &options).unwrap()
}

/// Per-job optima on this grid with this profile (RTX 8000, nnForward), GPU power only, deadline three times the run time: the static clock 23.3 %,
/// the best start at full clock 24.5 %, pauses at full clock 26.8 %, best start and one clock 37.7 %, the limit 40.5 %. The levels
/// there were ten; here they are twenty.
#[test]
fn savings_of_eight_hour_jobs_are_those_that_were_worked_out_before() {
    let Some(data) = std::env::var_os("CARM_DATA").map(PathBuf::from) else {
        eprintln!("skipped: CARM_DATA is not set");
        return;
    };
    let results = eight_hours(&data);
    let saved = |name: &str| 100.0 * results.policies.iter().find(|p| p.name == name).unwrap().saved_vs_fcfs.unwrap();
    for (name, expected) in
        [("fcfs-static-clock", 23.3), ("lowest-window", 24.5), ("wait-awhile", 26.8), ("carm-performance", 37.7)]
    {
        assert!((saved(name) - expected).abs() < 1.5, "{name}: {:.1} % instead of {expected} %", saved(name));
    }
    let share = results.policies.iter().find(|p| p.name == "carm-performance").unwrap().share_of_bound.unwrap();
    assert!((saved("carm-performance") / share - 40.5).abs() < 2.0, "the limit: {:.1} %", saved("carm-performance") / share);
}
