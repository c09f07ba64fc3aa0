//! Time that nobody sets: how long it is since an earlier look, whatever became of the machine's clock meanwhile.
//!
//! CLOCK_BOOTTIME goes on while the machine sleeps and begins anew with each boot; so an instant of it stands beside the boot
//! that it belongs to. Which of two clocks to believe is the counter's choice.

use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// An instant by the machine's own count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    boot: String,
    /// Milliseconds since that boot.
    ms: i64,
}

impl Uptime {
    /// That of `now`, an instant of a moment ago. None where the kernel does not name its boot.
    pub fn of(now: DateTime<Utc>) -> Option<Self> {
        static BOOT: OnceLock<Option<String>> = OnceLock::new();
        let boot = BOOT.get_or_init(|| Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned()));
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let ago_ms = (Utc::now() - now).num_milliseconds();
        Some(Self { boot: boot.clone()?, ms: since_boot.tv_sec * 1000 + since_boot.tv_nsec / 1_000_000 - ago_ms })
    }

    /// How long after `earlier`; none where the machine was booted in between.
    pub fn since(&self, earlier: &Self) -> Option<TimeDelta> {
        (self.boot == earlier.boot)
            .then(|| TimeDelta::milliseconds(self.ms - earlier.ms))
            .filter(|&passed| passed >= TimeDelta::zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_within_a_boot_and_is_not_known_across_one() {
        let now = Utc::now();
        let (first, later) = (Uptime::of(now).expect("a boot"), Uptime::of(now + TimeDelta::seconds(3)).expect("a boot"));
        let passed = later.since(&first).expect("the same boot");
        assert!((passed - TimeDelta::seconds(3)).abs() < TimeDelta::milliseconds(500), "{passed}");
        assert_eq!(later.since(&Uptime { boot: "another".into(), ..first.clone() }), None);
        assert_eq!(first.since(&later), None, "the future is no past");
    }
}
