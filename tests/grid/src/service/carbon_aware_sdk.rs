//! A WebApi of the carbon-aware-sdk.

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::World;

/// Not there yet.
pub fn answer(_asked: &Asked, _world: &World) -> Reply {
    Reply::not_found()
}
