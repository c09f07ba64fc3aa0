//! A loopback server that answers as the services do that carm-grid asks: each below a path of its own
//! (`http://127.0.0.1:PORT/electricity-maps`), in the service's documented shape, about one made-up grid ([`World`]) that is
//! known at every instant. On demand it fails as services fail ([`Trouble`]).
//!
//! ```no_run
//! let server = grid_standin::Server::start();
//! server.trouble("zone=FR", grid_standin::Trouble::Status { status: 429, retry_after: Some(1) });
//! let base_url = server.url("electricity-maps");
//! ```
//!
//! Written for this project from the services' documentation; no answer of theirs is in it.

mod asked;
mod reply;
mod server;
pub mod service;
mod trouble;
mod world;

pub use asked::Asked;
pub use reply::Reply;
pub use server::{Seen, Server};
pub use trouble::Trouble;
pub use world::{Fuel, PASSWORD, TOKEN, USER, World};
