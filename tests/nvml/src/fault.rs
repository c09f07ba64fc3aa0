//! Faults on demand: a call that fails, is slow, or never returns, from its nth time on.
//! It decides whether a fault strikes; the counting is in the shared state, so that "the third call" means the third of all
//! processes. No lock is held while a call sleeps or hangs: one stuck call must not stop the others.

use std::time::Duration;

use serde::Deserialize;

/// A `[[fault]]` of `gpus.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Index of the card; all cards, and calls without a card, if omitted.
    pub gpu: Option<usize>,
    /// Name of the C function without its version (`nvmlInit`, `nvmlDeviceSetGpuLockedClocks`); every function if omitted.
    pub call: Option<String>,
    /// The nvmlReturn_t to answer; without one the call goes on as usual once it has slept.
    pub code: Option<u32>,
    /// Calls that pass before the fault strikes.
    #[serde(default)]
    pub after: u64,
    /// How many calls it strikes; all that follow if omitted.
    pub times: Option<u64>,
    /// How long the call takes, ms.
    pub sleep_ms: Option<u64>,
    /// The call never returns.
    #[serde(default)]
    pub hang: bool,
}

impl Fault {
    /// Whether this fault speaks of that call.
    pub fn concerns(&self, call: &str, gpu: Option<usize>) -> bool {
        let call_fits = match self.call.as_deref() {
            None | Some("*") => true,
            Some(name) => stem(name) == stem(call),
        };
        call_fits && self.gpu.is_none_or(|index| gpu == Some(index))
    }

    /// Whether it strikes the nth (from 1) call that it speaks of.
    pub fn strikes(&self, nth: u64) -> bool {
        nth > self.after && self.times.is_none_or(|times| nth <= self.after + times)
    }

    /// Its name in the shared counters: a changed fault counts anew.
    pub fn key(&self) -> String {
        format!("{self:?}")
    }

    /// Sleeps or hangs, then says which code to answer, if any.
    pub fn suffer(&self) -> Option<u32> {
        if let Some(ms) = self.sleep_ms {
            std::thread::sleep(Duration::from_millis(ms));
        }
        if self.hang {
            hang();
        }
        self.code
    }
}

/// Stuck in the driver, as whoever waits for the process sees it: nothing but SIGKILL ends it. (A real one outlives even that.)
fn hang() -> ! {
    use libc::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    for signal in [SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2] {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// `nvmlInit_v2` and `nvmlInitWithFlags` are both `nvmlInit`: one fault covers every way to the same thing.
fn stem(call: &str) -> &str {
    let call = call.strip_suffix("WithFlags").unwrap_or(call);
    match call.rsplit_once("_v") {
        Some((stem, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => call,
    }
}
