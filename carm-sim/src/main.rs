//! carm-sim: see the library beside this file.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    match carm_sim::cli::run(&words) {
        Ok(text) => carm_sim::exit::show(&text),
        Err(refusal) => refusal.report(),
    }
}
