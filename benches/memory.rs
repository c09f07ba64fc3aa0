//! The planner's peak memory, in a process of its own: what Linux says was resident at most (VmHWM), before and after.
//!
//! `cargo bench --bench memory`. A week of five-minute slots, 20 levels, a 24-hour job, all three objectives and the frontier
//! at 200 ends. The process itself, its libraries included, is in every figure.

use std::process::ExitCode;

use carm::plan::{Ends, Tables};
use synthetic::{all, candidate, problem, three};

mod synthetic;

/// What was resident at most so far, KiB.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn main() -> ExitCode {
    let Some(idle) = peak_kib() else {
        eprintln!("/proc/self/status tells no VmHWM; this benchmark needs Linux");
        return ExitCode::FAILURE;
    };
    let show = |what: &str| {
        let peak = peak_kib().unwrap_or_default();
        println!("{what:<60} {:>6.1} MiB", peak as f64 / 1024.0);
        peak
    };
    println!("{:<60} {:>6.1} MiB", "the process, before anything is planned", idle as f64 / 1024.0);
    for (name, sun) in [("", 0.0), (", sun", 1.0)] {
        let one = problem(candidate(2016, 1.0 / 12.0, 20, 24.0, sun));
        drop(Tables::new(&one.candidates[0]));
        show(&format!("2,016 slots, 20 levels{name}: tables"));
        // One after the other from the same tables.
        all(&three(&one), &Ends::Some(200));
        show(&format!("2,016 slots, 20 levels{name}: all objectives and the frontier"));
    }
    ExitCode::SUCCESS
}
