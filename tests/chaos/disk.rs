//! File systems on loop devices, which can be frozen (as an NFS server that stalls) and filled.

#![allow(dead_code)] // each test that includes this file uses its own part of it

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// A mounted file system, unmounted with this value.
pub struct Disk {
    mount: PathBuf,
    /// One fault at a time.
    fault: Mutex<()>,
}

impl Disk {
    /// Makes a file system of 32 MiB beside `mount` and mounts it there.
    pub fn mount(mount: PathBuf) -> Result<Self, String> {
        let image = mount.with_extension("img");
        std::fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
        // Not sparse: where the host's own disk is full, a write into a hole would be an I/O error of this file system.
        command("fallocate", &["--length", "32M", &image.display().to_string()])?;
        // No blocks reserved for root: a disk that is full is full for CARM as well.
        command("mkfs.ext4", &["-q", "-m", "0", &image.display().to_string()])?;
        command("mount", &["-o", "loop,noatime", &image.display().to_string(), &mount.display().to_string()])?;
        let disk = Self { mount, fault: Mutex::new(()) };
        disk.unmount_with_this_process().map_err(|error| error.to_string())?;
        Ok(disk)
    }

    /// Unmounts it when this process ends without a `drop`, as one that a signal ends.
    fn unmount_with_this_process(&self) -> std::io::Result<()> {
        let text = "tail --pid=\"$1\" -f /dev/null; umount --lazy \"$2\" 2>/dev/null";
        let mut shell = Command::new("sh");
        shell.args(["-c", text, "sh", &std::process::id().to_string()]).arg(&self.mount).process_group(0);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Blocks all writers for a time; false where another fault of this disk lasts. The thaw does not depend on this process:
    /// a test that is killed must not leave writers that nothing can end.
    pub fn freeze(&self, duration: Duration) -> bool {
        self.script(duration, "fsfreeze --freeze \"$1\" && sleep \"$2\"; fsfreeze --unfreeze \"$1\"")
    }

    /// Blocks all writers until the value is dropped or this process ends.
    pub fn frozen(&self) -> Frozen {
        let text = "fsfreeze --freeze \"$1\" && echo; read -r _; fsfreeze --unfreeze \"$1\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", text, "sh"]).arg(&self.mount).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut shell = shell.spawn().expect("sh");
        let mut line = [0];
        shell.stdout.take().expect("a pipe").read_exact(&mut line).expect("fsfreeze of util-linux");
        Frozen(shell)
    }

    /// Fills it up for a time; false where another fault of this disk lasts.
    pub fn fill(&self, duration: Duration) -> bool {
        self.script(duration, "dd if=/dev/zero of=\"$1/fill\" bs=64k 2>/dev/null; sleep \"$2\"; rm \"$1/fill\"")
    }

    fn script(&self, duration: Duration, text: &str) -> bool {
        let Ok(_fault) = self.fault.try_lock() else { return false };
        let seconds = duration.as_secs_f64().to_string();
        let mut shell = Command::new("sh");
        shell.args(["-c", text, "sh"]).arg(&self.mount).arg(seconds).stdin(Stdio::null()).process_group(0);
        shell.status().expect("sh").success()
    }
}

/// A frozen file system: the shell thaws it at the end of its standard input.
pub struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.mount).stderr(Stdio::null()).status();
        // Lazily: a process in a mount namespace of its own may still use it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).status();
    }
}

/// Whether this machine permits loop devices and frozen file systems; else why not.
pub fn permitted() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::mount(folder.path().join("disk"))?;
    match disk.freeze(Duration::from_millis(10)) {
        true => Ok(()),
        false => Err("fsfreeze failed".into()),
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let cause = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {cause}"))
}
