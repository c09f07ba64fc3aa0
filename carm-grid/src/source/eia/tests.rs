use carm::config::Service;
use grid_standin::{TOKEN, Trouble};

use super::super::bench::{Bench, answer, at, example, holds, recorded, told_g_per_kwh, told_share};
use super::*;

fn bench(area: &str) -> Bench {
    Bench::of(Service::Eia, area).with_token(TOKEN)
}

fn rows(rows: &str) -> String {
    format!(
        r#"{{"response":{{"total":"9","dateFormat":"YYYY-MM-DD\"T\"HH24","frequency":"hourly","data":[{rows}]}},"apiVersion":"2.1.8"}}"#
    )
}

fn read(body: &str) -> Result<Reading, String> {
    let mut known = Rows::default();
    known.read(&answer(body), "CISO").map_err(|fault| fault.to_string())?;
    Ok(known.reading())
}

fn row(period: &str, fuel: &str, value: &str) -> String {
    format!(r#"{{"period":"{period}","respondent":"CISO","fueltype":"{fuel}","value":{value},"value-units":"megawatthours"}}"#)
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/eia.md");
    let reading = read(example(page, 0)).expect("read");
    let told =
        format!("{}\n{}", told_g_per_kwh(&reading.carbon_g_per_kwh.observed), told_share(&reading.renewable_share.observed));
    assert_eq!((told.as_str(), reading.remarks), (example(page, 1), Vec::new()));
    let expected = (6000.0 * 490.0 + 2250.0 * 12.0 + 9000.0 * 48.0 + 2250.0 * 11.0 + 500.0 * 24.0) / 20_000.0;
    let point = reading.carbon_g_per_kwh.observed[0];
    assert!((point.value - expected).abs() < 1e-9 && point.from == at("2026-05-01T11:00:00Z"), "{point:?}");
}

#[test]
fn storage_is_no_generation_and_a_battery_that_charges_takes_nothing_from_the_mix() {
    let hour = "2026-05-01T12";
    let body = [("NG", "500"), ("SNB", "\"500\""), ("BAT", "-900"), ("PS", "300"), ("WNB", "-20")];
    let body: Vec<String> = body.iter().map(|(fuel, value)| row(hour, fuel, value)).collect();
    let reading = read(&rows(&body.join(","))).expect("read");
    assert_eq!(reading.carbon_g_per_kwh.observed[0].value, (490.0 + 48.0) / 2.0);
    assert_eq!((reading.renewable_share.observed[0].value, reading.remarks.len()), (0.5, 0));
}

#[test]
fn a_value_that_is_null_is_a_gap_and_a_row_that_comes_again_counts_once() {
    let body = [
        row("2026-05-01T12", "NG", "500"),
        row("2026-05-01T12", "WND", "100"),
        row("2026-05-01T12", "WND", "500"),
        row("2026-05-01T13", "NG", "500"),
        row("2026-05-01T13", "WND", "null"),
    ];
    let reading = read(&rows(&body.join(","))).expect("read");
    let points = &reading.carbon_g_per_kwh.observed;
    assert_eq!((points.len(), points[0].value), (1, (490.0 + 11.0) / 2.0));
}

#[test]
fn an_energy_source_that_carm_does_not_know_is_told() {
    let reading =
        read(&rows(&[row("2026-05-01T12", "NG", "1"), row("2026-05-01T12", "H2\\u0007", "1")].join(","))).expect("read");
    assert_eq!(reading.carbon_g_per_kwh.observed[0].value, 490.0);
    assert_eq!(reading.remarks.len(), 1);
    assert!(reading.remarks[0].starts_with("fueltype 'H2") && !reading.remarks[0].contains('\u{7}'), "{:?}", reading.remarks);
}

#[test]
fn what_is_not_the_answer_is_refused() {
    let good = row("2026-05-01T12", "NG", "1");
    for (body, cause) in [
        (rows(&good.replace("CISO", "ERCO")), "is of respondent 'ERCO', not 'CISO'"),
        (rows(&good.replace("megawatthours", "MW")), "is in 'MW', not in megawatthours"),
        (rows(&good.replace("05-01T12", "05-01")), "period '2026-05-01' is no hour as 2026-05-01T12"),
        (rows(&good.replace("T12", "T25")), "is no hour as"),
        (rows(&good.replace("T12", "T12:00Z")), "is no hour as"),
        (rows(&good.replace("fueltype", "fuel")), "missing field `fueltype`"),
        (r#"{"error":"API_KEY_INVALID"}"#.to_owned(), "missing field `response`"),
        ("<html>".to_owned(), "a page instead of JSON"),
    ] {
        let error = read(&body).expect_err(cause);
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn one_absurd_row_costs_its_hour() {
    for value in ["99999999", "-99999999", "\"a lot\""] {
        let all: Vec<String> = (10..14).map(|hour| row(&format!("2026-05-01T{hour}"), "NG", "500")).collect();
        let body = rows(&all.join(",").replacen(":500,", &format!(":{value},"), 1));
        let mut known = Rows::default();
        known.read(&answer(&body), "CISO").expect("read");
        let reading = known.reading();
        let values: Vec<f64> = reading.carbon_g_per_kwh.observed.iter().map(|point| point.value).collect();
        assert!(values.iter().filter(|value| value.is_nan()).count() == 1 && values.contains(&490.0), "{values:?}");
        assert_eq!(reading.renewable_share.observed.len(), 3);
        assert!(reading.remarks[0].starts_with("Gas of "), "{:?}", reading.remarks);
    }
}

#[test]
fn a_recorded_answer_has_the_shape_that_is_read() {
    let Some(recorded) = recorded("eia_v2_fuel-type_wind.json") else { return };
    let mut known = Rows::default();
    // Two of three rows, recorded before the service's word for wind was WND.
    let (page, total) = known.read(&recorded, "BPAT").expect("read");
    assert_eq!((page, total), (2, 3));
    let first = known.known.iter().next().expect("a row");
    assert_eq!(first, (&(at("2022-10-31T10:00:00Z"), "WIND".to_owned()), &20.0));
}

#[test]
fn intensity_and_share_are_the_worlds_and_a_day_late() {
    let bench = Bench { since: at("2026-03-25T00:00:00Z"), ..bench("CISO") };
    let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
    // One wind for land and sea: the service tells no more.
    let expected = |t| {
        let offshore = world.generation_mw("CISO", grid_standin::Fuel::WindOffshore, t);
        world.intensity("CISO", t) - offshore * (12.0 - 11.0) / world.total_mw("CISO", t)
    };
    // Biomass counts as other: it has no code of its own.
    let biomass = |t| world.generation_mw("CISO", grid_standin::Fuel::Biomass, t) / world.total_mw("CISO", t);
    holds(&reading.carbon_g_per_kwh.observed, 860, 60, 0.05, |t| expected(t) + biomass(t) * (700.0 - 230.0));
    holds(&reading.renewable_share.observed, 860, 60, 1e-3, |t| world.share("CISO", t) - biomass(t));
    let last = reading.carbon_g_per_kwh.observed.iter().map(|point| point.from + point.length).max().expect("a point");
    assert!(last <= bench.now - TimeDelta::hours(20), "{last}");
    assert!(reading.carbon_g_per_kwh.forecast.is_empty() && reading.remarks.is_empty(), "{:?}", reading.remarks);
    assert_eq!(bench.server.count("/data/"), 2, "more than a page");
    assert!(bench.areas().expect("areas").contains(&Area { key: "CISO".to_owned(), name: "California ISO".to_owned() }));
}

#[test]
fn a_wrong_key_an_absent_one_and_another_respondent_are_faults() {
    let wrong = Bench::of(Service::Eia, "CISO").with_token("nobodys");
    assert!(wrong.fault().contains("answered 403 ('") && wrong.fault().contains("invalid api_key"), "{}", wrong.fault());
    assert!(!wrong.fault().contains("nobodys"), "{}", wrong.fault());
    assert_eq!(Bench::of(Service::Eia, "CISO").fault(), "token_file: missing; it holds the service's api_key");
    let bench = bench("CISO");
    bench.server.trouble("CISO", Trouble::WrongZone);
    assert!(bench.fault().contains("is of respondent 'ELSEWHERE', not 'CISO'"), "{}", bench.fault());
}
