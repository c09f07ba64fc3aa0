//! Asks the installed Slurm what a plan needs: `sbatch --help` (which options there are, whether CARM's plugin is at work)
//! and `scontrol show partition` (how long jobs may run); how busy it is, [`crate::busy`] asks in the same way. Commands run at
//! once and beside carm-submit's own reading; all answers together are waited for within [`PATIENCE`].

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use carm::slurm::grammar::{Grammar, help_shows_plugin};
use carm::slurm::node;
use carm::slurm::partition::{Partition, read_partitions};

use crate::recent::{self, Recent};
use crate::sbatch::Sbatch;

/// All of Slurm's answers together may take so long; a controller that answers later is no help to a submission.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// When the last answer is waited for: [`PATIENCE`] after the first question.
pub fn until() -> Instant {
    static UNTIL: OnceLock<Instant> = OnceLock::new();
    *UNTIL.get_or_init(|| Instant::now() + PATIENCE)
}

/// No answer is longer: some hundred thousand lines of a queue.
const MOST_BYTES: u64 = 32 << 20;

/// A command under way.
pub struct Asked {
    running: Option<(Child, Output)>,
    installed: bool,
}

/// Where a command's output comes from.
enum Output {
    /// A thread that reads beside carm-submit's own work.
    Reader(Receiver<Vec<u8>>),
    /// The pipe itself: this user may not have another thread.
    Pipe(Pipe),
}

type Pipe = Box<dyn Read + Send>;

/// Where a command says what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// On standard output.
    Stdout,
    /// On standard error.
    Stderr,
}

impl Asked {
    /// Starts a command whose standard input its caller has set.
    pub fn start(command: &mut Command, says: Says) -> Self {
        match says {
            Says::Stdout => command.stdout(Stdio::piped()).stderr(Stdio::null()),
            Says::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        Self::spawn(command, says)
    }

    fn spawn(command: &mut Command, says: Says) -> Self {
        until(); // the clock runs from the first question
        let child = command.spawn();
        let installed = !child.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let running = child.ok().and_then(|mut child| {
            let pipe: Pipe = match says {
                Says::Stdout => Box::new(child.stdout.take()?),
                Says::Stderr => Box::new(child.stderr.take()?),
            };
            Some((child, Output::of(pipe)))
        });
        Self { running, installed }
    }

    /// Whether there is such a command.
    pub fn is_installed(&self) -> bool {
        self.installed
    }

    /// What the command printed; `None` where it is not installed, failed, or took too long.
    pub fn answer(self) -> Option<String> {
        let (mut child, output) = self.running?;
        let bytes = match output {
            Output::Reader(receiver) => receiver.recv_timeout(until().saturating_duration_since(Instant::now())).ok(),
            Output::Pipe(pipe) => read(pipe),
        };
        if bytes.is_none() {
            let _ = child.kill(); // it may have ended by itself
        }
        let succeeded = child.wait().is_ok_and(|status| status.success());
        bytes.filter(|_| succeeded).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Output {
    fn of(output: Pipe) -> Self {
        let (pipe, pipes) = mpsc::channel();
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::Builder::new().spawn(move || {
            if let Some(bytes) = pipes.recv().ok().and_then(read) {
                let _ = sender.send(bytes); // nobody waits for it any more
            }
        });
        match (reader, pipe.send(output)) {
            (Ok(_), _) => Self::Reader(receiver),
            // The channel gives back what nobody took.
            (Err(_), Err(mpsc::SendError(output))) => Self::Pipe(output),
            (Err(_), Ok(())) => Self::Reader(receiver),
        }
    }
}

fn read(output: Pipe) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    output.take(MOST_BYTES).read_to_end(&mut bytes).is_ok().then_some(bytes)
}

/// `sbatch --help` under way.
pub struct Help {
    text: Recent,
    installed: bool,
    /// Its standard error: where sbatch says why it does not load a plugin.
    errors: Option<File>,
}

/// Asks `sbatch --help`. The text of the same sbatch of the last minutes will do.
pub fn ask_help(sbatch: &Sbatch) -> Help {
    let key = format!("{} --help", sbatch.identity());
    if let Some(text) = recent::read(&key) {
        return Help { text: Recent::Kept(text), installed: true, errors: None };
    }
    let errors = tempfile::tempfile().ok();
    let mut command = sbatch.command();
    command.arg("--help").stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(errors.as_ref().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from));
    let asked = Asked::spawn(&mut command, Says::Stdout);
    let installed = asked.is_installed();
    Help { text: Recent::Asked(asked, Some(key)), installed, errors }
}

/// Asks `scontrol show partition` of a cluster, or of the one at hand. Another one's answer takes slurmdbd, too.
pub fn ask_partitions(cluster: Option<&str>) -> Asked {
    Asked::start(scontrol(cluster).args(["show", "partition"]), Says::Stdout)
}

/// Asks what this cluster is called.
pub fn ask_config() -> Recent {
    Recent::ask(scontrol(None).args(["show", "config"]))
}

/// Asks `sinfo` which nodes with how many GPUs the partitions have.
pub fn ask_nodes() -> Recent {
    let mut sinfo = Command::new("sinfo");
    sinfo.args(["--noheader", "--all", "--Node", "--local", &format!("--Format={}", node::FORMAT)]).stdin(Stdio::null());
    // The user's own filters.
    ["SINFO_PARTITION", "SINFO_ALL", "SLURM_CLUSTERS"].into_iter().for_each(|name| _ = sinfo.env_remove(name));
    Recent::ask(&mut sinfo)
}

/// scontrol, a record a line.
pub fn scontrol(cluster: Option<&str>) -> Command {
    let mut scontrol = Command::new("scontrol");
    scontrol.args(cluster.map(|cluster| format!("--clusters={cluster}"))).arg("--oneliner").stdin(Stdio::null());
    scontrol
}

/// What Slurm says of something.
#[derive(Debug, Default)]
pub enum Told<T> {
    /// It was not asked, or there is no Slurm.
    #[default]
    Unasked,
    /// No answer came in time.
    Silent,
    /// The answer.
    Is(T),
}

impl<T> Told<T> {
    /// The answer, where there is one.
    pub fn known(&self) -> Option<&T> {
        if let Self::Is(answer) = self { Some(answer) } else { None }
    }
}

/// The partitions of each cluster.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Of the cluster at hand.
    pub here: Told<Vec<Partition>>,
    /// Of others, by name.
    pub elsewhere: Vec<(String, Told<Vec<Partition>>)>,
}

impl Partitions {
    /// Those of a cluster, or of the one at hand.
    pub fn of(&self, cluster: Option<&str>) -> &Told<Vec<Partition>> {
        match cluster {
            None => &self.here,
            Some(name) => self.elsewhere.iter().find(|(known, _)| known == name).map_or(&Told::Unasked, |(_, told)| told),
        }
    }
}

/// What is known of the installed Slurm.
#[derive(Debug, Default)]
pub struct Installed {
    /// Whether there is one.
    pub slurm: bool,
    /// Whether its sbatch loads CARM's plugin.
    pub plugin: bool,
    /// Why it does not, or why that is not known.
    pub why_no_plugin: String,
    /// The partitions, as far as they are to be had.
    pub partitions: Partitions,
}

impl Installed {
    /// Whether there is an sbatch to which carbon options mean nothing.
    pub fn without_plugin(&self) -> bool {
        self.slurm && !self.plugin
    }
}

impl Help {
    /// What it says, learned into the grammar.
    pub fn learn(self, grammar: &mut Grammar) -> Installed {
        // An sbatch that is there but does not answer will refuse the job in its own words.
        let slurm = self.installed;
        // Only a text with CARM's options: a plugin that is installed just now is seen at once.
        let help = self.text.answer_if(help_shows_plugin);
        if let Some(help) = &help {
            grammar.learn(help);
        }
        let plugin = help.as_deref().is_some_and(help_shows_plugin);
        let why_no_plugin = match (&help, self.errors.and_then(complaint)) {
            (None, _) => "sbatch --help: no answer".to_owned(),
            (Some(_), Some(complaint)) => complaint,
            (Some(_), None) => "spank_carm.so is not in this Slurm's plugstack.conf, or this Slurm does not load it".to_owned(),
        };
        Installed { slurm, plugin, why_no_plugin, partitions: Partitions::default() }
    }
}

/// sbatch's line on CARM's plugin: `sbatch: error: Incompatible Slurm plugin /usr/lib/.../spank_carm.so version (24.11.5)`.
fn complaint(mut errors: File) -> Option<String> {
    let mut text = Vec::new();
    errors.rewind().and_then(|()| errors.take(1 << 16).read_to_end(&mut text)).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find(|line| line.contains("spank_carm")).map(|line| line.trim_start_matches("sbatch: error: ").to_owned())
}

impl Asked {
    /// The partitions.
    pub fn partitions(self) -> Told<Vec<Partition>> {
        if !self.is_installed() {
            return Told::Unasked;
        }
        let all = self.answer().map(|text| read_partitions(&text)).filter(|all| !all.is_empty());
        all.map_or(Told::Silent, Told::Is)
    }
}
