//! Where the log goes: syslog, or a file. A successful prolog's own output vanishes in slurmd, so none is written there.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Info).format_timestamp_millis().format_target(false);
    let _ = builder.target(env_logger::Target::Pipe(Box::new(file))).try_init();
    Ok(())
}
