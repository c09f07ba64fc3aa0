//! What a site offers a job: its grid, its on-site power, its clocks, as one candidate for the planner.
//!
//! carm-submit asks this of every site that a job may use, carm-prolog of the site that its node stands at, carm-sim of
//! every site of a scenario: the same function for all.

mod candidate;
mod load;
mod outlook;
mod room;

pub use candidate::{Ask, Offer, OfferError, offer};
pub use load::{fast_enough, least_speed};
pub use outlook::{Outlook, OutlookError, Span};
pub use room::{Booking, booked, close_between};
