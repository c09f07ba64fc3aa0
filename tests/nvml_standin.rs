//! The stand-in libnvidia-ml.so.1 against what NVML promises: called through nvml-wrapper, as carm-prolog calls it, and through
//! NVIDIA's own Python client. Every other test of CARM's clocks and energy rests on these, so the energy counter is held to an
//! integration of the power log that is done here, not there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are no #[test] of their own

#[path = "nvml_standin/bench.rs"]
mod bench;
#[path = "nvml_standin/clocks.rs"]
mod clocks;
#[path = "nvml_standin/energy.rs"]
mod energy;
#[path = "nvml_standin/faults.rs"]
mod faults;
#[path = "nvml_standin/identity.rs"]
mod identity;
#[path = "nvml_standin/load.rs"]
mod load;
#[path = "nvml_standin/second_opinion.rs"]
mod second_opinion;
