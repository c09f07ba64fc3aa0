//! What can go wrong between carm-grid and a service: ordinary, each with what it means and the way out.

use std::time::Duration;

/// Why a zone has no new data. The text is the cause and the way out; zone and source are named by whoever reports it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// No answer: name not found, refused, timed out, cut short, TLS.
    #[error("{url}: {cause}; {way_out}")]
    NoAnswer {
        /// Whom was asked, without its query: tokens may stand there.
        url: String,
        /// What happened.
        cause: String,
        /// What to do.
        way_out: &'static str,
    },
    /// An answer that says no.
    #[error("{url}: answered {status}{said}; {way_out}")]
    Status {
        /// As above.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it said, printable and short; with its own punctuation in front, or empty.
        said: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// What to do.
        way_out: &'static str,
    },
    /// An answer that is not what the service documents.
    #[error("{url}: {cause}")]
    Answer {
        /// As above.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The zone's own keys: token file, command, area.
    #[error("{0}")]
    Setup(String),
}

impl Fault {
    /// Whether the same request may go through a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..=599),
            Self::Answer { .. } | Self::Setup(_) => false,
        }
    }
    /// How long the service wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self { *retry_after } else { None }
    }
}
