//! What a command inside a job must not inherit from that job's own carbon request.
//!
//! sbatch and salloc leave the options of a job in its environment: as `SLURM_SPANK__SLURM_SPANK_OPTION_carm_<option>`,
//! which sbatch, salloc and srun inside the job read as if they were given again (an option without an argument as the
//! text `(null)`), and every job-control variable as `SLURM_SPANK_<variable>`, which srun copies into the job-control
//! variables of an allocation of its own.

use carm::request::OPTIONS;
use carm::request::variables::{JOB_ENVIRONMENT, VERSION_VARIABLE};

use crate::spank::{Context, Spank, unset_environment};

/// Slurm's name for the option of a plugin called `carm`; salloc leaves this form too.
const OPTION_PREFIX: &str = "_SLURM_SPANK_OPTION_carm_";
/// What the clients put in front of job-control variables, and of the former.
const CLIENT_PREFIX: &str = "SLURM_SPANK_";

/// Whether this process runs inside a job.
pub fn inside_a_job() -> bool {
    std::env::var_os("SLURM_JOB_ID").is_some()
}

/// Makes a nested command forget the job around it. A step keeps `CARM_JOB_*`: it is a part of that job.
pub fn forget(spank: &Spank, context: Context) {
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let unprefixed = name.strip_prefix(CLIENT_PREFIX).unwrap_or(name);
        let inherited_variable = name.starts_with(CLIENT_PREFIX) && is_job_control(unprefixed);
        let of_the_job_itself = context == Context::Allocator && JOB_ENVIRONMENT.contains(&name);
        if inherited_variable || unprefixed.starts_with(OPTION_PREFIX) {
            unset_environment(name);
            // srun has copied it before it loads any plugin.
            spank.unset_job_control(unprefixed);
        } else if of_the_job_itself {
            unset_environment(name);
        }
    }
}

fn is_job_control(name: &str) -> bool {
    name == VERSION_VARIABLE || OPTIONS.iter().any(|spec| spec.variable == name)
}
