use carm::config::Service;
use grid_standin::{PASSWORD, Trouble, USER};

use super::super::bench::{Bench, answer, at, example, holds, recorded, told_g_per_kwh};
use super::*;

fn bench(area: &str) -> Bench {
    let bench = Bench::of(Service::WattTime, area).with_token(&format!("{USER}:{PASSWORD}"));
    Bench { intensity: Intensity::Marginal, ..bench }
}

fn read_as(answer: &Answer, region: &str) -> Result<(Vec<Point>, Vec<String>), String> {
    let bench = bench(region);
    let Bench { live, intensity, now, since, until, .. } = &bench;
    let ask = Ask { live, intensity: *intensity, token: None, now: *now, since: *since, until: *until };
    let mut remarks = Vec::new();
    let points = read(answer, &ask, &mut remarks).map_err(|fault| fault.to_string())?;
    Ok((points, remarks))
}

/// An answer about PJM_DC with these parts.
fn body(data: &str, meta: &str) -> String {
    format!(r#"{{"data":[{data}],"meta":{{{meta}}}}}"#)
}

const META: &str = r#""region":"PJM_DC","signal_type":"co2_moer","units":"lbs_co2_per_mwh","data_point_period_seconds":300"#;

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/watttime.md");
    let (points, remarks) = read_as(&answer(example(page, 0)), "CAISO_NORTH").expect("read");
    assert_eq!((told_g_per_kwh(&points).as_str(), remarks.len()), (example(page, 1), 0));
    let expected = [(at("2026-05-01T12:00:00Z"), 453.592_37), (at("2026-05-01T12:05:00Z"), 394.625_361_9)];
    for (point, (from, value)) in points.iter().zip(expected) {
        assert!(point.from == from && (point.value - value).abs() < 1e-9, "{point:?}");
    }
}

#[test]
fn values_that_are_strings_count_and_values_that_are_not_there_are_gaps() {
    let data = r#"{"point_time":"2026-05-01T12:00:00+00:00","value":"1000","last_updated":"x","imputed_data_used":false},
     {"point_time":"2026-05-01T12:05:00Z","value":null}"#;
    let (points, _) = read_as(&answer(&body(data, META)), "PJM_DC").expect("read");
    assert_eq!(points, [point(at("2026-05-01T12:00:00Z"), TimeDelta::minutes(5), 453.592_37)]);
}

#[test]
fn another_region_signal_or_unit_is_refused() {
    let good = r#"{"point_time":"2026-05-01T12:00:00Z","value":1}"#;
    for (data, from, to, cause) in [
        (good, "PJM_DC", "CAISO_NORTH", "is of region 'CAISO_NORTH', not 'PJM_DC'"),
        (good, "co2_moer", "co2_aoer", "is of signal_type 'co2_aoer', not 'co2_moer'"),
        (good, "lbs_co2_per_mwh", "percentile", "is of units 'percentile', not 'lbs_co2_per_mwh'"),
        (good, "300", "0", "data_point_period_seconds is none of 60 to 86400"),
        (good, "300", "1e300", "data_point_period_seconds is none of 60 to 86400"),
        (good, "\"units\"", "\"unit\"", "missing field `units`"),
        (r#"{"point_time":"2026-05-01T12:00:00","value":1}"#, "", "", "is no time with its zone"),
        (r#"{"point_time":"2026-05-01T12:00:00Z","value":{}}"#, "", "", "expected a number"),
        (r#"{"point_time":"2026-05-01T12:00:00Z"}"#, "", "", "missing field `value`"),
        (r#"{"value":1}"#, "", "", "missing field `point_time`"),
    ] {
        let meta = if from.is_empty() { META.to_owned() } else { META.replace(from, to) };
        let error = read_as(&answer(&body(data, &meta)), "PJM_DC").expect_err(cause);
        assert!(error.contains(cause), "{error}");
    }
    for text in ["{}", "[]", "<html>", r#"{"data":null,"meta":{}}"#] {
        assert!(read_as(&answer(text), "PJM_DC").is_err(), "{text}");
    }
}

#[test]
fn what_the_service_warns_of_is_told_once() {
    let meta = format!(r#"{META},"warnings":[{{"type":"T","message":"late"}},{{"type":"T","message":"late"}},{{}}]"#);
    let (_, remarks) = read_as(&answer(&body("", &meta)), "PJM_DC").expect("read");
    assert_eq!(remarks, ["the service warns: late", "the service warns: {}"]);
}

#[test]
fn malformed_warnings_cost_no_data() {
    for warnings in ["null", "\"late\"", "{\"a\":1}", "[3,null,[]]"] {
        let bench = bench("PJM_DC");
        let meta = META.replace("CAISO_NORTH", "PJM_DC") + &format!(",\"warnings\":{warnings}");
        let body = body(r#"{"point_time":"2026-05-01T12:00:00+00:00","value":1000}"#, &meta);
        bench.server.reply("/v3/historical", &body);
        let reading = bench.ask().unwrap_or_else(|fault| panic!("{warnings}: {fault}"));
        assert_eq!(reading.carbon_g_per_kwh.observed.len(), 1, "{warnings}: {:?}", reading.remarks);
    }
}

#[test]
fn a_login_without_a_token_is_a_fault_that_tells_nothing_of_it() {
    assert_eq!(bearer(&answer(r#"{"token":"abc","more":1}"#)), Ok(Token::from("abc")));
    for text in [r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"tokens":"secret"}"#, "secret"] {
        let error = bearer(&answer(text)).expect_err(text).to_string();
        assert_eq!(error, "http://x/y: holds no token");
    }
}

#[test]
fn a_recorded_forecast_has_the_shape_that_is_read() {
    let Some(recorded) = recorded("watttime_v3_forecast_historical.json") else { return };
    // It is of the request for past forecasts, whose lists of points stand one level deeper.
    let whole: serde_json::Value = recorded.json().expect("JSON");
    let flat = serde_json::json!({"data": whole["data"][0]["forecast"], "meta": whole["meta"]});
    let (points, remarks) = read_as(&answer(&flat.to_string()), "CAISO_NORTH").expect("read");
    assert_eq!(points[0], point(at("2022-07-15T00:00:00Z"), TimeDelta::minutes(5), 870.0 * G_PER_KWH));
    assert_eq!((points.len(), remarks.len()), (3, 1));
}

#[test]
fn recorded_page_for_an_old_token_is_known() {
    let Some(recorded) = recorded("watttime_403.html") else { return };
    let (url, said) = (recorded.url, crate::http::said(&recorded.body));
    assert!(is_expired(&Fault::Status { url, status: 403, said, retry_after: None, way_out: "" }));
}

#[test]
fn marginal_and_average_are_the_worlds() {
    for intensity in [Intensity::Marginal, Intensity::Average] {
        let bench = Bench { intensity, ..bench("PJM_DC") };
        let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
        let value = |t| match intensity {
            Intensity::Marginal => world.marginal("PJM_DC", t),
            Intensity::Average => world.intensity("PJM_DC", t),
        };
        holds(&reading.carbon_g_per_kwh.observed, 288, 5, 1e-9, value);
        holds(&reading.carbon_g_per_kwh.forecast, 576, 5, 1e-9, value);
        assert_eq!((reading.renewable_share, reading.remarks.len()), (super::super::Series::default(), 0));
        assert_eq!(bench.server.count("/login"), 1, "one login for all requests");
        assert!(bench.server.seen().iter().all(|seen| !seen.target.contains(PASSWORD)), "a password in an address");
    }
}

#[test]
fn a_long_history_is_asked_for_in_parts() {
    let mut bench = bench("PJM_DC");
    bench.since = bench.now - TimeDelta::days(70);
    let reading = bench.ask().expect("a reading");
    assert_eq!(bench.server.count("/historical"), 3);
    let begins: std::collections::BTreeSet<_> = reading.carbon_g_per_kwh.observed.iter().map(|point| point.from).collect();
    assert_eq!(begins.len(), 70 * 288);
}

#[test]
fn a_token_that_ran_out_is_renewed_and_a_wrong_password_is_not_tried_twice() {
    let mut bench = bench("PJM_DC");
    bench.ask().expect("a reading");
    bench.now += TimeDelta::minutes(31);
    bench.server.set_now(bench.now);
    bench.ask().expect("a reading after the page with 403");
    assert_eq!(bench.server.count("/login"), 2);
    bench.server.trouble_times("/v3/forecast", Trouble::Status { status: 401, retry_after: None }, 1);
    bench.ask().expect("a reading after 401");
    assert_eq!(bench.server.count("/login"), 3);

    let wrong = Bench::of(Service::WattTime, "PJM_DC").with_token("carm:wrong");
    let fault = wrong.fault();
    assert!(fault.contains("/login: answered 401"), "{fault}");
    assert!(fault.ends_with("look at the user:password of token_file"), "{fault}");
    assert_eq!(wrong.server.count("/v3/"), 0);
    let bare = Bench::of(Service::WattTime, "PJM_DC").with_token("just-a-token");
    assert_eq!(bare.fault(), "token_file: not user:password; put both on its one line, with a colon between");
}

#[test]
fn a_region_outside_the_plan_is_a_fault_and_half_a_plan_is_a_remark() {
    let fault = bench("NO-ACCESS").fault();
    assert!(fault.contains("answered 403 ('") && fault.contains("what its plan includes"), "{fault}");
    let bench = bench("PJM_DC");
    bench.server.trouble("/v3/forecast", Trouble::Status { status: 403, retry_after: None });
    let reading = bench.ask().expect("a reading");
    assert_eq!((reading.carbon_g_per_kwh.observed.len(), reading.carbon_g_per_kwh.forecast.len()), (288, 0));
    assert!(reading.remarks[0].starts_with("no forecast: http://127.0.0.1:"), "{:?}", reading.remarks);
}

#[test]
fn failed_forecast_leaves_the_history() {
    for status in [422, 501] {
        let bench = bench("PJM_DC");
        bench.server.trouble("/v3/forecast", Trouble::Status { status, retry_after: None });
        assert_eq!(bench.ask().expect("a reading").carbon_g_per_kwh.observed.len(), 288);
        assert_eq!(bench.server.count("/v3/forecast"), 1);
    }
}

#[test]
fn another_regions_answer_is_a_fault() {
    let bench = bench("PJM_DC");
    bench.server.trouble("region=", Trouble::WrongZone);
    assert!(bench.fault().contains("is of region 'ELSEWHERE', not 'PJM_DC'"), "{}", bench.fault());
}

#[test]
fn areas_are_the_regions_of_the_signal_that_the_account_has() {
    let areas = bench("PJM_DC").areas().expect("areas");
    assert_eq!(areas.iter().map(|area| area.key.as_str()).collect::<Vec<_>>(), ["CAISO_NORTH", "PJM_DC"]);
    let areas = Bench { intensity: Intensity::Average, ..bench("PJM_DC") }.areas().expect("areas");
    assert_eq!(areas, [Area { key: "PJM_DC".to_owned(), name: "PJM DC".to_owned() }]);
}
