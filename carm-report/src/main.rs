//! carm-report: what jobs used and emitted, from the ledger, as seff says it of one job and sacct of many.
//!
//! Reads the ledger and writes nothing but the page that `--html` names. Whose jobs one may see is decided by the mode of the
//! ledger's files. Figures are the library's; here they are chosen, added up and shown.

mod account;
mod choose;
mod cli;
mod exit;
mod files;
mod find;
mod html;
mod job_csv;
mod job_json;
mod job_text;
mod place;
mod rows;
mod scan;
mod style;
mod table;
mod totals;
mod words;

use std::process::ExitCode;

use cli::Call;
use exit::Refusal;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    match run(&words) {
        Ok(text) => exit::show(&text),
        Err(refusal) => refusal.report(),
    }
}

fn run(words: &[std::ffi::OsString]) -> Result<String, Refusal> {
    match cli::read(words)? {
        Call::Show(text) => Ok(text),
        Call::Jobs(call) => find::run(&call),
        Call::Totals(call) => totals::run(&call),
    }
}
