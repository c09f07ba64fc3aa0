//! Where the log goes: syslog, or a file. A successful prolog's own output vanishes in slurmd, so none is written there.
//!
//! Nothing here waits. A line for syslog is one datagram that is sent or dropped. A line for a file is appended to a file of the
//! state folder, in memory, and [`deliver`] takes it from there: a log on a file server that stalls holds up no job.
//!
//! Every line is made legible here: job names, paths and replies of services stand in messages as they came.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carm::config::{LogTarget, Node};
use carm::files::Folder;
use carm::text::legible;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::state::Store;

/// Log lines on their way to the file, and those that are just being written to it.
const OUTBOX: &str = ".log";
const SENDING: &str = ".log-sending";

/// A log file that cannot be written must not fill the memory.
const MOST_BYTES: u64 = 1 << 20;

/// Waiting for another process that delivers: it may be stuck.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lines that the state folder has no room for.
static HOMELESS: Mutex<String> = Mutex::new(String::new());

/// Starts the log. A second start changes nothing.
pub fn start(node: &Node) {
    match &node.log {
        LogTarget::Syslog => start_syslog(),
        LogTarget::File(_) => {
            let outbox = Outbox(node.state_dir.join(OUTBOX));
            let mut builder = env_logger::Builder::new();
            builder.filter_level(LevelFilter::Info).target(env_logger::Target::Pipe(Box::new(outbox)));
            builder.format(|out, record| {
                let time = out.timestamp_millis();
                writeln!(out, "[{time} {:<5}] {}", record.level(), message(record))
            });
            let _ = builder.try_init();
        }
    }
}

/// Starts the log of what is done by hand: warnings, on the terminal.
pub fn start_terminal() {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Warn);
    builder.format(|out, record| writeln!(out, "[{:<5}] {}", record.level(), message(record)));
    let _ = builder.try_init();
}

/// A record's text, on one line that steers no terminal.
fn message(record: &Record) -> String {
    legible(&record.args().to_string())
}

/// Starts the log where no configuration is known.
pub fn start_syslog() {
    if log::set_logger(&Syslog).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Appends the lines that wait to the log file; where that cannot be done, to syslog, with a word on that.
pub fn deliver(node: &Node) {
    let LogTarget::File(path) = &node.log else { return };
    let homeless = take_homeless();
    if !homeless.is_empty() {
        append(path, homeless.as_bytes());
    }
    if IS_DISTRUSTED.load(Ordering::Relaxed) {
        return;
    }
    let (outbox, sending) = (node.state_dir.join(OUTBOX), node.state_dir.join(SENDING));
    let Some(_lock) = Store::try_lock(&node.state_dir, "log", PATIENCE) else { return };
    // What a killed process has left is sent first.
    if !sending.exists() {
        let Ok(file) = std::fs::File::open(&outbox) else { return };
        // A line that is being written gets there before its file gets another name.
        briefly_locked(&file);
        if std::fs::rename(&outbox, &sending).is_err() {
            return;
        }
    }
    append(path, &std::fs::read(&sending).unwrap_or_default());
    let _ = std::fs::remove_file(&sending);
}

/// Whether lines wait for the log file.
pub fn waits(node: &Node) -> bool {
    [OUTBOX, SENDING].iter().any(|name| node.state_dir.join(name).exists())
}

/// Lines that the state folder had no room for.
pub fn take_homeless() -> String {
    HOMELESS.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
}

/// Appends lines to the log file, or sends them to syslog.
pub fn append(path: &Path, lines: &[u8]) {
    if let Err(error) = append_to_file(path, lines) {
        send(Level::Warn, &legible(&format!("log: {}: {error}; logging to syslog", path.display())));
        for line in String::from_utf8_lossy(lines).lines() {
            let is_of = |level: &Level| line.contains(&format!(" {level}"));
            send([Level::Error, Level::Warn].into_iter().find(is_of).unwrap_or(Level::Info), line);
        }
    }
}

fn append_to_file(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    let (folder, name) = path.parent().zip(path.file_name()).ok_or(ErrorKind::InvalidFilename)?;
    Folder::open(folder)?.append(name, 0o640)?.write_all(lines)
}

/// Others may write the state folder: no line is left there.
pub fn distrust_state_dir(is_distrusted: bool) {
    IS_DISTRUSTED.store(is_distrusted, Ordering::Relaxed);
}

static IS_DISTRUSTED: AtomicBool = AtomicBool::new(false);

/// Where lines for a file wait.
struct Outbox(PathBuf);

impl Write for Outbox {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if (IS_DISTRUSTED.load(Ordering::Relaxed) || self.append(line).is_err())
            && let Ok(mut lines) = HOMELESS.lock()
        {
            lines.push_str(&String::from_utf8_lossy(line));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Outbox {
    fn append(&self, line: &[u8]) -> std::io::Result<()> {
        loop {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.0)?;
            briefly_locked(&file);
            let own = file.metadata()?;
            if std::fs::metadata(&self.0).ok().map(|named| named.ino()) != Some(own.ino()) {
                // It has just been taken to be delivered.
                continue;
            }
            return if own.len() > MOST_BYTES { Ok(()) } else { file.write_all(line) };
        }
    }
}

/// Locks a file for as long as it is open. A process that was stopped while it held the lock is not waited for.
fn briefly_locked(file: &std::fs::File) {
    for _ in 0..50 {
        if rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends each line to the machine's syslog as it comes.
struct Syslog;

impl Log for Syslog {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        if record.level() <= log::max_level() {
            send(record.level(), &message(record));
        }
    }

    fn flush(&self) {}
}

/// The longest line: rsyslog cuts what is longer than 8 KiB.
const LONGEST: usize = 8000;

/// One datagram as syslog(3) writes it, but for the time, which journald and rsyslog add (RFC 3164, 4.3.2). It is dropped where
/// nobody takes it at once.
fn send(level: Level, text: &str) {
    let severity = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    const DAEMON: u8 = 3 << 3;
    let line = format!("<{}>carm-prolog[{}]: {text}", DAEMON | severity, std::process::id());
    let line = &line.as_bytes()[..line.len().min(LONGEST)];
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(line, "/dev/log")
    });
    // There is nowhere to log that.
    drop(sent);
}
