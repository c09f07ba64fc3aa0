//! Whom a process on a GPU belongs to: a Slurm job, else a user.
//!
//! The job is the `job_N` of the process's cgroup (`/slurm/uid_1000/job_7/...` in v1, `.../slurmstepd.scope/job_7/...` in v2),
//! else that of the slurmstepd among its ancestors. A process that left both belongs to its user.

use std::fmt;
use std::path::Path;

use crate::govern::alive::job_of;

/// Below are system accounts (login.defs, UID_MIN): daemons such as DCGM's use them.
const FIRST_USER: u32 = 1000;

/// `nvidia-cuda-mps-server`, as the kernel cuts it to 15 characters.
const MPS_SERVER: &str = "nvidia-cuda-mps";

/// Deeper process trees than this are not followed.
const MOST_ANCESTORS: usize = 64;

/// A process and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    command: String,
    uid: u32,
    job: Option<u32>,
    /// It runs in a user's login session, under systemd's `user.slice`.
    is_login: bool,
}

impl Process {
    /// Reads it from `proc`; none where the process has ended.
    pub fn read(proc: &Path, pid: u32) -> Option<Self> {
        let status = Status::read(proc, pid)?;
        let cgroup = std::fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).unwrap_or_default();
        Some(Self {
            pid,
            job: job_of_cgroup(&cgroup).or_else(|| job_of_ancestors(proc, status.parent)),
            is_login: cgroup.contains("/user.slice/"),
            command: status.command,
            uid: status.uid,
        })
    }

    /// Whether it belongs to none of these jobs and users. On a GPU that Slurm gives to one job at a time, a process counts only
    /// where its owner is certain: a container of the job may run outside of its cgroup and as any user.
    pub fn is_foreign(&self, jobs: &[u32], users: &[u32], is_shared: bool) -> bool {
        match self.job {
            Some(job) => !jobs.contains(&job),
            None if users.contains(&self.uid) => false,
            // Which jobs its clients belong to cannot be determined.
            None if self.command == MPS_SERVER => true,
            None => self.uid >= FIRST_USER && (is_shared || self.is_login),
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "process {} ({}) of ", self.pid, carm::request::printable(&self.command))?;
        match self.job {
            Some(job) => write!(f, "job {job}"),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// What `/proc/PID/status` has of a process. The folder's owner is not its user: the kernel gives a process that may not be
/// traced to root (proc(5)).
struct Status {
    command: String,
    parent: u32,
    uid: u32,
}

impl Status {
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        let bytes = std::fs::read(proc.join(pid.to_string()).join("status")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let number = |name: &str| field(name)?.split_whitespace().next()?.parse().ok();
        Some(Self { command: field("Name:")?.to_owned(), parent: number("PPid:")?, uid: number("Uid:")? })
    }
}

fn job_of_cgroup(cgroup: &str) -> Option<u32> {
    let job = |line: &str| {
        let (slurms, job) = line.split_once("/job_")?;
        let number = slurms.contains("slurm").then(|| job.split('/').next())??;
        number.parse().ok()
    };
    cgroup.lines().find_map(job)
}

fn job_of_ancestors(proc: &Path, parent: u32) -> Option<u32> {
    let mut pid = parent;
    for _ in 0..MOST_ANCESTORS {
        if pid <= 1 {
            return None;
        }
        if let Some(job) = job_of(proc, pid) {
            return Some(job);
        }
        pid = Status::read(proc, pid)?.parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(job: Option<u32>, uid: u32) -> Process {
        Process { pid: 1, command: "python".into(), uid, job, is_login: false }
    }

    #[test]
    fn cgroup_names_the_job() {
        for (cgroup, job) in [
            ("0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n", Some(7)),
            ("0::/system.slice/n1_slurmstepd.scope/job_7/step_batch/user/task_special/podman/x\n", Some(7)),
            ("9:name=systemd:/\n4:memory:/slurm/uid_1000/job_12/step_extern\n", Some(12)),
            ("0::/system.slice/docker-0123.scope\n", None),
            ("0::/user.slice/user-1000.slice/job_7\n", None),
            ("0::/system.slice/slurmstepd.scope/job_x/step_0\n", None),
        ] {
            assert_eq!(job_of_cgroup(cgroup), job, "{cgroup}");
        }
    }

    #[test]
    fn process_of_unregistered_job_is_foreign() {
        for is_shared in [true, false] {
            assert!(process(Some(9), 1000).is_foreign(&[7, 8], &[1000], is_shared), "its user has another job there");
            assert!(!process(Some(8), 2000).is_foreign(&[7, 8], &[1000], is_shared));
        }
    }

    #[test]
    fn daemons_are_not_foreign() {
        for uid in [0, 112, 999] {
            assert!(!process(None, uid).is_foreign(&[7], &[1000], true), "{uid}");
        }
    }

    #[test]
    fn doubt_counts_only_on_shared_gpus() {
        assert!(process(None, 2000).is_foreign(&[7], &[1000], true));
        assert!(!process(None, 2000).is_foreign(&[7], &[1000], false), "a container of the job");
        assert!(!process(None, 1000).is_foreign(&[7], &[1000], true), "the job's own user");
        let login = Process { is_login: true, ..process(None, 2000) };
        assert!(login.is_foreign(&[7], &[1000], false), "another user's login");
    }

    #[test]
    fn mps_server_counts_unless_it_is_the_jobs() {
        let server = |job, uid| Process { command: MPS_SERVER.into(), ..process(job, uid) };
        assert!(server(None, 0).is_foreign(&[7], &[1000], false));
        assert!(!server(Some(7), 0).is_foreign(&[7], &[1000], false));
        assert!(!server(None, 1000).is_foreign(&[7], &[1000], true));
    }

    #[test]
    fn ended_process_is_none() {
        assert_eq!(Process::read(Path::new("/proc"), u32::MAX), None);
    }
}
