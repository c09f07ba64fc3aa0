use carm::config::Service;
use grid_standin::{TOKEN, Trouble};

use super::super::bench::{Bench, answer, at, example, holds, told_share};
use super::*;

fn bench(query: &str, quantity: Quantity) -> Bench {
    let mut bench = Bench::of(Service::Prometheus, "roof");
    bench.live.query = Some(query.to_owned());
    bench.live.quantity = Some(quantity);
    bench
}

fn matrix(result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}"#)
}

fn one(values: &str) -> String {
    matrix(&format!(r#"{{"metric":{{"__name__":"roof"}},"values":[{values}]}}"#))
}

fn read_as(body: &str, quantity: Quantity) -> Result<(Vec<f64>, Vec<String>), String> {
    let mut remarks = Vec::new();
    let points = read(&answer(body), quantity, &mut remarks).map_err(|fault| fault.to_string())?;
    Ok((points.iter().map(|point| point.value).collect(), remarks))
}

#[test]
fn the_worked_examples_of_the_docs_are_what_is_read() {
    let page = include_str!("../../../../docs/grid/prometheus.md");
    let points = read(&answer(example(page, 0)), Quantity::RenewableShare, &mut Vec::new()).expect("read");
    assert_eq!(told_share(&points), example(page, 1));
    assert_eq!(points[0], point(at("2026-05-01T12:00:00Z"), TimeDelta::minutes(5), 0.425));
}

#[test]
fn what_is_no_number_is_a_gap_and_what_an_inverter_takes_at_night_is_nothing() {
    let values = r#"[1777636800,"-3.5"],[1777637100,"NaN"],[1777637400.0,"+Inf"],[1777637700,"1200.5"],[1777638000.5,"-Inf"]"#;
    assert_eq!(read_as(&one(values), Quantity::OnsiteW), Ok((vec![0.0, 1200.5], Vec::new())));
    assert_eq!(read_as(&matrix(""), Quantity::OnsiteW), Ok((Vec::new(), Vec::new())));
}

#[test]
fn several_series_are_a_fault_that_names_them_and_the_way_out() {
    let series = |inverter: &str| format!(r#"{{"metric":{{"inverter":"{inverter}","job":"roof"}},"values":[[1777636800,"1"]]}}"#);
    let body = matrix(&[series("a"), series("b"), series("c")].join(","));
    let expected = "query: answers 3 series, such as {inverter=a, job=roof} and {inverter=b, job=roof}; \
                    make one of them, such as by sum(...)";
    assert_eq!(read_as(&body, Quantity::OnsiteW), Err(expected.to_owned()));
}

#[test]
fn a_share_in_percent_is_a_fault_and_kilograms_are_a_remark() {
    let percent = read_as(&one(r#"[1777636800,"42.5"],[1777637100,"0.9"],[1777637400,"50"]"#), Quantity::RenewableShare);
    let expected = "query: most values are above 1, but a renewable_share is from 0 to 1; divide percent by 100";
    assert_eq!(percent, Err(expected.to_owned()));
    let rounded = read_as(&one(r#"[1777636800,"1.0000001"],[1777637100,"0.5"]"#), Quantity::RenewableShare);
    assert_eq!(rounded, Ok((vec![1.0, 0.5], Vec::new())));
    let (values, remarks) = read_as(&one(r#"[1777636800,"0.31"]"#), Quantity::CarbonGPerKwh).expect("read");
    assert_eq!((values, remarks.len()), (vec![0.31], 1));
    assert!(remarks[0].contains("multiply it by 1000"), "{remarks:?}");
}

#[test]
fn what_is_not_the_answer_is_refused() {
    for (body, cause) in [
        (
            r#"{"status":"error","errorType":"bad_data","error":"parse error at char 4"}"#.to_owned(),
            "refused: 'parse error at char 4'",
        ),
        (r#"{"status":"success"}"#.to_owned(), "holds no data"),
        (r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#.to_owned(), "is a vector, not a matrix"),
        (r#"{"status":"success","data":{"resultType":"matrix","result":{}}}"#.to_owned(), "no matrix as documented"),
        (one(r#"[1777636800,"a lot"]"#), "value 'a lot' is no number"),
        (one(r#"[-5,"1"]"#), "-5 is no time in seconds since 1970"),
        (one(r#"[1e300,"1"]"#), "is no time in seconds since 1970"),
        (one(r#"["2026-05-01T12:00:00Z","1"]"#), "no matrix as documented"),
        (one("[1777636800,1]"), "no matrix as documented"),
        ("<html>".to_owned(), "a page instead of JSON"),
    ] {
        let error = read_as(&body, Quantity::OnsiteW).expect_err(cause);
        assert!(error.contains(cause), "{error}");
    }
    let warned = one("").replace("\"data\"", r#""warnings":["remote read: late","remote read: late"],"data""#);
    let (_, remarks) = read_as(&warned, Quantity::OnsiteW).expect("read");
    assert_eq!(remarks, ["Prometheus warns: remote read: late"]);
}

#[test]
fn one_glitch_above_one_is_left_out() {
    let bench = bench("grid_renewable_ratio", Quantity::RenewableShare);
    bench.server.reply("query_range", include_str!("../../../../tests/grid_cases/recorded/prometheus-one-glitch.json"));
    let reading = bench.ask().expect("a reading");
    let made = crate::assemble::assemble(
        &reading,
        None,
        &crate::assemble::Frame { zone: "roof", source: "prometheus", intensity: bench.intensity, now: bench.now, until: None },
    )
    .expect("signals");
    let share = made.data.renewable_share.expect("a share");
    assert_eq!((share.start(), share.end()), (at("2026-05-01T12:00:00Z"), at("2026-05-01T12:15:00Z")));
    assert!(share.steps().iter().all(|step| step.value == 0.46), "{share:?}");
    assert_eq!(share.steps().iter().filter(|step| step.estimated).count(), 1);
    let remark = "renewable_share of 1.05 at 2026-05-01T12:05:00.000Z: cannot be; expected 0 to 1; left out";
    assert_eq!(made.remarks, [remark]);
}

#[test]
fn malformed_warnings_cost_no_data() {
    let body = one(r#"[1777636800,"3"]"#).replace("\"data\"", r#""warnings":{"a":1},"error":[],"data""#);
    assert_eq!(read_as(&body.replace(r#"{"__name__":"roof"}"#, "null"), Quantity::OnsiteW), Ok((vec![3.0], Vec::new())));
}

#[test]
fn each_quantity_is_the_worlds_up_to_now() {
    for (query, quantity) in [
        ("sum(roof_power_watts)", Quantity::OnsiteW),
        ("ceems_emissions_gCo2_kWh{country_code=\"DE\"}", Quantity::CarbonGPerKwh),
        ("grid_renewable_ratio", Quantity::RenewableShare),
    ] {
        let bench = bench(query, quantity);
        let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
        let (series, value): (_, Box<dyn Fn(DateTime<Utc>) -> f64>) = match quantity {
            Quantity::OnsiteW => (&reading.onsite_w, Box::new(|t| world.onsite_w("X", t))),
            Quantity::CarbonGPerKwh => (&reading.carbon_g_per_kwh, Box::new(|t| world.intensity("X", t))),
            Quantity::RenewableShare => (&reading.renewable_share, Box::new(|t| world.share("X", t))),
        };
        holds(&series.observed, 288, 5, 1e-6, value);
        let last = series.observed.last().expect("a point");
        assert!(last.from <= bench.now && bench.now < last.from + last.length, "now is in it");
        let filled = [&reading.onsite_w, &reading.carbon_g_per_kwh, &reading.renewable_share];
        assert_eq!(filled.iter().filter(|series| !series.observed.is_empty()).count(), 1);
        assert!(reading.remarks.is_empty());
    }
}

#[test]
fn a_long_history_is_asked_for_in_parts_that_prometheus_answers() {
    let mut bench = bench("sum(roof_power_watts)", Quantity::OnsiteW);
    bench.since = bench.now - TimeDelta::days(40);
    let reading = bench.ask().expect("a reading");
    assert_eq!(bench.server.count("query_range"), 2);
    let times: Vec<_> = reading.onsite_w.observed.iter().map(|point| point.from).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == STEP), "no value twice, none missing");
    assert_eq!(times.len(), 40 * 288 + 1);
}

#[test]
fn the_zones_own_mistakes_are_told() {
    let several = bench("roof_power_watts", Quantity::OnsiteW);
    assert!(several.fault().starts_with("query: answers 2 series, such as {"), "{}", several.fault());
    let nothing = bench("absent_metric", Quantity::OnsiteW);
    assert!(nothing.fault().starts_with("query: answers nothing in the time"), "{}", nothing.fault());
    let wrong = bench("sum(", Quantity::OnsiteW);
    assert!(wrong.fault().contains("answered 400") && wrong.fault().contains("parse error"), "{}", wrong.fault());
    let percent = bench("100 * grid_renewable_ratio", Quantity::RenewableShare);
    assert!(percent.fault().ends_with("divide percent by 100"), "{}", percent.fault());
    for trouble in [Trouble::Html, Trouble::Truncated, Trouble::OtherShape] {
        let bench = bench("sum(roof_power_watts)", Quantity::OnsiteW);
        bench.server.trouble("query_range", trouble);
        assert!(matches!(bench.ask(), Err(Fault::Answer { .. })), "{trouble}");
    }
}

#[test]
fn a_token_goes_as_bearer_and_never_in_the_address() {
    let bench = bench("sum(roof_power_watts)", Quantity::OnsiteW).with_token(TOKEN);
    bench.ask().expect("a reading");
    let bearer = ("authorization".to_owned(), format!("Bearer {TOKEN}"));
    assert!(bench.server.seen().iter().all(|seen| seen.headers.contains(&bearer) && !seen.target.contains(TOKEN)));
    assert_eq!(bench.areas(), Ok(Vec::new()));
}
