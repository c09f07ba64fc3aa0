//! The library of CARM: it decides; the programs act.
//!
//! The life of a job, in the order of the modules:
//! - [`quantity`]: masses, durations, times, as people write them;
//! - [`request`]: what a user asks for one job, from the option's text to the prolog's environment;
//! - [`config`] and [`profile`]: what the admin says of the site, and how fast and hungry a workload is by clock;
//! - [`grid`]: traces, the typical day, the forecast;
//! - [`site`]: what one site offers a job, as the planner's candidate;
//! - [`plan`]: the planner: where, when and how fast;
//! - [`submission`]: what is decided when a job is submitted, given how busy the sites are;
//! - [`slurm`]: Slurm's text, in and out;
//! - [`govern`]: the clock of now for a job that has started;
//! - [`ledger`]: what jobs used and emitted, line by line and joined to jobs;
//! - [`counterfactual`]: what the same work would have emitted had CARM left it alone;
//! - [`text`]: text of others, made fit to print;
//! - [`files`]: opens and checks files that other users may have put in place;
//! - [`terminal`]: what charts on a terminal are made of.
//!
//! Pure: no network, no GPU, no process, no clock and no time zone of its own; only configuration, traces, profiles and the
//! ledger open files, under paths that they are given.

pub mod config;
pub mod counterfactual;
pub mod files;
pub mod govern;
pub mod grid;
pub mod ledger;
pub mod located;
pub mod plan;
pub mod profile;
pub mod quantity;
pub mod request;
pub mod site;
pub mod slurm;
pub mod submission;
pub mod terminal;
pub mod text;
