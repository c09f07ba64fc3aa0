use carm::config::Service;
use grid_standin::{TOKEN, Trouble};

use super::super::bench::{Bench, answer, at, example, holds, recorded, told_g_per_kwh, told_share};
use super::*;

fn carbon(body: &str) -> Result<Vec<Point>, String> {
    points(&answer(body), "DE", What::Carbon)
}

fn share(body: &str) -> Result<Vec<Point>, String> {
    points(&answer(body), "DE", What::Share)
}

fn points(answer: &Answer, area: &str, what: What) -> Result<Vec<Point>, String> {
    let hours = read(answer, area, what).map_err(|fault| fault.to_string())?;
    Ok(hours.into_iter().map(|hour| hour.point).collect())
}

fn estimate(from: &str, value: f64) -> Point {
    Point { provisional: true, ..hour(from, value) }
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
    assert_eq!((intensity, share), (vec![estimate("2026-05-01T12:00:00Z", 302.0)], vec![hour("2026-05-01T12:00:00Z", 0.64)]));
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
        (&format!(r#"{{"zone":"DE","history":[{{}}{}]}}"#, ",{}".repeat(1_000)), "a list of more than 1000"),
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
        assert_eq!(points(&recorded, "US-CAR-DUK", What::Carbon), Ok(vec![estimate("2024-03-06T19:00:00Z", 216.0)]));
    }
    if let Some(recorded) = recorded("electricitymaps_v3_power-breakdown_latest.json") {
        assert_eq!(points(&recorded, "DE", What::Share), Ok(vec![estimate("2024-03-06T19:00:00Z", 0.33)]));
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
            holds(&series.observed, 24, 60, 1e-9, value);
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
    assert_eq!(reading.carbon_g_per_kwh.observed.len(), 24);
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
    holds(&reading.renewable_share.observed, 24, 60, 1e-9, |t| world.share("DE", t));
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
            assert_eq!(reading.carbon_g_per_kwh.observed.len(), 24);
            assert!(reading.remarks.iter().any(|remark| remark.starts_with(what)), "{:?}", reading.remarks);
        }
    }
}

/// What the service answered on 2026-08-22 (v4, retyped by others).
fn of_2026_08_22(server: &grid_standin::Server) {
    for (part, body) in [
        ("carbon-intensity/history", include_str!("../../../../tests/grid_cases/recorded/electricity-maps-v4/history.json")),
        ("carbon-intensity/latest", include_str!("../../../../tests/grid_cases/recorded/electricity-maps-v4/latest.json")),
        ("carbon-intensity/forecast", include_str!("../../../../tests/grid_cases/recorded/electricity-maps-v4/forecast.json")),
        ("power-breakdown/latest", include_str!("../../../../tests/grid_cases/recorded/electricity-maps-v4/pb.json")),
        ("renewable-energy/latest", include_str!("../../../../tests/grid_cases/recorded/electricity-maps-v4/ren.json")),
    ] {
        server.reply(part, body);
    }
}

#[test]
fn recorded_answers_of_v4_are_read() {
    let mut bench = Bench::of(Service::ElectricityMaps, "DK-DK2").with_token(TOKEN);
    bench.now = at("2026-08-22T17:30:00Z");
    bench.until = bench.now + TimeDelta::days(10);
    of_2026_08_22(&bench.server);
    for part in ["power-breakdown/history", "renewable-energy/forecast"] {
        bench.server.trouble(part, Trouble::Status { status: 401, retry_after: None });
    }
    let reading = bench.ask().expect("a reading");
    let (carbon, share) = (&reading.carbon_g_per_kwh, &reading.renewable_share);
    let (first, last) = (carbon.observed.first(), carbon.observed.last());
    assert_eq!(first, Some(&hour("2026-08-21T18:00:00Z", 246.0)));
    assert_eq!(last, Some(&estimate("2026-08-22T17:00:00Z", 75.0)));
    assert_eq!((carbon.forecast[0], carbon.forecast.len()), (hour("2026-08-22T17:00:00Z", 77.0), 25));
    assert_eq!(share.observed, [estimate("2026-08-22T17:00:00Z", 0.97)]);
    assert_eq!(bench.server.count("carbon-intensity/latest"), 0, "the history has the hour that runs");
    bench.now = at("2026-08-22T18:05:00Z");
    bench.ask().expect("a reading");
    assert_eq!(bench.server.count("carbon-intensity/latest"), 1, "the hour that runs is not in the history");
    // The share of renewable-energy/latest is the same one.
    bench.server.calm();
    bench.server.trouble("power-breakdown", Trouble::Status { status: 401, retry_after: None });
    bench.server.trouble("renewable-energy/history", Trouble::Status { status: 401, retry_after: None });
    of_2026_08_22(&bench.server);
    assert_eq!(bench.ask().expect("a reading").renewable_share.observed, [estimate("2026-08-22T17:00:00Z", 0.97)]);
}

#[test]
fn a_zone_of_estimates_alone_is_a_remark() {
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
    let entry = |hour: u32, rest: &str| {
        format!(r#"{{"zone":"DE","carbonIntensity":300,"datetime":"2026-05-01T{hour:02}:00:00.000Z","isEstimated":true{rest}}}"#)
    };
    // What is no boolean says nothing.
    let odd = entry(11, "").replace("true", "[1]");
    bench
        .server
        .reply("carbon-intensity/history", &format!(r#"{{"zone":"DE","history":[{},{odd},{}]}}"#, entry(10, ""), entry(12, "")));
    let reading = bench.ask().expect("a reading");
    let marks: Vec<bool> = reading.carbon_g_per_kwh.observed.iter().map(|point| point.provisional).collect();
    assert_eq!(marks, [true, false, true]);
    assert_eq!(reading.remarks, ["2 of 3 hours are the service's own estimates (isEstimated), not measurements"]);
}

#[test]
fn intensity_against_a_fossil_mix_is_left_out() {
    let bench = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN);
    let list = |key: &str, values: &[(u32, &str)]| {
        let hour = |(hour, value): &(u32, &str)| format!(r#"{{"{key}":{value},"datetime":"2026-05-01T{hour:02}:00:00.000Z"}}"#);
        format!(r#"{{"zone":"DE","history":[{}]}}"#, values.iter().map(hour).collect::<Vec<_>>().join(","))
    };
    bench.server.reply("carbon-intensity/history", &list("carbonIntensity", &[(10, "2"), (11, "0"), (12, "390")]));
    let part = |fossil_free: u32| format!(r#"5,"fossilFreePercentage":{fossil_free}"#);
    let (gas, clean) = (part(0), part(100));
    bench.server.reply("power-breakdown/history", &list("renewablePercentage", &[(10, &gas), (11, &clean), (12, &gas)]));
    let reading = bench.ask().expect("a reading");
    let kept = [11, 12].map(|hour| at(&format!("2026-05-01T{hour}:00:00Z")));
    for series in [&reading.carbon_g_per_kwh.observed, &reading.renewable_share.observed] {
        assert_eq!(series.iter().map(|point| point.from).collect::<Vec<_>>(), kept);
    }
    let remark = "1 time from 2026-05-01T10:00:00.000Z on left out: the intensity contradicts the fossil part of the mix";
    assert_eq!(reading.remarks, [remark]);
}

#[test]
fn areas_are_the_zones_that_the_token_may_ask() {
    let areas = Bench::of(Service::ElectricityMaps, "DE").with_token(TOKEN).areas().expect("areas");
    assert!(areas.contains(&Area { key: "DE".to_owned(), name: "Germany".to_owned() }), "{areas:?}");
    assert!(areas.iter().all(|area| area.key != "NO-ACCESS"), "{areas:?}");
}
