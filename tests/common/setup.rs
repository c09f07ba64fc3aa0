//! How a test's Slurm is set up: which release, which nodes, which prolog and which plugin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Cluster;

/// Suite, major release and folder below target/ of each release beside the installed one.
const RELEASES: &str = include_str!("../slurm/releases");

/// Which Slurm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlurmRelease {
    /// The one that this machine has installed.
    Installed,
    /// Debian 13's, in a folder tree of its own.
    Debian13,
    /// Debian sid's, in a folder tree of its own.
    DebianSid,
}

impl SlurmRelease {
    /// Runs a test on this release; without the release it prints `SKIPPED` and runs nothing.
    pub fn run(self, test: fn(Self)) {
        if self.is_there() {
            test(self);
        }
    }

    /// Whether this release can run here. Its folder tree is made on the first call.
    pub fn is_there(self) -> bool {
        static MADE: [OnceLock<bool>; 2] = [const { OnceLock::new() }; 2];
        let made = match self {
            Self::Installed => return true,
            Self::Debian13 => &MADE[0],
            Self::DebianSid => &MADE[1],
        };
        let there = *made.get_or_init(|| {
            self.root().join("usr/include/slurm/spank.h").exists()
                || privileged(&repository().join("tests/slurm/release"))
                    .args([self.suite().as_ref(), self.root().as_os_str()])
                    .status()
                    .is_ok_and(|status| status.success())
        });
        if !there {
            skipped(&format!("no Slurm of Debian {}", self.suite()));
        }
        there
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Installed => "",
            Self::Debian13 => "trixie",
            Self::DebianSid => "sid",
        }
    }

    /// The rest of its line in the list: major release and folder.
    fn line(self) -> (&'static str, &'static str) {
        let line = RELEASES.lines().find_map(|line| line.strip_prefix(self.suite())?.strip_prefix(' '));
        line.and_then(|rest| rest.split_once(' ')).expect("the suite in tests/slurm/releases")
    }

    /// `24.11`.
    pub fn major(self) -> &'static str {
        self.line().0
    }

    fn root(self) -> PathBuf {
        target().join(self.line().1).join("root")
    }
}

/// Says that the test does not run here, and why: to the descriptor, since cargo test captures what the macros print.
pub fn skipped(cause: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {cause}\n", thread.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

/// A cluster to be.
#[derive(Debug, Clone)]
pub struct Setup {
    release: SlurmRelease,
    plugin: Option<PathBuf>,
    prolog: Option<PathBuf>,
    epilog: Option<PathBuf>,
    arguments: Vec<String>,
}

impl Setup {
    /// One node with four GPUs and CARM's plugin.
    pub fn on(release: SlurmRelease) -> Self {
        Self { release, plugin: Some(plugin_for(release)), prolog: None, epilog: None, arguments: Vec::new() }
    }

    /// `NAME:GPUS:PARTITION[:MAXTIME]`; repeat for more. The first partition is the default one.
    pub fn node(self, node: &str) -> Self {
        self.option("--node", node)
    }

    /// Another plugin than this build's.
    pub fn plugin(mut self, plugin: impl Into<PathBuf>) -> Self {
        self.plugin = Some(plugin.into());
        self
    }

    /// No plugin at all.
    pub fn without_plugin(mut self) -> Self {
        self.plugin = None;
        self
    }

    /// What stands behind the plugin's path in plugstack.conf.
    pub fn plugin_arguments(self, arguments: &str) -> Self {
        self.option("--plugin-args", arguments)
    }

    /// A line of plugstack.conf.
    pub fn plugstack(self, line: &str) -> Self {
        self.option("--plugstack", line)
    }

    /// What prolog runs once its environment has been recorded: a program, absolute.
    pub fn prolog(mut self, program: impl Into<PathBuf>) -> Self {
        self.prolog = Some(program.into());
        self
    }

    /// What epilog runs once its environment has been recorded: a program, absolute.
    pub fn epilog(mut self, program: impl Into<PathBuf>) -> Self {
        self.epilog = Some(program.into());
        self
    }

    /// A line of slurm.conf.
    pub fn extra(self, line: &str) -> Self {
        self.option("--extra", line)
    }

    /// So many shards of each GPU: jobs that ask for one share it.
    pub fn shards(self, of_each_gpu: u32) -> Self {
        self.option("--shards", &of_each_gpu.to_string())
    }

    /// A file beside slurm.conf, such as gres.conf.
    pub fn conf(self, file: &Path) -> Self {
        let file = file.display().to_string();
        self.option("--conf", &file)
    }

    /// The GPUs are /dev/nvidia0 and so on, which only this Slurm sees.
    pub fn nvidia_devices(mut self) -> Self {
        self.arguments.push("--dev".to_owned());
        self
    }

    /// A variable in the daemons' environment.
    pub fn daemon_env(self, name: &str, value: &Path) -> Self {
        self.option("--env", &format!("{name}={}", value.display()))
    }

    /// A command of sacctmgr. With the first one the cluster has slurmdbd and a MariaDB of its own.
    pub fn accounting(self, words: &str) -> Self {
        self.option("--accounting", words)
    }

    /// A folder that a chroot's Slurm shall see too.
    pub fn bind(self, folder: &Path) -> Self {
        let folder = folder.display().to_string();
        self.option("--bind", &folder)
    }

    fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts it and waits until its nodes are idle.
    pub fn start(self) -> Cluster {
        if self.release == SlurmRelease::Installed {
            for program in ["slurmctld", "slurmd", "sbatch"] {
                assert!(
                    installed(program),
                    "this test runs a real Slurm, and {program} is missing; apt-get install slurmctld slurmd slurm-client"
                );
            }
        }
        let folder = fresh_folder();
        for name in ["env", "jobs"] {
            std::fs::create_dir_all(folder.join(name)).expect("a folder of the cluster");
        }
        // Jobs of any user write their output here.
        run(Command::new("chmod").args(["777", "jobs"]).current_dir(&folder));
        let mut start = privileged(&throwaway());
        start.arg("start").arg(&folder).args(["--while-pid", &std::process::id().to_string()]);
        for (option, script, then) in [("--prolog", "prolog", &self.prolog), ("--epilog", "epilog", &self.epilog)] {
            start.arg(option).arg(recorder(&folder, script, then.as_deref()));
        }
        if self.release != SlurmRelease::Installed {
            assert!(self.release.is_there(), "no Slurm {}", self.release.major());
            start.arg("--root").arg(self.release.root());
        }
        if self.arguments.iter().all(|argument| argument != "--node") {
            start.args(["--gpus-per-node", "4"]);
        }
        if let Some(plugin) = &self.plugin {
            start.arg("--plugin").arg(plugin);
        }
        let cluster = Cluster::at(folder, self.release);
        run(start.args(&self.arguments));
        cluster
    }
}

/// Whether this machine has what [`Setup::accounting`] needs; without it prints `SKIPPED`.
pub fn has_accounting() -> bool {
    let programs = ["slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults"];
    let missing: Vec<&str> = programs.into_iter().filter(|program| !installed(program)).collect();
    if !missing.is_empty() {
        skipped(&format!("no {}; tests/install-needs tests", missing.join(", ")));
    }
    missing.is_empty()
}

/// A script that keeps the environment that Slurm gave it, one file a run, and then runs `then`.
fn recorder(folder: &Path, name: &str, then: Option<&Path>) -> PathBuf {
    let path = folder.join(name);
    let then = then.map_or("exit 0".to_owned(), |program| format!("exec '{}'", program.display()));
    let script = format!(
        "#!/bin/bash\nfile='{folder}'/env/$SLURM_JOB_ID.{name}.$EPOCHREALTIME\n/usr/bin/env -0 >\"$file.part\"\n\
         /bin/mv \"$file.part\" \"$file\"\n{then}\n",
        folder = folder.display()
    );
    std::fs::write(&path, script).expect("writing a recorder");
    run(Command::new("chmod").arg("755").arg(&path));
    path
}

/// A short path of its own below /tmp: sockets of Slurm lie in it, whose paths end at 108 characters.
fn fresh_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder =
        std::env::temp_dir().join(format!("carm-slurm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// The repository's root, from whichever member's tests this is.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("tests/slurm/throwaway").exists()).expect("the repository's root").to_owned()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    built("").parent().expect("a profile's folder lies in target").to_owned()
}

/// A program or library of this build: tests lie in `target/<profile>/deps`.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    test.ancestors().nth(2).expect("target/<profile>/deps/<test>").join(name)
}

/// `spank_carm.so` for that Slurm. A plugin fits one major release alone, so another release's is built here, by its header.
pub fn plugin_for(release: SlurmRelease) -> PathBuf {
    if release == SlurmRelease::Installed {
        // In deps/, where cargo puts it for `build` and for `test`; only `build` copies it one folder up.
        let plugin = built("deps/libspank_carm.so");
        assert!(plugin.exists(), "{} is not built; cargo build -p spank-plugin", plugin.display());
        return plugin;
    }
    assert!(release.is_there(), "no Slurm {}", release.major());
    let target = target().join(release.line().1).join("build");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "spank-plugin", "--target-dir"]).arg(&target).current_dir(repository());
    run(build.env("SPANK_INCLUDE", release.root().join("usr/include")).env_remove("CARGO_TARGET_DIR"));
    target.join("debug/libspank_carm.so")
}

pub fn throwaway() -> PathBuf {
    repository().join("tests/slurm/throwaway")
}

/// A command as root.
pub fn privileged(program: &Path) -> Command {
    if effective_user() == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg(program);
    command
}

/// The effective user, without `unsafe` and without a crate that every test's package would have to name.
fn effective_user() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map(|own| own.uid()).unwrap_or(u32::MAX)
}

fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin"]).any(|folder| Path::new(folder).join(program).exists())
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
