//! Runs sbatch beside this process, so that nothing of CARM's is printed before sbatch has answered.
//!
//! sbatch writes its standard output line by line (22.05 to 26.05), and it goes on at once: `--wait` streams. Signals are passed on.
//! Standard error is held back until sbatch answers or a second has passed: a refusal of CARM's own options is not the user's to read.

use std::io::{ErrorKind, Read, Result, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Messages are held back for so long: sbatch retries for minutes where slurmctld is busy, and says so.
const HELD: Duration = Duration::from_secs(1);

const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What became of it.
#[derive(Debug)]
pub enum Attempt {
    /// A job was submitted.
    Submitted(ExitCode),
    /// None was.
    Failed(Failure),
}

/// What sbatch said and how it ended.
#[derive(Debug)]
pub struct Failure {
    code: ExitCode,
    errors: Vec<u8>,
    /// Whether the user has read it.
    shown: bool,
}

/// Runs it; `submitted` follows its first line on standard output.
pub fn run(sbatch: &mut Command, submitted: impl FnOnce()) -> Result<Attempt> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in PASSED_ON {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)?;
    }
    let mut child = sbatch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut output = Output::new(submitted);
    let ended = follow(&mut child, &mut output, &signal);
    let status = match ended {
        Some(status) => status,
        None => wait(&mut child, &signal)?,
    };
    if status.success() {
        output.submitted();
    }
    if let Some(died) = status.signal()
        && usize::try_from(died).is_ok_and(|died| died == LAST.load(Ordering::SeqCst))
    {
        output.show();
        // As sbatch itself would have ended.
        let _ = signal_hook::low_level::emulate_default_handler(died);
    }
    Ok(match output.submitted {
        None => Attempt::Submitted(exit_code(status)),
        Some(_) => Attempt::Failed(Failure { code: exit_code(status), errors: output.errors, shown: output.is_shown }),
    })
}

/// The last signal that was passed on.
static LAST: AtomicUsize = AtomicUsize::new(0);

struct Output<F: FnOnce()> {
    /// What follows sbatch's answer; `None`: it has followed.
    submitted: Option<F>,
    line: Vec<u8>,
    errors: Vec<u8>,
    first_error: Option<Instant>,
    is_shown: bool,
}

impl<F: FnOnce()> Output<F> {
    fn new(submitted: F) -> Self {
        Self { submitted: Some(submitted), line: Vec::new(), errors: Vec::new(), first_error: None, is_shown: false }
    }

    fn out(&mut self, bytes: &[u8]) {
        // Who closed standard output does not want to know; the submission goes on.
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if self.submitted.is_some() {
            self.line.extend_from_slice(bytes);
            if self.line.split_inclusive(|&byte| byte == b'\n').any(is_answer) {
                self.submitted();
            }
        }
    }

    fn err(&mut self, bytes: &[u8]) {
        self.first_error.get_or_insert_with(Instant::now);
        if self.is_shown {
            let _ = std::io::stderr().write_all(bytes);
        }
        if self.errors.len() < 1 << 16 {
            self.errors.extend_from_slice(bytes);
        }
    }

    fn show(&mut self) {
        if !self.is_shown {
            let _ = std::io::stderr().write_all(&self.errors);
            self.is_shown = true;
        }
    }

    fn show_what_is_old(&mut self) {
        if self.first_error.is_some_and(|at| at.elapsed() > HELD) {
            self.show();
        }
    }

    fn submitted(&mut self) {
        self.show();
        if let Some(submitted) = self.submitted.take() {
            submitted();
        }
    }
}

/// `Submitted batch job 7`, or of `--parsable` `7;cluster`: a whole line.
fn is_answer(line: &[u8]) -> bool {
    line.ends_with(b"\n") && (line.starts_with(b"Submitted batch job ") || line[0].is_ascii_digit())
}

/// Passes on output and signals until both pipes are closed, or sbatch ends and leaves a pipe to somebody.
fn follow<F: FnOnce()>(child: &mut Child, output: &mut Output<F>, signal: &AtomicUsize) -> Option<ExitStatus> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0; 1 << 16];
    let mut ended = None;
    while out.is_some() || err.is_some() {
        let mut fds: Vec<PollFd> = Vec::new();
        fds.extend(out.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(err.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let Ok(ready) = poll(&mut fds, Some(&LOOK)) else {
            pass_on(child, signal); // which ended the wait
            continue;
        };
        let mut ready_fds = fds.iter().map(|fd| !fd.revents().is_empty());
        let out_ready = out.is_some() && ready_fds.next() == Some(true);
        let err_ready = err.is_some() && ready_fds.next() == Some(true);
        pass_on(child, signal);
        // Messages first: they are older than the answer that arrives with them.
        if err_ready && !forward(&mut err, &mut buffer, |bytes| output.err(bytes)) {
            err = None;
        }
        if out_ready && !forward(&mut out, &mut buffer, |bytes| output.out(bytes)) {
            out = None;
        }
        output.show_what_is_old();
        if ready == 0 && ended.is_some() {
            break;
        }
        // What it wrote last is still in the pipes.
        ended = ended.or_else(|| child.try_wait().ok().flatten());
    }
    ended
}

/// Whether there is more to come.
fn forward(pipe: &mut Option<impl Read>, buffer: &mut [u8], mut to: impl FnMut(&[u8])) -> bool {
    match pipe.as_mut().map(|pipe| pipe.read(buffer)) {
        Some(Ok(0)) | None => false,
        Some(Ok(length)) => {
            to(&buffer[..length]);
            true
        }
        Some(Err(error)) => error.kind() == ErrorKind::Interrupted,
    }
}

fn wait(child: &mut Child, signal: &AtomicUsize) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        pass_on(child, signal);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn pass_on(child: &Child, signal: &AtomicUsize) {
    let number = signal.swap(0, Ordering::SeqCst);
    if let Some(signal) = i32::try_from(number).ok().and_then(Signal::from_named_raw) {
        LAST.store(number, Ordering::SeqCst);
        let _ = kill_process(Pid::from_child(child), signal); // it may have ended
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // As a shell tells a death by signal.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// What slurmctld, or slurmdbd for `--clusters`, answers to a job that it does not take, as far as options of CARM's can bring it about
/// (slurm_errno.c, print_db_notok; 22.05 to 26.05). Whatever else sbatch fails with, such as a time-out, may leave a job behind.
const REFUSALS: &[&str] = &[
    "Job violates accounting/QOS policy",
    "Requested time limit is invalid",
    "Time limit specification required",
    "Requested partition configuration not available now",
    "Required partition not available",
    "Partition in DOWN state",
    "Invalid partition name specified",
    "No partition specified or system default partition",
    "User's group not permitted to use this partition",
    "Access/permission denied",
    "Invalid account or account/partition combination specified",
    "Invalid qos specification",
    "Invalid QOS specification",
    "Requested node configuration is not available",
    "Requested nodes not in this partition",
    "Node count specification invalid",
    "More processors requested than permitted",
    "Invalid feature specification",
    "Active features not subset of available features",
    "Invalid generic resource (gres) specification",
    "Invalid node name specified",
    "Invalid user id",
    "Invalid time specified",
    "Invalid deadline",
    "Invalid Trackable RESource (TRES) specification",
];

/// Refusals before slurmctld is asked.
const CLIENT_REFUSALS: &[&str] =
    &["unrecognized option '--car", "is not a valid cluster", "can't be reached now", "problem talking to the database"];

impl Failure {
    /// Why Slurm does not take the job, where that is what it says: then there is none.
    pub fn refusal(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.errors);
        text.lines().rev().find_map(|line| {
            let (_, cause) = line.split_once("Batch job submission failed: ").unwrap_or_default();
            let refused = REFUSALS.iter().any(|refusal| cause.starts_with(refusal));
            let by_client = CLIENT_REFUSALS.iter().any(|refusal| line.contains(refusal));
            let client_cause = || line.trim_start_matches("sbatch: ").trim_start_matches("error: ");
            if refused { Some(cause.to_owned()) } else { by_client.then(|| client_cause().to_owned()) }
        })
    }

    /// Says what sbatch said, and ends as it ended.
    pub fn report(self) -> ExitCode {
        if !self.shown {
            let _ = std::io::stderr().write_all(&self.errors);
        }
        self.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_slurms_is_a_refusal() {
        let refusal = |text: &str| Failure { code: ExitCode::FAILURE, errors: text.as_bytes().to_vec(), shown: false }.refusal();
        let text = "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS \
                    policy (job submit limit, user's size and/or time limits)\n";
        assert!(refusal(text).is_some_and(|cause| cause.starts_with("Job violates")));
        for text in [
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
            "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received\n",
            "sbatch: error: Batch job submission failed: Unspecified error\n",
            "",
        ] {
            assert_eq!(refusal(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_is_a_whole_line() {
        for (line, is) in [("Submitted batch job 7\n", true), ("7;main\n", true), ("7", false), ("Welcome\n", false)] {
            assert_eq!(is_answer(line.as_bytes()), is, "{line:?}");
        }
    }
}
