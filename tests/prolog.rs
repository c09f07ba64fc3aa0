//! carm-prolog as slurmd runs it: the real program, with slurmd's bare environment, on the stand-in NVML. A real Slurm around
//! it is the business of the tests of a whole job.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are no #[test] of their own

#[path = "prolog/by_hand.rs"]
mod by_hand;
#[path = "prolog/clocks.rs"]
mod clocks;
#[path = "prolog/energy.rs"]
mod energy;
#[path = "prolog/faults.rs"]
mod faults;
#[path = "prolog/full_clock.rs"]
mod full_clock;
#[path = "prolog/govern.rs"]
mod govern;
#[path = "prolog/hands.rs"]
mod hands;
#[path = "prolog/history.rs"]
mod history;
#[path = "prolog/hung.rs"]
mod hung;
#[path = "prolog/job.rs"]
mod job;
#[path = "prolog/killed.rs"]
mod killed;
#[path = "prolog/measure_only.rs"]
mod measure_only;
#[path = "prolog/mirrors.rs"]
mod mirrors;
#[path = "prolog/node.rs"]
mod node;
#[path = "prolog/outlived.rs"]
mod outlived;
#[path = "prolog/profile.rs"]
mod profile;
#[path = "prolog/real_gpu.rs"]
mod real_gpu;
#[path = "prolog/remembered.rs"]
mod remembered;
#[path = "prolog/services.rs"]
mod services;
#[path = "prolog/sharing.rs"]
mod sharing;
#[path = "prolog/stalled.rs"]
mod stalled;
#[path = "prolog/strangers.rs"]
mod strangers;
#[path = "prolog/strict.rs"]
mod strict;
#[path = "prolog/unfinished.rs"]
mod unfinished;
#[path = "prolog/write_points.rs"]
mod write_points;
