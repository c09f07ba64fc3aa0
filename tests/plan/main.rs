//! The planner against its own definition: brute force, regressions and what must hold whatever the numbers.

mod brute;
mod cases;
mod definition;
mod larger;
mod laws;
mod regressions;
mod services;
mod simplex;
mod suspended;
