//! Plays a GPU job on the stand-in: keeps cards busy until a given amount of work is done, at the speed that their clocks
//! allow, and sleeps meanwhile. What a look at the cards means is the library's; this decides how often to look, and how it ends.

use std::ffi::{CStr, OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use nvidia_ml::bench::{Bench, BenchError};
use nvidia_ml::load::{By, Load, LoadError, Progress};

/// Between two looks: a clock that changes is noticed, and a killed load dated, to this.
const LOOK: Duration = Duration::from_millis(80);

/// Do GPU work on a stand-in libnvidia-ml.so.1, as a job would
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Work to do, in seconds at full clock
    #[arg(long, value_name = "SECONDS")]
    work: f64,
    /// The stand-in library; by default the one that the loader finds as libnvidia-ml.so.1
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// Cards to use: indices, minor numbers (with --by minor) or UUIDs, parted by commas
    #[arg(long, value_name = "LIST", env = "CUDA_VISIBLE_DEVICES", default_value = "")]
    gpus: String,
    /// What a number in the list means
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// Lock the cards at this clock meanwhile, as an admin's nvidia-smi would
    #[arg(long, value_name = "MHZ")]
    clock: Option<u32>,
    /// Write "DONE SPEED ELAPSED" (seconds at full clock, relative speed, seconds) to this file at every look
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
}

/// Why a load failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("library: {0}; give --library PATH")]
    Library(String),
    #[error("--work: '{0}' is no amount of work; give seconds, 0 or more")]
    Work(f64),
    #[error("--progress: {0}: {1}")]
    Progress(PathBuf, std::io::Error),
}

/// The signal that asked for an end; 0: none has.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(signal) => ExitCode::from(128 + signal),
        Err(failure) => {
            eprintln!("gpu-load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Does the work; the answer is the signal that ended it early, or 0.
fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if !(arguments.work.is_finite() && arguments.work >= 0.0) {
        return Err(Failure::Work(arguments.work));
    }
    let library = match &arguments.library {
        Some(path) => path.clone(),
        None => by_loader()?,
    };
    let bench = Bench::open(library.parent().unwrap_or(Path::new("")))?;
    listen();
    let begun = Instant::now();
    let mut load = Load::begin(bench, &arguments.gpus, arguments.by)?;
    if let Some(mhz) = arguments.clock {
        load.lock(mhz)?;
    }
    let mut signal;
    let progress = loop {
        signal = SIGNAL.load(Ordering::Relaxed);
        let progress = load.look()?;
        if let Some(path) = &arguments.progress {
            report(path, progress, begun.elapsed())?;
        }
        let left_s = arguments.work - progress.done_s;
        if signal != 0 || left_s <= 0.0 {
            break progress;
        }
        let rest_s = if progress.speed > 0.0 { left_s / progress.speed } else { f64::MAX };
        std::thread::sleep(LOOK.min(Duration::try_from_secs_f64(rest_s).unwrap_or(LOOK) + Duration::from_micros(50)));
    };
    let gpus: Vec<String> = load.gpus().iter().map(usize::to_string).collect();
    drop(load);
    let end = if signal == 0 { "done" } else { "stopped" };
    println!(
        "gpu-load: {end}: {:.3} s of work at full clock in {:.3} s on gpus {}",
        progress.done_s,
        begun.elapsed().as_secs_f64(),
        gpus.join(",")
    );
    Ok(signal as u8)
}

/// A reader never sees half a line: written beside, then renamed.
fn report(path: &Path, progress: Progress, elapsed: Duration) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let line = format!("{:.6} {:.6} {:.6}\n", progress.done_s, progress.speed, elapsed.as_secs_f64());
    std::fs::write(&beside, line)
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| Failure::Progress(path.to_owned(), error))
}

extern "C" fn note(signal: c_int) {
    SIGNAL.store(signal, Ordering::Relaxed);
}

/// SIGTERM and SIGINT end the load in good order; it notices within one look.
fn listen() {
    let note: extern "C" fn(c_int) = note;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the function given only stores to an atomic, which is allowed in a signal handler.
        unsafe { libc::signal(signal, note as libc::sighandler_t) };
    }
}

/// Where the loader finds libnvidia-ml.so.1, as for a CUDA program.
fn by_loader() -> Result<PathBuf, Failure> {
    // SAFETY: dlopen and dlsym get zero-terminated names; dladdr fills plain data, and the name that it gives lives as long as
    // the library, which is never closed.
    unsafe {
        let library = libc::dlopen(c"libnvidia-ml.so.1".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            let cause = libc::dlerror();
            let cause = if cause.is_null() { "not found".into() } else { CStr::from_ptr(cause).to_string_lossy() };
            return Err(Failure::Library(cause.into_owned()));
        }
        let inside = libc::dlsym(library, c"nvmlInit_v2".as_ptr());
        let mut info: libc::Dl_info = std::mem::zeroed();
        if inside.is_null() || libc::dladdr(inside, &mut info) == 0 || info.dli_fname.is_null() {
            return Err(Failure::Library("libnvidia-ml.so.1 does not say where it lies".into()));
        }
        Ok(PathBuf::from(OsStr::from_bytes(CStr::from_ptr(info.dli_fname).to_bytes())))
    }
}
