//! No service of the world's: the intensity as two lists, for tests of the server itself.

use chrono::TimeDelta;
use serde_json::json;

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::World;

/// `/?area=X`: a day back and a day ahead, hourly.
pub fn answer(asked: &Asked, world: &World) -> Reply {
    let area = asked.param("area").unwrap_or("X");
    let day = TimeDelta::days(1);
    let points = world.points(world.now - day, world.now + day, TimeDelta::hours(1), |t| world.intensity(area, t));
    let (times, values): (Vec<_>, Vec<_>) = points.into_iter().map(|(t, value)| (World::text(t), value)).unzip();
    Reply::json(&json!({"zone": world.name(area), "time": times, "value": values}))
}
