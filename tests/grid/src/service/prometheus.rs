//! The HTTP API of Prometheus.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::World;

/// `/api/v1/query_range` about a few metrics: `roof_power_watts` (two inverters, one series with `sum`), `ceems_emissions_gCo2_kWh`,
/// `grid_renewable_ratio`, the last also `100 *`. Anything else that parses answers nothing.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    let number = |name: &str| asked.param(name).and_then(|text| text.parse::<f64>().ok());
    let (Some(query), Some(start), Some(end), Some(step)) =
        (asked.param("query"), number("start"), number("end"), number("step"))
    else {
        return refusal("invalid parameter");
    };
    if asked.path != "/api/v1/query_range" {
        return Reply::not_found();
    }
    if query.matches('(').count() != query.matches(')').count() {
        return refusal("1:5: parse error: unclosed left parenthesis");
    }
    if (end - start) / step > 11_000.0 {
        return refusal(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        );
    }
    let instant = |seconds: f64| DateTime::from_timestamp(seconds as i64, 0).expect("a time");
    // The end is part of it; nothing is known of the future.
    let to = instant(end).min(world.now) + TimeDelta::seconds(1);
    let series = |labels: Value, value: &dyn Fn(DateTime<Utc>) -> f64| {
        let points = world.points(instant(start), to, TimeDelta::seconds(step as i64), value);
        let values: Vec<Value> = points.into_iter().map(|(t, v)| json!([t.timestamp(), v.to_string()])).collect();
        if values.is_empty() { Vec::new() } else { vec![json!({"metric": labels, "values": values})] }
    };
    let roof = |part: f64| move |t| part * world.onsite_w("X", t);
    let result = match query {
        "sum(roof_power_watts)" => series(json!({}), &roof(1.0)),
        "roof_power_watts" => {
            let inverter = |name: &str, part: f64| series(json!({"__name__": query, "inverter": name}), &roof(part));
            [inverter("south", 0.7), inverter("west", 0.3)].concat()
        }
        "grid_renewable_ratio" => series(json!({"__name__": query}), &|t| world.share("X", t)),
        "100 * grid_renewable_ratio" => series(json!({}), &|t| 100.0 * world.share("X", t)),
        query if query.starts_with("ceems_emissions_gCo2_kWh") => {
            series(json!({"__name__": "ceems_emissions_gCo2_kWh", "country_code": "DE"}), &|t| world.intensity("X", t))
        }
        _ => Vec::new(),
    };
    Reply::json(&json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
}

fn refusal(words: &str) -> Reply {
    Reply::error(400, &json!({"status": "error", "errorType": "bad_data", "error": words}))
}
