//! CARM

pub mod plan;
