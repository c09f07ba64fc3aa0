//! The transparency platform of ENTSO-E.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::{Fuel, TOKEN, World};

/// `/api` with `securityToken`, `documentType` and so on: A75/A16 an hour late in quarters of an hour, A69/A01 and A71/A01 to the end of
/// tomorrow. Belgium has no forecast of all generation.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    if asked.param("securityToken") != Some(TOKEN) {
        return Reply { status: 401, ..refusal("999", "Unauthorized. Missing or invalid security token.") };
    }
    let (Some(document), Some(process), Some(eic), Some(from), Some(to)) = (
        asked.param("documentType"),
        asked.param("processType"),
        asked.param("in_Domain"),
        time(asked.param("periodStart")),
        time(asked.param("periodEnd")),
    ) else {
        return Reply { status: 400, ..refusal("999", "Mandatory parameter is missing") };
    };
    if asked.path != "/api" || to - from > TimeDelta::days(366) {
        return Reply { status: 400, ..refusal("999", "The amount of requested data exceeds allowed limit") };
    }
    let tomorrow = (world.now + TimeDelta::days(2)).date_naive().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let (quarter, hour) = (TimeDelta::minutes(15), TimeDelta::hours(1));
    let mut series = String::new();
    let known = eic.len() == 16;
    match (document, process) {
        ("A75", "A16") if known => {
            let until = to.min(world.now - hour);
            for (psr, fuel) in TYPES {
                let mw = |t| world.generation_mw(eic, fuel, t);
                write_series(&mut series, world, eic, Some(psr), &world.points(from, until, quarter, mw), quarter);
            }
            if from < until {
                // What a pumped storage plant gives and takes.
                write_series(&mut series, world, eic, Some("B10"), &world.points(from, until, quarter, |_| 500.0), quarter);
                let takes = series_of(world, eic, Some("B10"), &world.points(from, until, quarter, |_| 900.0), quarter);
                series += &takes.replace("inBiddingZone", "outBiddingZone");
            }
        }
        ("A69", "A01") if known => {
            for (psr, fuel) in [("B16", Fuel::Solar), ("B18", Fuel::WindOffshore), ("B19", Fuel::Wind)] {
                let mw = |t| world.generation_mw(eic, fuel, t);
                write_series(&mut series, world, eic, Some(psr), &world.points(from, to.min(tomorrow), quarter, mw), quarter);
            }
        }
        ("A71", "A01") if known && eic != "10YBE----------2" => {
            let mw = |t| world.total_mw(eic, t);
            write_series(&mut series, world, eic, None, &world.points(from, to.min(tomorrow), hour, mw), hour);
        }
        _ => {}
    }
    if series.is_empty() {
        return refusal("999", &format!("No matching data found for Data item [{document}] ({eic}) and interval {from}/{to}."));
    }
    Reply::xml(format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <GL_MarketDocument xmlns=\"urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0\">\n<mRID>made-up</mRID>\n\
         <revisionNumber>1</revisionNumber>\n<type>{document}</type>\n<process.processType>{process}</process.processType>\n\
         <time_Period.timeInterval><start>{}</start><end>{}</end></time_Period.timeInterval>\n{series}</GL_MarketDocument>\n",
        text(from),
        text(to)
    ))
}

const TYPES: [(&str, Fuel); 8] = [
    ("B01", Fuel::Biomass),
    ("B04", Fuel::Gas),
    ("B05", Fuel::Coal),
    ("B11", Fuel::Hydro),
    ("B14", Fuel::Nuclear),
    ("B16", Fuel::Solar),
    ("B18", Fuel::WindOffshore),
    ("B19", Fuel::Wind),
];

fn refusal(code: &str, words: &str) -> Reply {
    Reply::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Acknowledgement_MarketDocument xmlns=\"urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0\">\n\
         <mRID>made-up</mRID>\n<Reason><code>{code}</code><text>{words}</text></Reason>\n</Acknowledgement_MarketDocument>\n"
    ))
}

type Points = [(DateTime<Utc>, f64)];

fn write_series(out: &mut String, world: &World, eic: &str, psr: Option<&str>, points: &Points, step: TimeDelta) {
    if !points.is_empty() {
        *out += &series_of(world, eic, psr, points, step);
    }
}

/// A series, a period for each run of steps without a gap, in which a value that repeats is not said again (curve type A03).
fn series_of(world: &World, eic: &str, psr: Option<&str>, points: &Points, step: TimeDelta) -> String {
    let mut out = format!(
        "<TimeSeries><mRID>1</mRID><businessType>A01</businessType><objectAggregation>A08</objectAggregation>\n\
         <inBiddingZone_Domain.mRID codingScheme=\"A01\">{}</inBiddingZone_Domain.mRID>\n\
         <quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name><curveType>A03</curveType>\n",
        world.name(eic)
    );
    if let Some(psr) = psr {
        out += &format!("<MktPSRType><psrType>{psr}</psrType></MktPSRType>\n");
    }
    for run in points.chunk_by(|one, next| next.0 - one.0 == step) {
        let (start, end) = (run[0].0, run[run.len() - 1].0 + step);
        write!(out, "<Period><timeInterval><start>{}</start><end>{}</end></timeInterval>", text(start), text(end)).expect("text");
        write!(out, "<resolution>PT{}M</resolution>", step.num_minutes()).expect("text");
        let mut last = None;
        for (index, &(_, mw)) in run.iter().enumerate() {
            if last != Some(mw) {
                write!(out, "\n<Point><position>{}</position><quantity>{mw}</quantity></Point>", index + 1).expect("text");
            }
            last = Some(mw);
        }
        out += "</Period>\n";
    }
    out + "</TimeSeries>\n"
}

fn text(t: DateTime<Utc>) -> String {
    t.format("%Y-%m-%dT%H:%MZ").to_string()
}

fn time(text: Option<&str>) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text?, "%Y%m%d%H%M").ok().map(|time| time.and_utc())
}
