//! What the grid is doing, as the planner sees it: signals from traces, the built-in typical day, and a forecast past
//! their end. Reading files is [`load`]'s alone; everything else works on values.

mod forecast;
pub mod load;
mod signal;
pub mod trace;
mod typical;

pub use forecast::extend;
pub(crate) use signal::hours as signal_hours;
pub use signal::{Signal, Step};
pub use trace::{Trace, TraceError};
pub use typical::{TYPICAL_DAY_SOURCE, typical_day};
