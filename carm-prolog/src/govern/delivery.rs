//! The governor's hand on ledger and log: a thread of its own, since their storage may stall. The clocks never wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use carm::config::Config;

use crate::deliver::{self, Delivered};
use crate::logging;

/// How often to look for something to deliver.
const PAUSE: Duration = Duration::from_millis(100);

/// After a line that could not be written: a full disk is not asked ten times a second.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

const LAST_MOMENT: Duration = Duration::from_secs(2);

/// What the threads share with the governor.
#[derive(Clone)]
pub struct Delivery(Arc<Mutex<Shared>>);

struct Shared {
    config: Config,
    done: Delivered,
    is_paused: bool,
}

impl Delivery {
    /// Starts delivering.
    pub fn start(config: &Config) -> std::io::Result<Self> {
        let delivery =
            Self(Arc::new(Mutex::new(Shared { config: config.clone(), done: Delivered::default(), is_paused: false })));
        let ledger = delivery.clone();
        thread::Builder::new().name("ledger".into()).spawn(move || {
            loop {
                let (config, is_paused) = ledger.with(|shared| (shared.config.clone(), shared.is_paused));
                let is_empty = is_paused || deliver::spooled(&config.node.state_dir) == 0;
                let done = if is_empty { Delivered::default() } else { deliver::try_ledger(&config) };
                ledger.with(|shared| {
                    shared.done.lines += done.lines;
                    shared.done.errors += done.errors;
                });
                thread::sleep(if done.errors > 0 { PAUSE_AFTER_ERROR } else { PAUSE });
            }
        })?;
        let log = delivery.clone();
        thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                logging::deliver(&log.with(|shared| shared.config.node.clone()));
                thread::sleep(PAUSE);
            }
        })?;
        Ok(delivery)
    }

    /// The configuration has been read again.
    pub fn set_config(&self, config: &Config) {
        self.with(|shared| {
            if shared.config != *config {
                shared.config = config.clone();
            }
        });
    }

    /// Leaves the state folder alone.
    pub fn pause(&self, is_paused: bool) {
        self.with(|shared| shared.is_paused = is_paused);
    }

    /// What was delivered since the governor started.
    pub fn done(&self) -> Delivered {
        self.with(|shared| shared.done)
    }

    /// Gives what is left a moment to be written.
    pub fn finish(&self) {
        let node = self.with(|shared| shared.config.node.clone());
        let since = Instant::now();
        while since.elapsed() < LAST_MOMENT && (deliver::spooled(&node.state_dir) > 0 || logging::waits(&node)) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
