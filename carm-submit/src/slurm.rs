//! Asks the installed Slurm what a plan needs: `sbatch --help` (which options there are, whether CARM's plugin is at work)
//! and `scontrol show partition` (how long jobs may run); how busy it is, [`crate::busy`] asks in the same way. Commands run at
//! once and beside carm-submit's own reading; each is waited for within bounds.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use carm::slurm::grammar::{Grammar, help_shows_plugin};
use carm::slurm::partition::{Partition, read_partitions};

use crate::sbatch::Sbatch;

/// A controller that answers later than this is no help to a submission.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// sbatch's help needs no controller; where it takes longer, the submission itself has no hope.
const PATIENCE_WITH_HELP: Duration = Duration::from_secs(20);

/// No answer is longer: some hundred thousand lines of a queue.
const MOST_BYTES: u64 = 32 << 20;

/// A command under way.
pub struct Asked {
    running: Option<(Child, Output)>,
    installed: bool,
    until: Instant,
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
    pub fn start(command: &mut Command, says: Says, patience: Duration) -> Self {
        match says {
            Says::Stdout => command.stdout(Stdio::piped()).stderr(Stdio::null()),
            Says::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        let child = command.spawn();
        let installed = !child.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let running = child.ok().and_then(|mut child| {
            let pipe: Pipe = match says {
                Says::Stdout => Box::new(child.stdout.take()?),
                Says::Stderr => Box::new(child.stderr.take()?),
            };
            Some((child, Output::of(pipe)))
        });
        Self { running, installed, until: Instant::now() + patience }
    }

    /// Starts a command that reads nothing and says what it has to say on standard output.
    pub fn start_words(program: &str, arguments: &[&str], patience: Duration) -> Self {
        Self::start(Command::new(program).args(arguments).stdin(Stdio::null()), Says::Stdout, patience)
    }

    /// What the command printed; `None` where it is not installed, failed, or took too long.
    pub fn answer(self) -> Option<String> {
        let (mut child, output) = self.running?;
        let bytes = match output {
            Output::Reader(receiver) => receiver.recv_timeout(self.until.saturating_duration_since(Instant::now())).ok(),
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

/// Asks `sbatch --help`.
pub fn ask_help(sbatch: &Sbatch) -> Asked {
    Asked::start(sbatch.command().arg("--help").stdin(Stdio::null()), Says::Stdout, PATIENCE_WITH_HELP)
}

/// Asks `scontrol show partition`.
pub fn ask_partitions() -> Asked {
    Asked::start_words("scontrol", &["--oneliner", "show", "partition"], PATIENCE)
}

/// Asks another cluster's `scontrol show partition`: through slurmdbd, and so only where there is one.
pub fn ask_partitions_of(cluster: &str) -> Asked {
    let clusters = format!("--clusters={cluster}");
    Asked::start_words("scontrol", &[&clusters, "--oneliner", "show", "partition"], PATIENCE)
}

/// The partitions of each cluster that tells them.
#[derive(Debug, Default)]
pub struct Partitions {
    /// Of the cluster at hand.
    pub here: Option<Vec<Partition>>,
    /// Of others, by name.
    pub elsewhere: Vec<(String, Vec<Partition>)>,
}

impl Partitions {
    /// Those of a cluster, or of the one at hand.
    pub fn of(&self, cluster: Option<&str>) -> Option<&[Partition]> {
        match cluster {
            None => self.here.as_deref(),
            Some(name) => self.elsewhere.iter().find(|(known, _)| known == name).map(|(_, partitions)| partitions.as_slice()),
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
    /// The partitions, as far as they are to be had.
    pub partitions: Partitions,
}

impl Installed {
    /// Whether there is an sbatch to which carbon options mean nothing.
    pub fn without_plugin(&self) -> bool {
        self.slurm && !self.plugin
    }
}

impl Asked {
    /// What the text of `sbatch --help` says, learned into the grammar.
    pub fn help(self, grammar: &mut Grammar) -> Installed {
        // An sbatch that is there but does not answer will refuse the job in its own words.
        let slurm = self.installed;
        let help = self.answer();
        if let Some(help) = &help {
            grammar.learn(help);
        }
        Installed { slurm, plugin: help.as_deref().is_some_and(help_shows_plugin), partitions: Partitions::default() }
    }

    /// The partitions; `None` where they are not to be had.
    pub fn partitions(self) -> Option<Vec<Partition>> {
        self.answer().map(|text| read_partitions(&text)).filter(|all| !all.is_empty())
    }
}
