//! CARM's own forecaster, which is shown the past alone: the signal up to and with the step that holds now.

use carm::grid::{self, Signal};
use chrono::{DateTime, Utc};

/// The signal until `issued`, continued by [`carm::grid::extend`].
pub fn forecast(truth: &Signal, issued: DateTime<Utc>, until: DateTime<Utc>) -> Signal {
    past(truth, issued).map_or_else(|| truth.clone(), |past| grid::extend(&past, until))
}

/// All steps that have begun. The last of them is known as long as it holds.
fn past(truth: &Signal, issued: DateTime<Utc>) -> Option<Signal> {
    let begun = truth.steps().partition_point(|step| step.from <= issued);
    let end = truth.steps().get(begun).map_or(truth.end(), |next| next.from);
    Signal::new(truth.steps()[..begun].to_vec(), end)
}
