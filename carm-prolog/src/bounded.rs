//! Keeps slurmd's prolog within its bound whatever the driver or a file server does.
//!
//! A failing or endless prolog drains the node. So the work runs in a child with a session of its own (slurmd reads the prolog's
//! pipe to its end, and kills its process group); the parent waits no longer than the bound and ends with success. A child stuck in
//! the driver or in a file system is left behind: nothing can end it, and nobody waits for it.
//!
//! The governor reads such files in threads, and goes by what it read last while one hangs.
//!
//! The child's standard output is a pipe to its parent. Before it reads a file that may lie on another machine the child writes
//! the file's name there, and an empty line after it: so the parent can name what hangs.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the child may take: the 5 s that the contract gives to prolog and epilog, less what the parent needs to
/// start it, and to note its end.
pub const BOUND: Duration = Duration::from_millis(4500);

/// The longest pause between two looks at the child: what a look costs is far below, what it delays is seen.
const PAUSE: Duration = Duration::from_millis(2);

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself: what went wrong is in its log.
    Done,
    /// Not by itself; the text says why.
    CutShort(String),
}

/// This program, to be run again with other arguments and without standard files.
pub fn this_program(arguments: &[OsString]) -> Command {
    // Not by its path: a package may be replacing that file at this moment.
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command
}

/// Runs this program again with other arguments, and waits for at most `bound`.
pub fn run(arguments: &[OsString], bound: Duration) -> std::io::Result<End> {
    let mut child = this_program(arguments).stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take();
    if let Some(pipe) = &pipe {
        rustix::io::ioctl_fionbio(pipe.as_fd(), true)?;
    }
    let mut steps = Vec::new();
    let ended = wait(&mut child, bound, || {
        if let Some(pipe) = &mut pipe {
            // An error is a pipe without a word in it, or without a child.
            let _ = pipe.take(64 << 10).read_to_end(&mut steps);
        }
    })?;
    if let Some(status) = ended {
        return Ok(if status.success() { End::Done } else { End::CutShort(format!("its work ended early: {status}")) });
    }
    // In a driver call or a file system that cannot be interrupted the signal waits with it.
    let _ = child.kill();
    let steps = String::from_utf8_lossy(&steps);
    let what = match steps.lines().last().unwrap_or_default() {
        "" => "the driver".to_owned(),
        path => carm::request::printable(path).to_string(),
    };
    Ok(End::CutShort(format!("{what} did not answer within {} s", bound.as_secs_f64())))
}

/// Waits for a child for at most so long; none if it still runs.
pub fn wait(child: &mut Child, most: Duration, mut meanwhile: impl FnMut()) -> std::io::Result<Option<std::process::ExitStatus>> {
    let since = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        let ended = child.try_wait()?;
        meanwhile();
        if ended.is_some() || since.elapsed() >= most {
            return Ok(ended);
        }
        std::thread::sleep(pause.min(most.saturating_sub(since.elapsed())));
        pause = (pause * 2).min(PAUSE);
    }
}

/// This process is a bounded child.
static IS_BOUNDED: AtomicBool = AtomicBool::new(false);
static IS_ORPHAN: AtomicBool = AtomicBool::new(false);

/// The child's first act: a session of its own, out of reach of slurmd's kill of the prolog's process group.
pub fn detach() {
    // Fails only for a process that leads a group already: run by hand, where it does not matter.
    let _ = rustix::process::setsid();
}

/// [`detach`], and names to its parent what it reads.
pub fn begin() {
    detach();
    IS_BOUNDED.store(true, Ordering::Relaxed);
}

/// Reads something whose file may lie on another machine. The parent names it where that does not come back.
pub fn reading<T>(path: &Path, read: impl FnOnce() -> T) -> T {
    note(&path.display().to_string());
    let result = read();
    note("");
    result
}

/// Whether the parent was killed before its child: then nobody has kept to the bound.
pub fn is_orphan() -> bool {
    note("");
    IS_ORPHAN.load(Ordering::Relaxed)
}

/// The governor, which nobody waits for, and which must wait for nobody: see [`whole`].
pub fn never_wait() {
    IS_PATIENT.store(false, Ordering::Relaxed);
}

static IS_PATIENT: AtomicBool = AtomicBool::new(true);

/// How long the governor waits for a file.
const MOMENT: Duration = Duration::from_secs(2);

/// What was read so lately is not read again: many jobs go by one file.
const FRESH: Duration = Duration::from_millis(500);

/// What was read of a file, whatever its type.
type Value = Arc<dyn Any + Send + Sync>;
type Work = Box<dyn FnOnce() + Send>;

/// The files that the governor reads: what it read last, and the thread that has not come back yet.
#[derive(Default)]
struct Slot {
    last: Option<(Value, Instant)>,
    pending: Option<(Receiver<Value>, Sender<Work>)>,
}

static SLOTS: Mutex<BTreeMap<(PathBuf, String, TypeId), Slot>> = Mutex::new(BTreeMap::new());

/// Threads without work. A new thread waits for its turn on a busy machine, one that wakes up hardly does.
static IDLE: Mutex<Vec<Sender<Work>>> = Mutex::new(Vec::new());

/// As [`reading`]. In a governor a thread reads; where it does not come back for a moment, this gives what was read last, and
/// none where nothing was. `what` tells apart values of one type from one file.
pub fn whole<T: Send + Sync + 'static>(path: &Path, what: &str, read: impl FnOnce() -> T + Send + 'static) -> Option<Arc<T>> {
    whole_of(path, what, FRESH, read)
}

/// As [`whole`], to do something anew each time.
pub fn anew<T: Send + Sync + 'static>(path: &Path, what: &str, act: impl FnOnce() -> T + Send + 'static) -> Option<Arc<T>> {
    whole_of(path, what, Duration::ZERO, act)
}

fn whole_of<T: Send + Sync + 'static>(
    path: &Path,
    what: &str,
    fresh: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Option<Arc<T>> {
    if IS_PATIENT.load(Ordering::Relaxed) {
        return Some(Arc::new(reading(path, read)));
    }
    let key = (path.to_owned(), what.to_owned(), TypeId::of::<T>());
    let slots = || SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut slot = slots().remove(&key).unwrap_or_default();
    let was_stuck = slot.pending.is_some();
    if let Some((answer, worker)) = slot.pending.take() {
        match answer.try_recv() {
            Ok(value) => {
                slot.last = Some((value, Instant::now()));
                idle().push(worker);
            }
            Err(TryRecvError::Empty) => slot.pending = Some((answer, worker)),
            Err(TryRecvError::Disconnected) => {}
        }
    }
    let is_fresh = slot.last.as_ref().is_some_and(|(_, at)| at.elapsed() < fresh);
    if slot.pending.is_none() && !is_fresh {
        let (sender, answer) = mpsc::channel::<Value>();
        let worker = idle().pop().unwrap_or_else(start_worker);
        // Where there is no thread to be had, the last value holds.
        let _ = worker.send(Box::new(move || _ = sender.send(Arc::new(read()))));
        match answer.recv_timeout(MOMENT) {
            Ok(value) => {
                slot.last = Some((value, Instant::now()));
                idle().push(worker);
            }
            Err(RecvTimeoutError::Timeout) => slot.pending = Some((answer, worker)),
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }
    match (was_stuck, slot.pending.is_some()) {
        (false, true) => log::warn!("{} does not respond; what was read of it before holds", path.display()),
        (true, false) => log::info!("{} responds again", path.display()),
        _ => {}
    }
    let last = slot.last.as_ref().map(|(value, _)| Arc::clone(value));
    slots().insert(key, slot);
    last.and_then(|value| value.downcast().ok())
}

fn start_worker() -> Sender<Work> {
    let (sender, works) = mpsc::channel::<Work>();
    let _ = thread::Builder::new().name("read".into()).spawn(move || works.into_iter().for_each(|work| work()));
    sender
}

fn note(step: &str) {
    if IS_BOUNDED.load(Ordering::Relaxed) {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{}", step.replace('\n', " ")).and_then(|()| out.flush()).is_err() {
            IS_ORPHAN.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_hangs_keeps_its_last_value() {
        never_wait();
        let (go, wait) = mpsc::channel::<()>();
        let (path, count) = (Path::new("/nowhere"), |value: u32| move || value);
        let hangs = move || {
            let _ = wait.recv();
            3_u32
        };
        assert_eq!(whole(path, "", count(1)).as_deref(), Some(&1));
        assert_eq!(whole(path, "", count(7)).as_deref(), Some(&1), "it was read just now");
        assert_eq!(anew(path, "", count(2)).as_deref(), Some(&2));
        assert_eq!(whole(path, "other", count(9)).as_deref(), Some(&9));
        let since = Instant::now();
        assert_eq!(anew(path, "", hangs).as_deref(), Some(&2));
        assert!((0..50).all(|_| whole(path, "", count(4)).as_deref() == Some(&2)), "one thread hangs, not fifty");
        assert!((MOMENT..2 * MOMENT).contains(&since.elapsed()), "{:?}", since.elapsed());
        go.send(()).expect("a reader");
        while anew(path, "", count(5)).as_deref() != Some(&5) {
            assert!(since.elapsed() < Duration::from_secs(20), "it is read again");
        }
    }
}
