//! WattTime, version 3.

use chrono::{DateTime, DurationRound, TimeDelta};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::{PASSWORD, USER, World};

const POUND_G: f64 = 453.592_37;
/// A token holds so long.
const HOLDS: TimeDelta = TimeDelta::minutes(30);

/// `/login` with HTTP's Basic authentication; `/v3/{historical,forecast,my-access}` with the token that it gives. The region
/// `NO-ACCESS` is not in the plan; it and `CAISO_NORTH` have no average.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    if asked.path == "/login" {
        if !asked.is_basic(USER, PASSWORD) {
            return Reply::error(401, &json!({"error": "Invalid username or password"}));
        }
        // The time of the login stands in the token, so that it can run out without the server's keeping it.
        return Reply::json(&json!({"token": format!("wt-never-to-be-shown-{}", world.now.timestamp())}));
    }
    let issued = asked.bearer().and_then(|token| token.strip_prefix("wt-never-to-be-shown-")?.parse().ok());
    match issued.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) {
        None => return Reply::error(401, &json!({"error": "Unauthorized"})),
        Some(issued) if world.now - issued > HOLDS => return Reply::html(403, "403 Forbidden"),
        Some(_) => {}
    }
    if asked.path == "/v3/my-access" {
        return access();
    }
    let (Some(region), Some(signal)) = (asked.param("region"), asked.param("signal_type")) else {
        return Reply::error(422, &json!({"detail": [{"loc": ["query"], "msg": "field required"}]}));
    };
    let is_average = match signal {
        "co2_moer" => false,
        "co2_aoer" => true,
        _ => return Reply::error(400, &json!({"error": "Bad Request", "message": "no such signal_type"})),
    };
    if region == "NO-ACCESS" || (is_average && region == "CAISO_NORTH") {
        return Reply::error(403, &json!({"error": "Forbidden", "message": "Your plan does not include this region"}));
    }
    let step = TimeDelta::minutes(5);
    let value = |t| if is_average { world.intensity(region, t) } else { world.marginal(region, t) };
    let (from, to) = match asked.path.as_str() {
        "/v3/historical" => match (asked.instant("start"), asked.instant("end")) {
            (Some(start), Some(end)) if start <= end && end - start <= TimeDelta::days(32) => {
                // Both ends are part of it, as far as there are data.
                (start, (end + TimeDelta::seconds(1)).min(world.now))
            }
            _ => return Reply::error(400, &json!({"error": "Bad Request", "message": "start and end, 32 days at most"})),
        },
        "/v3/forecast" => match asked.param("horizon_hours").unwrap_or("24").parse() {
            Ok(hours @ 0..=72) => {
                let from = world.now.duration_trunc(step).expect("a step");
                (from, from + TimeDelta::hours(hours))
            }
            _ => return Reply::error(400, &json!({"error": "Bad Request", "message": "horizon_hours: 0 to 72"})),
        },
        _ => return Reply::not_found(),
    };
    let points = world.points(from, to, step, value).into_iter();
    let data: Vec<Value> = points.map(|(t, g)| json!({"point_time": World::text(t), "value": g * 1000.0 / POUND_G})).collect();
    let mut meta = json!({
        "data_point_period_seconds": 300, "region": world.name(region), "signal_type": signal, "units": "lbs_co2_per_mwh",
        "warnings": [], "model": {"date": "2025-10-01"},
    });
    if asked.path == "/v3/forecast" {
        meta["generated_at"] = json!(World::text(world.now));
        meta["generated_at_period_seconds"] = json!(300);
    }
    Reply::json(&json!({"data": data, "meta": meta}))
}

fn access() -> Reply {
    let region = |key: &str, name: &str| json!({"region": key, "region_full_name": name, "parent": "USA", "endpoints": []});
    Reply::json(&json!({"signal_types": [
        {"signal_type": "co2_moer", "regions": [region("CAISO_NORTH", "California ISO Northern"), region("PJM_DC", "PJM DC")]},
        {"signal_type": "co2_aoer", "regions": [region("PJM_DC", "PJM DC")]},
    ]}))
}
