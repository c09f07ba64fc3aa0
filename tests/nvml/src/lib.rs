//! A stand-in `libnvidia-ml.so.1` with the real C ABI: a program that loads NVML cannot tell. Every figure it gives is simulated.
//!
//! A bench is a folder with a copy of the library under the name `libnvidia-ml.so.1` and a description of the cards,
//! `gpus.toml`. The library finds the folder by its own path as it was opened, so that no environment is needed; there it
//! keeps `gpus.state` (shared by all processes), `power.csv` and `calls.log`. Copy the library rather than linking to it
//! where one process opens two benches: the loader opens one file once.
//!
//! - [`device`]: the description; what a card does at a clock
//! - [`state`]: locks, modes, clients, loads; power and energy over time
//! - [`fault`]: calls that fail, are slow or hang, on demand
//! - [`store`]: the files, under flock
//! - [`mod@bench`]: one look at the cards, at one instant, alone
//! - [`load`]: what gpu-load does to a card, as a CUDA job would
//! - [`place`]: sets up a bench for a test
//! - `abi`: the C functions

pub mod bench;
pub mod device;
pub mod fault;
pub mod load;
pub mod place;
pub mod process;
pub mod state;
pub mod store;

mod abi;
