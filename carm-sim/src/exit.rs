//! How carm-sim ends: its exit codes, the one line that goes with a refusal, and warnings.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use carm::text::legible;

/// The command line or the scenario is wrong, or a file cannot be read or written.
const REFUSED: u8 = 1;

/// Why there is no result.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    /// With its one line.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// Says why and gives the code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        warn(&self.0);
        ExitCode::from(REFUSED)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    let _ = writeln!(std::io::stderr(), "carm-sim: {}", legible(message));
}

/// The result, on standard output. A reader that has seen enough (`| head`) is no error.
#[must_use]
pub fn show(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => Refusal::new(format!("writing the result: {error}")).report(),
    }
}
