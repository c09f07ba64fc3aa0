//! NVML as this process has initialised it: how often, and on which bench.
//! It decides what an error of the bench is called in NVML's words; the bench is found beside the library's own path.

use std::ffi::{CStr, OsStr, c_uint};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Code, DRIVER_NOT_LOADED, NO_PERMISSION, UNINITIALIZED, UNKNOWN};
use crate::bench::{Bench, BenchError};
use crate::device::{Description, DescriptionError};
use crate::process::Process;
use crate::state::Now;

struct Initialised {
    count: u32,
    bench: Option<Arc<Bench>>,
}

static INITIALISED: Mutex<Initialised> = Mutex::new(Initialised { count: 0, bench: None });

/// What one call works on: the description stays the same for its whole length.
pub(super) struct Session {
    bench: Arc<Bench>,
    pub(super) description: Arc<Description>,
}

fn initialised() -> MutexGuard<'static, Initialised> {
    INITIALISED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session, if NVML is initialised.
pub(super) fn current() -> Result<Session, Code> {
    let now = initialised();
    let bench = now.bench.clone().filter(|_| now.count > 0).ok_or(UNINITIALIZED)?;
    drop(now); // a call that hangs must not hold it
    Ok(Session::on(bench))
}

/// nvmlInit: counted; only the first opens the bench.
pub(super) fn enter(call: &'static str) -> Result<(), Code> {
    let bench = match &initialised().bench {
        Some(bench) => bench.clone(),
        None => Arc::new(Bench::open(&own_folder()?).map_err(|error| code(&error))?),
    };
    let session = Session::on(bench.clone());
    session.suffer(call, None)?;
    let mut now = initialised();
    if now.count == 0 {
        session.look(|cards| cards.enter(Process::me()))?;
    }
    now.count += 1;
    now.bench = Some(bench);
    Ok(())
}

/// nvmlShutdown: only the last of the count lets the driver go.
pub(super) fn leave(call: &'static str) -> Result<(), Code> {
    let session = current()?;
    session.suffer(call, None)?;
    let mut now = initialised();
    now.count = now.count.checked_sub(1).ok_or(UNINITIALIZED)?;
    if now.count == 0 {
        now.bench = None;
        session.look(|cards| cards.leave(Process::me()))?;
    }
    Ok(())
}

impl Session {
    fn on(bench: Arc<Bench>) -> Session {
        let description = bench.description();
        Session { bench, description }
    }

    /// One look at the bench.
    pub(super) fn look<T>(&self, act: impl FnOnce(&mut Now) -> T) -> Result<T, Code> {
        self.bench.look(act).map_err(|error| code(&error))
    }

    /// A line in calls.log, where the description wants one.
    pub(super) fn log(&self, call: &str, code: c_uint) {
        self.bench.log_call(call, code);
    }

    /// Lets the faults on demand strike that speak of this call.
    pub(super) fn suffer(&self, call: &'static str, gpu: Option<usize>) -> Result<(), Code> {
        for fault in self.description.faults.iter().filter(|fault| fault.concerns(call, gpu)) {
            let nth = self.look(|now| now.count_fault(fault.key()))?;
            if fault.strikes(nth) {
                if fault.hang {
                    self.log(&format!("{call}(stuck)"), UNKNOWN.0);
                }
                if let Some(code) = fault.suffer() {
                    return Err(Code(code));
                }
            }
        }
        Ok(())
    }
}

/// A broken bench in NVML's words; its own words go to standard error, as a silent one costs hours.
fn code(error: &BenchError) -> Code {
    eprintln!("libnvidia-ml.so.1 (stand-in): {error}");
    match error {
        BenchError::Description(DescriptionError::Read { .. }) => DRIVER_NOT_LOADED,
        BenchError::Files(error) if error.kind() == std::io::ErrorKind::PermissionDenied => NO_PERMISSION,
        _ => UNKNOWN,
    }
}

/// The folder of this library by the path under which it was opened, symbolic links not followed.
fn own_folder() -> Result<PathBuf, Code> {
    // SAFETY: Dl_info is plain data, filled by dladdr for an address inside this library; dli_fname then points to a string
    // that lives as long as the library is loaded.
    let name = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let inside = std::ptr::from_ref(&INITIALISED).cast();
        if libc::dladdr(inside, &mut info) == 0 || info.dli_fname.is_null() {
            return Err(UNKNOWN);
        }
        CStr::from_ptr(info.dli_fname)
    };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    Ok(path.parent().unwrap_or(Path::new("")).to_owned())
}
