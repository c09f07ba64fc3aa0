//! Where the log goes: syslog, or a file. A successful prolog's own output vanishes in slurmd, so none is written there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use carm::config::LogTarget;
use log::LevelFilter;

/// Starts the log; where its file cannot be opened, in syslog, with a word on that. Where that fails too nothing is logged:
/// a job never waits for its log. A second start changes nothing.
pub fn start(target: &LogTarget) {
    match target {
        LogTarget::Syslog => _ = syslog::init_unix(syslog::Facility::LOG_DAEMON, LevelFilter::Info),
        LogTarget::File(path) => {
            if let Err(error) = to_file(path) {
                let _ = syslog::init_unix(syslog::Facility::LOG_DAEMON, LevelFilter::Info);
                log::warn!("log: {}: {error}; logging to syslog", path.display());
            }
        }
    }
}

fn to_file(path: &Path) -> std::io::Result<()> {
    let file = LogFile { file: open(path)?, path: path.to_owned() };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Info).format_timestamp_millis().format_target(false);
    let _ = builder.target(env_logger::Target::Pipe(Box::new(file))).try_init();
    Ok(())
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// A log that may be renamed at any time: the governor runs for longer than logrotate leaves its log alone.
struct LogFile {
    path: PathBuf,
    file: File,
}

impl Write for LogFile {
    /// A line, into the file that has the log's name by now; where none can be opened, into the one before.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if let Ok(file) = open(&self.path) {
            self.file = file;
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
