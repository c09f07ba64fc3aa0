//! What any answer may do to a source: give points or a fault, never a panic and never a value that is no number.

use carm::config::{Quantity, Service};
use grid_standin::{PASSWORD, TOKEN, USER};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::bench::Bench;
use super::{Ask, Point, carbon_aware_sdk, carbon_intensity_gb, eia, electricity_maps, energy_charts, prometheus, watttime};
use crate::fault::Fault;
use crate::http::Answer;

/// One good answer of each shape that is read.
fn good() -> Vec<Value> {
    vec![
        json!({"zone": "DE", "history": [{"zone": "DE", "carbonIntensity": 302, "datetime": "2026-05-01T12:00:00.000Z",
            "emissionFactorType": "lifecycle"}, {"value": 298.5, "datetime": "2026-05-01T13:00Z"}], "temporalGranularity": "hourly"}),
        json!({"data": [{"point_time": "2026-05-01T12:00:00Z", "value": 870}],
            "meta": {"region": "DE", "signal_type": "co2_aoer", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300,
                     "warnings": [{"type": "a", "message": "b"}]}}),
        json!({"data": [{"from": "2026-05-01T12:00Z", "to": "2026-05-01T12:30Z", "intensity": {"forecast": 126, "actual": 121},
            "generationmix": [{"fuel": "wind", "perc": 40}, {"fuel": "gas", "perc": 60}, {"fuel": "solar", "perc": 1}]}]}),
        json!({"data": {"regionid": 13, "data": [{"from": "2026-05-01T12:00Z", "to": "2026-05-01T12:30Z",
            "intensity": {"forecast": 126}, "generationmix": [{"fuel": "wind", "perc": 40}]}]}}),
        json!({"unix_seconds": [1_777_636_800, 1_777_637_700], "production_types": [{"name": "Solar", "data": [1, 2]},
            {"name": "Fossil gas", "data": [3, null]}, {"name": "Renewable share of load", "data": [50, 60]}]}),
        json!({"unix_seconds": [1_777_636_800], "ren_share": [50], "share": [50], "signal": [-1], "substitute": false}),
        json!({"response": {"total": "2", "data": [
            {"period": "2026-05-01T12", "respondent": "DE", "fueltype": "NG", "value": "5", "value-units": "megawatthours"},
            {"period": "2026-05-01T12", "respondent": "DE", "fueltype": "WND", "value": 5, "value-units": "megawatthours"}]}}),
        json!([{"location": "x", "time": "2026-05-01T12:00Z", "rating": 70, "duration": "00:05:00"},
            {"location": "x", "timestamp": "2026-05-01T12:05Z", "value": 70, "duration": 5}]),
        json!([{"location": "DE", "forecastData": [{"timestamp": "2026-05-01T12:05Z", "value": 70, "duration": 5}]}]),
        json!({"status": "success", "warnings": ["late"], "data": {"resultType": "matrix", "result": [
            {"metric": {"a": "b"}, "values": [[1_777_636_800, "0.5"], [1_777_637_100.5, "NaN"]]}]}}),
    ]
}

/// Every reader's points, or why it has none.
fn read_all(answer: &Answer) -> Vec<Result<Vec<Point>, Fault>> {
    let bench = Bench::of(Service::WattTime, "DE");
    let Bench { live, intensity, now, since, until, .. } = &bench;
    let ask = Ask { live, intensity: *intensity, token: None, now: *now, since: *since, until: *until };
    [
        electricity_maps::read_any(answer, "DE"),
        vec![watttime::read(answer, &ask, &mut Vec::new())],
        carbon_intensity_gb::read_any(answer, "GB"),
        carbon_intensity_gb::read_any(answer, "13"),
        energy_charts::read_any(answer, *now),
        vec![eia::read_any(answer, "DE"), carbon_aware_sdk::read_past(answer), carbon_aware_sdk::read_forecast(answer, "DE")],
        [Quantity::CarbonGPerKwh, Quantity::RenewableShare, Quantity::OnsiteW]
            .map(|quantity| prometheus::read(answer, quantity, &mut Vec::new()))
            .into(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Puts another value at one place of a document, counted through.
fn replace(value: &mut Value, place: &mut usize, with: &Value) {
    if *place == 0 {
        *value = with.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, with)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| replace(entry, place, with)),
        _ => {}
    }
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just(1e308), Just(-1e308), Just(f64::MAX), Just(5e-324)].prop_map(Value::from),
        "[-+0-9.eE]{0,12}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("1970-01-01T00:00Z")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[1, {"data": [null]}]])),
    ]
}

proptest! {
    #[test]
    fn an_answer_with_anything_anywhere_gives_points_or_a_fault(
        shape in 0..good().len(),
        changes in prop::collection::vec((0..40_usize, anything()), 1..4),
    ) {
        let mut body = good().swap_remove(shape);
        for (mut place, with) in changes {
            replace(&mut body, &mut place, &with);
        }
        let answer = Answer { url: "http://x/y".to_owned(), body: body.to_string().into_bytes() };
        for point in read_all(&answer).into_iter().flatten().flatten() {
            prop_assert!(!point.value.is_infinite() && point.length > chrono::TimeDelta::zero(), "{point:?} of {body}");
        }
    }

    #[test]
    fn bytes_that_are_no_answer_are_a_fault(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let answer = Answer { url: "http://x/y".to_owned(), body };
        prop_assert!(read_all(&answer).iter().all(Result::is_err));
    }
}

#[test]
fn the_good_answers_are_read_by_a_reader_each() {
    for body in good() {
        let answer = Answer { url: "http://x/y".to_owned(), body: body.to_string().into_bytes() };
        assert!(read_all(&answer).into_iter().flatten().any(|points| !points.is_empty()), "{body}");
    }
}

#[test]
fn each_source_refuses_what_is_not_its_answer_and_passes_on_what_only_looks_odd() {
    let account = format!("{USER}:{PASSWORD}");
    for (service, area, token) in [
        (Service::ElectricityMaps, "DE", TOKEN),
        (Service::WattTime, "PJM_DC", account.as_str()),
        (Service::CarbonIntensityGb, "GB", ""),
        (Service::CarbonIntensityGb, "13", ""),
        (Service::EnergyCharts, "DE", ""),
    ] {
        let ask = |trouble: &str| {
            let bench = Bench::of(service, area).with_token(token);
            // Every path has one of these; the login of WattTime, which has none of its own, is left alone.
            for part in ["/v4/", "/v3/", "intensity", "/generation", "country="] {
                bench.server.trouble(part, trouble.parse().expect(trouble));
            }
            bench.ask()
        };
        for trouble in ["html", "truncated", "other-shape"] {
            let fault = ask(trouble).expect_err(trouble);
            assert!(matches!(fault, Fault::Answer { .. }), "{service:?} {trouble}: {fault}");
        }
        for trouble in ["no-time-zone", "wrong-zone"] {
            // Energy-Charts counts seconds, and neither its answers nor the nation's name an area.
            let names_it = service != Service::EnergyCharts && (trouble, area) != ("wrong-zone", "GB");
            assert_eq!(ask(trouble).is_err(), names_it, "{service:?} {trouble}");
        }
        let calm = ask("clock=0").expect("a reading");
        for trouble in ["gap", "long-gap", "duplicates", "contradiction", "backwards", "short-forecast", "no-forecast", "nothing"]
        {
            ask(trouble).unwrap_or_else(|fault| panic!("{service:?} {trouble}: {fault}"));
        }
        let local = ask("local-times").expect("a reading");
        assert_eq!(local, calm, "{service:?}: the same times by other clocks");
    }
}
