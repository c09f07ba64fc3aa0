//! What the grid is doing, as the planner sees it: signals from traces, from what carm-grid fetched, and from the built-in
//! typical day, and a forecast past their end. Only [`load`] and [`cache`] open files; everything else works on values.

pub mod cache;
pub mod factors;
mod forecast;
mod intensity;
pub mod load;
mod quantity;
mod signal;
pub mod trace;
mod typical;

pub use forecast::{Forecaster, extend, extend_as};
pub use intensity::Intensity;
pub use quantity::Quantity;
pub(crate) use signal::hours as signal_hours;
pub use signal::{Signal, Step};
pub use trace::{Trace, TraceError};
pub use typical::{TYPICAL_DAY_SOURCE, typical_day};
