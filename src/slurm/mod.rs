//! Slurm's text: sbatch's command line and a script's `#SBATCH` lines in; what Slurm's commands print, parsed.
//!
//! Nothing here runs a command. The rules are those of Slurm 22.05 to 26.05, as its manuals and a real sbatch show them;
//! where a text is beyond this module it says so ([`job::Fact::Unclear`]) and never guesses.

pub mod argv;
pub mod array;
pub mod conf;
pub mod dependency;
pub mod directives;
pub mod environment;
pub mod gpus;
pub mod grammar;
pub mod gres_conf;
pub mod hostlist;
pub mod job;
pub mod limits;
pub mod node;
pub mod partition;
pub mod queue;
pub mod test_only;
pub mod widen;
