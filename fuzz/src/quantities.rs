//! Quantities and the carbon request: what a user writes in an option, and what a user could forge in a job's variables.

use std::collections::HashMap;

use carm::quantity::*;
use carm::request::{CarbonOption, CarbonRequest, JobName, OPTIONS, ProfileName, Workers, variables};

use super::{assert_message, select};

/// The first byte selects the parser.
pub fn run(data: &[u8]) {
    let Some((selector, rest)) = select(data) else { return };
    let text = String::from_utf8_lossy(rest);
    match selector % 8 {
        0 => mass(&text),
        1 => duration(&text),
        2 => slurm_time(&text),
        3 => instants(&text, selector),
        4 => names(&text),
        5 | 6 => options(&text, selector),
        _ => forged(&text),
    }
}

fn mass(text: &str) {
    match parse_mass(text) {
        Ok(g) => {
            assert!(g > 0.0 && g <= 1e12, "{g}");
            assert!(format_mass(g).is_ascii());
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

fn duration(text: &str) {
    match parse_duration(text) {
        Ok(s) => {
            assert!(s >= 0.0 && s.is_finite(), "{s}");
            assert!(format_duration(s).is_ascii());
        }
        Err(error) => assert_message(&error.to_string()),
    }
}

fn slurm_time(text: &str) {
    match parse_slurm_time(text) {
        Ok(SlurmTime::Seconds(s)) => assert_eq!(parse_slurm_time(&format_slurm_time(s)), Ok(SlurmTime::Seconds(s))),
        Ok(SlurmTime::Unlimited) => {}
        Err(error) => assert_message(&error.to_string()),
    }
}

/// A moment whose time zone skips every wall time if the selector says so.
fn with_moment<T>(selector: u8, f: impl FnOnce(&Moment) -> T) -> T {
    let now = parse_instant("2026-05-01T00:00:00Z").unwrap();
    let skips = selector & 0x80 != 0;
    f(&Moment { now, local: &|wall| (!skips).then(|| wall.and_utc()) })
}

fn instants(text: &str, selector: u8) {
    let found = [with_moment(selector, |m| parse_deadline(text, m)), parse_instant(text)];
    for instant in found {
        match instant {
            Ok(instant) => {
                // Written with milliseconds, read back to the millisecond.
                let written = format_instant(instant);
                let again = parse_instant(&written).expect("what CARM writes it reads");
                assert_eq!(again.timestamp_millis(), instant.timestamp_millis(), "{written}");
            }
            Err(error) => assert_message(&error.to_string()),
        }
    }
    if let Some(time) = parse_trace_time(text) {
        parse_instant(&format_instant(time)).expect("what CARM writes it reads");
    }
}

fn names(text: &str) {
    if let Ok(workers) = text.parse::<Workers>() {
        assert!(workers.counts().windows(2).all(|w| w[0] < w[1]));
        assert_eq!(workers.to_string().parse(), Ok(workers));
    }
    if let Ok(name) = text.parse::<ProfileName>() {
        assert_eq!(name.as_str(), text);
    }
    let name = JobName::new(text);
    assert_eq!(JobName::new(name.as_str()), name);
}

/// Lines of an option's number and its text, taken as the plugin takes them; what was accepted survives the way to the node.
fn options(text: &str, selector: u8) {
    let mut request = CarbonRequest::default();
    for line in text.lines() {
        let mut chars = line.chars();
        let Some(first) = chars.next() else { continue };
        let spec = &OPTIONS[first as usize % OPTIONS.len()];
        let value = chars.as_str();
        let before = request.clone();
        if let Err(error) = with_moment(selector, |m| request.set(spec.option, Some(value), m)) {
            assert_message(&error.to_string());
            assert_eq!(request, before, "a refused value changes nothing");
        }
    }
    survives(&request);
}

/// The request as the prolog reads it from what the plugin wrote: the same, but for an instant's fraction of a millisecond.
fn survives(request: &CarbonRequest) {
    let written: HashMap<_, _> = variables::write(request).into_iter().collect();
    assert_eq!(written.is_empty(), request.is_empty());
    // A name has at most 128 characters of 4 bytes, and `%E8` stands for one byte.
    let bound = |name: &str| if name == "CARM_NAME" { 128 * 4 * 3 } else { 256 };
    let is_plain = |text: &str| text.is_ascii() && !text.contains(|c: char| c.is_control());
    assert!(written.iter().all(|(name, text)| is_plain(text) && text.len() <= bound(name)), "{written:?}");
    let read = variables::read(|name| written.get(name).cloned()).expect("what CARM writes it reads").unwrap_or_default();
    let whole = |r: &CarbonRequest| {
        let millis = |instant: Option<chrono::DateTime<chrono::Utc>>| {
            instant.and_then(|i| chrono::DateTime::from_timestamp_millis(i.timestamp_millis()))
        };
        CarbonRequest { deadline: millis(r.deadline), asked: millis(r.asked), ..r.clone() }
    };
    assert_eq!(whole(&read), whole(request));
    assert_eq!(variables::write_arguments(&read), variables::write_arguments(request));
}

/// Lines of an option's number and its text, forged as variables: refused, or a request that the plugin could have written.
fn forged(text: &str) {
    let mut set: HashMap<&str, String> = HashMap::from([("CARM_V", "1".to_owned())]);
    for line in text.lines() {
        let mut chars = line.chars();
        let Some(first) = chars.next() else { continue };
        let name = OPTIONS.get(first as usize % (OPTIONS.len() + 1)).map_or("CARM_V", |spec| spec.variable);
        set.insert(name, chars.as_str().to_owned());
    }
    match variables::read(|name| set.get(name).cloned()) {
        Ok(Some(request)) => {
            survives(&request);
            assert_eq!(set.contains_key(CarbonOption::Off.spec().variable), request.off);
        }
        Ok(None) => panic!("CARM_V was set"),
        Err(error) => assert_message(&error.to_string()),
    }
}
