//! A folder with a job, a configuration and an `sbatch` and `scontrol` that record what they are given: what carm-submit
//! hands over, byte for byte, without a Slurm. The life of a job on a real one is tested elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A deadline to finish by, and one that leaves time for south's clean hours.
pub const BY_NOON: &str = "--carbon-deadline=2026-05-01T12:00Z";
pub const BY_EVENING: &str = "--carbon-deadline=2026-05-01T18:00Z";

/// The present instant of every test.
pub const NOW: &str = "2026-05-01T06:00:00Z";

/// A user at a login node.
pub struct Login {
    pub home: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// What a submission came to.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The words that sbatch was given; `None`: it was not called.
    pub given: Option<Vec<String>>,
    /// What sbatch found in its script (a file or standard input).
    pub script: Option<String>,
    /// The words of each `sbatch --test-only`, joined by blanks, and what stood on its standard input.
    pub asked: Vec<String>,
    /// The words of each squeue, joined by blanks.
    pub queued: Vec<String>,
    /// The words of each scontrol, joined by blanks.
    pub controlled: Vec<String>,
}

const SBATCH: &str = r#"#!/bin/sh
here=${0%/*}
if [ "$*" = --help ]; then /bin/cat "$here/help"; exit; fi
if [ "$1" = --test-only ]; then
  printf '%s\n' "$*" >> "$here/asked"
  for word; do case $word in gpu-*|--partition=*) partition=${word#*=}; esac; done
  if [ -f "$here/room-$partition" ]; then . "$here/room-$partition"; else /bin/cat >> "$here/asked"; fi
  exit
fi
printf '%s\n' "$@" > "$here/given"
for word; do case $word in -*) ;; *.sh) script=$word; break;; esac; done
if [ -n "$script" ]; then /bin/cat "$script" > "$here/script"; else /bin/cat > "$here/script"; fi
. "$here/answer"
"#;

/// Partitions of this cluster, or of the one that it is asked for; no answer where there is no such cluster.
const SCONTROL: &str = r#"#!/bin/sh
echo "$*" >> "${0%/*}/controlled"
case $* in
  *assoc_mgr*) . "${0%/*}/assoc_mgr"; exit;;
  *"show config") echo "ClusterName             = home"; exit;;
esac
case $1 in --clusters=*) exec /bin/cat "${0%/*}/partitions-${1#*=}"; esac
/bin/cat "${0%/*}/partitions"
"#;

const SQUEUE: &str = r#"#!/bin/sh
here=${0%/*}
printf '%s\n' "$*" >> "$here/queued"
if [ -n "$SQUEUE_USERS" ]; then exit 1; fi
case $* in *--jobs=*) . "$here/waited"; exit; esac
if [ -f "$here/queue" ]; then . "$here/queue"; fi
"#;

/// Two sites, one windy at noon and one in the evening.
const CONFIG: &str = r#"
[planner]
host_watts = 0
pue = 1.0
[node]
ledger_dir = "ledger"
[[zone]]
name = "N"
source = "trace"
path = "north.csv"
[[zone]]
name = "S"
source = "trace"
path = "south.csv"
[[site]]
name = "north"
zone = "N"
partition = "gpu-north"
gpus = 8
[[site]]
name = "south"
zone = "S"
partition = "gpu-south"
gpus = 8
"#;

const PARTITIONS: &str = "PartitionName=gpu-north Default=YES DefaultTime=NONE MaxTime=2-00:00:00 Nodes=n[1-2] State=UP
PartitionName=gpu-south Default=NO DefaultTime=NONE MaxTime=05:00:00 Nodes=s[1-2] State=UP
";

impl Login {
    /// With a Slurm whose sbatch has CARM's plugin, two sites, and a script that asks for two GPUs for three hours.
    pub fn new() -> Self {
        let login = Self { home: tempfile::tempdir().expect("a folder"), environment: Vec::new() };
        let help = include_str!("../slurm-help/22.05.txt");
        login.write("bin/help", &format!("{help}\n      --carbon-budget=MASS    [carm] carbon budget\n"));
        login.write("bin/answer", "echo Submitted batch job 42");
        login.write("bin/partitions", PARTITIONS);
        login.write("bin/assoc_mgr", "echo 'No associations currently cached in Slurm.'");
        login.executable("sbatch", SBATCH);
        login.executable("scontrol", SCONTROL);
        login.executable("squeue", SQUEUE);
        login.write("carm.toml", CONFIG);
        login.write("north.csv", &trace(|hour| if (6..9).contains(&hour) { 100.0 } else { 500.0 }));
        login.write("south.csv", &trace(|hour| if (12..15).contains(&hour) { 50.0 } else { 600.0 }));
        login.script("#SBATCH --gpus=2 --time=3:00:00\n");
        login
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    /// Adds a line to the configuration's `[planner]`.
    pub fn planner(&self, line: &str) {
        let path = self.home.path().join("carm.toml");
        let config = fs::read_to_string(&path).expect("a configuration");
        fs::write(path, config.replace("[planner]", &format!("[planner]\n{line}"))).expect("a configuration");
    }

    pub fn script(&self, directives: &str) {
        self.write("train.sh", &format!("#!/bin/sh\n{directives}echo training\n"));
    }

    pub fn executable(&self, name: &str, text: &str) {
        let path = self.write(&format!("bin/{name}"), text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// Slurm expects room in a partition from a time on (local, and that is UTC).
    pub fn room(&self, partition: &str, from: &str) {
        let line = format!("sbatch: Job 7 to start at {from} using 2 processors on nodes n1 in partition {partition}");
        self.write(&format!("bin/room-{partition}"), &format!("echo '{line}' >&2"));
        if !self.home.path().join("bin/queue").exists() {
            self.full();
        }
    }

    /// All eight GPUs of every partition are taken, for a moment.
    pub fn full(&self) {
        self.write("bin/queue", "echo '0:30|1|1|cpu=1,node=1|N/A|gres:gpu:8|N/A|5|None|'");
    }

    /// So many GPU-hours are running in every partition, as one job.
    pub fn queue(&self, gpus: u32, hours: u32) {
        let line = format!("{hours}:00:00|1|1|cpu=1,node=1|N/A|gres:gpu:{gpus}|N/A|5|None|");
        self.write("bin/queue", &format!("echo '{line}'"));
    }

    /// A job of the queue that is put off to a time (local, and that is UTC).
    pub fn put_off(&self, gpus: u32, start: &str, hours: u32) {
        let line = format!("{hours}:00:00|1|1|cpu=1,node=1|N/A|gres:gpu:{gpus}|N/A|6|BeginTime|{start}|");
        self.write("bin/queue", &format!("echo '{line}'"));
    }

    /// What squeue says of the jobs that it is asked about.
    pub fn waited(&self, lines: &str) {
        self.write("bin/waited", &format!("/bin/cat <<'.'\n{lines}\n.\n"));
    }

    /// sbatch without CARM's plugin.
    pub fn without_plugin(self) -> Self {
        self.write("bin/help", include_str!("../slurm-help/22.05.txt"));
        self
    }

    /// No Slurm at all.
    pub fn without_slurm(self) -> Self {
        fs::remove_dir_all(self.bin()).expect("the folder");
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bin(&self) -> PathBuf {
        self.home.path().join("bin")
    }

    /// Runs carm-submit with words that are split at blanks.
    pub fn submit(&self, words: &str) -> Ended {
        self.submit_words(&words.split_whitespace().collect::<Vec<_>>(), "")
    }

    pub fn submit_words(&self, words: &[&str], input: &str) -> Ended {
        for earlier in ["given", "script", "asked", "queued", "controlled"] {
            let _ = fs::remove_file(self.bin().join(earlier)); // there is none before the first
        }
        let input = self.write("input", input);
        let stdin = fs::File::open(input).expect("input");
        let program = [env!("CARGO_BIN_EXE_carm-submit")];
        self.ended(&self.run(&[&program[..], words].concat(), stdin.into()))
    }

    /// Runs carm-submit on a terminal, by script(1) of util-linux; what it shows there.
    pub fn submit_on_a_terminal(&self, words: &str) -> String {
        let command = format!("{} --now={NOW} {words}", env!("CARGO_BIN_EXE_carm-submit"));
        let output = self.run(&["/usr/bin/script", "-qec", &command, "/dev/null"], Stdio::null());
        String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
    }

    /// Changes the text of one of the programs.
    pub fn edit(&self, program: &str, from: &str, to: &str) {
        let name = format!("bin/{program}");
        let text = fs::read_to_string(self.home.path().join(&name)).expect("a script");
        assert!(text.contains(from), "{from:?} in {text}");
        self.write(&name, &text.replace(from, to));
    }

    fn run(&self, words: &[&str], stdin: Stdio) -> Output {
        self.command(words).stdin(stdin).output().unwrap_or_else(|error| panic!("{}: {error}", words[0]))
    }

    /// A command in this user's environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        if words[0].ends_with("carm-submit") {
            command.arg(format!("--now={NOW}"));
        }
        command
            .args(&words[1..])
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", self.bin())
            .env("TZ", "UTC")
            .env("CARM_CONFIG", self.home.path().join("carm.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn ended(&self, output: &Output) -> Ended {
        let read = |name: &str| fs::read_to_string(self.bin().join(name)).ok();
        Ended {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            given: read("given").map(|words| words.lines().map(str::to_owned).collect()),
            script: read("script"),
            controlled: read("controlled").unwrap_or_default().lines().map(str::to_owned).collect(),
            queued: read("queued").unwrap_or_default().lines().map(str::to_owned).collect(),
            asked: read("asked").unwrap_or_default().lines().map(str::to_owned).collect(),
        }
    }
}

impl Ended {
    /// The words that sbatch was given.
    #[track_caller]
    pub fn given(&self) -> Vec<&str> {
        let given = self.given.as_ref().unwrap_or_else(|| panic!("sbatch was not called: {}", self.stderr));
        given.iter().map(String::as_str).collect()
    }

    /// Those of them that are CARM's.
    pub fn carbon(&self) -> Vec<&str> {
        self.given().into_iter().filter(|w| w.starts_with("--carbon") || w.starts_with("--carm")).collect()
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "not said: {text:?}\nin: {}", self.stderr);
    }

    #[track_caller]
    pub fn refused(&self, code: i32, text: &str) {
        self.says(text);
        assert_eq!((self.code, &self.given, self.stdout.as_str()), (code, &None, ""), "{}", self.stderr);
    }
}

/// Two days of hourly intensity from the midnight before now.
pub fn trace(g_per_kwh: impl Fn(u32) -> f64) -> String {
    let row = |hour: u32| format!("2026-05-{:02}T{:02}:00:00Z,{}\n", 1 + hour / 24, hour % 24, g_per_kwh(hour));
    std::iter::once("time,carbon_g_per_kwh\n".to_owned()).chain((0..72).map(row)).collect()
}

/// The parts of a folder's name that differ between runs.
pub fn shown(text: &str, folder: &Path) -> String {
    text.replace(&*folder.to_string_lossy(), "HOME")
}

/// A profile that scales sub-linearly to four GPUs, on a grid that never changes.
pub fn moldable() -> Login {
    let login = Login::new();
    login.write("north.csv", &trace(|_| 300.0));
    login.write(
        "profiles/mold.toml",
        "name = \"mold\"\nsource = \"made up for this test\"\n[[level]]\nclock_mhz = 1500\nwatts = 300.0\nspeed = 1.0\nlatency_ms = 20.0\n\
         [[level]]\nclock_mhz = 900\nwatts = 120.0\nspeed = 0.5\n[scaling]\n1 = 1.0\n2 = 1.8\n4 = 3.0\n",
    );
    login
}
