//! The ledger's files: which there are, and what was wrong with them and their lines.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use carm::files::Folder;
use carm::ledger::{BadLine, MOST_FILE_BYTES, MOST_FILES};

use crate::choose::Window;
use crate::exit::{Refusal, warn};

/// How many faults are named; more are counted.
const NAMED: usize = 3;

/// A file that can be read. It is opened for each part anew: a ledger may have more files than a process may have open.
#[derive(Debug)]
pub struct LedgerFile {
    folder: Arc<Folder>,
    name: OsString,
    pub path: PathBuf,
    pub length: u64,
}

impl LedgerFile {
    pub fn of(folder: &Arc<Folder>, dir: &Path, name: OsString) -> io::Result<Self> {
        let length = folder.file(&name)?.metadata()?.len();
        if length > MOST_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MOST_FILE_BYTES} bytes")));
        }
        Ok(Self { folder: Arc::clone(folder), path: dir.join(&name), name, length })
    }

    pub fn open(&self) -> io::Result<File> {
        self.folder.file(&self.name)
    }
}

/// What is not in the report.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// Files that cannot be read, and why.
    pub files: Vec<(PathBuf, String)>,
    /// Lines that cannot be read.
    pub lines: Vec<BadLine>,
    /// How many more there are.
    pub more_lines: usize,
}

impl LeftOut {
    /// One warning each for files and lines.
    pub fn warn(&self) {
        let more = |count: usize| if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        if !self.files.is_empty() {
            let named: Vec<String> =
                self.files.iter().take(NAMED).map(|(path, cause)| format!("{}: {cause}", path.display())).collect();
            warn(&format!("left out, what these files hold: {}{}", named.join("; "), more(self.files.len())));
        }
        if !self.lines.is_empty() {
            let name = |bad: &BadLine| format!("{}:{}: {}", bad.path.display(), bad.line, bad.cause);
            let named: Vec<String> = self.lines.iter().take(NAMED).map(name).collect();
            warn(&format!(
                "left out, lines that cannot be read: {}{}",
                named.join("; "),
                more(self.lines.len() + self.more_lines)
            ));
        }
    }

    /// The faults, for JSON.
    pub fn json(&self) -> serde_json::Value {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, cause)| serde_json::json!({"path": path.display().to_string(), "cause": cause}))
            .collect();
        let line =
            |bad: &BadLine| serde_json::json!({"path": bad.path.display().to_string(), "line": bad.line, "cause": bad.cause});
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        serde_json::json!({"files": files, "lines": lines, "more_lines": self.more_lines})
    }
}

/// Opens the files that may hold what is wanted, in the order of their names: of a node, that of time.
pub fn open(dir: &Path, window: Window) -> Result<(Vec<LedgerFile>, LeftOut), Refusal> {
    let refuse = |error: std::io::Error| {
        let way = match error.kind() {
            std::io::ErrorKind::NotFound => "no ledger there; give --ledger=DIR, or [node] ledger_dir in the configuration",
            std::io::ErrorKind::PermissionDenied => "you may not read it; who may is the admin's to say",
            _ => "cannot be read",
        };
        Refusal::new(format!("{}: {way} ({error})", dir.display()))
    };
    let may_hold = |name: &OsStr| {
        let path = Path::new(name);
        path.extension().is_some_and(|ending| ending == "jsonl") && month(path).is_none_or(|month| window.may_hold_month(month))
    };
    let folder = Arc::new(Folder::open(dir).map_err(refuse)?);
    let (mut files, mut left_out) = (Vec::new(), LeftOut::default());
    for name in folder.names(MOST_FILES, may_hold).map_err(refuse)? {
        match LedgerFile::of(&folder, dir, name.clone()) {
            Ok(file) => files.push(file),
            Err(error) => left_out.files.push((dir.join(name), error.to_string())),
        }
    }
    Ok((files, left_out))
}

/// `2026-05` of `NODE.2026-05.jsonl`; none of a file that is named otherwise.
fn month(path: &Path) -> Option<&str> {
    let (_, month) = path.file_stem()?.to_str()?.rsplit_once('.')?;
    let shape = |(i, b): (usize, u8)| if i == 4 { b == b'-' } else { b.is_ascii_digit() };
    (month.len() == 7 && month.bytes().enumerate().all(shape)).then_some(month)
}
