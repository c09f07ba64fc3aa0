use carm::config::Service;
use grid_standin::Trouble;

use super::super::bench::{Bench, answer, at, example, holds, recorded, told_g_per_kwh, told_share};
use super::*;

fn national(body: &str) -> Result<Vec<(Point, bool)>, String> {
    halves(&answer(body)).map(|halves| intensities(&halves)).map_err(|fault| fault.to_string())
}

fn half(from: &str, value: f64) -> Point {
    point(at(from), STEP, value)
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/carbon-intensity-gb.md");
    let intensities: Vec<Point> = national(example(page, 0)).expect("read").into_iter().map(|(point, _)| point).collect();
    let shares = shares(&halves(&answer(example(page, 1))).expect("read"));
    assert_eq!(format!("{}\n{}", told_g_per_kwh(&intensities), told_share(&shares)), example(page, 2));
    assert_eq!(intensities, [half("2026-05-01T12:00:00Z", 121.0), half("2026-05-01T12:30:00Z", 118.0)]);
    assert!((shares[0].value - 50.0 / 99.9).abs() < 1e-12, "{shares:?}");
}

#[test]
fn the_outturn_goes_before_the_forecast_and_neither_is_a_gap() {
    let body = r#"{"data":[
     {"from":"2026-05-01T11:00Z","to":"2026-05-01T11:30Z","intensity":{"forecast":130,"actual":"125","index":"low"}},
     {"from":"2026-05-01T11:30Z","to":"2026-05-01T12:00Z","intensity":{"forecast":128,"actual":null,"index":"low"}},
     {"from":"2026-05-01T12:00Z","to":"2026-05-01T12:30Z","intensity":{"forecast":null,"actual":null,"index":null}},
     {"from":"2026-05-01T12:30Z","to":"2026-05-01T13:00Z","intensity":{"forecast":120}}]}"#;
    let expected = [
        (half("2026-05-01T11:00:00Z", 125.0), true),
        (half("2026-05-01T11:30:00Z", 128.0), false),
        (half("2026-05-01T12:30:00Z", 120.0), false),
    ];
    assert_eq!(national(body), Ok(expected.to_vec()));
}

#[test]
fn a_mix_counts_by_its_own_sum_and_one_of_nothing_is_a_gap() {
    let mix = |parts: &str| {
        let body = format!(r#"{{"data":{{"from":"2026-05-01T12:00Z","to":"2026-05-01T12:30Z","generationmix":[{parts}]}}}}"#);
        shares(&halves(&answer(&body)).expect("read")).first().map(|point| point.value)
    };
    let wind = r#"{"fuel":"wind","perc":30},{"fuel":"imports","perc":20},{"fuel":"gas","perc":"30"}"#;
    assert_eq!(mix(wind), Some(30.0 / 80.0));
    assert_eq!(mix(r#"{"fuel":"wind","perc":null},{"fuel":"gas","perc":60}"#), None);
    assert_eq!(mix(r#"{"fuel":"wind","perc":1e308},{"fuel":"gas","perc":60}"#), None);
    assert_eq!(mix(r#"{"fuel":"wind","perc":0},{"fuel":"gas","perc":-1}"#), None);
    assert_eq!(mix(r#"{"fuel":"wind","perc":1},{"fuel":"gas","perc":-1},{"fuel":"new","perc":1}"#), Some(0.5));
    assert_eq!(mix(""), None);
}

#[test]
fn an_answer_of_another_shape_is_refused_with_what_is_wrong() {
    for (body, cause) in [
        (r#"{"error":{"code":"400 Bad Request","message":"x"}}"#, "missing field `data`"),
        (r#"{"data":null}"#, "expected an object or a list of objects"),
        (r#"{"data":[{"from":"2026-05-01T12:00Z","intensity":{"forecast":1}}]}"#, "missing field `to`"),
        (r#"{"data":[{"from":"2026-05-01T12:00Z","to":"2026-05-01T12:00Z"}]}"#, "a step from 2026-05-01 12:00:00 UTC to"),
        (r#"{"data":[{"from":"2026-05-01T12:00Z","to":"2026-05-03T12:00Z"}]}"#, "a step from 2026-05-01 12:00:00 UTC to"),
        (r#"{"data":[{"from":"2026-05-01T12:00","to":"2026-05-01T12:30"}]}"#, "'2026-05-01T12:00' is no time with its zone"),
        (
            r#"{"data":[{"from":"2026-05-01T12:00Z","to":"2026-05-01T12:30Z","intensity":{"actual":1}}]}"#,
            "missing field `forecast`",
        ),
        ("", "an empty answer, as to an unknown postcode; look at area"),
        ("<html>", "a page instead of JSON"),
    ] {
        let error = national(body).expect_err(body);
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn an_area_is_the_nation_a_region_or_an_outward_postcode() {
    for (area, place) in [
        ("GB", Place::Nation),
        ("gb", Place::Nation),
        ("1", Place::Region(1)),
        ("17", Place::Region(17)),
        ("ox1", Place::Postcode("OX1".to_owned())),
        ("EC1A", Place::Postcode("EC1A".to_owned())),
        ("W1A", Place::Postcode("W1A".to_owned())),
        ("M60", Place::Postcode("M60".to_owned())),
    ] {
        assert_eq!(Place::of(area), Ok(place), "{area}");
    }
    for area in ["0", "18", "UK", "OX", "OX1-1AA", "OX123", "ABC1", "OXFORD", "1OX", "O/1", "\u{df}1", "256"] {
        let error = Place::of(area).expect_err(area).to_string();
        assert!(error.ends_with("is no area of Great Britain; give GB, 1 to 17, or an outward postcode such as OX1"), "{error}");
    }
}

#[test]
fn a_region_must_be_the_one_asked_for() {
    let body = r#"{"data":{"regionid":13,"shortname":"London","postcode":"EC1A","data":[]}}"#;
    let read = |place: Place| region(&answer(body), &place).map(|halves| halves.len()).map_err(|fault| fault.to_string());
    assert_eq!(read(Place::Region(13)), Ok(0));
    assert_eq!(read(Place::Postcode("EC1A".to_owned())), Ok(0));
    let error = read(Place::Region(12)).expect_err("another region");
    assert!(error.ends_with("is about regionid 13, postcode 'EC1A', not regionid/12; look at area"), "{error}");
    let error = read(Place::Postcode("OX1".to_owned())).expect_err("another postcode");
    assert!(error.ends_with("is about regionid 13, postcode 'EC1A', not postcode/OX1; look at area"), "{error}");
    for body in [r#"{"data":[]}"#, r#"{"data":[{"regionid":13,"data":[]},{"regionid":12,"data":[]}]}"#] {
        let error = region(&answer(body), &Place::Region(13)).map(|_| ()).expect_err(body).to_string();
        assert!(error.ends_with("not about one region"), "{error}");
    }
}

#[test]
fn requests_stand_a_minute_past_the_boundary_and_within_the_services_limit() {
    assert_eq!(minute(at("2026-05-01T12:30:00Z")), "2026-05-01T12:31Z");
    assert_eq!(minute(at("2026-05-01T12:29:59Z")), "2026-05-01T12:01Z");
    let mut bench = Bench::of(Service::CarbonIntensityGb, "GB");
    bench.since = at("2026-04-01T12:00:00Z");
    bench.ask().expect("a reading");
    let requests = bench.server.seen();
    let newest = "/carbon-intensity-gb/intensity/2026-04-18T12:01Z/2026-05-01T12:01Z";
    assert_eq!(requests[0].target, newest, "the newest part first");
    assert!(requests[2].target.ends_with("/intensity/2026-04-01T12:01Z/2026-04-05T12:01Z"), "{}", requests[2].target);
}

#[test]
fn failed_mix_or_forecast_leaves_the_intensity() {
    for part in ["/generation", "fw48h"] {
        let bench = Bench::of(Service::CarbonIntensityGb, "GB");
        bench.server.trouble(part, Trouble::Status { status: 500, retry_after: Some(600) });
        let reading = bench.ask().expect("a reading");
        assert!(reading.carbon_g_per_kwh.observed.len() >= 47);
        assert!(reading.remarks.iter().any(|remark| remark.contains(": answered 500 ")), "{:?}", reading.remarks);
    }
}

#[test]
fn refused_old_part_ends_the_history() {
    let mut bench = Bench::of(Service::CarbonIntensityGb, "GB");
    bench.since = at("2026-04-01T12:00:00Z");
    bench.server.trouble("/intensity/2026-04-01T12:01Z/", Trouble::Status { status: 400, retry_after: None });
    let reading = bench.ask().expect("a reading");
    assert_eq!(reading.carbon_g_per_kwh.observed.first().map(|point| point.from), Some(at("2026-04-05T12:00:00Z")));
    assert!(reading.remarks[0].starts_with("no history before 2026-04-05T12:10:00.000Z: "), "{:?}", reading.remarks);
}

/// Half hours from 11:00 on of a region: g/kWh, and percent of gas and wind.
fn mixed(halves: &[(i64, &str, &str, &str)]) -> String {
    let time = |minutes: i64| (at("2026-05-01T11:00:00Z") + TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%MZ");
    let half = |&(minutes, g, gas, wind): &(i64, &str, &str, &str)| {
        format!(
            r#"{{"from":"{}","to":"{}","intensity":{{"forecast":{g},"actual":{g},"index":"low"}},
                "generationmix":[{{"fuel":"gas","perc":{gas}}},{{"fuel":"wind","perc":{wind}}}]}}"#,
            time(minutes),
            time(minutes + 30)
        )
    };
    halves.iter().map(half).collect::<Vec<_>>().join(",")
}

#[test]
fn almost_no_carbon_from_gas_is_left_out() {
    let halves = mixed(&[(0, "2", "99.9", "0.1"), (30, "0", "0", "100"), (60, "390", "99.9", "0.1")]);
    let region = format!(r#"{{"data":{{"regionid":13,"shortname":"London","data":[{halves}]}}}}"#);
    for (area, part, body) in [("13", "/regional/", region), ("GB", "/", format!(r#"{{"data":[{halves}]}}"#))] {
        let bench = Bench::of(Service::CarbonIntensityGb, area);
        bench.server.reply(part, &body);
        let reading = bench.ask().expect("a reading");
        let series = [&reading.carbon_g_per_kwh.observed, &reading.renewable_share.observed];
        for series in series {
            let mut times: Vec<_> = series.iter().map(|point| point.from).collect();
            times.dedup();
            assert!(!times.contains(&at("2026-05-01T11:00:00Z")), "{area}: {times:?}");
            assert!(
                times.contains(&at("2026-05-01T11:30:00Z")) && times.contains(&at("2026-05-01T12:00:00Z")),
                "{area}: {times:?}"
            );
        }
        let remark = "1 time from 2026-05-01T11:00:00.000Z on left out: the intensity contradicts the fossil part of the mix";
        assert_eq!(reading.remarks, [remark], "{area}");
    }
}

#[test]
fn a_malformed_mix_leaves_the_intensity() {
    let body = r#"{"data":{"regionid":13,"data":[{"from":"2026-05-01T12:00Z","to":"2026-05-01T12:30Z",
        "intensity":{"forecast":126},"generationmix":{"wind":40}}]}}"#;
    let bench = Bench::of(Service::CarbonIntensityGb, "13");
    bench.server.reply("/regional/", body);
    let reading = bench.ask().expect("a reading");
    assert_eq!((reading.carbon_g_per_kwh.observed[0].value, reading.renewable_share.observed.len()), (126.0, 0));
}

#[test]
fn recorded_answers_are_read() {
    if let Some(recorded) = recorded("gb_generation.json") {
        let shares = shares(&halves(&recorded).expect("read"));
        let expected = (7.8 + 1.2 + 3.0) / (7.8 + 1.2 + 10.6 + 58.6 + 17.7 + 1.2 + 3.0);
        assert!(shares.len() == 1 && (shares[0].value - expected).abs() < 1e-12, "{shares:?}");
    }
    if let Some(recorded) = recorded("gb_regional.json") {
        let halves = region(&recorded, &Place::Region(13)).expect("read");
        assert_eq!(intensities(&halves), [(half("2021-04-30T22:30:00Z", 210.0), false)]);
        assert!((shares(&halves)[0].value - 1.4 / 99.9).abs() < 1e-9, "{:?}", shares(&halves));
    }
}

#[test]
fn the_nation_has_outturns_then_forecasts_and_the_share_of_the_past() {
    let bench = Bench::of(Service::CarbonIntensityGb, "GB");
    let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
    // The half hour from 11:30 ended ten minutes ago: its outturn is not there yet.
    holds(&reading.carbon_g_per_kwh.observed, 47, 30, 1e-9, |t| world.intensity("GB", t));
    assert_eq!(reading.carbon_g_per_kwh.observed.last().map(|point| point.from), Some(at("2026-05-01T11:00:00Z")));
    holds(&reading.carbon_g_per_kwh.forecast, 97, 30, 1e-9, |t| world.intensity("GB", t) + 5.0);
    assert_eq!(reading.carbon_g_per_kwh.forecast[0].from, at("2026-05-01T11:30:00Z"));
    holds(&reading.renewable_share.observed, 48, 30, 1e-9, |t| world.share("GB", t));
    assert_eq!((reading.renewable_share.forecast.len(), reading.remarks.len()), (0, 0));
}

#[test]
fn a_region_has_intensity_and_share_of_the_past_and_to_come() {
    for (area, region) in [("13", "13"), ("OX1", "12")] {
        let bench = Bench::of(Service::CarbonIntensityGb, area);
        let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
        holds(&reading.carbon_g_per_kwh.observed, 48, 30, 1e-9, |t| world.intensity(region, t));
        holds(&reading.carbon_g_per_kwh.forecast, 96, 30, 1e-9, |t| world.intensity(region, t));
        holds(&reading.renewable_share.observed, 48, 30, 1e-9, |t| world.share(region, t));
        holds(&reading.renewable_share.forecast, 96, 30, 1e-9, |t| world.share(region, t));
    }
}

#[test]
fn an_unknown_postcode_another_region_and_a_status_are_faults() {
    assert!(Bench::of(Service::CarbonIntensityGb, "ZZ9").fault().contains("an empty answer, as to an unknown postcode"));
    for area in ["13", "OX1"] {
        let bench = Bench::of(Service::CarbonIntensityGb, area);
        bench.server.trouble("/regional/", Trouble::WrongZone);
        let fault = bench.fault();
        assert!(fault.contains("is about regionid ") && fault.ends_with("look at area"), "{fault}");
    }
    let bench = Bench::of(Service::CarbonIntensityGb, "GB");
    bench.server.trouble("/intensity", Trouble::Status { status: 500, retry_after: Some(600) });
    assert!(bench.ask().expect_err("a fault").is_passing());
    assert!(Bench::of(Service::CarbonIntensityGb, "DE").fault().starts_with("area: 'DE' is no area of Great Britain"));
}

#[test]
fn areas_are_the_nation_and_its_regions() {
    let areas = Bench::of(Service::CarbonIntensityGb, "GB").areas().expect("areas");
    assert_eq!((areas.len(), areas[0].key.as_str(), areas[13].name.as_str()), (18, "GB", "London"));
    assert!(areas.iter().all(|area| Place::of(&area.key).is_ok()));
}
