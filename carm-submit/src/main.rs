//! carm-submit: sbatch, carbon-aware. Plans when, where and at which clocks a job runs, says so on standard error, and
//! hands the job over to sbatch.
//!
//! Standard output and the exit code are sbatch's. A fault of CARM's own never costs a submission: the job goes to sbatch
//! as its user wrote it (`--strict` asks for an error instead).

mod after;
mod assemble;
mod attempt;
mod busy;
mod cli;
mod decide;
mod exclusive;
mod exit;
mod explain;
mod gather;
mod handover;
mod history;
mod json;
mod limits;
mod offers;
mod places;
mod recent;
mod rounds;
mod sbatch;
mod script;
mod slurm;
mod submit;
mod unfit;
mod warning;
mod widths;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use exit::Refusal;
use sbatch::Sbatch;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(sbatch) = Sbatch::behind_wrapper() {
        return Refusal::no_sbatch(&sbatch.command().args(&words).exec()).report();
    }
    match cli::read(&words) {
        Ok(cli::Call::Show(text)) => exit::show(&text),
        Ok(cli::Call::Submit(call)) => submit::run(*call),
        Err(refusal) => refusal.report(),
    }
}
