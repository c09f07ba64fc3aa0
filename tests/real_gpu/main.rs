//! Checks CARM's GPU calls against real cards, and prints a table for docs/real-cards.md.
//!
//!     cargo run --release -p carm-prolog --example real_gpu -- --load './burn' > table.md
//!
//! It compiles in carm-prolog's own GPU module, so that what is checked is what runs on nodes. Without `--lock` it only reads.

#![allow(dead_code)] // of the GPU module's calls only some are needed

mod checks;
#[path = "../../carm-prolog/src/gpu/mod.rs"]
mod gpu;
mod load;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;

use checks::{Finding, Run};
use gpu::{Driver, Nvml};
use load::Loaded;

/// Checks CARM's GPU calls against the cards of this machine; prints a Markdown table.
#[derive(Parser)]
pub struct Options {
    /// The driver's library.
    #[arg(long, default_value = "libnvidia-ml.so.1")]
    library: PathBuf,
    /// A command that keeps all GPUs busy for as long as it is left running (run by sh; ended by SIGTERM). Without it
    /// nothing is checked under load.
    #[arg(long)]
    load: Option<String>,
    /// How long energy is measured under load, in seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// How long clocks and power are given to settle after each change, in seconds.
    #[arg(long, default_value_t = 5.0)]
    settle: f64,
    /// Also lock the clocks of each GPU under load, read them back, and take the lock off. Needs root and --load. A clock
    /// lock that the site had set before is lost: NVML cannot read one.
    #[arg(long, requires = "load")]
    lock: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("real_gpu: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every check passed.
fn run(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    // A signal ends the measurement, so that locks are taken off and the load is ended.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let nvml = Nvml::load(&options.library)?;
    let cards = nvml.cards()?;
    let mut findings: Vec<Vec<Finding>> = cards.iter().map(|card| checks::unloaded(&nvml, card)).collect();
    if let Some(command) = &options.load {
        let load = Loaded::start(command)?;
        let run = Run { nvml: &nvml, cards: &cards, load: &load, stop: &stop, settle: Duration::from_secs_f64(options.settle) };
        run.warm_up()?;
        checks::extend(&mut findings, run.energy(Duration::from_secs_f64(options.seconds))?);
        if options.lock {
            checks::extend(&mut findings, run.lock()?);
        }
    }
    print(&nvml, options, &cards, &findings);
    Ok(findings.iter().flatten().all(|finding| finding.passed != Some(false)))
}

fn print(nvml: &Nvml, options: &Options, cards: &[gpu::Card], findings: &[Vec<Finding>]) {
    let user = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user" };
    let driver = nvml.driver_version().unwrap_or_else(|error| error.to_string());
    println!("Driver {driver}, {} GPUs, run by {user}; load: {}.\n", cards.len(), options.load.as_deref().unwrap_or("none"));
    println!("| GPU | model | check | result | |");
    println!("|---|---|---|---|---|");
    for ((index, card), findings) in cards.iter().enumerate().zip(findings) {
        for finding in findings {
            let verdict = match finding.passed {
                Some(true) => "ok",
                Some(false) => "**FAILED**",
                None => "",
            };
            println!("| {index} (minor {}) | {} | {} | {} | {verdict} |", card.minor, card.name, finding.check, finding.result);
        }
    }
}
