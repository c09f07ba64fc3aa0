//! One run of the user's command: a fixed piece of work, timed.

use std::ffi::OsString;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::hold::Hold;
use super::meter::{LOOK, Meter, Run};
use super::stop::Stop;

/// Between two looks whether the command has ended.
const PAUSE: Duration = Duration::from_millis(2);

/// What a command gets to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How much of a failed command's output is shown.
const SHOWN_BYTES: i64 = 2000;

/// Runs the command once at the clock that is set.
pub fn run(hold: &Hold, command: &[OsString], show_output: bool, clock_mhz: u32, stop: &Stop) -> Result<Run> {
    let (program, arguments) = command.split_first().context("no command")?;
    let shown = program.to_string_lossy();
    // Kept in memory, to be shown if the command fails.
    let mut output = std::fs::File::from(rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)?);
    let stdio = || -> std::io::Result<Stdio> {
        let to = if show_output { std::io::stderr().as_fd().try_clone_to_owned() } else { output.as_fd().try_clone_to_owned() };
        Ok(Stdio::from(to?))
    };
    let uuids: Vec<&str> = hold.cards.iter().map(|card| card.uuid.as_str()).collect();
    let mut command = Command::new(program);
    command.args(arguments).env("CUDA_VISIBLE_DEVICES", uuids.join(",")).stdin(Stdio::null()).stdout(stdio()?).stderr(stdio()?);
    // A group of its own: Ctrl-C ends it through us, with all that it has started.
    command.process_group(0);
    let mut meter = Meter::begin(hold);
    let since = Instant::now();
    let mut running = Running(command.spawn().with_context(|| format!("{shown}: cannot be started"))?);
    let mut looked = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status;
        }
        stop.check()?;
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            meter.look()?;
        }
        std::thread::sleep(PAUSE);
    };
    let seconds = since.elapsed().as_secs_f64();
    let run = meter.end(clock_mhz, seconds);
    if !status.success() {
        bail!("{shown}: {}{}", ending(status), last_lines(&mut output));
    }
    stop.check()?;
    run
}

fn ending(status: ExitStatus) -> String {
    format!("failed at this clock ({status}); a profile needs a command that ends well")
}

fn last_lines(output: &mut std::fs::File) -> String {
    let length = output.seek(SeekFrom::End(0)).unwrap_or(0) as i64;
    let _ = output.seek(SeekFrom::End(-length.min(SHOWN_BYTES)));
    let mut bytes = Vec::new();
    let _ = output.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(10)..].join("\n  ");
    if shown.is_empty() { String::new() } else { format!("; its last lines:\n  {shown}") }
}

/// A command that ends with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let group = Pid::from_child(&self.0);
        let _ = kill_process_group(group, Signal::TERM);
        let since = Instant::now();
        while since.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(PAUSE);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}
