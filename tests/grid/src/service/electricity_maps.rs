//! Electricity Maps, versions 3 and 4.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::{Fuel, TOKEN, World};

/// `/v4/{carbon-intensity,power-breakdown,renewable-energy}/{latest,history,forecast}?zone=DE`, and `/v3/zones`. The zone
/// `NOWHERE` is unknown; without a zone, the caller's address decides, unless that is turned off.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    if asked.header("auth-token") != Some(TOKEN) {
        return Reply::error(401, &json!({"error": "Invalid auth-token"}));
    }
    let (version, signal, part) = match asked.parts()[..] {
        ["v3", "zones"] => return zones(),
        [version @ ("v3" | "v4"), signal, part] => (version, signal, part),
        _ => return Reply::not_found(),
    };
    let looked_up = asked.param("disableCallerLookup") != Some("true");
    let area = match asked.param("zone").filter(|zone| *zone != "NOWHERE") {
        Some(zone) => zone,
        None if looked_up => "CALLERS-OWN",
        None => return Reply::error(404, &json!({"status": "no-data", "message": "No data for this zone"})),
    };
    let entry: fn(&World, &str, DateTime<Utc>, f64) -> Value = match signal {
        "carbon-intensity" => carbon,
        "power-breakdown" => breakdown,
        "renewable-energy" => renewable,
        _ => return Reply::not_found(),
    };
    let value = |t| if signal == "carbon-intensity" { world.intensity(area, t) } else { 100.0 * world.share(area, t) };
    let hour = TimeDelta::hours(1);
    let begun = world.now.duration_trunc(hour).expect("an hour");
    let (from, to) = match part {
        "latest" => (begun, begun + hour),
        // As recorded on 2026-08-22: 24 hours with the one that runs.
        "history" => (begun - TimeDelta::hours(23), begun + hour),
        "forecast" => {
            let hours = asked.param("horizonHours").unwrap_or("24").parse().ok().filter(|h| [6, 24, 48, 72].contains(h));
            let Some(hours) = hours else {
                return Reply::error(400, &json!({"status": "error", "message": "horizonHours"}));
            };
            (begun, begun + TimeDelta::hours(hours) + hour)
        }
        _ => return Reply::not_found(),
    };
    let points = world.points(from, to, hour, value);
    let mut entries: Vec<Value> = points.into_iter().map(|(t, value)| entry(world, area, t, value)).collect();
    let zone = world.name(area);
    match (part, signal) {
        ("latest", _) => match entries.pop() {
            Some(latest) => Reply::json(&latest),
            None => Reply::error(404, &json!({"status": "no-data", "message": "No data"})),
        },
        ("history", _) => Reply::json(&json!({"zone": zone, "history": entries})),
        (_, "carbon-intensity") => {
            let plain = |entry: &Value| json!({"carbonIntensity": entry["carbonIntensity"], "datetime": entry["datetime"]});
            let list: Vec<Value> = entries.iter().map(plain).collect();
            let mut reply = json!({"zone": zone, "forecast": list, "updatedAt": World::text(world.now)});
            if version == "v4" {
                reply["temporalGranularity"] = json!("hourly");
            }
            Reply::json(&reply)
        }
        _ => Reply::json(&json!({"zone": zone, "data": entries})),
    }
}

fn stamped(world: &World, area: &str, t: DateTime<Utc>, mut with: Value) -> Value {
    let running = t + TimeDelta::hours(1) > world.now;
    for (key, value) in [
        ("zone", json!(world.name(area))),
        ("datetime", json!(World::text(t))),
        ("updatedAt", json!(World::text(world.now - TimeDelta::minutes(20)))),
        ("createdAt", json!(World::text(t - TimeDelta::days(3)))),
        ("isEstimated", json!(running)),
        ("estimationMethod", if running { json!("TIME_SLICER_AVERAGE") } else { Value::Null }),
    ] {
        with[key] = value;
    }
    with
}

fn carbon(world: &World, area: &str, t: DateTime<Utc>, value: f64) -> Value {
    stamped(world, area, t, json!({"carbonIntensity": value, "emissionFactorType": "lifecycle"}))
}

fn renewable(world: &World, area: &str, t: DateTime<Utc>, value: f64) -> Value {
    stamped(world, area, t, json!({"unit": "%", "value": value, "temporalGranularity": "hourly"}))
}

fn breakdown(world: &World, area: &str, t: DateTime<Utc>, value: f64) -> Value {
    let mw = |fuel| world.generation_mw(area, fuel, t);
    let sources = json!({
        "nuclear": mw(Fuel::Nuclear), "geothermal": null, "biomass": mw(Fuel::Biomass), "coal": mw(Fuel::Coal),
        "wind": mw(Fuel::Wind) + mw(Fuel::WindOffshore), "solar": mw(Fuel::Solar), "hydro": mw(Fuel::Hydro), "gas": mw(Fuel::Gas),
        "oil": 0, "unknown": null, "hydro discharge": 0, "battery discharge": null,
    });
    let total = world.total_mw(area, t);
    stamped(
        world,
        area,
        t,
        json!({
            "powerConsumptionBreakdown": sources, "powerProductionBreakdown": sources,
            "powerImportBreakdown": {}, "powerExportBreakdown": {},
            "renewablePercentage": value, "fossilFreePercentage": value + 100.0 * mw(Fuel::Nuclear) / total,
            "powerConsumptionTotal": total, "powerProductionTotal": total, "powerImportTotal": 0, "powerExportTotal": 0,
        }),
    )
}

fn zones() -> Reply {
    Reply::json(&json!({
        "DE": {"zoneName": "Germany", "access": ["carbon-intensity/latest"]},
        "FR": {"zoneName": "France", "access": ["*"]},
        "US-CAL-CISO": {"countryName": "USA", "zoneName": "CAISO", "access": ["*"]},
        "NO-ACCESS": {"zoneName": "Nobody's", "access": []},
    }))
}
