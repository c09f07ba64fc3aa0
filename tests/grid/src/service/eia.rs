//! The U.S. Energy Information Administration, version 2.

use crate::asked::Asked;
use crate::reply::Reply;
use crate::world::World;

/// Not there yet.
pub fn answer(_asked: &Asked, _world: &World) -> Reply {
    Reply::not_found()
}
