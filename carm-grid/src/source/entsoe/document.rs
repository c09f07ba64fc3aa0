//! The platform's XML (IEC 62325-451-6, `GL_MarketDocument`, and `Acknowledgement_MarketDocument` where it has no data).
//!
//! A series is a list of periods, each with a begin, a resolution and numbered points. In a curve of type A03 a point that is
//! not there has the value of the one before it, up to the period's end; in one of type A01 it is a gap.

use carm::quantity::parse_trace_time;
use carm::request::printable;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use crate::fault::Fault;
use crate::http::Answer;
use crate::source::value::AtMost;

/// The longest period that is read.
const LONGEST: TimeDelta = TimeDelta::days(400);

/// Ten days of quarter hours of twenty-five types, generated and used, are 48,000 values. A curve of type A03 has a value for each
/// position of its period, however few stand in the document.
const MOST_VALUES: usize = 50_000;

/// What a document says.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// Data.
    Curves(Vec<Curve>),
    /// That there are none, and in which words.
    Nothing(String),
}

/// Power of one type of production over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The type, such as B16; empty where the document is not by type.
    pub psr: String,
    /// What is generated, and not what storage or the plant itself uses.
    pub is_generation: bool,
    /// How long each value holds.
    pub step: TimeDelta,
    /// The values by their begin, MW.
    pub values: Vec<(DateTime<Utc>, f64)>,
    /// The end of the last value that stands in the document; later ones repeat it.
    pub given_until: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
enum Root {
    #[serde(rename = "GL_MarketDocument")]
    Data(Document),
    #[serde(rename = "Acknowledgement_MarketDocument")]
    Nothing(Acknowledgement),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "TimeSeries", default)]
    series: AtMost<Series, 1_000>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(rename = "inBiddingZone_Domain.mRID")]
    produces_in: Option<Text>,
    #[serde(rename = "outBiddingZone_Domain.mRID")]
    uses_in: Option<Text>,
    #[serde(rename = "quantity_Measure_Unit.name")]
    unit: Option<Text>,
    #[serde(rename = "curveType")]
    curve: Option<Text>,
    #[serde(rename = "MktPSRType")]
    psr: Option<Psr>,
    #[serde(rename = "Period", default)]
    periods: AtMost<Period, 1_000>,
}

#[derive(Deserialize)]
struct Psr {
    #[serde(rename = "psrType")]
    code: Text,
}

#[derive(Deserialize)]
struct Period {
    #[serde(rename = "timeInterval")]
    interval: Interval,
    resolution: Text,
    #[serde(rename = "Point", default)]
    points: AtMost<PointForm, MOST_VALUES>,
}

#[derive(Deserialize)]
struct Interval {
    start: Text,
    end: Text,
}

#[derive(Deserialize)]
struct PointForm {
    position: Text,
    quantity: Option<Text>,
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(rename = "Reason", default)]
    reasons: AtMost<Reason, 20>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: Text,
    #[serde(default)]
    text: Text,
}

/// An element's text, whatever attributes it has.
#[derive(Deserialize, Default)]
struct Text {
    #[serde(rename = "$text", default)]
    text: String,
}

/// Whether a refusal's words mean that there are no data.
pub fn is_no_data(words: &str) -> bool {
    words.to_lowercase().contains("no matching data")
}

/// Reads a document about an area; another's is refused.
pub fn read(answer: &Answer, eic: &str) -> Result<Said, Fault> {
    let text = std::str::from_utf8(&answer.body).map_err(|_| answer.wrong("not UTF-8 text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root: Root = quick_xml::de::from_str(text).map_err(|error| {
        let start: String = text.trim().chars().take(60).collect();
        answer.wrong(format!("no document of the platform ({}); begins '{}'", printable(&error.to_string()), printable(&start)))
    })?;
    match root {
        Root::Data(document) => {
            let (mut curves, mut room) = (Vec::new(), MOST_VALUES);
            for series in &document.series.0 {
                curves.extend(series.curves(eic, &mut room).map_err(|cause| answer.wrong(cause))?);
            }
            if curves.iter().all(|curve| curve.values.is_empty()) {
                return Ok(Said::Nothing("a document without a value".to_owned()));
            }
            Ok(Said::Curves(curves))
        }
        Root::Nothing(acknowledgement) => {
            let reason = acknowledgement.reasons.0.into_iter().next();
            let (code, text) = reason.map_or_else(Default::default, |reason| (reason.code.text, reason.text.text));
            let said: String = printable(text.trim()).chars().take(200).collect();
            // 999 is the code of other refusals too.
            if code.trim() == "999" && is_no_data(&text) {
                return Ok(Said::Nothing(said));
            }
            Err(answer.wrong(format!("refused with code {}: '{said}'", printable(code.trim()))))
        }
    }
}

impl Series {
    /// Its periods, each as a curve; they take of the `room` for values.
    fn curves(&self, eic: &str, room: &mut usize) -> Result<Vec<Curve>, String> {
        let is_generation = self.uses_in.is_none();
        let area = self.produces_in.as_ref().or(self.uses_in.as_ref()).map(|area| area.text.trim());
        match area {
            Some(area) if area == eic => {}
            Some(area) => return Err(format!("is of area '{}', not '{eic}'", printable(area))),
            None => return Err(format!("does not say that it is of area '{eic}'")),
        }
        match self.unit.as_ref().map(|unit| unit.text.trim()) {
            Some("MAW") => {}
            unit => return Err(format!("is in unit '{}', not in MAW (megawatts)", printable(unit.unwrap_or_default()))),
        }
        let repeats = match self.curve.as_ref().map(|curve| curve.text.trim()) {
            None | Some("A01") => false,
            Some("A03") => true,
            Some(other) => return Err(format!("curveType '{}' is neither A01 nor A03", printable(other))),
        };
        let psr = self.psr.as_ref().map_or("", |psr| psr.code.text.trim());
        let mut curve = |period: &Period| {
            let Values { step, values, given_until } = period.values(repeats)?;
            let left = room.checked_sub(values.len());
            *room = left.ok_or_else(|| format!("more than {MOST_VALUES} values; look at area"))?;
            Ok(Curve { psr: psr.to_owned(), is_generation, step, values, given_until })
        };
        self.periods.0.iter().map(&mut curve).collect()
    }
}

/// What a period says: see [`Curve`].
struct Values {
    step: TimeDelta,
    values: Vec<(DateTime<Utc>, f64)>,
    given_until: Option<DateTime<Utc>>,
}

impl Period {
    fn values(&self, repeats: bool) -> Result<Values, String> {
        let resolution = self.resolution.text.trim();
        let step = match resolution {
            "PT15M" => TimeDelta::minutes(15),
            "PT30M" => TimeDelta::minutes(30),
            "PT60M" => TimeDelta::hours(1),
            other => return Err(format!("resolution '{}' is none of PT15M, PT30M, PT60M", printable(other))),
        };
        let time = |text: &Text| {
            let text = text.text.trim();
            parse_trace_time(text).ok_or_else(|| format!("'{}' is no time with its zone", printable(text)))
        };
        let (start, end) = (time(&self.interval.start)?, time(&self.interval.end)?);
        if end <= start || end - start > LONGEST {
            return Err(format!("period from {start} to {end}: of no length that it can have"));
        }
        let count = ((end - start).num_seconds() / step.num_seconds()) as usize;
        let mut given = vec![None; count];
        for point in &self.points.0 {
            let position = point.position.text.trim();
            let index =
                position.parse::<usize>().ok().and_then(|position| position.checked_sub(1)).filter(|&index| index < count);
            let index = index.ok_or_else(|| format!("position '{}' is none of 1 to {count}", printable(position)))?;
            let text = point.quantity.as_ref().map_or("", |quantity| quantity.text.trim());
            // No number is an impossible value: its step becomes a gap.
            given[index] = Some(text.parse().unwrap_or(f64::NAN));
        }
        let given_until = given.iter().rposition(Option::is_some).map(|last| start + step * (last as i32 + 1));
        let mut values = Vec::new();
        let (mut from, mut last) = (start, None);
        for mw in given {
            last = mw.or(if repeats { last } else { None });
            values.extend(last.map(|mw| (from, mw)));
            from += step;
        }
        Ok(Values { step, values, given_until })
    }
}
