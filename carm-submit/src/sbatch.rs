//! Finds the real sbatch.
//!
//! Sites install carm-submit as `sbatch`: a link or a wrapper script that stands before Slurm's own in PATH. A link is
//! recognised by its inode. A wrapper is not: so [`MARK`] goes with every call of an sbatch that is a script. A carm-submit that finds
//! the mark of one of its ancestors was called by that wrapper; it plans nothing and calls the next sbatch in PATH.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `PID:PATH`: the carm-submit that called an sbatch, and the path of that sbatch. The job's environment may carry it to
/// other hosts; there no process has this ancestor.
const MARK: &str = "CARM_SUBMIT_CALLED";

/// More wrappers than anybody stacks.
const MOST_ANCESTORS: usize = 32;

/// The sbatch to call.
#[derive(Debug, Clone)]
pub struct Sbatch(PathBuf);

impl Sbatch {
    /// `[submit] sbatch`, else the first in PATH that is not this program.
    pub fn find(configured: Option<&Path>) -> Self {
        let found = configured.map(Path::to_owned).or_else(|| in_path(None));
        // Where there is none, running it says so.
        Self(found.unwrap_or_else(|| PathBuf::from("sbatch")))
    }

    /// The next sbatch in PATH after the wrapper that called this process; `None` where no wrapper did.
    pub fn behind_wrapper() -> Option<Self> {
        let mark = std::env::var_os(MARK)?;
        let at = mark.as_bytes().iter().position(|&byte| byte == b':')?;
        let pid = std::str::from_utf8(&mark.as_bytes()[..at]).ok()?.parse().ok()?;
        let wrapper = PathBuf::from(OsString::from_vec(mark.as_bytes()[at + 1..].to_vec()));
        // Without another sbatch the wrapper's own path would be called for ever: a name that is not found ends that.
        is_ancestor(pid).then(|| Self(in_path(Some(&wrapper)).unwrap_or_else(|| PathBuf::from("/nonexistent/sbatch"))))
    }

    /// Its path and when it was changed.
    pub fn identity(&self) -> String {
        let changed = std::fs::metadata(&self.0).map(|about| (about.mtime(), about.mtime_nsec())).unwrap_or_default();
        format!("{} {}.{}", self.0.display(), changed.0, changed.1)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        if is_script(&self.0) {
            let mut mark = OsString::from(format!("{}:", std::process::id()));
            mark.push(&self.0);
            command.env(MARK, mark);
        } else {
            command.env_remove(MARK);
        }
        command
    }
}

/// Whether carm-submit was called as `sbatch`: programs that parse `sbatch --version` want Slurm's.
pub fn is_own_name() -> bool {
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name() == Some("sbatch".as_ref()))
}

/// The first executable sbatch in PATH that is neither this program nor `wrapper`; where PATH holds the wrapper, the first
/// behind it.
fn in_path(wrapper: Option<&Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let all: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join("sbatch")).collect();
    let behind = wrapper.and_then(|wrapper| all.iter().position(|path| path == wrapper)).map_or(0, |at| at + 1);
    let own = std::fs::metadata("/proc/self/exe").ok().map(|own| (own.dev(), own.ino()));
    let is_candidate = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|about| {
            about.is_file() && about.permissions().mode() & 0o111 != 0 && own != Some((about.dev(), about.ino()))
        })
    };
    all.into_iter().skip(behind).find(|path| is_candidate(path) && wrapper != Some(path))
}

/// Slurm's own sbatch is an ELF program; whatever else is executable may lead back here.
fn is_script(path: &Path) -> bool {
    let mut head = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head != *b"\x7fELF"
}

/// Whether a process is this one (a wrapper that was reached by exec keeps its number) or above it.
fn is_ancestor(pid: u32) -> bool {
    let mut process = std::process::id();
    for _ in 0..MOST_ANCESTORS {
        if process == pid {
            return true;
        }
        match parent(process) {
            Some(above) if above > 1 => process = above,
            _ => return false,
        }
    }
    false
}

/// The fourth field of /proc/PID/stat, counted from behind the command's name, which may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
