//! Whoever asks for an end: Ctrl-C, SIGTERM, a lost terminal. Nothing ends at once: clocks are to be given back first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a sleep may go on after a signal.
const NAP: Duration = Duration::from_millis(20);

/// The signal that asked for an end; 0: none has.
#[derive(Clone)]
pub struct Stop(Arc<AtomicUsize>);

/// Not a fault, but no result either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by signal {0}")]
pub struct Stopped(pub u8);

impl Stop {
    pub fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&flag), signal as usize).context("listening for signals")?;
        }
        Ok(Self(flag))
    }

    pub fn check(&self) -> Result<(), Stopped> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Stopped(signal as u8)),
        }
    }

    /// Sleeps, unless it is to stop.
    pub fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        let since = Instant::now();
        while since.elapsed() < time {
            self.check()?;
            std::thread::sleep(NAP.min(time.saturating_sub(since.elapsed())));
        }
        self.check()
    }
}
