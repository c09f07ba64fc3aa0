//! `carm-grid check`: a line a zone, a site and whatever else must work, with reason and way out.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use chrono::TimeDelta;
use grid_standin::Trouble;

use crate::desk::{Desk, Said};

const SITE: &str = "[[site]]\nname = \"north\"\nzone = \"GB\"\n";

/// With a systemctl that says this of the timer.
fn check(desk: &Desk, timer: &str) -> Said {
    let tools = desk.folder().join("tools");
    fs::create_dir_all(&tools).expect("a folder");
    let path = tools.join("systemctl");
    fs::write(&path, format!("#!/bin/sh\necho {timer}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = desk.command(&["check", "--timeout=1s"]);
    let output = command.env("PATH", format!("{}:/usr/bin:/bin", tools.display())).output().expect("running");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The line about something.
fn line(said: &Said, about: &str) -> String {
    let found = said.out.lines().find(|line| line.starts_with(about));
    let words = found.unwrap_or_else(|| panic!("no line '{about}': {}{}", said.out, said.err)).split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn where_all_is_well_every_line_says_so() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "").plain_zone("typical", "typical-day", "");
    desk.configure(SITE);
    desk.fetches();
    let before = fs::read(desk.cache_dir().join("GB.json")).expect("cached");
    let said = check(&desk, "active");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    let zone = line(&said, "zone GB");
    assert!(zone.starts_with("zone GB ok carbon-intensity-gb: average intensity from 2026-04-28 12:"), "{zone}");
    assert!(zone.contains(" with a forecast to 2026-05-03 "), "{zone}");
    for expected in [
        "zone typical ok typical-day: a model, nothing to fetch",
        "data GB ok fetched 0 s ago, observed up to 40 min ago",
        "clock ok as the services' own",
        "timer ok carm-grid.timer is active",
        "site north ok plans with zone GB: carbon-intensity-gb, average intensity, grid data 0 s old",
    ] {
        let about = expected.split(" ok ").next().expect("what it is about");
        assert_eq!(line(&said, about), expected);
    }
    assert!(line(&said, "cache").ends_with("cache: everybody can read it"), "{}", said.out);
    assert_eq!(fs::read(desk.cache_dir().join("GB.json")).expect("cached"), before, "a look changes nothing");
}

#[test]
fn what_does_not_work_has_its_reason_and_its_way_out() {
    let mut desk = Desk::new()
        .zone("GB", "carbon-intensity-gb", "")
        .zone("DE", "electricity-maps", "TOKEN")
        .zone("FR", "electricity-maps", "token_file = \"open\"")
        .zone("NOWHERE", "electricity-maps", "TOKEN");
    desk.configure(SITE);
    desk.file("open", "secret", 0o644);
    desk.server.trouble("zone=NOWHERE", Trouble::Status { status: 404, retry_after: None });
    let said = desk.run(&["fetch", "--once", "--zone=GB"]);
    assert_eq!(said.code, 0, "{}", said.err);
    desk.later(TimeDelta::hours(5));
    desk.server.trouble("zone=DE", Trouble::Status { status: 401, retry_after: None });
    desk.server.trouble("carbon-intensity-gb", Trouble::Clock(-600));
    fs::set_permissions(desk.cache_dir(), fs::Permissions::from_mode(0o700)).expect("a mode");
    let said = check(&desk, "inactive");
    assert_eq!(said.code, 4, "{}", said.out);
    for (about, parts) in [
        ("zone GB", &["zone GB ok "] as &[&str]),
        ("zone DE", &["FAILS electricity-maps: http", "answered 401", "look at the token, and at what its plan includes"]),
        ("zone FR", &["FAILS", "everybody on this host can read it; chmod o= it"]),
        ("zone NOWHERE", &["FAILS", "answered 404", "look at area, base_url and api"]),
        (
            "data GB",
            &["NO DATA fetched 5 h ago, observed up to 6 h ago; max_age is 2 h: plans mark them as estimated; look at the timer"],
        ),
        ("data DE", &["NO DATA", "DE.json: not there; run carm-grid fetch, or enable carm-grid.timer"]),
        ("cache", &["NO DATA", "mode 0700: users cannot plan with what is in it; chmod o+rx it"]),
        ("timer", &["FAILS carm-grid.timer is inactive: nothing fetches; systemctl enable --now carm-grid.timer"]),
        ("site north", &["NO DATA grid data of zone 'GB' 5 h old, past max_age (2 h)"]),
    ] {
        let line = line(&said, about);
        for part in parts {
            assert!(line.contains(part), "'{part}' in: {line}");
        }
    }
}

#[test]
fn a_clock_that_is_off_fails() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.fetches();
    desk.server.trouble("carbon-intensity-gb", Trouble::Clock(-600));
    let said = check(&desk, "active");
    assert_eq!(said.code, 3, "{}", said.out);
    let expected =
        "clock FAILS this host's clock is 10 min ahead of the services' own; data and forecasts are dated by it: set it";
    assert!(line(&said, "clock").starts_with(expected), "{}", said.out);
}

#[test]
fn eia_zone_a_day_late_is_ok() {
    let desk = Desk::new().zone("ERCO", "eia", "TOKEN");
    desk.fetches();
    // Its newest hour is 23 h before its clock: 26 h before the desk's.
    desk.server.set_now(desk.now - TimeDelta::hours(3));
    let said = check(&desk, "active");
    assert!(line(&said, "zone ERCO").starts_with("zone ERCO ok eia: "), "{}", said.out);
}

#[test]
fn other_host_fetches_without_fault() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.fetches();
    fs::remove_file(desk.folder().join("token")).expect("removed");
    let said = check(&desk, "inactive");
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(line(&said, "zone DE").contains("note electricity-maps: not requested: no token_file "), "{}", said.out);
    assert!(line(&said, "zone DE").ends_with("token on this host; its cached data are within max_age"), "{}", said.out);
    let timer = "timer note carm-grid.timer is inactive here; the data are within max_age; enable it unless another host fetches \
                 for this cache";
    assert_eq!(line(&said, "timer"), timer);
}

#[test]
fn observations_that_stand_still_are_a_note() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.fetches();
    let path = desk.cache_dir().join("GB.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("cached")).expect("JSON");
    json["observed_until"] = "2026-04-26T12:10:00.000Z".into();
    fs::write(&path, json.to_string()).expect("written");
    let expected = "data GB note fetched 0 s ago, observed up to 5 d ago: no newer value for more than 12 h; plans go by the \
                    source's own forecast; look at the service's own site";
    assert_eq!(line(&check(&desk, "active"), "data GB"), expected);
    let steps = json["carbon_g_per_kwh"]["value"].as_array().expect("values").len();
    json["carbon_g_per_kwh"]["estimated"] = serde_json::json!([[0, steps]]);
    fs::write(&path, json.to_string()).expect("written");
    assert!(line(&check(&desk, "active"), "data GB").contains("; plans go by CARM's forecast; "));
}

#[test]
fn lines_wrap_on_a_terminal_alone() {
    let desk = Desk::new().zone("GB", "carbon-intensity-gb", "");
    desk.server.trouble("carbon-intensity-gb", Trouble::Status { status: 403, retry_after: None });
    for verb in [&["check"] as &[&str], &["fetch", "--once"]] {
        let run = |columns: Option<&str>| {
            let output =
                desk.command(verb).arg("--zone=GB").envs(columns.map(|columns| ("COLUMNS", columns))).output().expect("running");
            String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
        };
        let (narrow, piped) = (run(Some("80")), run(None));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&narrow), words(&piped));
        // An address is never broken.
        let fits = |line: &str| line.chars().count() <= 80 || line.trim().split(' ').count() == 1;
        assert!(narrow.lines().all(fits) && narrow.contains("\n    "), "{narrow}");
        assert!(piped.lines().any(|line| line.chars().count() > 80) && !piped.contains("\n "), "{piped}");
    }
}

#[test]
fn no_forecast_is_named_where_none_came() {
    let desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.server.trouble("forecast", Trouble::Status { status: 403, retry_after: None });
    let zone = line(&check(&desk, "active"), "zone DE");
    assert!(zone.contains(" intensity from ") && !zone.contains("with a forecast to"), "{zone}");
}
