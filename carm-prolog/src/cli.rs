//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// CARM on the GPU node: sets clocks when a job starts, puts them back and books energy and carbon when it ends.
#[derive(Debug, Parser)]
#[command(name = "carm-prolog", version)]
pub struct Cli {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = carm::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// What to do; in slurmd's prolog or epilog SLURM_SCRIPT_CONTEXT says it
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Take a job up: run by slurmd before the job; always exits 0
    Prolog {
        /// Set by carm-prolog itself: this is the bounded child
        #[arg(long, hide = true)]
        bounded: bool,
    },
    /// Give a job's GPUs back and book it: run by slurmd after the job; always exits 0
    Epilog {
        /// Set by carm-prolog itself: this is the bounded child
        #[arg(long, hide = true)]
        bounded: bool,
    },
    /// Govern the node's jobs: count and decide anew every interval; the daemon of carm-governor.service
    Govern,
    /// Write spooled lines to ledger and log: started by carm-prolog itself
    #[command(hide = true)]
    Deliver,
    /// Put back the clocks that CARM set: at boot, or by hand
    Reset {
        /// Every GPU of the node, not only those in CARM's journal
        #[arg(long)]
        all: bool,
    },
    /// Show every GPU: clock, power, lock, and the jobs that hold it
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// As Prometheus' text, with the running jobs and the grid: docs/metrics.md
        #[arg(long, conflicts_with = "json")]
        prometheus: bool,
    },
    /// Measure a GPU profile: run a command at several clocks, or watch a running job at them
    Profile(Box<crate::profile::Arguments>),
}

impl Verb {
    /// The verb that slurmd's own variable names.
    pub fn from_context(context: &str) -> Option<Self> {
        match context {
            "prolog_slurmd" => Some(Self::Prolog { bounded: false }),
            "epilog_slurmd" => Some(Self::Epilog { bounded: false }),
            _ => None,
        }
    }
}
