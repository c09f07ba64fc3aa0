//! `carm-grid fetch`: what is asked when, and what is left in the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use grid_standin::Trouble;

use crate::desk::{Desk, at};

const ONE_GB: &str = "";

fn gb() -> Desk {
    Desk::new().zone("GB", "carbon-intensity-gb", ONE_GB)
}

#[test]
fn what_a_service_says_is_in_the_cache_for_everybody_and_carm_goes_on_past_its_end() {
    let desk = gb();
    desk.fetches();
    let data = desk.cached("GB");
    assert_eq!((data.source.as_str(), data.fetched), ("carbon-intensity-gb", desk.now));
    let signal = data.carbon_g_per_kwh.expect("an intensity");
    let (world, hour) = (desk.server.world(), at("2026-05-01T09:00:00Z"));
    // The service tells whole grams.
    let of = |time| signal.at(time).expect("a step");
    assert!((of(hour).value - world.intensity("GB", hour)).abs() <= 0.5, "{:?}", of(hour));
    let (tomorrow, late) = (at("2026-05-02T12:00:00Z"), at("2026-05-09T12:00:00Z"));
    assert!(!of(tomorrow).estimated && of(late).estimated, "the service's forecast, then CARM's own");
    assert!(signal.end() >= desk.now + TimeDelta::days(7), "as far as plans look");
    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(desk.cache_dir().join("GB.json")), 0o644);
    assert_eq!(mode(desk.cache_dir().join(".fetch")), 0o700);
}

#[test]
fn a_zone_is_asked_once_in_its_interval_unless_somebody_names_it() {
    let mut desk = gb().zone("GB-often", "carbon-intensity-gb", "area = \"13\"\ninterval = \"5m\"");
    let asked = |desk: &Desk, words: &[&str]| {
        desk.server.forget();
        let said = desk.run(words);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
        let often = desk.server.seen().iter().filter(|seen| seen.target.contains("regional")).count();
        (desk.server.seen().len() > often, often > 0)
    };
    let once = ["fetch", "--once"];
    assert_eq!(asked(&desk, &once), (true, true));
    assert_eq!(asked(&desk, &once), (false, false));
    desk.later(TimeDelta::minutes(6));
    assert_eq!(asked(&desk, &once), (false, true));
    // A timer does not fire to the second: 14 min 30 s are a quarter of an hour.
    desk.later(TimeDelta::seconds(510));
    assert_eq!(asked(&desk, &once), (true, true));
    assert_eq!(asked(&desk, &["fetch", "--once", "--zone=GB"]), (true, false));
    assert_eq!(asked(&desk, &["fetch", "--once", "--force"]), (true, true));
}

#[test]
fn zones_of_one_area_share_its_answer() {
    let desk = gb().zone("Britain", "carbon-intensity-gb", "area = \"GB\"");
    let alone = gb();
    alone.fetches();
    desk.fetches();
    assert_eq!(desk.server.seen().len(), alone.server.seen().len());
    assert_eq!(desk.cached("Britain").carbon_g_per_kwh, desk.cached("GB").carbon_g_per_kwh);
}

#[test]
fn history_grows_from_fetch_to_fetch_and_is_dropped_where_the_zone_is_another() {
    let mut desk = Desk::new().zone("DE", "electricity-maps", "TOKEN");
    desk.fetches();
    let start = |desk: &Desk| desk.cached("DE").carbon_g_per_kwh.expect("an intensity").start();
    let first = start(&desk);
    desk.later(TimeDelta::hours(20));
    desk.fetches();
    assert_eq!(start(&desk), first, "the service gives a day, the cache knows more");
    let data = desk.cached("DE");
    let known = data.carbon_g_per_kwh.expect("an intensity");
    assert!(known.steps().iter().take_while(|step| step.from < desk.now).all(|step| !step.estimated), "without a gap");
    let url = desk.server.url("electricity-maps");
    let moved = format!(
        "[grid]\ncache_dir = \"{}\"\n[[zone]]\nname = \"DE\"\nsource = \"electricity-maps\"\narea = \"FR\"\n\
         base_url = \"{url}\"\ntoken_file = \"token\"\n",
        desk.cache_dir().display()
    );
    desk.file("carm.toml", &moved, 0o644);
    desk.fetches();
    assert!(start(&desk) > first, "the history of another area is none of this one's");
}

#[test]
fn a_service_that_is_busy_is_asked_again_when_it_wants_to_be() {
    let desk = gb();
    desk.server.trouble_times("/intensity", Trouble::Status { status: 503, retry_after: Some(1) }, 1);
    let begin = Instant::now();
    desk.fetches();
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    let seen = desk.server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1) || seen.iter().any(|s| s.status == Some(503)));
}

#[test]
fn a_service_that_wants_an_hours_rest_has_it() {
    let mut desk = gb();
    desk.server.trouble_times("/intensity", Trouble::Status { status: 429, retry_after: Some(3600) }, 1);
    let said = desk.fetch();
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("answered 429") && said.err.contains("asked too often; raise interval"), "{}", said.err);
    desk.server.forget();
    desk.later(TimeDelta::minutes(50));
    desk.run(&["fetch", "--once"]);
    assert_eq!(desk.server.seen().len(), 0);
    desk.later(TimeDelta::minutes(11));
    let said = desk.run(&["fetch", "--once"]);
    assert_eq!((said.code, said.err.as_str()), (0, "carm-grid: zone 'GB': carbon-intensity-gb: answers again, after 1 h\n"));
}

#[test]
fn retry_after_holds_for_all_zones_of_a_host() {
    let desk = (0..10).fold(Desk::new(), |desk, n| desk.zone(&format!("AREA-{n}"), "electricity-maps", "TOKEN"));
    desk.server.trouble_times("electricity-maps", Trouble::Status { status: 429, retry_after: Some(1) }, 4);
    desk.fetches();
    assert_eq!(desk.server.most_at_once(), 1);
    let refused: Vec<_> =
        desk.server.seen().windows(2).filter(|pair| pair[0].status == Some(429)).map(|p| p[1].at - p[0].at).collect();
    assert!(refused.len() == 4 && refused.iter().all(|rest| *rest >= Duration::from_secs(1)), "{refused:?}");
}

#[test]
fn missing_and_broken_caches_are_fetched_at_once() {
    let desk = gb();
    desk.fetches();
    let path = desk.cache_dir().join("GB.json");
    std::fs::write(&path, "{").expect("written");
    desk.run(&["fetch", "--once"]);
    assert_eq!(desk.cached("GB").zone, "GB");
    std::fs::remove_file(&path).expect("removed");
    desk.run(&["fetch", "--once"]);
    assert_eq!(desk.cached("GB").zone, "GB");
}

#[test]
fn failed_fetch_of_a_new_area_removes_the_old_data() {
    let desk = gb();
    desk.fetches();
    let url = desk.server.url("carbon-intensity-gb");
    let cache = desk.cache_dir();
    let text = format!(
        "[grid]\ncache_dir = \"{}\"\n[[zone]]\nname = \"GB\"\nsource = \"carbon-intensity-gb\"\narea = \"13\"\nbase_url = \"{url}\"\n",
        cache.display()
    );
    desk.file("carm.toml", &text, 0o644);
    desk.server.trouble("/regional", Trouble::Status { status: 400, retry_after: None });
    let said = desk.run(&["fetch", "--once"]);
    assert_eq!(said.code, 4, "due at once: {}", said.err);
    assert!(said.err.contains("the data of the zone's earlier configuration are removed"), "{}", said.err);
    assert!(!cache.join("GB.json").exists());
}

#[test]
fn two_fetchers_do_not_work_at_once() {
    let desk = gb();
    desk.server.set_latency(Duration::from_millis(1500));
    let mut first = desk.command(&["fetch", "--once", "--force"]).spawn().expect("running");
    let begin = Instant::now();
    while desk.server.seen().is_empty() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = desk.run(&["fetch", "--once", "--force"]);
    assert_eq!(said.code, 1);
    let expected = "another carm-grid fetch is at work there; try again in a minute\n";
    assert!(said.err.ends_with(expected), "{}", said.err);
    assert!(first.wait().expect("an end").success());
}

#[test]
fn without_once_it_goes_on_until_it_is_ended() {
    let desk = gb();
    let mut running = desk.command(&["fetch", "--verbose"]).stderr(std::process::Stdio::piped()).spawn().expect("running");
    let begin = Instant::now();
    while !desk.cache_dir().join("GB.json").exists() && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(running.try_wait().expect("a look").is_none(), "it goes on");
    running.kill().expect("ended");
    running.wait().expect("ended");
    assert_eq!(desk.cached("GB").fetched.timestamp(), desk.now.timestamp());
}

#[test]
fn a_configuration_without_live_zones_is_no_fault() {
    let desk = Desk::new().plain_zone("typical", "typical-day", "");
    let said = desk.run(&["fetch", "--once"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let said = desk.run(&["fetch", "--once", "--verbose"]);
    let expected = "carm-grid: no zone of the configuration has a source to fetch from; docs/grid/ has a page for each\n";
    assert_eq!((said.code, said.err.as_str()), (0, expected));
    let said = desk.run(&["fetch", "--once", "--zone=DE"]);
    let expected = "carm-grid: --zone: 'DE': no such [[zone]] in the configuration; give one of typical\n";
    assert_eq!((said.code, said.err.as_str()), (1, expected));
}
