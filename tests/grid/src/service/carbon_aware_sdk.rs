//! A WebApi of the carbon-aware-sdk.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::World;

/// `/emissions/bylocation`, in the older words, `/emissions/forecasts/current`, in the newer ones, and `/locations`. A location whose name
/// begins with `marginal` has a source of marginal intensity behind it; `no-forecast` has one without a forecast; `nowhere` is
/// unknown.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    if asked.path == "/locations" {
        return Reply::json(&json!({
            "eastus": {"latitude": 37.3719, "longitude": -79.8164, "name": "eastus"},
            "westus": {"latitude": 37.783, "longitude": -122.417, "name": "westus"},
        }));
    }
    let location = match asked.param("location") {
        None | Some("nowhere") => {
            return Reply::error(400, &json!({"title": "ArgumentException", "status": 400, "detail": "Invalid location"}));
        }
        Some(location) => location,
    };
    let value = |t| if location.starts_with("marginal") { world.marginal(location, t) } else { world.intensity(location, t) };
    let step = TimeDelta::minutes(5);
    match asked.path.as_str() {
        "/emissions/bylocation" => {
            let to = asked.instant("toTime").unwrap_or(world.now).min(world.now);
            let from = asked.instant("time").unwrap_or(to - TimeDelta::days(1));
            // The end is part of it.
            let points = world.points(from, to + TimeDelta::seconds(1), step, value);
            let entry = |(t, g): (DateTime<Utc>, f64)| json!({"location": world.name("BEHIND_IT"), "time": long(t), "rating": g, "duration": "00:05:00"});
            Reply::json(&Value::from(points.into_iter().map(entry).collect::<Vec<_>>()))
        }
        "/emissions/forecasts/current" if location == "no-forecast" => {
            Reply::error(501, &json!({"title": "NotImplementedException", "status": 501}))
        }
        "/emissions/forecasts/current" => {
            let from = world.now + TimeDelta::minutes(5 - i64::from(world.now.minute() % 5));
            let points = world.points(from, from + TimeDelta::days(1), step, value);
            let entry =
                |(t, g): (DateTime<Utc>, f64)| json!({"location": "BEHIND_IT", "timestamp": long(t), "duration": 5, "value": g});
            let data: Vec<Value> = points.into_iter().map(entry).collect();
            Reply::json(&json!([{
                "generatedAt": long(world.now), "requestedAt": long(world.now), "location": world.name(location),
                "dataStartAt": long(from), "dataEndAt": long(from + TimeDelta::days(1)), "windowSize": 5,
                "optimalDataPoints": data.first(), "forecastData": data,
            }]))
        }
        _ => Reply::not_found(),
    }
}

/// As .NET writes a time.
fn long(t: DateTime<Utc>) -> String {
    t.format("%Y-%m-%dT%H:%M:%S%.6f0+00:00").to_string().replace(".0000000", "")
}
