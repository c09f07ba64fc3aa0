//! Which lines of the ledger count: by user, account, place, name, and by when they were booked.

use carm::ledger::{Line, Text};
use chrono::{DateTime, Utc};

/// What was booked from one time on and before another. A line is booked where its span ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}

/// The lines that are wanted; an empty list wants all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    pub users: Vec<String>,
    pub accounts: Vec<String>,
    pub sites: Vec<String>,
    pub clusters: Vec<String>,
    pub partitions: Vec<String>,
    pub names: Vec<String>,
    pub window: Window,
}

impl Window {
    /// Whether a span that ends then was booked in it.
    pub fn holds(self, end_ms: i64) -> bool {
        self.since.is_none_or(|since| end_ms >= since.timestamp_millis())
            && self.until.is_none_or(|until| end_ms < until.timestamp_millis())
    }

    /// Whether a file of a month, as in `2026-05`, may hold a line of it: files are named by the month (UTC) in which their
    /// lines end.
    pub fn may_hold_month(self, month: &str) -> bool {
        let month_of = |instant: DateTime<Utc>| instant.format("%Y-%m").to_string();
        // A line is written a moment after its end: the file may be the next month's.
        let day = chrono::TimeDelta::days(1);
        self.since.is_none_or(|since| month >= month_of(since).as_str())
            && self.until.is_none_or(|until| month <= month_of(until + day).as_str())
    }
}

impl Choice {
    /// Whether a line is wanted, its time aside.
    pub fn wants(&self, line: &Line) -> bool {
        let among = |list: &[String], text: Option<&Text>| {
            list.is_empty() || text.is_some_and(|text| list.iter().any(|wanted| wanted == text.as_str()))
        };
        let by_number = || line.uid.is_some_and(|uid| self.users.iter().any(|user| user.parse() == Ok(uid)));
        (among(&self.users, line.user.as_ref()) || by_number())
            && among(&self.accounts, line.account.as_ref())
            && among(&self.sites, line.site.as_ref())
            && among(&self.clusters, Some(&line.cluster))
            && among(&self.partitions, line.partition.as_ref())
            && among(&self.names, line.name.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carm::quantity::parse_instant;

    #[test]
    fn a_months_file_is_opened_where_it_may_hold_a_line_of_the_window() {
        let window = |since: &str, until: &str| Window { since: parse_instant(since).ok(), until: parse_instant(until).ok() };
        let may = window("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z");
        let open: Vec<_> =
            ["2026-04", "2026-05", "2026-06", "2026-07"].into_iter().filter(|month| may.may_hold_month(month)).collect();
        assert_eq!(open, ["2026-05", "2026-06"]);
        assert!(window("", "").may_hold_month("1999-01"));
    }

    #[test]
    fn a_window_has_its_first_instant_and_not_its_last() {
        let at = |text| parse_instant(text).expect("a time");
        let window = Window { since: Some(at("2026-05-01T00:00:00Z")), until: Some(at("2026-06-01T00:00:00Z")) };
        let holds = |text| window.holds(at(text).timestamp_millis());
        assert!(holds("2026-05-01T00:00:00Z") && holds("2026-05-31T23:59:59.999Z"));
        assert!(!holds("2026-04-30T23:59:59.999Z") && !holds("2026-06-01T00:00:00Z"));
    }
}
