//! Where the log goes: syslog, or a file. A successful prolog's own output vanishes in slurmd, so none is written there.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use carm::config::LogTarget;
use log::LevelFilter;

/// Starts the log. Where that fails nothing is logged: a job never waits for its log.
pub fn start(target: &LogTarget) {
    match target {
        LogTarget::Syslog => _ = syslog::init_unix(syslog::Facility::LOG_DAEMON, LevelFilter::Info),
        LogTarget::File(path) => {
            if let Ok(file) = OpenOptions::new().create(true).append(true).mode(0o640).open(path) {
                let mut builder = env_logger::Builder::new();
                builder.filter_level(LevelFilter::Info).format_timestamp_millis().format_target(false);
                builder.target(env_logger::Target::Pipe(Box::new(file))).init();
            }
        }
    }
}
