//! The command that keeps the GPUs busy.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// A running load; dropped, it is ended with all of its processes.
pub struct Loaded(Mutex<Child>);

impl Loaded {
    /// Starts it in a process group of its own, so that a Ctrl-C reaches this program first.
    pub fn start(command: &str) -> std::io::Result<Self> {
        let mut load = Command::new("sh");
        load.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        Ok(Self(Mutex::new(load.spawn()?)))
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.0.lock().is_ok_and(|mut child| child.try_wait().is_ok_and(|status| status.is_none()))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let Ok(child) = self.0.get_mut() else { return };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
        let _ = child.wait();
    }
}
