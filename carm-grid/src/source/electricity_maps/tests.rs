use carm::config::Service;
use grid_standin::{TOKEN, Trouble};

use super::super::bench::{Bench, answer, at, example, holds, recorded, told_g_per_kwh, told_share};
use super::*;

fn carbon(body: &str) -> Result<Vec<Point>, String> {
    read(&answer(body), "DE", What::Carbon).map_err(|fault| fault.to_string())
}

fn share(body: &str) -> Result<Vec<Point>, String> {
    read(&answer(body), "DE", What::Share).map_err(|fault| fault.to_string())
}

fn hour(from: &str, value: f64) -> Point {
    point(at(from), TimeDelta::hours(1), value)
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/electricity-maps.md");
    let intensity = carbon(example(page, 0)).expect("read");
    let share = share(example(page, 1)).expect("read");
    assert_eq!(format!("{}\n{}", told_g_per_kwh(&intensity), told_share(&share)), example(page, 2));
    assert_eq!((intensity, share), (vec![hour("2026-05-01T12:00:00Z", 302.0)], vec![hour("2026-05-01T12:00:00Z", 0.64)]));
}

#[test]
fn lists_stand_in_history_forecast_or_data_and_values_under_two_names() {
    let points = Ok(vec![hour("2026-05-01T12:00:00Z", 302.0), hour("2026-05-01T13:00:00Z", 298.5)]);
    for (list, key) in [("history", "carbonIntensity"), ("forecast", "carbonIntensity"), ("data", "value")] {
        let body = format!(
            r#"{{"zone":"DE","unit":"gCO2eq/kWh","temporalGranularity":"hourly","{list}":[
             {{"{key}":302,"datetime":"2026-05-01T12:00:00.000Z"}},{{"{key}":"298.5","datetime":"2026-05-01T15:00:00+02:00"}}]}}"#
        );
        assert_eq!(carbon(&body), points, "{body}");
    }
    let body = r#"{"zone":"DE","unit":"%","data":[{"datetime":"2026-05-01T12:00Z","value":"64","isEstimated":null}]}"#;
    assert_eq!(share(body), Ok(vec![hour("2026-05-01T12:00:00Z", 0.64)]));
    let quarter =
        r#"{"zone":"DE","temporalGranularity":"15_minutes","forecast":[{"carbonIntensity":1,"datetime":"2026-05-01T12:00Z"}]}"#;
    assert_eq!(carbon(quarter).expect("read")[0].length, TimeDelta::minutes(15));
}

#[test]
fn an_hour_without_a_value_is_left_out_and_one_without_the_key_is_a_fault() {
    let body = r#"{"zone":"DE","history":[{"carbonIntensity":null,"datetime":"2026-05-01T11:00Z"},
     {"carbonIntensity":1,"datetime":"2026-05-01T12:00Z","new":{"key":[]}}]}"#;
    assert_eq!(carbon(body), Ok(vec![hour("2026-05-01T12:00:00Z", 1.0)]));
    for (body, cause) in [
        (r#"{"zone":"CH","carbonIntensity":31,"datetime":"2026-05-01T12:00Z"}"#, "is about zone 'CH', not 'DE'; give area"),
        (
            r#"{"zone":"DE","history":[{"zone":"FR","carbonIntensity":31,"datetime":"2026-05-01T12:00Z"}]}"#,
            "is about zone 'FR', not 'DE'",
        ),
        (r#"{"status":"no-data","message":"No data for zone"}"#, "names no zone ('No data for zone'); look at area"),
        (r#"{"error":"Invalid auth-token"}"#, "names no zone ('Invalid auth-token')"),
        (r#"{"zone":"DE","history":[{"intensity":31,"datetime":"2026-05-01T12:00Z"}]}"#, "an hour without a value's key"),
        (r#"{"zone":"DE","history":[{"carbonIntensity":31}]}"#, "an hour without datetime"),
        (r#"{"zone":"DE","carbonIntensity":31,"datetime":"2026-05-01T12:00:00"}"#, "is no time with its zone"),
        (
            r#"{"zone":"DE","carbonIntensity":31,"datetime":"2026-05-01T12:00Z","emissionFactorType":"direct"}"#,
            "emissionFactorType 'direct', not the lifecycle asked for",
        ),
        (
            r#"{"zone":"DE","temporalGranularity":"daily","history":[{"carbonIntensity":31,"datetime":"2026-05-01T12:00Z"}]}"#,
            "temporalGranularity 'daily', not hourly",
        ),
        (
            r#"{"zone":"DE","unit":"lb/MWh","data":[{"value":31,"datetime":"2026-05-01T12:00Z"}]}"#,
            "unit 'lb/MWh', not gCO2eq/kWh",
        ),
        (r#"{"zone":"DE","history":{}}"#, "no JSON of the documented shape"),
        ("Boooom!", "no JSON of the documented shape"),
        ("<html>", "a page instead of JSON"),
    ] {
        let error = carbon(body).expect_err(body);
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn the_horizon_is_the_least_that_reaches() {
    let hours = [1, 6, 7, 24, 48, 49, 168].map(|wanted| horizon(TimeDelta::hours(wanted)));
    assert_eq!(hours, [6, 6, 24, 24, 48, 72, 72]);
}

#[test]
fn recorded_answers_are_read() {
    if let Some(recorded) = recorded("electricitymaps_v3_carbon-intensity_latest.json") {
        let points = read(&recorded, "US-CAR-DUK", What::Carbon).expect("read");
        assert_eq!(points, [hour("2024-03-06T19:00:00Z", 216.0)]);
    }
    if let Some(recorded) = recorded("electricitymaps_v3_power-breakdown_latest.json") {
        assert_eq!(read(&recorded, "DE", What::Share).expect("read"), [hour("2024-03-06T19:00:00Z", 0.33)]);
    }
}

#[test]
fn history_now_and_forecast_are_the_worlds_in_both_versions() {
    for api in [None, Some(Api::V3)] {
        let mut bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
        bench.live.api = api;
        let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
        assert_eq!(reading.remarks, [""; 0]);
        for (series, value) in [
            (&reading.carbon_g_per_kwh, &(|t| world.intensity("DE", t)) as &dyn Fn(_) -> _),
            (&reading.renewable_share, &|t| world.share("DE", t)),
        ] {
            holds(&series.observed, 25, 60, 1e-9, value);
            holds(&series.forecast, 48, 60, 1e-9, value);
            assert!(series.observed.iter().any(|point| point.from == at("2026-05-01T12:00:00Z")), "the present hour");
        }
        assert!(bench.server.seen().iter().all(|seen| seen.target.contains("disableCallerLookup=true")));
        assert!(bench.server.seen().iter().all(|seen| !seen.target.contains(TOKEN)), "a token in an address");
        assert_eq!(bench.server.count(if api.is_some() { "/v3/" } else { "/v4/" }), bench.server.seen().len());
    }
}

#[test]
fn a_plan_without_a_forecast_is_a_remark_and_no_fault() {
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
    bench.server.trouble("forecast", Trouble::Status { status: 403, retry_after: None });
    let reading = bench.ask().expect("a reading");
    assert_eq!((reading.carbon_g_per_kwh.forecast.len(), reading.renewable_share.forecast.len()), (0, 0));
    assert_eq!(reading.carbon_g_per_kwh.observed.len(), 25);
    let remark =
        "carbon-intensity/forecast: answered 403 ('trouble on demand: 403'); the token's plan does not include it for this zone";
    assert_eq!(reading.remarks, [remark]);
    assert_eq!(bench.server.count("renewable-energy"), 0, "refused once is enough");
}

#[test]
fn a_horizon_that_the_plan_refuses_gives_way_to_the_usual_one() {
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
    bench.server.trouble("horizonHours", Trouble::Status { status: 400, retry_after: None });
    let reading = bench.ask().expect("a reading");
    assert_eq!((reading.carbon_g_per_kwh.forecast.len(), reading.renewable_share.forecast.len()), (25, 25));
    assert_eq!(reading.remarks, [""; 0]);
}

#[test]
fn the_share_comes_from_renewable_energy_where_the_breakdown_is_refused() {
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
    bench.server.trouble("power-breakdown", Trouble::Status { status: 404, retry_after: None });
    let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
    holds(&reading.renewable_share.observed, 25, 60, 1e-9, |t| world.share("DE", t));
    assert_eq!(reading.remarks, [""; 0]);
}

#[test]
fn a_wrong_token_an_unknown_zone_and_another_zones_answer_are_faults() {
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token("wrong");
    let fault = bench.fault();
    assert!(fault.contains("answered 401") && fault.contains("look at the token"), "{fault}");
    let bench = Bench::of(Service::ElectricityMaps, "NOWHERE").with_token(TOKEN);
    let fault = bench.fault();
    assert!(fault.contains("answered 404") && fault.ends_with("look at area, base_url and api"), "{fault}");
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
    bench.server.trouble("zone=DE", Trouble::WrongZone);
    assert!(bench.fault().contains("is about zone 'ELSEWHERE', not 'DE'"), "{}", bench.fault());
}

#[test]
fn failed_breakdown_or_forecast_is_a_remark() {
    for (part, what) in [("forecast", "carbon-intensity/forecast: http://"), ("power-breakdown", "the renewable share: http://")]
    {
        for status in [429, 500, 503] {
            let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
            bench.server.trouble(part, Trouble::Status { status, retry_after: Some(600) });
            let reading = bench.ask().expect("a reading");
            assert_eq!(reading.carbon_g_per_kwh.observed.len(), 25);
            assert!(reading.remarks.iter().any(|remark| remark.starts_with(what)), "{:?}", reading.remarks);
        }
    }
}

#[test]
fn areas_are_the_zones_that_the_token_may_ask() {
    let areas = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN).areas().expect("areas");
    assert!(areas.contains(&Area { key: "DE".to_owned(), name: "Germany".to_owned() }), "{areas:?}");
    assert!(areas.iter().all(|area| area.key != "NO-ACCESS"), "{areas:?}");
}
