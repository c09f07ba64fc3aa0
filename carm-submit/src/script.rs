//! The batch script: where sbatch would find it, and its text.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use carm::slurm::argv::CommandLine;

/// Where the script is.
#[derive(Debug)]
pub enum Script {
    /// A file.
    File {
        /// As sbatch would find it.
        path: PathBuf,
        /// Its text.
        text: Vec<u8>,
    },
    /// A pipe or device with a path (`<(...)`, /dev/stdin, /proc/self/fd/0): the first read empties it, so sbatch gets a copy.
    Pipe {
        /// As the user named it.
        path: PathBuf,
        /// Its text.
        text: Vec<u8>,
    },
    /// Standard input, which can be read only once.
    Input(Vec<u8>),
    /// `--wrap`: no directives.
    Wrap,
}

impl Script {
    /// Finds and reads the script of a command line.
    pub fn read(line: &CommandLine) -> anyhow::Result<Self> {
        match line.script.first() {
            Some(word) => {
                let chdir = line.options.iter().rev().find(|o| o.name == "chdir").and_then(|o| o.value.as_deref());
                let path = find(word, chdir);
                let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
                let is_regular = file.metadata().is_ok_and(|about| about.is_file());
                let mut text = Vec::new();
                file.read_to_end(&mut text).with_context(|| format!("reading {}", path.display()))?;
                Ok(if is_regular { Self::File { path, text } } else { Self::Pipe { path, text } })
            }
            None if line.wrapped() => Ok(Self::Wrap),
            None => {
                let mut text = Vec::new();
                std::io::stdin().read_to_end(&mut text).context("reading the script from standard input")?;
                Ok(Self::Input(text))
            }
        }
    }

    /// The text that may hold directives.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::File { text, .. } | Self::Pipe { text, .. } | Self::Input(text) => text,
            Self::Wrap => &[],
        }
    }

    /// The name that sbatch gives a job without `--job-name`.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } | Self::Pipe { path, .. } => {
                path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
            }
            Self::Input(_) => "sbatch".to_owned(),
            Self::Wrap => "wrap".to_owned(),
        }
    }
}

/// As sbatch looks for a script: in its working folder, then, for a bare name, in PATH.
fn find(word: &OsStr, chdir: Option<&OsStr>) -> PathBuf {
    let bare = !word.as_encoded_bytes().contains(&b'/');
    let path = std::env::var_os("PATH").filter(|_| bare).unwrap_or_default();
    let folders = chdir.map(PathBuf::from).into_iter().chain(std::iter::once(PathBuf::new()));
    let searched = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
    let found = folders.chain(searched).map(|folder| folder.join(word)).find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(word))
}

/// The variables of the environment as text, where they are set to something.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A path for people.
pub fn shown(path: &Path) -> String {
    carm::request::printable(&path.display().to_string())
}
