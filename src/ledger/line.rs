//! A line of the ledger as sums need it: borrowed from the line's text, without what is not added up.
//!
//! A million lines are read this way in the time in which a tenth of them become [`super::Record`]s. What a line must have is
//! the same; of `steps` only that they are JSON, until somebody asks for them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Intensity, LevelUsed, Mark, Meter, RECORD_VERSION};
use crate::counterfactual::Stretch;

/// Text that stays in the line where it has no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

/// A line.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `Record`, and documented there")]
pub struct Line<'a> {
    pub version: u32,
    #[serde(borrow)]
    pub cluster: Text<'a>,
    pub job: u32,
    pub run: u32,
    #[serde(borrow)]
    pub node: Text<'a>,
    pub uid: Option<u32>,
    #[serde(borrow)]
    pub user: Option<Text<'a>>,
    #[serde(borrow)]
    pub account: Option<Text<'a>>,
    #[serde(borrow)]
    pub partition: Option<Text<'a>>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub site: Option<Text<'a>>,
    #[serde(borrow)]
    pub start: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub since: Option<Text<'a>>,
    #[serde(borrow)]
    pub end: Text<'a>,
    #[serde(default = "yes")]
    pub closed: bool,
    #[serde(borrow, default)]
    pub asked: Option<Text<'a>>,
    #[serde(default)]
    pub work_done_s: Option<f64>,
    #[serde(default)]
    pub profile: Option<Levels>,
    #[serde(default)]
    pub modelled_gpu_energy_j: Option<f64>,
    pub gpus: Gpus,
    pub gpu_energy_j: f64,
    pub energy_kwh: f64,
    pub carbon_g: f64,
    #[serde(default)]
    pub intensity: Intensity,
    #[serde(default)]
    pub embodied_g: f64,
    pub host_watts: f64,
    pub pue: f64,
    pub estimated_share: f64,
    pub marks: Vec<Mark>,
    /// Not read until needed.
    #[serde(borrow, default)]
    pub steps: Option<&'a RawValue>,
    #[serde(default)]
    pub grid: Vec<GridLine>,
}

fn yes() -> bool {
    true
}

/// The levels of the line's profile.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Levels {
    /// The highest clock.
    pub full: LevelUsed,
    /// The clock of least energy per work.
    pub economical: LevelUsed,
}

/// A step of the grid without its time: each begins where the one before ends. The fields are those of `GridStep`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct GridLine {
    pub seconds: f64,
    pub g_per_kwh: f64,
    #[serde(default)]
    pub onsite_w: f64,
    #[serde(default)]
    pub estimated: bool,
}

impl From<GridLine> for Stretch {
    fn from(step: GridLine) -> Self {
        Self { seconds: step.seconds, g_per_kwh: step.g_per_kwh, onsite_w: step.onsite_w, estimated: step.estimated }
    }
}

/// A piece of the run without its time and clock. The fields are those of `Step`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct StepLine {
    pub seconds: f64,
    pub gpu_energy_j: f64,
    pub carbon_g: f64,
    pub g_per_kwh: f64,
    #[serde(default)]
    pub onsite_w: f64,
    #[serde(default)]
    pub estimated: bool,
}

/// The line's GPUs, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gpus {
    /// How many.
    pub count: u32,
    /// Their shares.
    pub shares: f64,
    /// Whether the energy of one of them is not known.
    pub lost: bool,
}

impl<'de> Deserialize<'de> for Gpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct One {
            meter: Meter,
            share: f64,
        }
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Gpus;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of GPUs")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Gpus, A::Error> {
                let mut sum = Gpus::default();
                while let Some(gpu) = list.next_element::<One>()? {
                    sum.count += 1;
                    sum.shares += gpu.share;
                    sum.lost |= gpu.meter == Meter::Lost;
                }
                Ok(sum)
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

impl<'a> Line<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &'a [u8]) -> Result<Self, String> {
        let line: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if line.version > RECORD_VERSION {
            return Err(format!("version {} is newer than this program's {RECORD_VERSION}", line.version));
        }
        Ok(line)
    }

    /// The line's pieces; none where it has none, or they are unreadable.
    #[must_use]
    pub fn read_steps(&self) -> Vec<StepLine> {
        self.steps.and_then(|steps| serde_json::from_str(steps.get()).ok()).unwrap_or_default()
    }
}
