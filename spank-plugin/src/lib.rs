//! `spank_carm.so`: CARM inside sbatch, srun, salloc and slurmstepd. Carbon options in, `SPANK_CARM_*` out.
//!
//! Here stand the symbols that Slurm looks for, the hooks in the order in which it calls them. They decide nothing: the
//! options and what they mean are the library's, whose options count is `session.rs`'s business, and Slurm's C interface
//! is walled off in `spank.rs`. The plugin ships as `optional`, and no hook ever returns an error.
//!
//! Not exported on purpose: `slurm_spank_job_prolog` and `slurm_spank_job_epilog`. Where one plugin exports either,
//! slurmd removes the option variables of all plugins before it runs the Prolog script.

mod arguments;
mod inheritance;
mod options;
mod session;
mod spank;
#[allow(missing_docs, dead_code, non_camel_case_types, non_upper_case_globals)] // as bindgen writes it
mod sys;

use std::ffi::{c_char, c_int};

use session::{Place, Session, session};
use spank::{Context, SUCCESS, Spank};

/// The plugin's name. Part of the interface: Slurm derives the names of the options' variables from it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static plugin_name: [u8; 5] = *b"carm\0";

/// The kind of plugin.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static plugin_type: [u8; 6] = *b"spank\0";

/// The Slurm that the plugin was built for. Another major release refuses to load it ("Incompatible Slurm plugin").
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static plugin_version: u32 = sys::SLURM_VERSION_NUMBER;

/// Belongs to every SPANK plugin; no Slurm reads it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static spank_plugin_version: u32 = 1;

/// `ESPANK_JOB_FAILURE` (Slurm 25.05 on; earlier ones do not look): were `slurm_spank_init` ever to fail in slurmstepd,
/// the job should fail and not the node be drained.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static slurm_spank_init_failure_mode: c_int = 3012;

/// For `etc/check-plugin` and for people with strings(1).
#[used]
static BUILT_FOR: &str = concat!("spank_carm ", env!("CARGO_PKG_VERSION"), " built for Slurm ", env!("SLURM_RELEASE"), "\n");

/// First call, before any option is read: in sbatch, salloc and srun as the user, in slurmstepd as root for each step,
/// in slurmd as root once at its start. An error of a `required` plugin stops every submission, drains the node, keeps
/// slurmd from starting.
///
/// # Safety
/// Called by Slurm, with a valid handle and `ac` words of the plugin's line in plugstack.conf.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slurm_spank_init(handle: sys::spank_t, ac: c_int, argv: *mut *mut c_char) -> c_int {
    spank::guarded(|| {
        // SAFETY: what Slurm promises above.
        let (spank, words) = unsafe { (Spank::of(handle), spank::words(ac, argv)) };
        let context = spank::context();
        let (arguments, complaints) = arguments::read(&words);
        match context {
            Context::Allocator | Context::Local => {
                complaints.iter().for_each(|complaint| spank::error(complaint));
                let nested = inheritance::inside_a_job();
                if nested {
                    inheritance::forget(&spank, context);
                }
                let place = if nested && context == Context::Local { Place::Step } else { Place::Submission };
                *session() = Some(Session::new(place, arguments));
                options::register(&spank, context);
            }
            // Unless it knows the options too, slurmstepd logs "option not found" for each of them.
            Context::Remote => options::register(&spank, context),
            // Its log is where an admin looks after a change of plugstack.conf.
            Context::Slurmd => complaints.iter().for_each(|complaint| spank::error(complaint)),
            Context::Other => {}
        }
    });
    SUCCESS
}

/// Last call that matters, when all options are read: in sbatch, salloc and srun as the user (once per component of a
/// het job), in slurmstepd as root, where there is nothing to do. An error of an `optional` plugin is ignored, of a
/// `required` one drains the node.
///
/// # Safety
/// Called by Slurm, with a valid handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slurm_spank_init_post_opt(handle: sys::spank_t, _ac: c_int, _argv: *mut *mut c_char) -> c_int {
    spank::guarded(|| {
        let Some(outcome) = session().as_ref().map(Session::outcome) else { return };
        // SAFETY: what Slurm promises above.
        let spank = unsafe { Spank::of(handle) };
        for (name, value) in &outcome.job_control {
            if spank.set_job_control(name, value).is_err() {
                spank::error(&format!("spank_carm: {name}: Slurm refused to carry it; the job runs without it"));
            }
        }
        outcome.environment.iter().for_each(|(name, value)| spank::set_environment(name, value));
        if let Some(notice) = outcome.notice {
            spank::tell(&format!("[carm] {notice}"));
        }
    });
    SUCCESS
}
