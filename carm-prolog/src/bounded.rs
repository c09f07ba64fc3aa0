//! Keeps slurmd's prolog within its bound whatever the driver or a file server does.
//!
//! A failing or endless prolog drains the node. So the work runs in a child with a session of its own (slurmd reads the prolog's
//! pipe to its end, and kills its process group); the parent waits no longer than the bound and ends with success. A child stuck in
//! the driver or in a file system is left behind: nothing can end it, and nobody waits for it.
//!
//! The child's standard output is a pipe to its parent. Before it reads a file that may lie on another machine the child writes
//! the file's name there, and an empty line after it: so the parent can name what hangs.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the child may take: the 5 s that the contract gives to prolog and epilog, less what the parent needs to
/// start it, and to note its end.
pub const BOUND: Duration = Duration::from_millis(4500);

/// The longest pause between two looks at the child: what a look costs is far below, what it delays is seen.
const PAUSE: Duration = Duration::from_millis(2);

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself: what went wrong is in its log.
    Done,
    /// Not by itself; the text says why.
    CutShort(String),
}

/// This program, to be run again with other arguments and without standard files.
pub fn this_program(arguments: &[OsString]) -> Command {
    // Not by its path: a package may be replacing that file at this moment.
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command
}

/// Runs this program again with other arguments, and waits for at most `bound`.
pub fn run(arguments: &[OsString], bound: Duration) -> std::io::Result<End> {
    let mut child = this_program(arguments).stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take();
    if let Some(pipe) = &pipe {
        rustix::io::ioctl_fionbio(pipe.as_fd(), true)?;
    }
    let mut steps = Vec::new();
    let ended = wait(&mut child, bound, || {
        if let Some(pipe) = &mut pipe {
            // An error is a pipe without a word in it, or without a child.
            let _ = pipe.take(64 << 10).read_to_end(&mut steps);
        }
    })?;
    if let Some(status) = ended {
        return Ok(if status.success() { End::Done } else { End::CutShort(format!("its work ended early: {status}")) });
    }
    // In a driver call or a file system that cannot be interrupted the signal waits with it.
    let _ = child.kill();
    let steps = String::from_utf8_lossy(&steps);
    let what = match steps.lines().last().unwrap_or_default() {
        "" => "the driver".to_owned(),
        path => carm::request::printable(path).to_string(),
    };
    Ok(End::CutShort(format!("{what} did not answer within {} s", bound.as_secs_f64())))
}

/// Waits for a child for at most so long; none if it still runs.
pub fn wait(child: &mut Child, most: Duration, mut meanwhile: impl FnMut()) -> std::io::Result<Option<std::process::ExitStatus>> {
    let since = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        let ended = child.try_wait()?;
        meanwhile();
        if ended.is_some() || since.elapsed() >= most {
            return Ok(ended);
        }
        std::thread::sleep(pause.min(most.saturating_sub(since.elapsed())));
        pause = (pause * 2).min(PAUSE);
    }
}

/// This process is a bounded child.
static IS_BOUNDED: AtomicBool = AtomicBool::new(false);
static IS_ORPHAN: AtomicBool = AtomicBool::new(false);

/// The child's first act: a session of its own, out of reach of slurmd's kill of the prolog's process group.
pub fn detach() {
    // Fails only for a process that leads a group already: run by hand, where it does not matter.
    let _ = rustix::process::setsid();
}

/// [`detach`], and names to its parent what it reads.
pub fn begin() {
    detach();
    IS_BOUNDED.store(true, Ordering::Relaxed);
}

/// Reads something whose file may lie on another machine. The parent names it where that does not come back.
pub fn reading<T>(path: &Path, read: impl FnOnce() -> T) -> T {
    note(&path.display().to_string());
    let result = read();
    note("");
    result
}

/// Whether the parent was killed before its child: then nobody has kept to the bound.
pub fn is_orphan() -> bool {
    note("");
    IS_ORPHAN.load(Ordering::Relaxed)
}

fn note(step: &str) {
    if IS_BOUNDED.load(Ordering::Relaxed) {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{}", step.replace('\n', " ")).and_then(|()| out.flush()).is_err() {
            IS_ORPHAN.store(true, Ordering::Relaxed);
        }
    }
}
