//! Which of the two carbon intensities a figure is made of: average or marginal.

use serde::{Deserialize, Serialize};

/// Which carbon intensity a figure is made of. The two are never added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intensity {
    /// Of all generation at the time.
    #[default]
    Average,
    /// Of the plants that answer one more watt.
    Marginal,
}

impl Intensity {
    /// Its word, as files and messages have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Marginal => "marginal",
        }
    }
}
