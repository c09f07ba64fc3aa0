use carm::config::Service;
use carm::grid::Intensity;
use grid_standin::{TOKEN, Trouble};

use super::super::bench::{Bench, answer, at, example, holds, told_g_per_kwh};
use super::*;

fn past(body: &str) -> Result<Vec<Point>, String> {
    read_past(&answer(body)).map_err(|fault| fault.to_string())
}

fn forecast(body: &str) -> Result<Vec<Point>, String> {
    read_forecast(&answer(body), "eastus").map_err(|fault| fault.to_string())
}

fn lengths(points: &[Point]) -> Vec<i64> {
    points.iter().map(|point| point.length.num_minutes()).collect()
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/carbon-aware-sdk.md");
    let observed = past(example(page, 0)).expect("read");
    let expected = forecast(example(page, 1)).expect("read");
    assert_eq!(format!("{}\n{}", told_g_per_kwh(&observed), told_g_per_kwh(&expected)), example(page, 2));
}

#[test]
fn both_ways_of_writing_a_value_are_read_and_a_byte_order_mark_is_no_trouble() {
    let old = r#"[{"location":"PJM","time":"2026-05-01T12:00:00+00:00","rating":70,"duration":"00:05:00"}]"#;
    let new = r#"[{"location":"eastus","timestamp":"2026-05-01T14:00:00.5092741+02:00","duration":5,"value":"70"}]"#;
    let expected = point(at("2026-05-01T12:00:00Z"), TimeDelta::minutes(5), 70.0);
    assert_eq!(past(old), Ok(vec![expected]));
    assert_eq!(past(&format!("\u{feff}{old}")), Ok(vec![expected]));
    let read = past(new).expect("read")[0];
    assert_eq!((read.value, read.length, read.from.timestamp()), (70.0, expected.length, expected.from.timestamp()));
}

#[test]
fn a_duration_is_minutes_or_a_span_and_the_distance_to_the_next_where_it_is_missing() {
    for (text, minutes) in
        [("30", 30), ("\"01:00:00\"", 60), ("\"00:15:00.0000000\"", 15), ("\"1.00:00:00\"", 1440), ("7.5e0", 7)]
    {
        let body = format!(r#"[{{"time":"2026-05-01T12:00Z","rating":1,"duration":{text}}}]"#);
        assert_eq!(lengths(&past(&body).expect(text)), [minutes], "{text}");
    }
    for text in ["0", "null", "\"\"", "\"00:00:00\""] {
        let entry = |time: &str| format!(r#"{{"time":"{time}","rating":1,"duration":{text}}}"#);
        let body = format!("[{},{},{}]", entry("2026-05-01T13:00Z"), entry("2026-05-01T12:30Z"), entry("2026-05-01T12:00Z"));
        assert_eq!(lengths(&past(&body).expect(text)), [30, 30, 30], "{text}");
        assert_eq!(past(&format!("[{}]", entry("2026-05-01T12:00Z"))), Ok(Vec::new()), "{text}: nobody knows how long");
    }
    for text in ["-5", "1e300", "\"soon\"", "\"1:2\"", "\"1:2:3:4\"", "\"-1:00:00\"", "true", "\"00:00:NaN\""] {
        let body = format!(r#"[{{"time":"2026-05-01T12:00Z","rating":1,"duration":{text}}}]"#);
        assert!(past(&body).is_err(), "{text}");
    }
}

#[test]
fn what_is_not_the_answer_is_refused() {
    let entry = |location: &str, value: &str| {
        format!(r#"{{"location":"{location}","timestamp":"2026-05-01T12:00Z","duration":5,"value":{value}}}"#)
    };
    assert_eq!(past(&format!("[{}]", entry("x", "null"))), Ok(Vec::new()), "a gap");
    for (body, cause) in [
        (format!("[{},{}]", entry("eastus", "1"), entry("westus", "1")), "is of 'eastus' and of 'westus'; ask for one location"),
        (entry("x", "1").replace("Z\"", "\""), "invalid type: map"),
        (format!("[{}]", entry("x", "1").replace("Z\"", "\"")), "is no time with its zone"),
        (format!("[{}]", entry("x", "1").replace("value", "intensity")), "missing field `value`"),
        (r#"{"title":"ArgumentException","status":400}"#.to_owned(), "no JSON of the documented shape"),
    ] {
        let error = past(&body).expect_err(cause);
        assert!(error.contains(cause), "{error}");
    }
    let of = |location: &str| format!(r#"[{{"location":"{location}","forecastData":[{}]}}]"#, entry("PJM", "1"));
    assert_eq!(forecast(&of("EastUS")).expect("read").len(), 1);
    assert!(forecast(&of("westus")).expect_err("another").contains("is a forecast of location 'westus', not 'eastus'"));
    assert_eq!(forecast("[]"), Ok(Vec::new()));
}

#[test]
fn past_and_forecast_are_the_worlds_in_either_intensity() {
    for intensity in [Intensity::Average, Intensity::Marginal] {
        // The stand-in's name says which source is behind it: the WebApi's answer does not.
        let area = if intensity == Intensity::Marginal { "marginal-east" } else { "eastus" };
        let bench = Bench { intensity, ..Bench::of(Service::CarbonAwareSdk, area) };
        let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
        let value = |t| if intensity == Intensity::Marginal { world.marginal(area, t) } else { world.intensity(area, t) };
        holds(&reading.carbon_g_per_kwh.observed, 287, 5, 1e-6, value);
        holds(&reading.carbon_g_per_kwh.forecast, 280, 5, 1e-6, value);
        assert!(reading.remarks.is_empty());
        assert!(reading.carbon_g_per_kwh.observed.iter().any(|point| point.from + point.length > bench.now), "now is in it");
    }
}

#[test]
fn a_webapi_without_a_forecast_or_without_data_is_no_fault() {
    let bench = Bench::of(Service::CarbonAwareSdk, "no-forecast");
    let reading = bench.ask().expect("a reading");
    assert!(!reading.carbon_g_per_kwh.observed.is_empty());
    assert_eq!(reading.remarks, ["no forecast: the source behind the WebApi has none"]);
    let empty = Bench::of(Service::CarbonAwareSdk, "eastus");
    empty.server.trouble("bylocation", Trouble::Status { status: 204, retry_after: None });
    let reading = empty.ask().expect("a reading");
    assert!(reading.carbon_g_per_kwh.observed.is_empty() && !reading.carbon_g_per_kwh.forecast.is_empty());
    let wrong = Bench::of(Service::CarbonAwareSdk, "nowhere");
    assert!(wrong.fault().contains("answered 400") && wrong.fault().contains("Invalid location"), "{}", wrong.fault());
}

#[test]
fn first_history_comes_in_parts_of_nine_days() {
    let mut bench = Bench::of(Service::CarbonAwareSdk, "eastus");
    bench.since = bench.now - TimeDelta::days(35);
    // Electricity Maps' past-range on a free token.
    bench.server.trouble("toTime=2026-04-21T", Trouble::Status { status: 500, retry_after: Some(600) });
    let reading = bench.ask().expect("a reading");
    let spans: Vec<_> = bench.server.seen().into_iter().filter(|seen| seen.target.contains("bylocation")).collect();
    assert_eq!(spans.len(), 3, "nothing past the refused part");
    let first = reading.carbon_g_per_kwh.observed.first().expect("a point").from;
    assert_eq!(first, at("2026-04-21T13:10:00Z"));
    assert!(reading.remarks[0].starts_with("no history before 2026-04-21T13:10:00"), "{:?}", reading.remarks);
}

#[test]
fn duration_without_seconds_is_read() {
    let body = r#"[{"Location":"us-east-1","Time":"2021-10-25T14:50:00+00:00","Rating":90,"Duration":"01:00"}]"#;
    let body = body.replace("Location", "location").replace("Time", "time").replace("Rating", "rating");
    let points = read_past(&answer(&body.replace("Duration", "duration"))).expect("read");
    assert_eq!(points, [point(at("2021-10-25T14:50:00Z"), TimeDelta::hours(1), 90.0)]);
}

#[test]
fn a_token_goes_as_bearer_and_the_locations_are_listed() {
    let bench = Bench::of(Service::CarbonAwareSdk, "eastus").with_token(TOKEN);
    bench.ask().expect("a reading");
    let bearer = ("authorization".to_owned(), format!("Bearer {TOKEN}"));
    assert!(bench.server.seen().iter().all(|seen| seen.headers.contains(&bearer) && !seen.target.contains(TOKEN)));
    assert!(bench.areas().expect("areas").contains(&Area { key: "eastus".to_owned(), name: "eastus".to_owned() }));
}
