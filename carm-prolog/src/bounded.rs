//! Keeps slurmd's prolog within its bound whatever the driver does.
//!
//! A failing or endless prolog drains the node. So the work runs in a child with a session of its own and its standard
//! files on /dev/null (slurmd reads the prolog's pipe to its end, and kills its process group); the parent waits no longer than
//! the bound and ends with success. A child stuck in the driver is left behind: nothing can end it, and nobody waits for it.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that prolog and epilog may take.
pub const BOUND: Duration = Duration::from_secs(5);

/// How the child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In time, well or not: what went wrong is in its log.
    Done,
    /// Not in time.
    Stuck,
}

/// Runs this program again with other arguments, and waits for at most `bound`.
pub fn run(arguments: &[OsString], bound: Duration) -> std::io::Result<End> {
    let since = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut pause = Duration::from_micros(500);
    loop {
        if child.try_wait()?.is_some() {
            return Ok(End::Done);
        }
        if since.elapsed() >= bound {
            // In a driver call that cannot be interrupted the signal waits with it.
            let _ = child.kill();
            return Ok(End::Stuck);
        }
        std::thread::sleep(pause.min(bound.saturating_sub(since.elapsed())));
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// The child's first act: a session of its own, out of reach of slurmd's kill of the prolog's process group.
pub fn detach() {
    // Fails only for a process that leads a group already: run by hand, where it does not matter.
    let _ = rustix::process::setsid();
}
