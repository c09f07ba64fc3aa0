//! Asks the installed Slurm what a plan needs: `sbatch --help` (which options there are, whether CARM's plugin is at work)
//! and `scontrol show partition` (how long jobs may run). Both run at once and beside carm-submit's own reading; neither
//! is waited for longer than [`PATIENCE`].

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use carm::slurm::grammar::{Grammar, help_shows_plugin};
use carm::slurm::partition::{Partition, read_partitions};

/// A controller that answers later than this is no help to a submission.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command under way.
pub struct Asked {
    running: Option<(Child, Receiver<Vec<u8>>)>,
    until: Instant,
}

impl Asked {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let child =
            Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok();
        let running = child.and_then(|mut child| {
            let mut stdout = child.stdout.take()?;
            let (sender, receiver) = mpsc::channel();
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                if stdout.read_to_end(&mut bytes).is_ok() {
                    let _ = sender.send(bytes); // nobody waits for it any more
                }
            });
            Some((child, receiver))
        });
        Self { running, until: Instant::now() + PATIENCE }
    }

    /// What the command printed; `None` where it is not installed, failed, or took too long.
    fn answer(self) -> Option<String> {
        let (mut child, receiver) = self.running?;
        match receiver.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
            Ok(bytes) => {
                let succeeded = child.wait().is_ok_and(|status| status.success());
                succeeded.then(|| String::from_utf8_lossy(&bytes).into_owned())
            }
            Err(_) => {
                let _ = child.kill(); // it has ended by itself
                let _ = child.wait();
                None
            }
        }
    }
}

/// Asks `sbatch --help`.
pub fn ask_help() -> Asked {
    Asked::start("sbatch", &["--help"])
}

/// Asks `scontrol show partition`.
pub fn ask_partitions() -> Asked {
    Asked::start("scontrol", &["--oneliner", "show", "partition"])
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
        let help = self.answer();
        if let Some(help) = &help {
            grammar.learn(help);
        }
        Installed { slurm: help.is_some(), plugin: help.as_deref().is_some_and(help_shows_plugin), partitions: None }
    }

    /// The partitions; `None` where they are not to be had.
    pub fn partitions(self) -> Option<Vec<Partition>> {
        self.answer().map(|text| read_partitions(&text)).filter(|all| !all.is_empty())
    }
}
