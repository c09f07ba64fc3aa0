//! What goes wrong with a cluster: daemons and jobs that are killed, daemons that come back.

use std::path::Path;
use std::process::Command;

use super::setup::{self, run};
use super::{Cluster, wait_for};

impl Cluster {
    /// Ends a node's slurmd with SIGKILL; its jobs' steps run on.
    pub fn kill_slurmd(&self, node: &str) {
        let file = self.folder().join(format!("run/slurmd-{node}.pid"));
        let pid = std::fs::read_to_string(&file).expect("slurmd's pid file").trim().parse().expect("a pid");
        kill(pid, "KILL");
        wait_for("slurmd to end", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    }

    /// Starts it again.
    pub fn start_slurmd(&self, node: &str) {
        run(setup::privileged(&setup::throwaway()).arg("slurmd").arg(self.folder()).arg(node));
    }

    /// Ends a job's steps and all that they started with SIGKILL, as a node that crashes does. The job's number must be this
    /// machine's only one (`FirstJobId`).
    pub fn kill_steps_of(&self, job: u32) {
        let folder = self.folder().display().to_string();
        let steps = processes_with("cmdline", &[&format!("slurmstepd: [{job}.")]);
        let own = processes_with("environ", &[&format!("SLURM_JOB_ID={job}\0"), &folder]);
        assert!(!steps.is_empty(), "job {job} has no step");
        // First those who would tell of the others' end.
        for pid in steps.into_iter().chain(own) {
            kill(pid, "KILL");
        }
    }
}

/// The processes whose `cmdline` or `environ` in /proc contains all of some texts.
pub fn processes_with(file: &str, texts: &[&str]) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let is_one = |pid: &u32| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        texts.iter().all(|wanted| text.contains(wanted))
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}

/// Sends a signal to a process; one that is gone already is no fault.
pub fn kill(pid: u32, signal: &str) {
    let mut command: Command = setup::privileged(Path::new("kill"));
    let _ = command.arg(format!("-{signal}")).arg(pid.to_string()).output().expect("kill(1)");
}
