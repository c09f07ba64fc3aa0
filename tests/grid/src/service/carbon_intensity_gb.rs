//! The Carbon Intensity API of Great Britain.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::asked::{Asked, instant};
use crate::reply::Reply;
use crate::world::{Fuel, World};

const HALF: TimeDelta = TimeDelta::minutes(30);
/// The half hour's outturn comes so late.
const OUTTURN: TimeDelta = TimeDelta::minutes(20);

/// `/intensity/{from}/{to or fw48h}`, `/generation/{from}/{to}`, `/regional/intensity/{from}/{to or fw48h}/{regionid/N or
/// postcode/P}`. The forecast of a half hour is 5 g/kWh above its outturn; the postcode `ZZ9` is unknown.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    match asked.parts()[..] {
        ["intensity", from, to] => list(world, from, to, |t, g| {
            let actual = (t + HALF + OUTTURN <= world.now).then_some(g);
            json!({"intensity": {"forecast": g + 5.0, "actual": actual, "index": index(g)}})
        }),
        ["generation", _, "fw24h" | "fw48h"] => bad_request(),
        ["generation", from, to] => list(world, from, to, |t, _| json!({"generationmix": mix(world, "GB", t)})),
        ["regional", "intensity", from, to, "regionid", id] => regional(world, from, to, id, None),
        ["regional", "intensity", _, _, "postcode", "ZZ9"] => Reply { body: Vec::new(), ..Reply::json(&Value::Null) },
        ["regional", "intensity", from, to, "postcode", code] => regional(world, from, to, "12", Some(code)),
        _ => bad_request(),
    }
}

fn bad_request() -> Reply {
    Reply::error(400, &json!({"error": {"code": "400 Bad Request", "message": "Please enter a valid path"}}))
}

/// The half hours that touch a span, that which ends at its begin among them.
fn halves(world: &World, area: &str, from: &str, to: &str, value: impl Fn(DateTime<Utc>, f64) -> Value) -> Option<Vec<Value>> {
    let from = instant(from)?;
    let to = match to {
        "fw24h" => from + TimeDelta::hours(24),
        "fw48h" => from + TimeDelta::hours(48),
        text => instant(text).filter(|to| *to - from <= TimeDelta::days(14))?,
    };
    let on_boundary = from.duration_trunc(HALF).ok()? == from;
    let first = from.duration_trunc(HALF).ok()? - if on_boundary { HALF } else { TimeDelta::zero() };
    let points = world.points(first, to, HALF, |t| world.intensity(area, t)).into_iter();
    let text = |t: DateTime<Utc>| t.format("%Y-%m-%dT%H:%MZ").to_string();
    Some(
        points
            .map(|(t, g)| {
                let mut half = value(t, g);
                (half["from"], half["to"]) = (json!(text(t)), json!(text(t + HALF)));
                half
            })
            .collect(),
    )
}

fn list(world: &World, from: &str, to: &str, value: impl Fn(DateTime<Utc>, f64) -> Value) -> Reply {
    halves(world, "GB", from, to, value).map_or_else(bad_request, |halves| Reply::json(&json!({"data": halves})))
}

/// Of a region: its data are an object; its area in the world is its number.
fn regional(world: &World, from: &str, to: &str, id: &str, postcode: Option<&str>) -> Reply {
    let Some(number) = id.parse().ok().filter(|id| (1..=17_u8).contains(id)) else { return bad_request() };
    let half = |t, g| json!({"intensity": {"forecast": g, "index": index(g)}, "generationmix": mix(world, id, t)});
    let Some(halves) = halves(world, id, from, to, half) else { return bad_request() };
    let number = if world.name(id) == id { number } else { 17 };
    let mut data = json!({"regionid": number, "dnoregion": "Made up", "shortname": "Made up", "data": halves});
    if let Some(code) = postcode {
        data["postcode"] = json!(world.name(code));
    }
    Reply::json(&json!({"data": data}))
}

fn mix(world: &World, area: &str, t: DateTime<Utc>) -> Vec<Value> {
    let share = |fuel: Fuel| 100.0 * world.generation_mw(area, fuel, t) / world.total_mw(area, t);
    let parts = [
        ("biomass", share(Fuel::Biomass)),
        ("coal", share(Fuel::Coal)),
        ("imports", 0.0),
        ("gas", share(Fuel::Gas)),
        ("nuclear", share(Fuel::Nuclear)),
        ("other", 0.0),
        ("hydro", share(Fuel::Hydro)),
        ("solar", share(Fuel::Solar)),
        ("wind", share(Fuel::Wind) + share(Fuel::WindOffshore)),
    ];
    parts.into_iter().map(|(fuel, perc)| json!({"fuel": fuel, "perc": perc})).collect()
}

fn index(g: f64) -> &'static str {
    match g {
        ..60.0 => "very low",
        ..150.0 => "low",
        ..250.0 => "moderate",
        ..350.0 => "high",
        _ => "very high",
    }
}
