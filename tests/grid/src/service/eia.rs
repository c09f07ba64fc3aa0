//! The U.S. Energy Information Administration, version 2.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::{Fuel, TOKEN, World};

/// The most rows of an answer.
const MOST: usize = 5_000;

/// `/v2/electricity/rto/fuel-type-data/{data,facet/respondent}/` with the key in the query: a day late, named by the hours'
/// ends, whole MWh, as strings.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    if asked.param("api_key") != Some(TOKEN) {
        let error = json!({"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied."});
        return Reply::error(403, &json!({"error": error}));
    }
    match asked.path.as_str() {
        "/v2/electricity/rto/fuel-type-data/data/" => data(asked, world),
        "/v2/electricity/rto/fuel-type-data/facet/respondent/" => Reply::json(&json!({"response": {"totalFacets": 2, "facets": [
            {"id": "CISO", "name": "California ISO", "alias": "[CISO]"}, {"id": "ERCO", "name": "ERCOT", "alias": "[ERCO]"}]}})),
        _ => Reply::not_found(),
    }
}

fn data(asked: &Asked, world: &World) -> Reply {
    let (Some(start), Some(end), Some(respondent)) =
        (hour(asked.param("start")), hour(asked.param("end")), asked.param("facets[respondent][]"))
    else {
        return Reply::error(400, &json!({"error": "Invalid parameter", "code": 400}));
    };
    if asked.param("frequency") != Some("hourly") || asked.param("data[0]") != Some("value") {
        return Reply::error(400, &json!({"error": "Invalid frequency or data", "code": 400}));
    }
    let an_hour = TimeDelta::hours(1);
    let until = (end + an_hour).min(world.now - TimeDelta::hours(23));
    let mut rows: Vec<(DateTime<Utc>, Value)> = Vec::new();
    for (code, name, fuels) in [
        ("COL", "Coal", &[Fuel::Coal][..]),
        ("NG", "Natural Gas", &[Fuel::Gas]),
        ("NUC", "Nuclear", &[Fuel::Nuclear]),
        ("OTH", "Other", &[Fuel::Biomass]),
        ("SUN", "Solar", &[Fuel::Solar]),
        ("WAT", "Hydro", &[Fuel::Hydro]),
        ("WND", "Wind", &[Fuel::Wind, Fuel::WindOffshore]),
    ] {
        let mwh = |t| fuels.iter().map(|&fuel| world.generation_mw(respondent, fuel, t - an_hour)).sum::<f64>();
        for (t, mwh) in world.points(start, until, an_hour, mwh) {
            rows.push((t, json!({
                "period": t.format("%Y-%m-%dT%H").to_string(), "respondent": world.name(respondent), "respondent-name": "Somebody",
                "fueltype": code, "type-name": name, "value": format!("{mwh:.0}"), "value-units": "megawatthours",
            })));
        }
    }
    rows.sort_by_key(|(t, _)| *t);
    let number = |name| asked.param(name).and_then(|text| text.parse().ok());
    let (offset, length) = (number("offset").unwrap_or(0), number("length").unwrap_or(MOST).min(MOST));
    let page: Vec<Value> = rows.iter().skip(offset).take(length).map(|(_, row)| row.clone()).collect();
    Reply::json(&json!({
        "response": {"total": rows.len().to_string(), "dateFormat": "YYYY-MM-DD\"T\"HH24", "frequency": "hourly", "data": page},
        "request": {"command": asked.path}, "apiVersion": "2.1.8",
    }))
}

fn hour(text: Option<&str>) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(&format!("{}:00", text?), "%Y-%m-%dT%H:%M").ok().map(|time| time.and_utc())
}
