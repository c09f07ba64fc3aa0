//! CARM

pub mod quantity;
pub mod request;
