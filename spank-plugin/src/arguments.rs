//! The plugin's arguments in plugstack.conf, `key=value` separated by blanks (Slurm knows no quoting there).
//!
//! An argument that is not understood is said and then left out: a typing error of the admin must not stop submissions.

/// What the admin set on the plugin's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments {
    /// `enabled=no`: options are known, so that scripts with them still submit, and nothing is done about them.
    pub enabled: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Reads the arguments; with them comes one message per word that was not understood.
pub fn read(words: &[String]) -> (Arguments, Vec<String>) {
    let mut arguments = Arguments::default();
    let mut complaints = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("enabled", "yes")) => arguments.enabled = true,
            Some(("enabled", "no")) => arguments.enabled = false,
            Some(("enabled", _)) => complaints.push(complaint(word, "neither yes nor no")),
            Some(_) => complaints.push(complaint(word, "unknown key")),
            None => complaints.push(complaint(word, "not key=value")),
        }
    }
    (arguments, complaints)
}

fn complaint(word: &str, cause: &str) -> String {
    format!("spank_carm: plugstack.conf: '{}': {cause}; known: enabled=yes|no", carm::request::printable(word))
}
