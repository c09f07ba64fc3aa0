//! A running cluster: its commands, its jobs, and what its prolog and epilog saw.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::setup::{self, Setup, SlurmRelease};

/// No job of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An environment as a program saw it.
pub type Environment = BTreeMap<String, String>;

/// A Slurm of the test's own; it ends with this value, or with the test's process.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    release: SlurmRelease,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The job that sbatch announced.
    pub fn job(&self) -> u32 {
        let id = self.stdout.trim().strip_prefix("Submitted batch job ").and_then(|id| id.parse().ok());
        id.unwrap_or_else(|| panic!("no job was submitted: {self:?}"))
    }
}

impl Cluster {
    /// The installed Slurm, one node with four GPUs, CARM's plugin, prolog and epilog that record their environment.
    pub fn start() -> Self {
        Setup::on(SlurmRelease::Installed).start()
    }

    /// The same on a release of choice.
    pub fn on(release: SlurmRelease) -> Self {
        Setup::on(release).start()
    }

    /// A cluster to be, for tests that want another one.
    pub fn setup() -> Setup {
        Setup::on(SlurmRelease::Installed)
    }

    pub(super) fn at(folder: PathBuf, release: SlurmRelease) -> Self {
        Self { folder, release }
    }

    /// Where everything of it lies; `jobs/` in it is where commands run and output files land.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its slurm.conf.
    pub fn slurm_conf(&self) -> PathBuf {
        self.folder.join("slurm.conf")
    }

    /// Its commands as another user.
    pub fn as_user(&self, uid: u32) -> Client<'_> {
        Client { cluster: self, uid: Some(uid), environment: Vec::new() }
    }

    /// Its commands with a variable set.
    pub fn with_env(&self, name: &str, value: &str) -> Client<'_> {
        self.client().with_env(name, value)
    }

    fn client(&self) -> Client<'_> {
        Client { cluster: self, uid: None, environment: Vec::new() }
    }

    /// A command of a client of this cluster, in `jobs/`, with a bare environment.
    pub fn command(&self, program: &str) -> Command {
        self.client().command(program)
    }

    /// Runs it as the daemons see the machine.
    pub fn run_inside(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = setup::privileged(&setup::throwaway());
        command.arg("run").arg(&self.folder).arg(program).args(arguments).stdin(Stdio::null());
        ran(command.output().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    /// Runs it.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        self.client().run(program, arguments)
    }

    /// Runs sbatch.
    pub fn sbatch(&self, arguments: &[&str]) -> Ran {
        self.run("sbatch", arguments)
    }

    /// Submits a script given as text, through sbatch's standard input.
    pub fn sbatch_script(&self, arguments: &[&str], script: &str) -> Ran {
        self.client().sbatch_script(arguments, script)
    }

    /// Runs srun.
    pub fn srun(&self, arguments: &[&str]) -> Ran {
        self.run("srun", arguments)
    }

    /// Runs salloc.
    pub fn salloc(&self, arguments: &[&str]) -> Ran {
        self.run("salloc", arguments)
    }

    /// Writes an executable script into `jobs/`; its path.
    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.folder.join("jobs").join(name);
        std::fs::write(&path, text).expect("writing a script");
        setup::run(Command::new("chmod").arg("755").arg(&path));
        path.display().to_string()
    }

    /// Waits until the job and its epilog are over; its last state (`COMPLETED`, `FAILED`, ...).
    pub fn wait_for_job(&self, job: u32) -> String {
        wait_for(&format!("job {job} to end"), || {
            let state = self.job(job).remove("JobState").unwrap_or_default();
            let over =
                !["PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", ""].contains(&state.as_str());
            (over && !self.environments(job, "epilog").is_empty()).then_some(state)
        })
    }

    /// What `scontrol show job` says of it.
    pub fn job(&self, job: u32) -> Environment {
        let shown = self.run("scontrol", &["--oneliner", "show", "job", &job.to_string()]).stdout;
        let pairs = shown.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The jobs that are waiting or running.
    pub fn queue(&self) -> Vec<String> {
        self.run("squeue", &["--noheader", "--format=%A %T"]).stdout.lines().map(str::to_owned).collect()
    }

    /// What the job's (last) prolog saw.
    pub fn prolog_environment(&self, job: u32) -> Environment {
        wait_for(&format!("the prolog of job {job}"), || self.environments(job, "prolog").pop())
    }

    /// What the job's (last) epilog saw.
    pub fn epilog_environment(&self, job: u32) -> Environment {
        wait_for(&format!("the epilog of job {job}"), || self.environments(job, "epilog").pop())
    }

    /// What each run of the job's `prolog` or `epilog` saw, in their order.
    pub fn environments(&self, job: u32, script: &str) -> Vec<Environment> {
        let start = format!("{job}.{script}.");
        let entries = std::fs::read_dir(self.folder.join("env")).expect("the folder of environments");
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && !name.ends_with(".part")
        });
        files.sort();
        files.iter().map(|path| environment(&std::fs::read(path).expect("a recorded environment"))).collect()
    }

    /// What the job printed (`slurm-N.out`).
    pub fn output_of(&self, job: u32) -> String {
        std::fs::read_to_string(self.folder.join(format!("jobs/slurm-{job}.out"))).unwrap_or_default()
    }

    /// A log of the daemons: `slurmctld`, `slurmd-n1`.
    pub fn log(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log").join(name)).unwrap_or_default()).into_owned()
    }

    /// The nodes' states, without the flags: `idle`, `drained`, ...
    pub fn node_states(&self) -> Vec<String> {
        self.run("sinfo", &["--noheader", "--Node", "--format=%T"]).stdout.lines().map(str::to_owned).collect()
    }

    /// Nothing that happened here has cost a node.
    pub fn assert_no_node_was_lost(&self) {
        let states = self.node_states();
        let lost = |state: &String| ["down", "drain", "fail", "inval", "unknown"].iter().any(|word| state.contains(word));
        assert!(!states.is_empty() && !states.iter().any(lost), "{states:?}");
    }
}

/// One user's commands.
#[derive(Debug, Clone)]
pub struct Client<'a> {
    cluster: &'a Cluster,
    uid: Option<u32>,
    environment: Vec<(String, String)>,
}

impl Client<'_> {
    /// Its commands with one more variable set.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command, in `jobs/`, with a bare environment.
    pub fn command(&self, program: &str) -> Command {
        let folder = &self.cluster.folder;
        let inside = self.cluster.release != SlurmRelease::Installed;
        let mut words: Vec<String> = Vec::new();
        if inside {
            words.extend([setup::throwaway().display().to_string(), "run".into(), folder.display().to_string()]);
        }
        if let Some(uid) = self.uid {
            words.extend(["setpriv".into(), format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()]);
        }
        words.push(program.to_owned());
        // Through env(1): sudo, where root is not at hand, passes no environment on.
        let mut command = if inside || self.uid.is_some() { setup::privileged(Path::new("env")) } else { Command::new("env") };
        command.args(["-i", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]);
        command.arg(format!("SLURM_CONF={}", self.cluster.slurm_conf().display()));
        command.args(self.environment.iter().map(|(name, value)| format!("{name}={value}"))).args(&words);
        command.current_dir(folder.join("jobs")).stdin(Stdio::null());
        command
    }

    /// Runs a command.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        ran(self.command(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    /// Runs sbatch.
    pub fn sbatch(&self, arguments: &[&str]) -> Ran {
        self.run("sbatch", arguments)
    }

    /// Submits a script given as text, through sbatch's standard input.
    pub fn sbatch_script(&self, arguments: &[&str], script: &str) -> Ran {
        let mut command = self.command("sbatch");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting sbatch");
        // sbatch that refuses an option ends without reading.
        let _ = child.stdin.take().expect("a pipe").write_all(script.as_bytes());
        ran(child.wait_with_output().expect("waiting for sbatch"))
    }
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn environment(bytes: &[u8]) -> Environment {
    let entries = bytes.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    entries.filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// Asks again until there is an answer.
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_for_long(what, PATIENCE, ask)
}

/// As [`wait_for`], for what Slurm takes its time with.
pub fn wait_for_long<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < patience, "waited {} s for {what}", patience.as_secs());
        sleep(Duration::from_millis(100));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = setup::privileged(&setup::throwaway()).arg("stop").arg(&self.folder).output();
        if std::thread::panicking() {
            eprintln!("the cluster's folder is kept: {}", self.folder.display());
        } else if stopped.is_ok_and(|output| output.status.success()) {
            let _ = setup::privileged(Path::new("rm")).args(["-rf", "--one-file-system"]).arg(&self.folder).output();
        }
    }
}
