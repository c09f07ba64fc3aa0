//! SPANK, safely: the handle of one hook call, Slurm's log, the process environment. With `sys.rs` the only place that
//! knows Slurm's C interface, and no decision is taken here.
//!
//! Slurm calls hooks and callbacks one at a time from a process's main thread: srun's and salloc's own threads start
//! after `slurm_spank_init_post_opt`. That is what the environment functions below rely on.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};

use crate::sys;

/// What a hook returns to Slurm. CARM's hooks never return anything else: a failing hook of a `required` plugin stops
/// submissions, and in slurmstepd drains the node.
pub const SUCCESS: c_int = sys::ESPANK_SUCCESS as c_int;

/// Which of Slurm's processes has loaded the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// sbatch, salloc (scrontab and scrun too).
    Allocator,
    /// srun.
    Local,
    /// slurmstepd.
    Remote,
    /// slurmd itself.
    Slurmd,
    /// A context that CARM has no business in.
    Other,
}

/// Asks Slurm where this is.
pub fn context() -> Context {
    // SAFETY: takes nothing and reads Slurm's own plugin stack, which exists while it runs a plugin.
    match unsafe { sys::spank_context() } {
        sys::S_CTX_ALLOCATOR => Context::Allocator,
        sys::S_CTX_LOCAL => Context::Local,
        sys::S_CTX_REMOTE => Context::Remote,
        sys::S_CTX_SLURMD => Context::Slurmd,
        _ => Context::Other,
    }
}

/// The handle that Slurm passes to one hook call; it must not outlive that call.
pub struct Spank<'call> {
    handle: sys::spank_t,
    call: PhantomData<&'call ()>,
}

/// What a callback gets: the number that the option was registered with, its argument, whether this is slurmstepd.
pub type Callback = unsafe extern "C" fn(c_int, *const c_char, c_int) -> c_int;

/// An option as Slurm wants it.
pub struct Registration<'a> {
    /// Long name without the dashes.
    pub name: &'a str,
    /// What `--help` shows for the argument.
    pub argument: Option<&'a str>,
    /// Whether the argument may be left out.
    pub argument_is_optional: bool,
    /// The line of help.
    pub usage: &'a str,
    /// Handed back to the callback.
    pub number: c_int,
    /// Called once per occurrence of the option.
    pub callback: Callback,
}

/// A call into Slurm that it refused.
#[derive(Debug)]
pub struct Refused;

impl Spank<'_> {
    /// # Safety
    /// `handle` is what Slurm passed to the hook that is running.
    pub unsafe fn of(handle: sys::spank_t) -> Self {
        Self { handle, call: PhantomData }
    }

    /// Registers an option; Slurm allows this in `slurm_spank_init` only.
    pub fn register(&self, option: &Registration) -> Result<(), Refused> {
        let (name, usage) = (c_string(option.name), c_string(option.usage));
        let argument = option.argument.map(c_string);
        let mut raw = sys::spank_option {
            name: name.as_ptr().cast_mut(),
            arginfo: argument.as_ref().map_or(std::ptr::null_mut(), |a| a.as_ptr().cast_mut()),
            usage: usage.as_ptr().cast_mut(),
            // As in getopt_long(3): 0 none, 1 required, 2 optional.
            has_arg: argument.as_ref().map_or(0, |_| if option.argument_is_optional { 2 } else { 1 }),
            val: option.number,
            cb: Some(option.callback),
        };
        // SAFETY: the handle is the running hook's; Slurm copies the struct and its texts before it returns.
        accepted(unsafe { sys::spank_option_register(self.handle, &raw mut raw) } as c_int)
    }

    /// Sets a variable of the job's prolog and epilog, where it gets `SPANK_` in front.
    pub fn set_job_control(&self, name: &str, value: &str) -> Result<(), Refused> {
        let (name, value) = (c_string(name), c_string(value));
        // SAFETY: the handle is the running hook's; Slurm copies both texts before it returns.
        accepted(unsafe { sys::spank_job_control_setenv(self.handle, name.as_ptr(), value.as_ptr(), 1) } as c_int)
    }

    /// Removes such a variable; one that was not there is no error.
    pub fn unset_job_control(&self, name: &str) {
        let name = c_string(name);
        // SAFETY: the handle is the running hook's; Slurm only compares the text.
        unsafe { sys::spank_job_control_unsetenv(self.handle, name.as_ptr()) };
    }
}

fn accepted(code: c_int) -> Result<(), Refused> {
    if code == SUCCESS { Ok(()) } else { Err(Refused) }
}

/// The words behind the plugin's path on its line in plugstack.conf.
///
/// # Safety
/// `argv` holds `ac` pointers to C strings, as Slurm hands them to every hook.
pub unsafe fn words(ac: c_int, argv: *mut *mut c_char) -> Vec<String> {
    let count = usize::try_from(ac).unwrap_or(0);
    if argv.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise: `ac` pointers stand at `argv`.
    (0..count).filter_map(|index| unsafe { text(*argv.add(index)) }).collect()
}

/// A C string of Slurm's, copied; what is not UTF-8 in it is replaced.
///
/// # Safety
/// `pointer` is null or a C string that stays put for this call.
pub unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise, and null was ruled out.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// An error in the log of the running process: for sbatch, srun and salloc a line `sbatch: error: ...` on standard error.
pub fn error(message: &str) {
    let message = c_string(message);
    // SAFETY: a constant format with one %s, and one C string for it: user text is never a format.
    unsafe { sys::slurm_error(c"%s".as_ptr(), message.as_ptr()) };
}

/// A line for the user: as [`error`], without that word in front.
pub fn tell(message: &str) {
    let message = c_string(message);
    // SAFETY: as in `error`.
    unsafe { sys::slurm_spank_log(c"%s".as_ptr(), message.as_ptr()) };
}

/// Sets a variable in this process's environment, from which Slurm takes the job's.
pub fn set_environment(name: &str, value: &str) {
    let (name, value) = (c_string(name), c_string(value));
    // SAFETY: setenv(3) copies both; no other thread exists yet (see the top of this file).
    unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
}

/// Removes a variable from this process's environment.
pub fn unset_environment(name: &str) {
    let name = c_string(name);
    // SAFETY: unsetenv(3) only reads the name; no other thread exists yet (see the top of this file).
    unsafe { libc::unsetenv(name.as_ptr()) };
}

/// Runs what Slurm called for. A panic must not reach Slurm's C frames, where it would abort sbatch (exit status 134):
/// it becomes `None` and one line in the log.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    if result.is_err() {
        error("spank_carm: internal error; carbon options are ignored, the job is not affected");
    }
    result.ok()
}

/// Text up to its first NUL, which no C string can carry.
fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}
