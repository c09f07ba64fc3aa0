//! Services fail: each failure leaves the cache in place and says once what is wrong and what to do.

use std::fs;
use std::path::PathBuf;

use chrono::TimeDelta;
use grid_standin::{Server, Trouble};

use crate::desk::Desk;

/// A zone of Electricity Maps for each trouble, all fetched well once. Then the trouble begins.
struct Troubled {
    desk: Desk,
    zones: Vec<(String, Trouble)>,
}

/// The zone's area is in its requests, so that a trouble hits it alone.
fn area(index: usize) -> String {
    format!("AREA-{index:02}")
}

impl Troubled {
    fn by(troubles: &[Trouble]) -> Self {
        let mut desk = Desk::new();
        let zones: Vec<(String, Trouble)> = troubles.iter().enumerate().map(|(index, &t)| (area(index), t)).collect();
        for (zone, _) in &zones {
            desk = desk.zone(zone, "electricity-maps", "TOKEN");
        }
        desk.fetches();
        desk.later(TimeDelta::minutes(20));
        for (zone, trouble) in &zones {
            desk.server.trouble(&format!("zone={zone}"), *trouble);
        }
        Self { desk, zones }
    }

    fn file(&self, zone: &str) -> PathBuf {
        self.desk.cache_dir().join(format!("{zone}.json"))
    }
}

/// What is said of a trouble, after the service's address.
fn said_of(trouble: Trouble) -> &'static [&'static str] {
    match trouble {
        Trouble::Closed => &["it is asked again at the next fetch; look at network, proxy and base_url"],
        Trouble::Stall => &["no answer in time; it is asked again at the next fetch"],
        Trouble::StallInBody => &["the answer stopped half-way; it is asked again at the next fetch"],
        Trouble::CutInBody => {
            &["the answer broke off: end of file before message length reached; it is asked again at the next fetch"]
        }
        Trouble::Status { status: 401, .. } => {
            &["answered 401 ('trouble on demand: 401'); look at the token, and at what its plan includes"]
        }
        Trouble::Status { status: 404, .. } => &["answered 404 ", "look at area, base_url and api"],
        Trouble::Status { status: 429, .. } => {
            &["answered 429 ", "asked too often; raise interval, or let one host fetch for all"]
        }
        Trouble::Status { .. } => &["answered 500 ", "the service has a fault; it is asked again at the next fetch"],
        Trouble::Html => {
            &["a page instead of JSON: '<!DOCTYPE html>", "look at base_url, and at proxies that answer in its place"]
        }
        Trouble::Truncated => &["JSON that breaks off after "],
        Trouble::OtherShape => &["no JSON of the documented shape (", "look at base_url and api"],
        Trouble::WrongZone => &["zone 'ELSEWHERE', not 'AREA-", "give area as carm-grid zones lists it"],
        Trouble::NoTimeZone => &[".000' is no time with its zone"],
        Trouble::Nothing => &["an answer without data; look at area, and at whether the service has data of it"],
        _ => unreachable!("{trouble}: no failure"),
    }
}

#[test]
fn each_failure_leaves_the_cache_in_place_and_says_once_what_is_wrong_and_what_to_do() {
    let status = |status| Trouble::Status { status, retry_after: None };
    let troubled = Troubled::by(&[
        Trouble::Closed,
        Trouble::Stall,
        Trouble::StallInBody,
        Trouble::CutInBody,
        status(401),
        status(404),
        status(429),
        status(500),
        Trouble::Html,
        Trouble::Truncated,
        Trouble::OtherShape,
        Trouble::WrongZone,
        Trouble::NoTimeZone,
        Trouble::Nothing,
    ]);
    let desk = &troubled.desk;
    let before: Vec<Vec<u8>> = troubled.zones.iter().map(|(zone, _)| fs::read(troubled.file(zone)).expect("cached")).collect();
    let fetch = ["fetch", "--once", "--force", "--timeout=1s"];
    let said = desk.run(&fetch);
    assert_eq!(said.code, 3, "the data at hand are young enough: {}", said.err);
    for ((zone, trouble), before) in troubled.zones.iter().zip(before) {
        let lines: Vec<&str> = said.err.lines().filter(|line| line.contains(&format!("zone '{zone}'"))).collect();
        let [line] = lines.as_slice() else { panic!("{trouble}: one line: {lines:#?}\n{}", said.err) };
        assert!(line.starts_with(&format!("carm-grid: zone '{zone}': electricity-maps: http://127.0.0.1:")), "{trouble}: {line}");
        assert!(line.contains("; plans go on with data fetched 20 min ago, observed up to "), "{trouble}: {line}");
        for part in said_of(*trouble) {
            assert!(line.contains(part), "{trouble}: '{part}' in: {line}");
        }
        assert_eq!(fs::read(troubled.file(zone)).expect("cached"), before, "{trouble}: the last good data");
    }
    assert_eq!(said.err.lines().count(), troubled.zones.len(), "nothing else: {}", said.err);
    let said = desk.run(&fetch);
    assert_eq!((said.code, said.err.as_str()), (3, ""), "once");
    assert_eq!(fs::read_dir(desk.cache_dir()).expect("a folder").count(), troubled.zones.len() + 1, "nothing unfinished");
}

#[test]
fn a_host_that_is_not_there_a_port_that_is_closed_and_a_certificate_that_nobody_knows_are_told_apart() {
    let tls = Server::start_tls();
    let closed = {
        let server = Server::start();
        server.url("electricity-maps")
    };
    let desk = Desk::new()
        .zone_at("NOBODY", "electricity-maps", "http://no-such-host.invalid", "TOKEN")
        .zone_at("CLOSED", "electricity-maps", &closed, "TOKEN")
        .zone_at("TLS", "electricity-maps", &tls.url("electricity-maps"), "TOKEN");
    let said = desk.fetch();
    assert_eq!(said.code, 4, "{}", said.err);
    let line = |zone: &str| said.err.lines().find(|line| line.contains(zone)).expect(zone).to_owned();
    for (zone, parts) in [
        ("'NOBODY'", ["dns error", "look at base_url, and at whether this host finds names of the internet"]),
        ("'CLOSED'", ["Connection refused", "look at network, proxy and base_url"]),
        ("'TLS'", ["invalid peer certificate", "look at this host's certificates and clock"]),
    ] {
        let line = line(zone);
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(line.ends_with("; no data yet: plans use the typical day"), "{line}");
    }
}

#[test]
fn a_fault_is_said_again_when_it_changes_and_after_a_day() {
    let mut desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.fetches();
    let status = |status| Trouble::Status { status, retry_after: None };
    desk.server.trouble("electricity-maps", status(403));
    let lines = |desk: &Desk| desk.fetch().err.lines().count();
    assert_eq!((lines(&desk), lines(&desk)), (1, 0));
    desk.server.calm();
    desk.server.trouble("electricity-maps", status(404));
    assert_eq!((lines(&desk), lines(&desk)), (1, 0));
    desk.later(TimeDelta::hours(23));
    assert_eq!(lines(&desk), 0);
    desk.later(TimeDelta::hours(1));
    let said = desk.fetch();
    assert_eq!(said.code, 4, "past max_age");
    let end = "; plans go on with data fetched 24 h ago, observed up to 24 h ago, past max_age, and mark them as estimated\n";
    assert!(said.err.ends_with(end), "{}", said.err);
    // Somebody who names the zone wants to know.
    assert_eq!(desk.run(&["fetch", "--once", "--zone=DE"]).err.lines().count(), 1);
    desk.server.calm();
    assert_eq!(desk.fetch().err, "carm-grid: zone 'DE': electricity-maps: answers again, after 24 h\n");
}

#[test]
fn many_zones_with_one_fault_are_one_line() {
    let mut desk = Desk::new();
    for index in 0..5 {
        desk = desk.zone(&area(index), "electricity-maps", "TOKEN");
    }
    desk.server.trouble("electricity-maps", Trouble::Status { status: 403, retry_after: None });
    let said = desk.fetch();
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.starts_with("carm-grid: zone 'AREA-00' and 4 others: electricity-maps: "), "{}", said.err);
}

#[test]
fn a_clock_that_is_off_is_told_by_the_services() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.server.trouble("carbon-intensity-gb", Trouble::Clock(7_200));
    let said = desk.fetch();
    let expected = "carm-grid: this host's clock is 2 h behind the services' own; data and forecasts are dated by it: \
                    set it (timedatectl, chronyc tracking)\n";
    assert_eq!((said.code, said.err.as_str()), (0, expected));
    assert_eq!(desk.fetch().err, "", "once");
    assert_eq!(desk.cached("GB").fetched, desk.now);
}

#[test]
fn a_cache_that_cannot_be_written_is_named_with_the_way_out() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.file("cache", "in the way", 0o644);
    let said = desk.fetch();
    assert_eq!(said.code, 1);
    assert!(said.err.ends_with("run carm-grid as the user of carm-grid.service, or look at [grid] cache_dir\n"), "{}", said.err);
}
