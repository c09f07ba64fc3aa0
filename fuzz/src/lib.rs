//! What the fuzz targets do with bytes: each body takes any input and panics where CARM breaks a promise.
//!
//! The bodies stand apart from libFuzzer so that `tests/fuzz_corpus.rs` replays the kept inputs in every normal test run. They
//! decide what counts as a fault; which inputs are tried is libFuzzer's business.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a body's assertion is its verdict

pub mod cache;
pub mod files;
pub mod planner;
pub mod quantities;
pub mod simulator;
pub mod slurm;

/// The first byte, which selects a parser of the family, and the rest.
pub fn select(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(&first, rest)| (first, rest))
}

/// A message is one line that no user text can break, and no longer than a screen can show.
pub fn assert_message(message: &str) {
    assert_eq!(carm::text::legible(message), message, "a character that steers a terminal or hides");
    assert!(message.len() < 2_000, "{} bytes long: {message:.80}", message.len());
}
