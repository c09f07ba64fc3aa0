//! How carm-report ends: the exit codes, the one line that goes with a refusal, and warnings.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use carm::text::legible;

/// The command line is wrong, the ledger cannot be read, or it does not know the job.
const REFUSED: u8 = 1;

/// Why there is no report.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    /// With its one line.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// Says why and gives the code.
    pub fn report(&self) -> ExitCode {
        warn(&self.0);
        ExitCode::from(REFUSED)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// One line on standard error.
pub fn warn(message: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "carm-report: {}", legible(message));
}

/// The report, on standard output. A reader that has seen enough (`| head`) is no error.
pub fn show(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => Refusal::new(format!("writing the report: {error}")).report(),
    }
}
