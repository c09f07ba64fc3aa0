//! How carm-grid ends: the exit codes, the one line that goes with a refusal, warnings, and what is shown.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use carm::terminal::Terminal;
use carm::text::legible;

use crate::wrap::wrapped;

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

/// One line on standard error; several with a hanging indent where it has a width.
pub fn warn(message: impl fmt::Display) {
    let stderr = std::io::stderr();
    let line = format!("carm-grid: {}", legible(&message.to_string()));
    let lines = width(&stderr).map_or_else(|| vec![line.clone()], |width| wrapped(&line, width, 4));
    // Whoever closed standard error does not want to know.
    let _ = writeln!(stderr.lock(), "{}", lines.join("\n"));
}

/// What a stream's text may use of the terminal.
pub fn terminal(stream: &(impl IsTerminal + AsFd)) -> Terminal {
    let columns = || terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0));
    Terminal::of(&|name| std::env::var(name).ok(), stream.is_terminal(), columns)
}

/// The width to wrap lines at: a terminal's, or COLUMNS. None for files, pipes and the journal, which are searched line by line.
pub fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let terminal = terminal(stream);
    (terminal.real || std::env::var_os("COLUMNS").is_some()).then_some(terminal.width)
}

/// Text on standard output. A reader that has seen enough (`| head`) is no error.
pub fn show(text: &str) -> Result<(), Refusal> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Refusal::new(format!("writing to standard output: {error}"))),
        _ => Ok(()),
    }
}
