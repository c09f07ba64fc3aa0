//! What was possible for all jobs together: the bound that knows how many GPUs there are.
//!
//! No policy that does all the work, by the ends that [`instance`] allows, emits less: jobs may pause, move and change their clock for nothing
//! and the future is known, but they share GPUs and roof. So it lies between the sum of the jobs' own limits ([`crate::bound`]) and any policy.
//!
//! - [`prices`] is the way without a solver: a bound from below, in the default build;
//! - `linear_program` is the exact optimum by HiGHS: the check of the former, in a build with the feature `bounds`.

pub mod instance;
#[cfg(feature = "bounds")]
pub mod linear_program;
pub mod prices;
pub mod way;

pub use instance::Instance;

use crate::world::World;

/// The bound cannot be worked out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CapacityError {
    /// HiGHS is not built in.
    #[error(
        "'highs': this carm-sim has no HiGHS; build it with cargo build -p carm-sim --features bounds, or give --bounds=prices"
    )]
    NoSolver,
    /// The linear program is too large.
    #[error(
        "the linear program has {columns} columns, more than {most}; give --bounds=prices, a shorter length in [time], or a smaller sample in [jobs]"
    )]
    TooLarge {
        /// Its columns.
        columns: usize,
        /// What is allowed.
        most: usize,
    },
    /// HiGHS found no optimum.
    #[error("HiGHS ended without an optimum: {0}; give --bounds=prices")]
    Unsolved(String),
}

/// How the bound is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// By Lagrange prices.
    Prices,
    /// By HiGHS.
    Highs,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Prices, Self::Highs];

    /// As the command line and results have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prices => "prices",
            Self::Highs => "highs",
        }
    }

    /// The engine of a name; another name than these is the prices'.
    ///
    /// # Errors
    /// It is not built in.
    pub fn named(name: &str) -> Result<Self, CapacityError> {
        match name {
            "highs" if cfg!(feature = "bounds") => Ok(Self::Highs),
            "highs" => Err(CapacityError::NoSolver),
            _ => Ok(Self::Prices),
        }
    }

    /// The least facility carbon of an episode, g.
    ///
    /// # Errors
    /// It is not built in, the episode is too large for it, or it ends without an optimum.
    pub fn least_g(self, world: &World) -> Result<f64, CapacityError> {
        let instance = Instance::of(world);
        match self {
            Self::Prices => Ok(prices::least_g(&instance, prices::rounds(&instance))),
            #[cfg(feature = "bounds")]
            Self::Highs => linear_program::least_g(&instance),
            #[cfg(not(feature = "bounds"))]
            Self::Highs => Err(CapacityError::NoSolver),
        }
    }
}
