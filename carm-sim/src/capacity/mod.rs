//! What was possible for all jobs together: the bound that knows how many GPUs there are.

pub mod instance;
#[cfg(feature = "bounds")]
pub mod linear_program;
pub mod prices;
pub mod way;

pub use instance::Instance;
