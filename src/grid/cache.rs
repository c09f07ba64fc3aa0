//! What carm-grid leaves for everybody else: one file a zone in the cache folder, and the only writer and reader of it.
//!
//! A file is replaced whole, by rename, so that a reader sees the last good one or the next, never a part. Whoever reads it
//! trusts nothing: a file that is not what it should be is an error with its cause, and the caller plans with the next best.
//!
//! ```json
//! {"version": 1, "zone": "DE", "source": "electricity-maps", "intensity": "average",
//!  "fetched": "2026-05-01T12:00:03.000Z", "observed_until": "2026-05-01T12:00:00.000Z",
//!  "carbon_g_per_kwh": {"from": "2026-04-24T12:00:00.000Z", "at_s": [0, 3600, 7200], "end_s": 10800,
//!                       "value": [312, 305.5, 298], "low": [312, 305.5, 280], "high": [312, 305.5, 320],
//!                       "estimated": [[2, 3]]}}
//! ```
//! Each signal is a list of steps: `at_s` is a step's begin in seconds after `from`, its `value` holds to the next one's, the last
//! one's to `end_s`. `low` and `high` are the band, both or neither. `estimated` lists the ranges of steps (first, one past the last) that
//! the source did not give, `provisional` those that it marked as estimates of its own. `renewable_share` (0 to 1) and `onsite_w` (W) have the same form.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Intensity, Signal, Step};
use crate::files::{Folder, read_whole};
use crate::quantity::{format_instant, parse_instant};
use crate::request::printable;

/// The version of the files that are written.
pub const CACHE_VERSION: u32 = 1;

/// A larger file is none of carm-grid's: a year of five-minute steps with bands and three signals stays below it.
const MOST_BYTES: u64 = 32 << 20;
/// What a carbon intensity may be, g/kWh; above, a value is in another unit (see [`super::trace`]).
pub const CARBON_G_PER_KWH: std::ops::RangeInclusive<f64> = 0.0..=10_000.0;
/// What a renewable share may be.
pub const RENEWABLE_SHARE: std::ops::RangeInclusive<f64> = 0.0..=1.0;
/// What an on-site power may be, W.
pub const ONSITE_W: std::ops::RangeInclusive<f64> = 0.0..=1e12;

/// What is known of a zone.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneData {
    /// The zone, by its name in the configuration.
    pub zone: String,
    /// Where the data come from, by the configuration's word.
    pub source: String,
    /// Which intensity it is.
    pub intensity: Intensity,
    /// When the source last answered.
    pub fetched: DateTime<Utc>,
    /// Up to when the data are observations; what follows is forecast.
    pub observed_until: DateTime<Utc>,
    /// Carbon intensity of the grid, g/kWh.
    pub carbon_g_per_kwh: Option<Signal>,
    /// Renewable share of the grid's power, 0 to 1.
    pub renewable_share: Option<Signal>,
    /// On-site power, W.
    pub onsite_w: Option<Signal>,
}

/// A cache file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// There is none: nothing was fetched yet.
    #[error("{}: not there; run carm-grid fetch, or enable carm-grid.timer", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not what carm-grid writes.
    #[error("{}: {cause}; carm-grid fetch writes it anew", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

/// `S` is a signal's form to write, and its text to read: what a reader does not want is not looked at.
#[derive(Serialize, Deserialize)]
struct FileForm<S> {
    version: u32,
    zone: String,
    source: String,
    intensity: Intensity,
    fetched: String,
    observed_until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    carbon_g_per_kwh: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewable_share: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    onsite_w: Option<S>,
}

/// Which of a zone's signals a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All there are.
    All,
    /// What the grid emits: the carbon intensity, or the renewable share where there is none.
    Grid,
    /// On-site power.
    Onsite,
}

#[derive(Serialize, Deserialize)]
struct SignalForm {
    from: String,
    at_s: Vec<f64>,
    end_s: f64,
    value: Vec<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    low: Vec<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    high: Vec<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    estimated: Vec<(usize, usize)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provisional: Vec<(usize, usize)>,
}

/// The file of a zone: its name with every character that is no letter, digit, dash, dot or underscore as `%XX`.
#[must_use]
pub fn path(cache_dir: &Path, zone: &str) -> PathBuf {
    let mut name = String::new();
    for (index, byte) in zone.bytes().enumerate() {
        match byte {
            b'.' if index == 0 => name.push_str("%2E"),
            b'-' | b'_' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => name.push(byte as char),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    cache_dir.join(name + ".json")
}

/// Reads what is known of a zone.
///
/// # Errors
/// There is no file, it cannot be read, or it is not what [`write()`] writes: another version, another zone, values out of their
/// range, steps out of order.
pub fn read(cache_dir: &Path, zone: &str) -> Result<ZoneData, CacheError> {
    read_wanted(cache_dir, zone, Wanted::All)
}

/// Reads some of what is known of a zone; the rest is neither looked at nor given.
///
/// # Errors
/// As [`read`].
pub fn read_wanted(cache_dir: &Path, zone: &str, wanted: Wanted) -> Result<ZoneData, CacheError> {
    let path = path(cache_dir, zone);
    let io = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => CacheError::Absent { path: path.clone() },
        // No regular file, a link, another user's: the next fetch puts its own in place.
        std::io::ErrorKind::Other | std::io::ErrorKind::FileTooLarge => {
            CacheError::Broken { path: path.clone(), cause: cause.to_string() }
        }
        _ => CacheError::Io { path: path.clone(), cause },
    };
    let name = path.file_name().unwrap_or_default();
    let bytes = Folder::open(cache_dir).and_then(|folder| read_whole(folder.file(name)?, MOST_BYTES)).map_err(io)?;
    let data = parse_wanted(&bytes, wanted).and_then(|data| {
        if data.zone == zone { Ok(data) } else { Err(format!("of zone '{}', not '{}'", printable(&data.zone), printable(zone))) }
    });
    data.map_err(|cause| CacheError::Broken { path, cause })
}

/// Reads a cache file's text; the error is the cause alone.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8]) -> Result<ZoneData, String> {
    parse_wanted(bytes, Wanted::All)
}

fn parse_wanted(bytes: &[u8], wanted: Wanted) -> Result<ZoneData, String> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("larger than {} MiB", MOST_BYTES >> 20));
    }
    let broken = |error: serde_json::Error| format!("not a cache file: {}", printable(&error.to_string()));
    // The text's encoding is looked at once, and not again in every signal.
    let text = std::str::from_utf8(bytes).map_err(|_| "not a cache file: no UTF-8".to_owned())?;
    let form: FileForm<&RawValue> = serde_json::from_str(text).map_err(broken)?;
    if form.version != CACHE_VERSION {
        return Err(format!("of version {}, and this release reads version {CACHE_VERSION}", form.version));
    }
    let instant = |text: &str| parse_instant(text).map_err(|error| format!("time '{}': {error}", printable(text)));
    let signal = |name: &str, text: Option<&RawValue>, is_wanted: bool, range| {
        let Some(text) = text.filter(|_| is_wanted) else { return Ok(None) };
        let form: SignalForm = serde_json::from_str(text.get()).map_err(broken)?;
        signal(&form, range).map(Some).map_err(|cause| format!("{name}: {cause}"))
    };
    let (grid, all) = (wanted != Wanted::Onsite, wanted == Wanted::All);
    let share = all || grid && form.carbon_g_per_kwh.is_none();
    Ok(ZoneData {
        fetched: instant(&form.fetched)?,
        observed_until: instant(&form.observed_until)?,
        carbon_g_per_kwh: signal("carbon_g_per_kwh", form.carbon_g_per_kwh, grid, CARBON_G_PER_KWH)?,
        renewable_share: signal("renewable_share", form.renewable_share, share, RENEWABLE_SHARE)?,
        onsite_w: signal("onsite_w", form.onsite_w, wanted != Wanted::Grid, ONSITE_W)?,
        zone: form.zone,
        source: form.source,
        intensity: form.intensity,
    })
}

fn signal(form: &SignalForm, range: std::ops::RangeInclusive<f64>) -> Result<Signal, String> {
    let count = form.value.len();
    let banded = !form.low.is_empty() || !form.high.is_empty();
    if form.at_s.len() != count || banded && (form.low.len() != count || form.high.len() != count) {
        return Err("its lists differ in length".to_owned());
    }
    let from = parse_instant(&form.from).map_err(|error| format!("time '{}': {error}", printable(&form.from)))?;
    let instant = |seconds: f64| -> Result<DateTime<Utc>, String> {
        let whole = (seconds * 1e3).round();
        // Ten years: beyond is no data of a grid, and i64 could not hold all that f64 can.
        let delta = (0.0..=3.2e11).contains(&whole).then(|| TimeDelta::milliseconds(whole as i64));
        delta.and_then(|delta| from.checked_add_signed(delta)).ok_or_else(|| format!("{seconds} s: out of range"))
    };
    let mut steps = Vec::with_capacity(count);
    for (index, (&at_s, &value)) in form.at_s.iter().zip(&form.value).enumerate() {
        let (low, high) = if banded { (form.low[index], form.high[index]) } else { (value, value) };
        if !range.contains(&value) || !range.contains(&low) || !range.contains(&high) || low > value || high < value {
            return Err(format!("step {index}: {value} ({low} to {high}): out of range"));
        }
        steps.push(Step { low, high, ..Step::exact(instant(at_s)?, value) });
    }
    mark(&mut steps, &form.estimated, |step| step.estimated = true)?;
    mark(&mut steps, &form.provisional, |step| step.provisional = true)?;
    Signal::new(steps, instant(form.end_s)?).ok_or_else(|| "no steps, or steps out of order".to_owned())
}

/// Marks ranges of steps.
fn mark(steps: &mut [Step], ranges: &[(usize, usize)], set: fn(&mut Step)) -> Result<(), String> {
    let (count, mut marked) = (steps.len(), 0);
    for &(first, past) in ranges {
        // Rising: a file of ranges that all cover all steps would take hours.
        if first < marked {
            return Err(format!("steps {first} to {past}: marked twice, or out of order"));
        }
        let range = steps.get_mut(first..past).ok_or_else(|| format!("steps {first} to {past}: there are {count}"))?;
        range.iter_mut().for_each(set);
        marked = past;
    }
    Ok(())
}

/// The ranges of marked steps.
fn ranges(steps: &[Step], is_marked: fn(&Step) -> bool) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (index, _) in steps.iter().enumerate().filter(|(_, step)| is_marked(step)) {
        match ranges.last_mut() {
            Some(range) if range.1 == index => range.1 = index + 1,
            _ => ranges.push((index, index + 1)),
        }
    }
    ranges
}

/// A value to a millionth: nobody knows a grid better, and short numbers are read twice as fast.
fn short(value: f64) -> f64 {
    // Of larger ones f64 does not know the millionth.
    if value.abs() < 1e9 { (value * 1e6).round() / 1e6 } else { value.round() }
}

fn form(signal: &Signal) -> SignalForm {
    let seconds = |instant: DateTime<Utc>| (instant - signal.start()).num_milliseconds() as f64 / 1e3;
    let banded = signal.has_band();
    let edge = |edge: fn(&Step) -> f64| if banded { signal.steps().iter().map(edge).map(short).collect() } else { Vec::new() };
    SignalForm {
        from: format_instant(signal.start()),
        at_s: signal.steps().iter().map(|step| seconds(step.from)).collect(),
        end_s: seconds(signal.end()),
        value: signal.steps().iter().map(|step| short(step.value)).collect(),
        low: edge(|step| step.low),
        high: edge(|step| step.high),
        estimated: ranges(signal.steps(), |step| step.estimated),
        provisional: ranges(signal.steps(), |step| step.provisional),
    }
}

/// The text of a zone's file, as [`parse`] reads it.
///
/// # Errors
/// It cannot be written as JSON: the cause.
pub fn text(data: &ZoneData) -> Result<Vec<u8>, String> {
    let form = FileForm {
        version: CACHE_VERSION,
        zone: data.zone.clone(),
        source: data.source.clone(),
        intensity: data.intensity,
        fetched: format_instant(data.fetched),
        observed_until: format_instant(data.observed_until),
        carbon_g_per_kwh: data.carbon_g_per_kwh.as_ref().map(form),
        renewable_share: data.renewable_share.as_ref().map(form),
        onsite_w: data.onsite_w.as_ref().map(form),
    };
    serde_json::to_vec(&form).map_err(|error| error.to_string())
}

/// Writes what is known of a zone in place of its file: whole or not at all, readable by everybody.
///
/// # Errors
/// The folder cannot be made or the file not written; the last good one stays.
pub fn write(cache_dir: &Path, data: &ZoneData) -> Result<PathBuf, CacheError> {
    let path = path(cache_dir, &data.zone);
    let io = |cause| CacheError::Io { path: path.clone(), cause };
    let text = text(data).map_err(|cause| CacheError::Broken { path: path.clone(), cause })?;
    let unfinished = path.with_extension(format!("json.{}", std::process::id()));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let folder = Folder::open_or_make(cache_dir, 0o755).map_err(io)?;
    // 644: users plan with this file.
    folder.replace(&name(&path), &name(&unfinished), &text, 0o644).map_err(io)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn data() -> ZoneData {
        let from = parse_instant("2026-05-01T00:00:00Z").expect("a time");
        let mut steps: Vec<Step> = (0..4).map(|i| Step::exact(from + TimeDelta::minutes(30 * i), 100.0 + i as f64)).collect();
        steps[0].provisional = true;
        steps[2] = Step { low: 90.0, high: 120.5, ..Step::estimate(steps[2].from, 102.0) };
        ZoneData {
            zone: "DE".into(),
            source: "electricity-maps".into(),
            intensity: Intensity::Marginal,
            fetched: from + TimeDelta::minutes(65),
            observed_until: from + TimeDelta::hours(1),
            carbon_g_per_kwh: Signal::new(steps, from + TimeDelta::hours(2)),
            renewable_share: None,
            onsite_w: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = write(folder.path(), &data()).expect("written");
        assert_eq!(path, folder.path().join("DE.json"));
        assert_eq!(read(folder.path(), "DE").expect("read"), data());
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn a_zones_name_never_leaves_the_folder() {
        let dir = Path::new("/c");
        assert_eq!(path(dir, "US-CAL-CISO"), Path::new("/c/US-CAL-CISO.json"));
        assert_eq!(path(dir, "../etc/x"), Path::new("/c/%2E.%2Fetc%2Fx.json"));
        assert_eq!(path(dir, "São"), Path::new("/c/S%C3%A3o.json"));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_named_with_its_cause() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(read(folder.path(), "DE"), Err(CacheError::Absent { .. })));
        let path = write(folder.path(), &data()).expect("written");
        let good = std::fs::read_to_string(&path).expect("text");
        for (from, to, cause) in [
            ("\"version\":1", "\"version\":2", "of version 2, and this release reads version 1"),
            ("\"zone\":\"DE\"", "\"zone\":\"FR\"", "of zone 'FR', not 'DE'"),
            ("101.0", "101e9", "carbon_g_per_kwh: step 1: 101000000000 (101 to 101): out of range"),
            ("1800.0", "0.0", "carbon_g_per_kwh: no steps, or steps out of order"),
            ("[[2,3]]", "[[2,9]]", "carbon_g_per_kwh: steps 2 to 9: there are 4"),
            ("[[2,3]]", "[[2,3],[0,4]]", "carbon_g_per_kwh: steps 0 to 4: marked twice, or out of order"),
            ("\"marginal\"", "\"mar\\u001b[2Jginal\"", "not a cache file: unknown variant `mar"),
            ("7200.0", "1e300", "out of range"),
            ("\"end_s\"", "\"end\"", "not a cache file: missing field `end_s`"),
        ] {
            assert!(good.contains(from), "{from}: {good}");
            std::fs::write(&path, good.replacen(from, to, 1)).expect("written");
            let error = read(folder.path(), "DE").expect_err(cause).to_string();
            assert!(error.contains(cause), "{error}");
            assert!(error.ends_with("; carm-grid fetch writes it anew"), "{error}");
        }
    }

    proptest! {
        /// A file that was damaged anywhere is refused in one line, or what it holds is in range: never a panic.
        #[test]
        fn a_damaged_file_is_refused_or_still_in_range(at in 0_usize..2_000, with in prop::collection::vec(any::<u8>(), 0..6)) {
            let mut bytes = text(&data()).expect("text");
            let at = at % bytes.len();
            let past = (at + with.len()).min(bytes.len());
            bytes.splice(at..past, with);
            match parse(&bytes) {
                Err(cause) => prop_assert!(!cause.contains(char::is_control), "{cause:?}"),
                Ok(data) => {
                    let signal = data.carbon_g_per_kwh.iter().flat_map(|signal| signal.steps());
                    prop_assert!(signal.clone().all(|step| CARBON_G_PER_KWH.contains(&step.low) && step.low <= step.high));
                    prop_assert!(signal.clone().zip(signal.skip(1)).all(|(one, next)| one.from < next.from));
                }
            }
        }
    }
}
