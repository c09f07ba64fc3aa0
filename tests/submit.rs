//! carm-submit as its users see it: what it hands to sbatch, what it says, how it ends. One thought a file, all in front of
//! the same recorded sbatch ([`fake`]).

#![allow(clippy::expect_used, clippy::panic)] // clippy exempts test functions, not what they are written with

#[path = "submit/after.rs"]
mod after;
#[path = "submit/arrays.rs"]
mod arrays;
#[path = "submit/busy.rs"]
mod busy;
#[path = "submit/fake.rs"]
mod fake;
#[path = "submit/forecast.rs"]
mod forecast;
#[path = "submit/handed.rs"]
mod handed;
#[path = "submit/history.rs"]
mod history;
#[path = "submit/json.rs"]
mod json;
#[path = "submit/left_alone.rs"]
mod left_alone;
#[path = "submit/limits.rs"]
mod limits;
#[path = "submit/live.rs"]
mod live;
#[path = "submit/patience.rs"]
mod patience;
#[path = "submit/refused.rs"]
mod refused;
#[path = "submit/service.rs"]
mod service;
#[path = "submit/slow.rs"]
mod slow;
#[path = "submit/told.rs"]
mod told;
#[path = "submit/widths.rs"]
mod widths;
