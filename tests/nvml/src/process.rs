//! Which process is meant, and whether it still lives.
//! A pid alone is not enough: it may be given out again, so the start time goes with it. A zombie counts as dead, as the
//! driver closes a process's files when it dies, not when its parent takes notice.

use serde::{Deserialize, Serialize};

/// A process of this machine, told apart from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot, field 22 of /proc/PID/stat; 0 where /proc cannot be read.
    pub started: u64,
}

impl Process {
    /// The calling process.
    pub fn me() -> Process {
        let pid = std::process::id();
        let started = stat(pid).map_or(0, |(_, started)| started);
        Process { pid, started }
    }

    /// Whether it runs, as far as /proc tells.
    pub fn lives(self) -> bool {
        match stat(self.pid) {
            Some((state, started)) => !matches!(state, 'Z' | 'X') && started == self.started,
            None => false,
        }
    }
}

/// State letter and start time of a pid. The command's name, in brackets, may hold blanks and brackets itself.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}
