use carm::config::Service;
use grid_standin::Trouble;

use super::super::bench::{Bench, answer, at, example, holds, told_g_per_kwh, told_share};
use super::*;

/// 2026-05-01T12:00Z.
const NOON: i64 = 1_777_636_800;

/// Intensity, share, remarks.
type Read = (Vec<Point>, Vec<Point>, Vec<String>);

fn read(body: &str) -> Result<Read, String> {
    let mut remarks = Vec::new();
    let (carbon, share) = read_power(&answer(body), &mut remarks).map_err(|fault| fault.to_string())?;
    Ok((carbon, share, remarks))
}

/// `/public_power` at so many quarter hours from noon.
fn power(times: usize, types: &[(&str, &str)]) -> String {
    let times: Vec<String> = (0..times).map(|at| (NOON + 900 * at as i64).to_string()).collect();
    let types: Vec<String> = types.iter().map(|(name, data)| format!(r#"{{"name":"{name}","data":[{data}]}}"#)).collect();
    format!(r#"{{"unix_seconds":[{}],"production_types":[{}],"deprecated":false}}"#, times.join(","), types.join(","))
}

fn values(points: &[Point]) -> Vec<f64> {
    points.iter().map(|point| point.value).collect()
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/energy-charts.md");
    let (intensity, share, remarks) = read(example(page, 0)).expect("read");
    assert_eq!(format!("{}\n{}", told_g_per_kwh(&intensity), told_share(&share)), example(page, 1));
    assert_eq!((intensity[0].from, remarks.len()), (at("2026-05-01T12:00:00Z"), 0));
    let grams = 820.0 * 4_000.0 + 490.0 * 6_000.0 + 11.0 * 12_000.0 + 48.0 * 18_000.0;
    assert!((intensity[0].value - grams / 40_000.0).abs() < 1e-9, "{intensity:?}");
}

#[test]
fn the_docs_table_is_the_one_that_is_reckoned_with() {
    let page = include_str!("../../../../docs/grid/energy-charts.md");
    let (_, table) = page.split_once("| g CO2eq/kWh |\n|---|---|\n").expect("a table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut fuels = std::collections::BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for name in cells[1].split(", ") {
            let Kind::Generation(fuel) = kind(name) else { panic!("{name} is no generation") };
            assert_eq!(Ok(fuel.g_per_kwh()), cells[2].parse(), "{name}");
            fuels.insert(fuel);
        }
    }
    assert_eq!(fuels.len(), Fuel::ALL.len(), "a fuel is not in the table: {fuels:?}");
}

#[test]
fn what_is_no_generation_does_not_count_and_what_is_negative_is_nothing() {
    let body = power(
        1,
        &[
            ("Fossil gas", "1000"),
            ("SOLAR ", "\"1000\""),
            ("Fossil oil", "-5"),
            ("Hydro pumped storage", "9e9"),
            ("Hydro pumped storage consumption", "-9e9"),
            ("Battery Storage (Power)", "9e9"),
            ("Cross border electricity trading", "9e9"),
            ("Load", "9e9"),
            ("Load (incl. self-consumption)", "9e9"),
            ("Residual load", "9e9"),
            ("Renewable share of generation", "50"),
            ("Renewable share of load", "103.5"),
        ],
    );
    let (carbon, share, remarks) = read(&body).expect("read");
    assert_eq!((values(&carbon), values(&share), remarks.len()), (vec![(490.0 + 48.0) / 2.0], vec![1.0], 0));
}

#[test]
fn a_time_at_which_a_large_type_is_missing_is_left_out() {
    let body = power(4, &[("Fossil gas", "900,900,900,null"), ("Solar", "100,100,null,100"), ("Biomass", "1,null,1,1")]);
    let (carbon, _, _) = read(&body).expect("read");
    let expected = [(900.0 * 490.0 + 100.0 * 48.0 + 230.0) / 1001.0, (900.0 * 490.0 + 100.0 * 48.0) / 1000.0];
    assert_eq!(values(&carbon), expected);
}

#[test]
fn an_absurd_value_is_told_and_its_time_left_out() {
    let (carbon, _, remarks) = read(&power(2, &[("Fossil gas", "900,9e8"), ("Solar", "100,100")])).expect("read");
    assert_eq!(values(&carbon), [(900.0 * 490.0 + 100.0 * 48.0) / 1000.0]);
    let told = "public_power: 'Fossil gas' has 900000000 MW at a time, which no country has; the time is left out";
    assert_eq!(remarks, [told]);
}

#[test]
fn a_type_that_the_table_lacks_is_told_where_it_counts() {
    let (carbon, _, remarks) = read(&power(1, &[("Fossil gas", "900"), ("Fusion", "100"), ("Tide\\u0007", "1")])).expect("read");
    assert_eq!(values(&carbon), [490.0]);
    assert_eq!(remarks, ["public_power: 'Fusion' is not in CARM's table of factors; the intensity is reckoned without it"]);
}

#[test]
fn a_step_lasts_to_the_next_and_a_gap_stays_one() {
    let answer = answer("");
    let lengths = |times: &[i64]| -> Vec<i64> {
        let times: Vec<Number> = times.iter().map(|minutes| Number(Some((NOON + 60 * minutes) as f64))).collect();
        steps(&answer, &times).expect("steps").iter().map(|(_, length)| length.num_minutes()).collect()
    };
    assert_eq!(lengths(&[0, 15, 30]), [15, 15, 15]);
    assert_eq!(lengths(&[0, 60, 120, 135, 150]), [60, 60, 15, 15, 15]);
    assert_eq!(lengths(&[0, 15, 300, 315]), [15, 15, 15, 15]);
    assert_eq!(lengths(&[30, 0, 0, 15]), [15, 15, 15, 15]);
    assert_eq!(lengths(&[0]), [15]);
    assert_eq!(lengths(&[0, 1440]), [60, 60]);
    assert_eq!(lengths(&[]), [0; 0]);
}

#[test]
fn an_answer_of_another_shape_is_refused_with_what_is_wrong() {
    for (body, cause) in [
        (power(2, &[("Solar", "1")]), "'Solar' has 1 value for 2 times"),
        (power(1, &[("Solar", "true")]), "expected a number"),
        (r#"{"unix_seconds":[null],"production_types":[]}"#.to_owned(), "unix_seconds: null is no time"),
        (r#"{"unix_seconds":[1.5],"production_types":[]}"#.to_owned(), "unix_seconds: 1.5 is no time"),
        (r#"{"unix_seconds":[-1],"production_types":[]}"#.to_owned(), "unix_seconds: -1 is no time"),
        (r#"{"unix_seconds":[1e300],"production_types":[]}"#.to_owned(), "is no time"),
        (r#"{"unix_seconds":["2026-05-01T12:00Z"],"production_types":[]}"#.to_owned(), "is no time"),
        (r#"{"unix_seconds":[]}"#.to_owned(), "missing field `production_types`"),
        (r#"{"production_types":[]}"#.to_owned(), "missing field `unix_seconds`"),
        (r#"{"detail":[{"loc":["query"]}]}"#.to_owned(), "missing field"),
        ("<html>".to_owned(), "a page instead of JSON"),
    ] {
        let error = read(&body).expect_err(&body);
        assert!(error.contains(cause), "{error}");
    }
    let forecast = |body: &str| read_forecast(&answer(body), &mut Vec::new()).map(|points| values(&points));
    let error = forecast(&format!(r#"{{"unix_seconds":[{NOON}],"ren_share":[]}}"#)).expect_err("lengths");
    assert!(error.to_string().ends_with("ren_share has 0 values for 1 time"), "{error}");
    assert_eq!(forecast(&format!(r#"{{"unix_seconds":[{NOON}],"ren_share":null,"new":1}}"#)), Ok(Vec::new()));
    assert_eq!(forecast(&format!(r#"{{"unix_seconds":[{NOON},{}],"ren_share":[null,"40.5"]}}"#, NOON + 900)), Ok(vec![0.405]));
}

#[test]
fn guesses_ends_and_a_congested_grid_are_remarks() {
    let mut remarks = Vec::new();
    let body = format!(r#"{{"unix_seconds":[{NOON}],"ren_share":[50],"substitute":true,"deprecated":true}}"#);
    read_forecast(&answer(&body), &mut remarks).expect("read");
    assert_eq!(
        remarks,
        [
            "ren_share_forecast: the service means to give it up (deprecated)",
            "ren_share_forecast: a guess from past data, for want of better ones (substitute)"
        ]
    );
    let light = |light: &str, now: &str| {
        let times = format!("{NOON},{},{}", NOON + 900, NOON + 1800);
        let body = format!(r#"{{"unix_seconds":[{times}],"share":[50,50,50],"signal":[{light}],"substitute":false}}"#);
        let mut remarks = Vec::new();
        assert_eq!(values(&read_light(&answer(&body), at(now), true, &mut remarks).expect("read")), [0.5; 3]);
        remarks
    };
    let told = "signal: a congested grid from 2026-05-01T12:15:00Z on (traffic light -1); plans go by intensity, not by it";
    assert_eq!(light("2,-1,-1", "2026-05-01T12:20:00Z"), [told]);
    assert_eq!(light("-1,0,1", "2026-05-01T12:20:00Z"), [""; 0]);
    assert_eq!(light("3", "2026-05-01T12:00:00Z"), [""; 0]);
}

#[test]
fn intensity_and_share_are_the_worlds_but_for_the_times_that_are_not_complete() {
    let bench = Bench::of(Service::EnergyCharts, "DE");
    let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
    holds(&reading.carbon_g_per_kwh.observed, 92, 15, 1e-9, |t| world.intensity("DE", t));
    assert_eq!(reading.carbon_g_per_kwh.observed.last().map(|point| point.from), Some(at("2026-05-01T11:00:00Z")));
    assert_eq!(reading.carbon_g_per_kwh.forecast.len(), 0);
    holds(&reading.renewable_share.observed, 92, 15, 1e-9, |t| world.share("DE", t));
    holds(&reading.renewable_share.forecast, 3 * 96, 15, 1e-9, |t| world.share("DE", t));
    assert_eq!(reading.remarks, [""; 0]);
    assert!(bench.server.seen().iter().all(|seen| seen.target.contains("country=de")));
}

#[test]
fn the_traffic_lights_share_stands_in_where_there_is_no_forecast() {
    let bench = Bench::of(Service::EnergyCharts, "DE");
    bench.server.trouble("ren_share_forecast", Trouble::Status { status: 404, retry_after: None });
    let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
    holds(&reading.renewable_share.forecast, 3 * 96, 15, 1e-9, |t| world.share("DE", t));
    assert_eq!(reading.remarks, [""; 0]);
    bench.server.trouble("signal", Trouble::Status { status: 422, retry_after: None });
    assert_eq!(bench.ask().expect("a reading").remarks, ["ren_share_forecast: none for country 'de'"]);
}

#[test]
fn a_country_that_there_is_not_and_a_fault_that_passes_are_faults() {
    let fault = Bench::of(Service::EnergyCharts, "XX").fault();
    assert!(fault.contains("/public_power: answered 422 ('"), "{fault}");
    assert!(fault.ends_with("look at area; carm-grid zones lists the countries"), "{fault}");
    for area in ["DE-LU", "d", "10Y", ""] {
        let fault = Bench::of(Service::EnergyCharts, area).fault();
        assert!(fault.ends_with("is no country; give its two letters, such as de"), "{fault}");
    }
    let bench = Bench::of(Service::EnergyCharts, "DE");
    bench.server.trouble("public_power", Trouble::Status { status: 429, retry_after: Some(600) });
    assert!(bench.ask().expect_err("a fault").is_passing());
}

#[test]
fn failed_share_or_light_leaves_the_intensity() {
    for part in ["ren_share_forecast", "signal"] {
        let bench = Bench::of(Service::EnergyCharts, "DE");
        bench.server.trouble(part, Trouble::Status { status: 500, retry_after: Some(600) });
        let reading = bench.ask().expect("a reading");
        assert!(!reading.carbon_g_per_kwh.observed.is_empty());
        assert!(reading.remarks.iter().any(|remark| remark.starts_with(&format!("{part}: http://"))), "{:?}", reading.remarks);
    }
}

#[test]
fn areas_are_countries_that_may_be_asked_for() {
    let areas = Bench::of(Service::EnergyCharts, "DE").areas().expect("areas");
    assert!(areas.iter().all(|area| country(&area.key) == Ok(area.key.clone())));
    assert!(areas.contains(&Area { key: "de".to_owned(), name: "Germany".to_owned() }));
}
