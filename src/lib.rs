//! CARM

pub mod config;
pub mod grid;
pub mod located;
pub mod plan;
pub mod profile;
pub mod quantity;
pub mod request;
pub mod slurm;
