//! The grid's cache: files that anybody might have written to.

use carm::grid::cache::{self, CARBON_G_PER_KWH, ONSITE_W, RENEWABLE_SHARE};
use carm::grid::{Signal, extend};
use chrono::TimeDelta;

use super::assert_message;

/// What is accepted is in range, can be continued, and is written the same once and again; a refusal is one line.
pub fn run(data: &[u8]) {
    let data = match cache::parse(data) {
        Ok(data) => data,
        Err(cause) => return assert_message(&cause),
    };
    let signals =
        [(&data.carbon_g_per_kwh, CARBON_G_PER_KWH), (&data.renewable_share, RENEWABLE_SHARE), (&data.onsite_w, ONSITE_W)];
    for (signal, range) in signals {
        let Some(signal) = signal else { continue };
        let in_range = |signal: &Signal| {
            signal
                .steps()
                .iter()
                .all(|s| range.contains(&s.low) && range.contains(&s.high) && s.low <= s.value && s.value <= s.high)
        };
        assert!(signal.steps().windows(2).all(|w| w[0].from < w[1].from));
        assert!(signal.steps().last().is_some_and(|s| s.from < signal.end()));
        assert!(in_range(signal));
        if let Some(until) = signal.end().checked_add_signed(TimeDelta::days(2)) {
            assert!(in_range(&extend(signal, until)));
        }
    }
    // Values are written to a millionth: what was written once is written the same again.
    let text = cache::text(&data).expect("text of what was read");
    let again = cache::parse(&text).expect("what was written");
    assert_eq!(cache::text(&again).expect("text"), text);
}
