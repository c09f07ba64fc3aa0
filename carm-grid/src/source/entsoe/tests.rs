use carm::config::Service;
use grid_standin::{TOKEN, Trouble};
use proptest::prelude::*;

use super::super::bench::{Bench, answer, at, example, holds, told_g_per_kwh, told_share};
use super::*;

const DE: &str = "10Y1001A1001A83F";

fn bench(area: &str) -> Bench {
    Bench::of(Service::Entsoe, area).with_token(TOKEN)
}

fn document(series: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><GL_MarketDocument xmlns=\"urn:x:3:0\"><mRID>1</mRID>{series}</GL_MarketDocument>"
    )
}

/// A series of two hours from noon with these points.
fn series(psr: &str, curve: &str, resolution: &str, points: &str) -> String {
    format!(
        "<TimeSeries><mRID>1</mRID><inBiddingZone_Domain.mRID codingScheme=\"A01\">{DE}</inBiddingZone_Domain.mRID>\
         <quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name><curveType>{curve}</curveType>\
         <MktPSRType><psrType>{psr}</psrType></MktPSRType><Period><timeInterval><start>2026-05-01T12:00Z</start>\
         <end>2026-05-01T14:00Z</end></timeInterval><resolution>{resolution}</resolution>{points}</Period></TimeSeries>"
    )
}

fn points(points: &[(usize, f64)]) -> String {
    points.iter().map(|(n, mw)| format!("<Point><position>{n}</position><quantity>{mw}</quantity></Point>")).collect()
}

fn curves(body: &str) -> Result<Vec<Curve>, String> {
    match document::read(&answer(body), DE).map_err(|fault| fault.to_string())? {
        Said::Curves(curves) => Ok(curves),
        Said::Nothing(text) => Err(format!("nothing: {text}")),
    }
}

fn values(curve: &Curve) -> Vec<(i64, f64)> {
    curve.values.iter().map(|&(from, mw)| ((from - at("2026-05-01T12:00:00Z")).num_minutes(), mw)).collect()
}

#[test]
fn the_worked_example_of_the_docs_is_what_is_read() {
    let page = include_str!("../../../../docs/grid/entsoe.md");
    let curves = curves(example(page, 0)).expect("read");
    let mut remarks = Vec::new();
    let mixes = read_generation(&curves, at("2026-05-02T00:00:00Z"), &mut remarks).mixes();
    let told = format!("{}\n{}", told_g_per_kwh(&mixes.g_per_kwh), told_share(&mixes.renewable_share));
    assert_eq!((told.as_str(), remarks.len()), (example(page, 1), 0));
    let first = (12_000.0 * 1054.0 + 28_000.0 * 48.0) / 40_000.0;
    let last = (10_000.0 * 1054.0 + 28_000.0 * 48.0) / 38_000.0;
    assert!((mixes.g_per_kwh[0].value - first).abs() < 1e-9 && (mixes.g_per_kwh[3].value - last).abs() < 1e-9);
}

#[test]
fn a_position_that_is_missing_repeats_the_last_in_a03_and_is_a_gap_in_a01() {
    let sparse = points(&[(1, 10.0), (3, 30.0), (4, 40.0)]);
    let read =
        |curve: &str, resolution: &str| values(&curves(&document(&series("B16", curve, resolution, &sparse))).expect("read")[0]);
    assert_eq!(read("A03", "PT30M"), [(0, 10.0), (30, 10.0), (60, 30.0), (90, 40.0)]);
    assert_eq!(read("A01", "PT30M"), [(0, 10.0), (60, 30.0), (90, 40.0)]);
    // To the period's end, and not before the first.
    let late = points(&[(2, 7.0)]);
    let read =
        |resolution: &str, at: usize| values(&curves(&document(&series("B16", "A03", resolution, &late))).expect("read")[0])[at];
    assert_eq!((read("PT60M", 0), read("PT15M", 0), read("PT15M", 6)), ((60, 7.0), (15, 7.0), (105, 7.0)));
}

#[test]
fn a_document_ends_at_its_last_value() {
    // Both types are said up to 12:30; the period goes on to 14:00.
    let short = document(
        &[
            series("B04", "A03", "PT15M", &points(&[(1, 300.0), (2, 200.0)])),
            series("B16", "A03", "PT15M", &points(&[(1, 100.0)])),
        ]
        .concat(),
    );
    let bench = bench("DE");
    bench.server.reply("A75", &short);
    let observed = bench.ask().expect("a reading").carbon_g_per_kwh.observed;
    assert_eq!(observed.len(), 1, "what has begun by 12:10: {observed:?}");
    let mut bench = Bench { now: at("2026-05-01T13:50:00Z"), ..bench };
    let observed = bench.ask().expect("a reading").carbon_g_per_kwh.observed;
    let last = observed.last().expect("a point");
    assert_eq!((observed.len(), last.from + last.length), (2, at("2026-05-01T12:30:00Z")));
    // Of an older part the hole is named.
    bench.now = at("2026-05-12T12:10:00Z");
    bench.since = at("2026-05-01T12:00:00Z");
    let remarks = bench.ask().expect("a reading").remarks;
    let expected =
        "A75: the answer ends at 2026-05-01T12:30:00.000Z, not at 2026-05-02T12:10:00.000Z; the hole is filled by the day before";
    assert!(remarks.iter().any(|remark| remark == expected), "{remarks:?}");
}

#[test]
fn types_of_other_resolutions_are_mixed_in_the_shortest_steps() {
    let body = document(
        &[
            series("B04", "A03", "PT60M", &points(&[(1, 300.0), (2, 100.0)])),
            series("B16", "A03", "PT30M", &points(&[(1, 100.0)])),
        ]
        .concat(),
    );
    let mixes = read_generation(&curves(&body).expect("read"), at("2026-05-01T13:10:00Z"), &mut Vec::new()).mixes();
    let shares: Vec<f64> = mixes.renewable_share.iter().map(|point| point.value).collect();
    assert_eq!(shares, [0.25, 0.25, 0.5], "and nothing that has not begun");
    assert!(mixes.renewable_share.iter().all(|point| point.length == TimeDelta::minutes(30)));
}

#[test]
fn what_storage_takes_and_gives_is_not_in_the_mix_and_what_is_said_twice_counts_once() {
    let pumping = series("B10", "A03", "PT60M", &points(&[(1, 900.0)])).replace("inBidding", "outBidding");
    let own_use = series("B14", "A03", "PT60M", &points(&[(1, 40.0)])).replace("inBidding", "outBidding");
    let all = [
        series("B04", "A03", "PT60M", &points(&[(1, 500.0)])),
        series("B14", "A03", "PT60M", &points(&[(1, 100.0)])),
        series("B14", "A03", "PT60M", &points(&[(1, 500.0)])),
        series("B10", "A03", "PT60M", &points(&[(1, 800.0)])),
        series("B25", "A03", "PT60M", &points(&[(1, 800.0)])),
        series("B24", "A03", "PT60M", &points(&[(1, 1.0)])),
        pumping,
        own_use,
    ];
    let mut remarks = Vec::new();
    let mixes =
        read_generation(&curves(&document(&all.concat())).expect("read"), at("2026-05-02T00:00:00Z"), &mut remarks).mixes();
    assert_eq!(mixes.g_per_kwh[0].value, (490.0 + 12.0) / 2.0);
    assert_eq!(remarks, ["psrType 'B24' is not in CARM's table; the intensity is reckoned without it"]);
}

#[test]
fn what_is_not_the_answer_is_refused() {
    let good = document(&series("B04", "A03", "PT60M", &points(&[(1, 5.0)])));
    assert!(curves(&good).is_ok());
    for (from, to, cause) in [
        (DE, "10YFR-RTE------C", "is of area '10YFR-RTE------C', not '10Y1001A1001A83F'"),
        ("inBiddingZone_Domain", "in_Domain", "does not say that it is of area"),
        ("MAW", "MWH", "is in unit 'MWH', not in MAW (megawatts)"),
        ("A03", "A05", "curveType 'A05' is neither A01 nor A03"),
        ("PT60M", "P1Y", "resolution 'P1Y' is none of PT15M, PT30M, PT60M"),
        ("12:00Z", "12:00", "'2026-05-01T12:00' is no time with its zone"),
        ("14:00Z", "11:00Z", "of no length that it can have"),
        ("2026-05-01T14", "9026-05-01T14", "of no length that it can have"),
        ("<position>1", "<position>3", "position '3' is none of 1 to 2"),
        ("<position>1", "<position>0", "position '0' is none of 1 to 2"),
        ("<position>1", "<position>-1", "position '-1' is none of 1 to 2"),
        ("<quantity>5", "<quantity>&lol;", "no document of the platform"),
        ("GL_MarketDocument", "Balancing_MarketDocument", "no document of the platform"),
        ("</Period>", "", "no document of the platform"),
    ] {
        let error = curves(&good.replace(from, to)).expect_err(cause);
        assert!(error.contains(cause), "{error}");
    }
    for text in ["", "{}", "<html><body>", "\u{feff}", "<a><a><a>"] {
        assert!(curves(text).expect_err(text).contains("no document of the platform"), "{text}");
    }
    let doctype = format!("<!DOCTYPE a [<!ENTITY lol \"lol\">]>{}", good.replace("<quantity>5", "<quantity>&lol;"));
    assert!(curves(&doctype).is_err(), "entities are nobody's business here");
}

#[test]
fn no_data_is_told_apart_from_other_refusals_of_the_same_code() {
    let acknowledgement = |code: &str, text: &str| {
        format!(
            "<Acknowledgement_MarketDocument xmlns=\"urn:x:8:1\"><mRID>1</mRID><Reason><code>{code}</code><text>{text}</text></Reason>\
             </Acknowledgement_MarketDocument>"
        )
    };
    assert_eq!(curves(&acknowledgement("999", "No matching data found")), Err("nothing: No matching data found".to_owned()));
    for (code, text) in [("999", "Amount of requested data exceeds allowed limit"), ("401", "No"), ("", "")] {
        let error = curves(&acknowledgement(code, text)).expect_err("a refusal");
        assert!(error.contains(&format!("refused with code {code}: '{text}'")), "{error}");
    }
    let bare = curves("<Acknowledgement_MarketDocument/>").expect_err("a refusal");
    assert!(bare.contains("refused with code"), "{bare}");
}

#[test]
fn intensity_share_and_the_shares_forecast_are_the_worlds() {
    let bench = bench("DE");
    let (world, reading) = (bench.world(), bench.ask().expect("a reading"));
    assert_eq!(reading.remarks, Vec::<String>::new());
    holds(&reading.carbon_g_per_kwh.observed, 88, 15, 1e-9, |t| world.intensity(DE, t));
    holds(&reading.renewable_share.observed, 88, 15, 1e-9, |t| world.share(DE, t));
    assert_eq!(reading.carbon_g_per_kwh.forecast, [], "the platform has no forecast of the other fuels");
    let forecast = &reading.renewable_share.forecast;
    let last = reading.renewable_share.observed.last().expect("a point");
    assert_eq!(forecast[0].from, last.from + last.length, "it begins where the past ends");
    // All generation is forecast by the hour: the value of its begin holds for its quarters.
    let on_the_hour: Vec<_> = forecast.iter().copied().filter(|point| floor(point.from) == point.from).collect();
    holds(&on_the_hour, 35, 15, 1e-3, |t| world.share(DE, t));
    holds(forecast, 140, 15, 0.05, |t| world.share(DE, t));
}

#[test]
fn an_eic_code_and_a_long_history_are_asked_for_as_they_are() {
    let mut bench = bench(DE);
    bench.since = bench.now - TimeDelta::days(70);
    let reading = bench.ask().expect("a reading");
    assert_eq!(bench.server.count("documentType=A75"), 7);
    assert!(reading.carbon_g_per_kwh.observed.len() > 69 * 96 - 5, "{}", reading.carbon_g_per_kwh.observed.len());
    assert!(bench.server.seen().iter().all(|seen| seen.target.contains("in_Domain=10Y1001A1001A83F")));
}

#[test]
fn an_area_without_a_forecast_has_its_past_and_a_remark() {
    let reading = bench("BE").ask().expect("a reading");
    assert!(reading.renewable_share.observed.len() > 80 && reading.renewable_share.forecast.is_empty());
    assert_eq!(reading.remarks.len(), 1);
    assert!(reading.remarks[0].starts_with("no forecast of the share: A71: No matching data found"), "{:?}", reading.remarks);
}

#[test]
fn the_zones_own_mistakes_and_the_platforms_are_told_apart() {
    assert!(Bench::of(Service::Entsoe, "DE").fault().contains("token_file: missing"));
    let wrong = Bench::of(Service::Entsoe, "DE").with_token("nobodys");
    assert!(
        wrong.fault().contains("answered 401 ('Unauthorized. Missing or invalid security token.')")
            && !wrong.fault().contains("nobodys"),
        "{}",
        wrong.fault()
    );
    assert!(bench("Atlantis").fault().contains("area: 'Atlantis' is neither"));
    for (trouble, cause) in [
        (Trouble::WrongZone, "is of area 'ELSEWHERE', not '10Y1001A1001A83F'"),
        (Trouble::Nothing, "area: '10Y1001A1001A83F' has no generation by type (A75): 'a document without a value'"),
        (Trouble::NoTimeZone, "is no time with its zone"),
        (Trouble::Truncated, "no document of the platform"),
        (Trouble::OtherShape, "no document of the platform"),
        (Trouble::Html, "no document of the platform"),
    ] {
        let bench = bench("DE");
        bench.server.trouble("A75", trouble);
        assert!(bench.fault().contains(cause), "{trouble}: {}", bench.fault());
    }
    let calm = bench("DE").ask().expect("a reading");
    for trouble in [Trouble::Backwards, Trouble::LocalTimes] {
        let bench = bench("DE");
        bench.server.trouble("A75", trouble);
        assert_eq!(bench.ask().expect("a reading").carbon_g_per_kwh, calm.carbon_g_per_kwh, "{trouble}");
    }
    let gap = bench("DE");
    gap.server.trouble("A75", Trouble::Gap);
    let observed = gap.ask().expect("a reading").carbon_g_per_kwh.observed;
    assert!(observed.len() < calm.carbon_g_per_kwh.observed.len(), "a gap stays one");
}

proptest! {
    #[test]
    fn a_document_with_anything_anywhere_gives_powers_or_a_fault(
        place in 0.0..1.0_f64,
        cut in 0..40_usize,
        with in prop_oneof!["\\PC{0,8}", "[-+0-9.eE]{0,12}", Just("<a>".to_owned()), Just("9999-12-31T23:59Z".to_owned()), Just("&#0;".to_owned())],
    ) {
        let good = document(&series("B04", "A03", "PT15M", &points(&[(1, 5.0), (3, 7.0)])));
        let at = (place * good.len() as f64) as usize;
        let end = (at + cut).min(good.len());
        let body = format!("{}{with}{}", &good[..at], &good[end..]);
        if let Ok(curves) = curves(&body) {
            let mixes = read_generation(&curves, at_noon(), &mut Vec::new()).mixes();
            prop_assert!(mixes.renewable_share.iter().all(|point| point.value.is_finite()), "{body}");
        }
    }
}

fn at_noon() -> DateTime<Utc> {
    at("2026-05-02T12:00:00Z")
}
