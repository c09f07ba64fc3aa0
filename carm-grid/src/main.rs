//! carm-grid: what the grid is doing. The one program of CARM's that touches the network.
//!
//! It brings signals from services into the cache that everybody plans with, continues them by CARM's own forecast, and
//! shows them. A job never waits for it: where it fails, the last good data stay.

mod asking;
mod assemble;
mod check;
mod cli;
mod exit;
mod fault;
mod fetch;
mod given;
mod http;
mod import;
mod score;
mod show;
mod source;
mod state;
mod token;
mod wrap;
mod zones;

use std::process::ExitCode;

use exit::Refusal;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    run(&words).unwrap_or_else(|refusal| refusal.report())
}

fn run(words: &[std::ffi::OsString]) -> Result<ExitCode, Refusal> {
    let Some(found) = cli::read(words)? else { return Ok(ExitCode::SUCCESS) };
    match found.subcommand() {
        Some(("fetch", found)) => fetch::run(found),
        Some(("check", found)) => check::run(found),
        Some(("show", found)) => show::run(found),
        Some(("zones", found)) => zones::run(found),
        Some(("import", found)) => import::run(found),
        Some(("score", found)) => score::run(found),
        _ => Err(Refusal::new("nothing to do: name a verb (fetch, check, show, zones, import, score), see carm-grid --help")),
    }
}
