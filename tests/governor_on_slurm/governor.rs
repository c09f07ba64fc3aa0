//! The governor as a test's daemon: started as its unit does, killed, watched from outside.

use std::process::{Child, Stdio};

use crate::common::{built, kill, processes_with, wait_for};
use crate::site::Site;

/// A governor of a site; killed with this value.
pub struct Governor<'a> {
    site: &'a Site,
    child: Child,
    pid: u32,
}

impl<'a> Governor<'a> {
    /// Starts it, where the site's slurmds run, and waits until it governs.
    pub fn start(site: &'a Site) -> Self {
        let said = |site: &Site| site.log().matches("governing, every").count();
        let before = said(site);
        let config = site.path("carm.toml").display().to_string();
        let folder = site.cluster.folder().display().to_string();
        // The mark of the cluster's own processes: it ends with the cluster even if the test cannot end it.
        let client = site.cluster.with_env("CARM_THROWAWAY_SLURM", &folder);
        let mut command = client.command(&built("carm-prolog").display().to_string());
        let child = command.args(["--config", &config, "govern"]).stdout(Stdio::null()).spawn().expect("carm-prolog");
        wait_for("the governor", || (said(site) > before).then_some(()));
        // Behind the programs that lead into a chroot.
        let mut pids = processes_with("cmdline", &["carm-prolog\0--config\0", &format!("{config}\0govern\0")]);
        pids.retain(|pid| is_program(*pid, "carm-prolog"));
        assert_eq!(pids.len(), 1, "governors: {pids:?}");
        Self { site, child, pid: pids[0] }
    }

    /// Ends it with SIGKILL.
    pub fn kill(self) {
        drop(self);
    }

    /// Ends it as systemd does; what it leaves.
    pub fn stop(mut self) -> &'a Site {
        kill(self.pid, "TERM");
        assert!(self.child.wait().expect("its end").success(), "{}", self.site.log());
        self.site
    }

    /// Its open files.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("a process of root's").count()
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Governor<'_> {
    fn drop(&mut self) {
        kill(self.pid, "KILL");
        let _ = self.child.wait();
    }
}

fn is_program(pid: u32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}
