//! Who counts on how much of a site's on-site power. A job's state keeps what it holds ([`held`]); governors share a file below the ledger's
//! folder ([`mod@file`]) in which each claims for its running jobs no more than what the others have left ([`claims`]): so the sum is never
//! more than all of it, and what idle GPUs do not use is used elsewhere.

pub mod claims;
pub mod file;
pub mod held;

/// An instant, and how often nodes look, both in milliseconds (since 1970).
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    pub now_ms: i64,
    pub interval_ms: f64,
}

impl Beat {
    pub fn of(interval_s: f64, now: chrono::DateTime<chrono::Utc>) -> Self {
        Self { now_ms: now.timestamp_millis(), interval_ms: (interval_s * 1e3).max(1.0) }
    }

    /// So much later.
    pub fn later(self, by: std::time::Duration) -> Self {
        Self { now_ms: self.now_ms + i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2), ..self }
    }

    /// How many intervals ago that was, or will be: clocks of nodes differ.
    pub fn intervals_since(self, at_ms: i64) -> f64 {
        (self.now_ms - at_ms).abs() as f64 / self.interval_ms
    }

    /// The second whole interval since 1970 from now on: until then every node has looked once more.
    pub fn after_next_look_ms(self) -> i64 {
        (((self.now_ms as f64 / self.interval_ms).floor() + 2.0) * self.interval_ms).round() as i64
    }
}
