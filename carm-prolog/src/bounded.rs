//! Keeps slurmd's prolog within its bound whatever the driver does.
//!
//! A failing or endless prolog drains the node. So the work runs in a child with a session of its own and its standard
//! files on /dev/null (slurmd reads the prolog's pipe to its end, and kills its process group); the parent waits no longer than
//! the bound and ends with success. A child stuck in the driver is left behind: nothing can end it, and nobody waits for it.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the child may take: the 5 s that the contract gives to prolog and epilog, less what the parent needs to
/// start it, and to book the job without it.
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

/// Runs this program again with other arguments, and waits for at most `bound`.
pub fn run(arguments: &[OsString], bound: Duration) -> std::io::Result<End> {
    let since = Instant::now();
    // Not by its path: a package may be replacing that file at this moment.
    let mut child = Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { End::Done } else { End::CutShort(format!("its work ended early: {status}")) });
        }
        if since.elapsed() >= bound {
            // In a driver call that cannot be interrupted the signal waits with it.
            let _ = child.kill();
            return Ok(End::CutShort(format!("the driver did not answer within {} s", bound.as_secs_f64())));
        }
        std::thread::sleep(pause.min(bound.saturating_sub(since.elapsed())));
        pause = (pause * 2).min(PAUSE);
    }
}

/// The child's first act: a session of its own, out of reach of slurmd's kill of the prolog's process group.
pub fn detach() {
    // Fails only for a process that leads a group already: run by hand, where it does not matter.
    let _ = rustix::process::setsid();
}
