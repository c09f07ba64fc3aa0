//! Asks the installed Slurm what a plan needs: `sbatch --help` (which options there are, whether CARM's plugin is at work)
//! and `scontrol show partition` (how long jobs may run). Both run at once and beside carm-submit's own reading; both are
//! waited for within bounds.

use std::io::Read;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use carm::slurm::grammar::{Grammar, help_shows_plugin};
use carm::slurm::partition::{Partition, read_partitions};

/// A controller that answers later than this is no help to a submission.
const PATIENCE: Duration = Duration::from_secs(2);

/// sbatch's help needs no controller; where it takes longer, the submission itself has no hope.
const PATIENCE_WITH_HELP: Duration = Duration::from_secs(20);

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
    Pipe(ChildStdout),
}

impl Asked {
    fn start(program: &str, arguments: &[&str], patience: Duration) -> Self {
        let mut command = Command::new(program);
        let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let installed = !child.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let running = child.ok().and_then(|mut child| {
            let stdout = child.stdout.take()?;
            Some((child, Output::of(stdout)))
        });
        Self { running, installed, until: Instant::now() + patience }
    }

    /// What the command printed; `None` where it is not installed, failed, or took too long.
    fn answer(self) -> Option<String> {
        let (mut child, output) = self.running?;
        let bytes = match output {
            Output::Reader(receiver) => receiver.recv_timeout(self.until.saturating_duration_since(Instant::now())).ok(),
            Output::Pipe(stdout) => read(stdout),
        };
        if bytes.is_none() {
            let _ = child.kill(); // it may have ended by itself
        }
        let succeeded = child.wait().is_ok_and(|status| status.success());
        bytes.filter(|_| succeeded).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Output {
    fn of(stdout: ChildStdout) -> Self {
        let (pipe, pipes) = mpsc::channel();
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::Builder::new().spawn(move || {
            if let Some(bytes) = pipes.recv().ok().and_then(read) {
                let _ = sender.send(bytes); // nobody waits for it any more
            }
        });
        match (reader, pipe.send(stdout)) {
            (Ok(_), _) => Self::Reader(receiver),
            // The channel gives back what nobody took.
            (Err(_), Err(mpsc::SendError(stdout))) => Self::Pipe(stdout),
            (Err(_), Ok(())) => Self::Reader(receiver),
        }
    }
}

fn read(mut stdout: ChildStdout) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    stdout.read_to_end(&mut bytes).is_ok().then_some(bytes)
}

/// Asks `sbatch --help`.
pub fn ask_help() -> Asked {
    Asked::start("sbatch", &["--help"], PATIENCE_WITH_HELP)
}

/// Asks `scontrol show partition`.
pub fn ask_partitions() -> Asked {
    Asked::start("scontrol", &["--oneliner", "show", "partition"], PATIENCE)
}

/// What is known of the installed Slurm.
#[derive(Debug, Default)]
pub struct Installed {
    /// Whether there is one.
    pub slurm: bool,
    /// Whether its sbatch loads CARM's plugin.
    pub plugin: bool,
    /// The partitions; `None` where they are not to be had.
    pub partitions: Option<Vec<Partition>>,
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
        Installed { slurm, plugin: help.as_deref().is_some_and(help_shows_plugin), partitions: None }
    }

    /// The partitions; `None` where they are not to be had.
    pub fn partitions(self) -> Option<Vec<Partition>> {
        self.answer().map(|text| read_partitions(&text)).filter(|all| !all.is_empty())
    }
}
