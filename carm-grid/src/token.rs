//! Tokens: read from files that root or their group alone can read, and never shown.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fault::Fault;

/// A token; it prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

/// A token is one line; a larger file is something else.
const MOST_BYTES: u64 = 8_192;

impl Token {
    /// Reads a token file: one line, which nobody but its owner and its group can read.
    ///
    /// # Errors
    /// It cannot be read, others can read it, or it holds no single line of text.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let refuse = |cause: &str| Fault::Setup(format!("token_file {}: {cause}", path.display()));
        let file = std::fs::metadata(path).map_err(|error| refuse(&error.to_string()))?;
        if !file.is_file() || file.len() > MOST_BYTES {
            return Err(refuse("not a file with one token in it"));
        }
        if file.mode() & 0o007 != 0 {
            return Err(refuse("everybody on this host can read it; chmod o= it, and think of the token as known"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refuse(&error.to_string()))?;
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(refuse("not one line of text; put the token alone in it"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The token itself, for a header or a query that goes to the service.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
