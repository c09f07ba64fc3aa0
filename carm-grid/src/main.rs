//! carm-grid: what the grid is doing. The one program of CARM's that touches the network.
//!
//! It brings signals from services into the cache that everybody plans with, continues them by CARM's own forecast, and
//! shows them. A job never waits for it: where it fails, the last good data stay.

mod fault;
mod http;
mod source;
mod token;

fn main() {}
