//! Zones that carm-grid fetches: every plan says how old their data are, and none is held up by them.

use carm::grid::cache::{self, ZoneData};
use carm::grid::{Intensity, Signal, Step};
use carm::quantity::parse_instant;
use chrono::TimeDelta;
use serde_json::Value;

use crate::fake::{BY_EVENING, Ended, Login, NOW};

/// Both sites on zones of live sources; what was fetched `hours` ago is hourly, two days back and two ahead.
fn login(hours: i64) -> Login {
    let login = Login::new();
    let zone = |name: &str, source: &str| format!("[[zone]]\nname = \"{name}\"\nsource = \"{source}\"\n");
    let site = |name: &str, zone: &str| {
        format!("[[site]]\nname = \"{name}\"\nzone = \"{zone}\"\npartition = \"gpu-{name}\"\ngpus = 8\n")
    };
    let text = "[grid]\ncache_dir = \"CACHE\"\n".to_owned()
        + &zone("N", "watttime\"\ntoken_file = \"/nobody/reads/this")
        + &zone("S", "energy-charts")
        + &site("north", "N")
        + &site("south", "S");
    let cache_dir = login.home.path().join("cache");
    login.write("carm.toml", &text.replace("CACHE", &cache_dir.display().to_string()));
    let fetched = parse_instant(NOW).expect("a time") - TimeDelta::hours(hours);
    for (name, source, intensity) in [("N", "watttime", Intensity::Marginal), ("S", "energy-charts", Intensity::Average)] {
        let step = |hour: i64| Step::exact(fetched + TimeDelta::hours(hour), if hour - hours > 5 { 50.0 } else { 500.0 });
        let data = ZoneData {
            zone: name.into(),
            source: source.into(),
            intensity,
            fetched,
            observed_until: fetched,
            carbon_g_per_kwh: Signal::new((-48..48).map(step).collect(), fetched + TimeDelta::hours(48)),
            renewable_share: None,
            onsite_w: None,
        };
        cache::write(&cache_dir, &data).expect("written");
    }
    login
}

fn north(login: &Login, more: &str) -> Ended {
    login.submit(&format!("--dry-run -p gpu-north {BY_EVENING} {more} train.sh"))
}

#[test]
fn a_plan_names_source_kind_and_age_of_its_grid_data() {
    let ended = north(&login(1), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let words = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("data grid: watttime, marginal intensity, grid data 1 h old; profile"), "{}", ended.stderr);
    let json: Value = serde_json::from_str(&north(&login(1), "--json").stdout).expect("JSON");
    let plan = &json["plan"];
    assert_eq!((plan["grid_source"].as_str(), plan["grid_intensity"].as_str()), (Some("watttime"), Some("marginal")));
    assert_eq!((plan["grid_age_s"].as_f64(), plan["estimated_share"].as_f64()), (Some(3600.0), Some(0.0)));
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(0));
}

#[test]
fn data_past_max_age_are_used_marked_and_warned_of() {
    let json: Value = serde_json::from_str(&north(&login(3), "--json").stdout).expect("JSON");
    assert_eq!((json["plan"]["grid_age_s"].as_f64(), json["plan"]["estimated_share"].as_f64()), (Some(10_800.0), Some(1.0)));
    let warning = "grid data of zone 'N' 3 h old, past max_age (2 h): what follows 2026-05-01 03:00Z is estimated; \
                   carm-grid check tells why";
    assert_eq!(json["warnings"][0].as_str(), Some(warning), "{json}");
}

#[test]
fn without_data_or_with_a_broken_file_a_job_is_planned_all_the_same() {
    let login = login(1);
    login.write("cache/N.json", "{\"version\": 1, \"zone\": ");
    let ended = login.submit(&format!("-p gpu-north {BY_EVENING} train.sh"));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "Submitted batch job 42\n"), "{}", ended.stderr);
    let words = ended.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("no grid data of zone 'N': the typical day stands in: "), "{}", ended.stderr);
    assert!(words.contains("data grid: built-in typical day (modelled, not live)"), "{}", ended.stderr);
}
