//! Energy-Charts.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::{Fuel, World};

const STEP: TimeDelta = TimeDelta::minutes(15);
/// Generation is known so late.
const LATE: TimeDelta = TimeDelta::hours(1);

/// `/public_power?country&start&end`, `/ren_share_forecast?country`, `/signal?country`. The country is the area of the world, in
/// capitals; `xx` is unknown, and no answer names the country.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    let country = asked.param("country").unwrap_or("de");
    if country == "xx" || country.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return unprocessable("country");
    }
    let area = world.name(&country.to_uppercase());
    let midnight = world.now.date_naive().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let ahead = || world.points(midnight, midnight + TimeDelta::days(3), STEP, |t| 100.0 * world.share(&area, t));
    match asked.path.as_str() {
        "/public_power" => match (asked.instant("start"), asked.instant("end")) {
            (Some(start), Some(end)) => public_power(world, &area, start, end),
            _ => unprocessable("start"),
        },
        "/ren_share_forecast" => {
            let (times, shares) = lists(ahead());
            Reply::json(&json!({
                "unix_seconds": times, "ren_share": shares, "solar_share": null, "wind_onshore_share": null,
                "wind_offshore_share": null, "substitute": false, "deprecated": false,
            }))
        }
        "/signal" => {
            let (times, shares) = lists(ahead());
            let lights: Vec<i32> = shares.iter().map(|share| if *share > 60.0 { 2 } else { i32::from(*share > 40.0) }).collect();
            let reply =
                json!({"unix_seconds": times, "share": shares, "signal": lights, "substitute": false, "deprecated": false});
            Reply::json(&reply)
        }
        _ => Reply::error(404, &json!({"detail": "Not Found"})),
    }
}

fn unprocessable(name: &str) -> Reply {
    Reply::error(422, &json!({"detail": [{"loc": ["query", name], "msg": "value is not valid", "type": "value_error"}]}))
}

fn lists(points: Vec<(DateTime<Utc>, f64)>) -> (Vec<i64>, Vec<f64>) {
    points.into_iter().map(|(t, value)| (t.timestamp(), value)).unzip()
}

/// Megawatts by type. The newest hour is there but for wind and what comes from it.
fn public_power(world: &World, area: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> Reply {
    // The trouble that bends a list of points bends the gas: it is the largest of what burns.
    let gas = world.points(start, end.min(world.now), STEP, |t| world.generation_mw(area, Fuel::Gas, t));
    let times: Vec<DateTime<Utc>> = gas.iter().map(|(t, _)| *t).collect();
    let series = |name: &str, value: &dyn Fn(DateTime<Utc>) -> Option<f64>| -> Value {
        json!({"name": name, "data": times.iter().map(|&t| value(t)).collect::<Vec<_>>()})
    };
    let known = |t: DateTime<Utc>| t + LATE <= world.now;
    let mw = |fuel| move |t| Some(world.generation_mw(area, fuel, t));
    let late = |value: f64, t| known(t).then_some(value);
    let share = |t| 100.0 * world.share(area, t);
    let (unix, gas): (Vec<i64>, Vec<f64>) = lists(gas);
    Reply::json(&json!({
        "unix_seconds": unix,
        "production_types": [
            series("Hydro pumped storage consumption", &|_| Some(-800.0)),
            series("Cross border electricity trading", &|_| Some(2500.0)),
            series("Nuclear", &mw(Fuel::Nuclear)),
            series("Hydro Run-of-River", &mw(Fuel::Hydro)),
            series("Biomass", &mw(Fuel::Biomass)),
            series("Fossil hard coal", &mw(Fuel::Coal)),
            {"name": "Fossil gas", "data": gas},
            series("Hydro pumped storage", &|_| Some(600.0)),
            series("Geothermal", &|_| None),
            series("Wind offshore", &|t| late(world.generation_mw(area, Fuel::WindOffshore, t), t)),
            series("Wind onshore", &|t| late(world.generation_mw(area, Fuel::Wind, t), t)),
            series("Solar", &mw(Fuel::Solar)),
            series("Load", &|t| Some(world.total_mw(area, t))),
            series("Residual load", &|t| late(world.total_mw(area, t) - world.generation_mw(area, Fuel::Wind, t), t)),
            series("Renewable share of generation", &|t| late(share(t), t)),
            series("Renewable share of load", &|t| late(share(t), t)),
        ],
        "deprecated": false,
    }))
}
