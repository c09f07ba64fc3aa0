//! The planner against its own definition: brute force, regressions and what must hold whatever the numbers.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

mod brute;
mod cases;
mod definition;
mod laws;
mod regressions;
mod services;
mod simplex;
