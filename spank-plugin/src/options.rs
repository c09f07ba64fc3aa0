//! The carbon options at Slurm's side: registered from the library's table, taken by one callback.

use std::ffi::{c_char, c_int};

use carm::request::{Argument, CarbonOption, OPTIONS, OptionSpec};

use crate::session::session;
use crate::spank::{self, Context, Registration, SUCCESS, Spank};

/// What the callback returns for a malformed value: sbatch, srun and salloc then end with status 255.
const REFUSED: c_int = -1;

/// Registers every option that this process may meet.
pub fn register(spank: &Spank, context: Context) {
    for (number, spec) in (0..).zip(OPTIONS) {
        if spec.hidden && context != Context::Remote && !on_the_command_line(spec) {
            continue;
        }
        let (argument, argument_is_optional) = match spec.argument {
            Argument::None => (None, false),
            Argument::Required(name) => (Some(name), false),
            Argument::Optional(name) => (Some(name), true),
        };
        let usage = format!("[carm] {}", spec.help);
        let option = Registration { name: spec.flag, argument, argument_is_optional, usage: &usage, number, callback };
        if spank.register(&option).is_err() {
            spank::error(&format!("spank_carm: --{}: Slurm refused to register this option", spec.flag));
        }
    }
}

/// Slurm lists every registered option in `--help`, with `(null)` for an empty usage text. So what only carm-submit
/// writes is registered only where it was written.
fn on_the_command_line(spec: &OptionSpec) -> bool {
    std::env::args_os().any(|word| {
        let word = word.to_string_lossy();
        word.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(spec.flag))
    })
}

/// Called by sbatch, salloc and srun as the user for every occurrence of an option (`#SBATCH` lines, then the
/// environment, then the command line), and by slurmstepd as root, once or twice, where there is nothing left to do. An
/// error refuses the submission, also where a later occurrence would have won.
///
/// # Safety
/// Slurm passes the number of a registered option and null or a C string.
unsafe extern "C" fn callback(number: c_int, argument: *const c_char, remote: c_int) -> c_int {
    let refused = spank::guarded(|| {
        let spec = usize::try_from(number).ok().and_then(|number| OPTIONS.get(number));
        let (Some(spec), 0) = (spec, remote) else { return false };
        // SAFETY: Slurm's promise above.
        let argument = unsafe { spank::text(argument) };
        take(spec.option, argument.as_deref())
    });
    if refused == Some(true) { REFUSED } else { SUCCESS }
}

/// Whether the value is refused.
fn take(option: CarbonOption, argument: Option<&str>) -> bool {
    let Some(result) = session().as_mut().map(|session| session.take(option, argument)) else { return false };
    result.inspect_err(|error| spank::error(&error.to_string())).is_err()
}
