//! carm-sim: the simulator, its policies, its account, its files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/browser.rs"]
mod browser;
#[path = "sim/setup.rs"]
mod setup;

#[path = "sim/account.rs"]
mod account;
#[path = "sim/bounds.rs"]
mod bounds;
#[path = "sim/by_hand.rs"]
mod by_hand;
#[path = "sim/capacity.rs"]
mod capacity;
#[path = "sim/carm.rs"]
mod carm_itself;
#[path = "sim/docs.rs"]
mod docs;
#[path = "sim/evaluation.rs"]
mod evaluation;
#[path = "sim/future.rs"]
mod future;
#[path = "sim/known.rs"]
mod known;
#[path = "sim/page.rs"]
mod page;
#[path = "sim/program.rs"]
mod program;
#[path = "sim/readers.rs"]
mod readers;
#[path = "sim/scenario_file.rs"]
mod scenario_file;
#[path = "sim/scheduling.rs"]
mod scheduling;
#[path = "sim/sun.rs"]
mod sun;
