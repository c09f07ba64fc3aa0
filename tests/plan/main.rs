//! The planner against its own definition: brute force, regressions and what must hold whatever the numbers.

// Helpers of tests are tests: clippy.toml's exceptions only see functions marked #[test].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod brute;
mod cases;
mod definition;
mod larger;
mod laws;
mod regressions;
mod services;
mod simplex;
mod suspended;
