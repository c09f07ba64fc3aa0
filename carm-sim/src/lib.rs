//! carm-sim: what a cluster would emit under a policy. The parts, in the order in which a run passes through them:
//! - [`scenario`]: the file that says what is simulated, checked;
//! - [`jobs`]: jobs from traces, by the scenario's rules, or made up;
//! - [`world`]: one episode of a scenario: sites, signals, jobs;
//! - [`foresight`]: what may be known of the future at an instant;
//! - [`policy`]: CARM's own decisions and the baselines that it is held against;
//! - [`engine`]: Slurm-like scheduling, event by event, and the account of energy and carbon;
//! - [`bound`]: what was possible for each job alone, [`capacity`]: for all of them together;
//! - [`account`]: what counts, per job, per policy and against the references;
//! - [`run`]: all policies over all episodes, on as many threads as one likes;
//! - [`output`]: the table, JSON, CSV and the page.
//!
//! Whatever CARM decides is decided by the library `carm`: the planner, its candidates, the forecaster and the governor's decision.
//! What is written here and only here is a baseline, never CARM's.

pub mod account;
pub mod bound;
pub mod capacity;
pub mod chance;
pub mod cli;
pub mod engine;
pub mod exit;
pub mod foresight;
pub mod jobs;
pub mod output;
pub mod policy;
pub mod run;
pub mod scenario;
pub mod world;
