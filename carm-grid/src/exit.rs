//! How carm-grid ends: the exit codes, the one line that goes with a refusal, warnings, and what is shown.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use carm::text::legible;

/// The command line or the configuration is wrong, or what was asked for is not there.
pub const REFUSED: u8 = 1;
/// Of fetch and check: a zone's source did not answer as it should; the data at hand are still good.
pub const A_ZONE_FAILED: u8 = 3;
/// Of fetch and check: a zone has no data that are young enough, or none at all.
pub const A_ZONE_WITHOUT_DATA: u8 = 4;

/// Why nothing was done.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    /// With its one line.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// The line.
    pub fn message(&self) -> &str {
        &self.0
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
pub fn warn(message: impl fmt::Display) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "carm-grid: {}", legible(&message.to_string()));
}

/// Text on standard output. A reader that has seen enough (`| head`) is no error.
pub fn show(text: &str) -> Result<(), Refusal> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Refusal::new(format!("writing to standard output: {error}"))),
        _ => Ok(()),
    }
}
