//! A line of the ledger as sums need it: borrowed from the line's text, without what is not added up.
//!
//! Made for ledgers of a million lines: what is most of a line, its `steps`, is jumped over, and looked at only by who asks for it. What
//! else a line must have is the same as for a [`super::Record`].

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::{memchr, memmem};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Intensity, LevelUsed, Mark, Meter, RECORD_VERSION, range};
use crate::counterfactual::Stretch;
use crate::text::parser_message;

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
    #[serde(default)]
    pub grid: Vec<GridLine>,
    #[serde(borrow, default, rename = "steps")]
    steps_if_parsed: Option<&'a RawValue>,
    /// The steps' text, where it was jumped over.
    #[serde(skip)]
    steps: Option<&'a [u8]>,
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
                    if !range::SHARE.contains(&gpu.share) {
                        return Err(serde::de::Error::custom(format_args!(
                            "share: {:e}: out of range; expected 0 to 1",
                            gpu.share
                        )));
                    }
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

/// Where the steps begin. Within a JSON string a quotation mark has a backslash before it: what follows this comma is a key.
const STEPS: &[u8] = b",\"steps\":[";
static FIND_STEPS: LazyLock<memmem::Finder> = LazyLock::new(|| memmem::Finder::new(STEPS));

impl<'a> Line<'a> {
    /// Reads a line. `head` is a place for a part of it.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &'a [u8], head: &'a mut Vec<u8>) -> Result<Self, String> {
        let line = match Self::parse_around_steps(text, head) {
            Some(line) => line,
            None => serde_json::from_slice::<Self>(text).map_err(|error| parser_message(&error.to_string()))?,
        };
        if line.version > RECORD_VERSION {
            return Err(format!("version {} is newer than this program's {RECORD_VERSION}", line.version));
        }
        range::check_line(&line)?;
        Ok(line)
    }

    /// Reads a line that ends as CARM writes it, in `steps` and then perhaps `grid`; none where it is another, or wrong.
    fn parse_around_steps(text: &'a [u8], head: &'a mut Vec<u8>) -> Option<Self> {
        let at = FIND_STEPS.find(text)?;
        let open = at + STEPS.len() - 1;
        let close = open + memchr(b']', &text[open..])?;
        let rest = text[close + 1..].strip_suffix(b"}")?;
        head.clear();
        head.extend_from_slice(&text[..at]);
        head.push(b'}');
        // Checked once, not string by string.
        let mut line: Self = serde_json::from_str(std::str::from_utf8(head).ok()?).ok()?;
        if !rest.is_empty() {
            let grid = rest.strip_prefix(b",\"grid\":")?;
            line.grid = own_form(grid).or_else(|| serde_json::from_slice(grid).ok())?;
        }
        line.steps = Some(&text[open..=close]);
        Some(line)
    }

    /// The line's pieces; none where it has none, or they are unreadable or out of range.
    #[must_use]
    pub fn read_steps(&self) -> Vec<StepLine> {
        let parsed = self.steps_if_parsed.map(|steps| steps.get().as_bytes());
        let steps: Option<Vec<StepLine>> = self.steps.or(parsed).and_then(|steps| serde_json::from_slice(steps).ok());
        let is_in_range =
            |step: &StepLine| range::check_step(step.seconds, step.gpu_energy_j, step.carbon_g, (step.g_per_kwh, step.onsite_w));
        steps.filter(|steps| steps.iter().all(|step| is_in_range(step).is_ok())).unwrap_or_default()
    }
}

/// The grid in the form in which CARM writes it, or none: half the time of reading a million lines would go into it.
fn own_form(text: &[u8]) -> Option<Vec<GridLine>> {
    let mut grid = Vec::with_capacity(text.len() / 90);
    let mut rest = text.strip_prefix(b"[")?;
    loop {
        rest = rest.strip_prefix(b"{\"from\":\"")?;
        // A time has no escapes; behind any other text the next key is not where it should be.
        rest = &rest[memchr(b'"', rest)? + 1..];
        let mut step = GridLine { seconds: 0.0, g_per_kwh: 0.0, onsite_w: 0.0, estimated: false };
        (step.seconds, rest) = number(rest.strip_prefix(b",\"seconds\":")?)?;
        (step.g_per_kwh, rest) = number(rest.strip_prefix(b",\"g_per_kwh\":")?)?;
        (step.onsite_w, rest) = number(rest.strip_prefix(b",\"onsite_w\":")?)?;
        rest = rest.strip_prefix(b",\"estimated\":")?;
        step.estimated = rest.starts_with(b"true}");
        rest = rest.strip_prefix(b"true}").or_else(|| rest.strip_prefix(b"false}"))?;
        grid.push(step);
        match rest {
            b"]" => return Some(grid),
            [b',', next @ ..] => rest = next,
            _ => return None,
        }
    }
}

fn number(text: &[u8]) -> Option<(f64, &[u8])> {
    let end = text.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))?;
    let (digits, rest) = text.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = include_str!("../../tests/fixtures/ledger-v2.jsonl");

    #[test]
    fn a_line_is_the_same_whether_its_steps_are_jumped_over_or_not() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let jumped = Line::parse(V2.trim_end().as_bytes(), &mut a).expect("a line");
        assert!(jumped.steps.is_some());
        // A blank is enough to be another writer's.
        let other = V2.replace(",\"steps\":[", ", \"steps\": [");
        let parsed = Line::parse(other.as_bytes(), &mut b).expect("a line");
        assert!(parsed.steps.is_none());
        assert_eq!((jumped.read_steps(), &jumped.grid), (parsed.read_steps(), &parsed.grid));
        assert_eq!((jumped.read_steps().len(), jumped.grid.len()), (1, 1));
        assert_eq!((jumped.carbon_g, jumped.end), (parsed.carbon_g, parsed.end));
    }

    #[test]
    fn a_grid_in_carms_own_form_is_read_as_any_other() {
        let grid = r#"[{"from":"2026-04-30T20:00:00.000Z","seconds":7200.0,"g_per_kwh":300.25,"onsite_w":0.0,"estimated":true},{"from":"2026-04-30T22:00:00.000Z","seconds":1e3,"g_per_kwh":-2.5e-1,"onsite_w":50,"estimated":false}]"#;
        let own = own_form(grid.as_bytes()).expect("CARM's own form");
        assert_eq!(own, serde_json::from_str::<Vec<GridLine>>(grid).expect("JSON"));
        for other in [
            "[]",
            "[{}]",
            &grid.replace(",\"", ", \""),
            &grid.replace("7200.0", "x"),
            &grid[..grid.len() - 1],
            &grid.replace("20:00", "\\\""),
        ] {
            assert_eq!(own_form(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_name_that_looks_like_steps_is_a_name() {
        let name = "x,\\\"steps\\\":[]}";
        let line = V2.replace("\"train\"", &format!("\"{name}\""));
        let mut head = Vec::new();
        let line = Line::parse(line.as_bytes(), &mut head).expect("a line");
        assert_eq!(line.name.as_ref().map(Text::as_str), Some("x,\"steps\":[]}"));
        assert_eq!(line.read_steps().len(), 1);
    }

    #[test]
    fn what_is_torn_is_no_line() {
        for length in [10, 400, V2.find("\"steps\"").expect("steps") + 30, V2.trim_end().len() - 1] {
            assert!(Line::parse(&V2.as_bytes()[..length], &mut Vec::new()).is_err(), "{length}");
        }
    }
}
