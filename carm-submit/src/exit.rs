//! How carm-submit ends where sbatch does not end it: the exit codes, and the one line that goes with each.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::explain;

/// The command line or an option's value is wrong, or CARM failed and `--strict` (or `--dry-run`) makes that an error.
const REFUSED: u8 = 1;
/// No plan meets the request.
const INFEASIBLE: u8 = 3;
/// sbatch is not there: the shell's own code for it.
const NO_SBATCH: u8 = 127;

/// A job that is not submitted, and why.
#[derive(Debug)]
pub struct Refusal {
    message: String,
    code: u8,
}

impl Refusal {
    /// What the user wrote cannot be used, or a fault of CARM's own that may not be passed over.
    pub fn wrong(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: REFUSED }
    }

    /// The request cannot be met.
    pub fn infeasible(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: INFEASIBLE }
    }

    /// There is no sbatch.
    pub fn no_sbatch(error: &std::io::Error) -> Self {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "sbatch: not found in PATH; install Slurm's client commands, or give --dry-run to plan without submitting"
                    .to_owned()
            }
            _ => format!("sbatch: cannot be run: {error}"),
        };
        Self { message, code: NO_SBATCH }
    }

    /// Says why and gives the code.
    pub fn report(&self) -> ExitCode {
        say(&self.message);
        ExitCode::from(self.code)
    }
}

/// What keeps a job from being planned.
#[derive(Debug)]
pub enum Obstacle {
    /// The user's to put right: the job is not submitted.
    Refused(Refusal),
    /// CARM's own: the job is submitted as written.
    Fault(anyhow::Error),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Obstacle {
    fn from(error: anyhow::Error) -> Self {
        Self::Fault(error)
    }
}

/// One line of carm-submit's on standard error.
pub fn say(message: &str) {
    tell(&[format!("carm-submit: {}", carm::text::legible(message))]);
}

/// Lines on standard error, folded where it is a terminal.
pub fn tell(lines: &[String]) {
    let text: String = explain::fitted(lines, crate::explain::terminal()).iter().map(|line| format!("{line}\n")).collect();
    // Whoever closed standard error does not want to know; the submission goes on.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Help or version, on standard output.
pub fn show(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(REFUSED),
    }
}
