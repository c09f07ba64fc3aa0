//! Running a program that may do anything: hang, print without an end, leave children behind.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use carm::request::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How often it is looked at whether the program is still there.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed program may take to be gone.
const GONE: Duration = Duration::from_secs(2);

/// How long a program may take, and how much it may print.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From its begin to its end.
    pub time: Duration,
    /// Standard output; more is a fault.
    pub out_bytes: usize,
    /// Standard error; more is left out.
    pub err_bytes: usize,
}

/// Whom a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// User and group to change to; `None`: carm-grid is that user already.
    pub ids: Option<(u32, u32)>,
    /// The user's name, for the environment.
    pub name: String,
    /// The user's home.
    pub home: PathBuf,
}

/// What a program printed, and how it ended: not at all within its bounds, or so.
struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
    cut: Option<String>,
}

/// Runs a program to its end; its standard output.
///
/// # Errors
/// It cannot be run, is not done in time, prints too much, or ends otherwise than with 0: the cause, in words.
pub fn run(words: &[String], change: &Change, bounds: Bounds) -> Result<Vec<u8>, String> {
    let (program, arguments) = words.split_first().ok_or_else(|| "is empty".to_owned())?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").env_clear();
    // Nothing of carm-grid's own environment: proxies with passwords may stand there.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8").env("TZ", "UTC");
    command.env("USER", &change.name).env("LOGNAME", &change.name).env("HOME", &change.home);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some((uid, gid)) = change.ids {
        // As root, the standard library also gives up all further groups.
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn().map_err(|error| format!("cannot be run as user '{}': {error}", printable(&change.name)))?;
    let printed = match (child.stdout.take(), child.stderr.take()) {
        (Some(out), Some(err)) => read(&child, out, err, bounds),
        _ => Err("has no output".to_owned()),
    };
    let status = end(&mut child);
    let Printed { out, err, cut } = printed?;
    let said = match String::from_utf8_lossy(&err).lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!(": '{}'", printable(&line.chars().take(200).collect::<String>())),
        None => String::new(),
    };
    if let Some(cut) = cut {
        return Err(cut + &said);
    }
    match status {
        Some(status) if status.success() => Ok(out),
        Some(status) => Err(format!("{}{said}", how(status))),
        None => Err(format!("cannot be ended{said}")),
    }
}

/// Reads both outputs until the program has ended and said all, or is out of its bounds.
fn read(child: &Child, mut stdout: ChildStdout, mut stderr: ChildStderr, bounds: Bounds) -> Result<Printed, String> {
    let deadline = Instant::now() + bounds.time;
    let mut printed = Printed { out: Vec::new(), err: Vec::new(), cut: None };
    let (mut out_open, mut err_open) = (true, true);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            printed.cut = Some(format!("took longer than {} s and was ended", bounds.time.as_secs_f64()));
            return Ok(printed);
        }
        // Before the look at the outputs: what it printed is in them when it has ended.
        let ended = has_ended(child);
        let wait = if ended { Duration::ZERO } else { left.min(LOOK) };
        let mut open: Vec<(bool, PollFd)> = Vec::new();
        if out_open {
            open.push((true, PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::IN)));
        }
        if err_open {
            open.push((false, PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN)));
        }
        let ready = ready(&mut open, wait)?;
        if ready.is_empty() {
            // Children that it left behind may hold its outputs open: they are ended, not waited for.
            if ended {
                return Ok(printed);
            }
            continue;
        }
        for is_out in ready {
            let count = if is_out { stdout.read(&mut buffer) } else { stderr.read(&mut buffer) };
            let count = count.map_err(|error| format!("its output cannot be read: {error}"))?;
            match is_out {
                true if count == 0 => out_open = false,
                false if count == 0 => err_open = false,
                true => printed.out.extend_from_slice(&buffer[..count]),
                false => {
                    let room = bounds.err_bytes.saturating_sub(printed.err.len());
                    printed.err.extend_from_slice(&buffer[..count.min(room)]);
                }
            }
        }
        if printed.out.len() > bounds.out_bytes {
            printed.cut = Some(format!("printed more than {} bytes and was ended", bounds.out_bytes));
            return Ok(printed);
        }
    }
}

/// Which outputs have something to read, or their end.
fn ready(open: &mut [(bool, PollFd)], wait: Duration) -> Result<Vec<bool>, String> {
    let mut fds: Vec<PollFd> = open.iter().map(|(_, fd)| fd.clone()).collect();
    if fds.is_empty() {
        thread::sleep(wait);
        return Ok(Vec::new());
    }
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
        Err(error) => return Err(format!("its output cannot be read: {error}")),
    }
    Ok(open.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|((is_out, _), _)| *is_out).collect())
}

/// Whether it has ended; its number stays its own until [`end`].
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(Some(_)) | Err(_))
}

/// Ends it and all that it left behind in its group. `None`: it cannot be ended, such as a program that made itself another
/// user's.
fn end(child: &mut Child) -> Option<ExitStatus> {
    // Before it is waited for: until then the group's number cannot be anybody else's.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let deadline = Instant::now() + GONE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(None) | Err(_) => return None,
        }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}
