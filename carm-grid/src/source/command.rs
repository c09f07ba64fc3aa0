//! A local command whose standard output is a trace: for meters and services that CARM does not know.
//!
//! It runs as the user that the zone names, never as root, in a process group of its own that is ended with it: in bounded
//! time, with bounded output, without the environment, and without a shell. What it prints is checked like any other trace.

mod run;

use std::path::Path;
use std::time::Duration;

use carm::config::Live;
use carm::grid::{Signal, Trace, TraceError};
use carm::request::printable;
use nix::unistd::{Uid, User};

use super::value::point;
use super::{Area, Ask, Point, Reading, Series, Source};
use crate::fault::Fault;
use crate::http::Http;
use run::{Bounds, Change};

/// The source.
pub struct Command;

/// How long it may take, and how much it may print.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(30), out_bytes: 16 << 20, err_bytes: 16 << 10 };

impl Source for Command {
    fn base_url(&self) -> Option<&'static str> {
        None
    }

    fn ask(&self, _: &Http, ask: &Ask) -> Result<Reading, Fault> {
        ask_within(ask, BOUNDS)
    }

    fn areas(&self, _: &Http, _: &Ask) -> Result<Vec<Area>, Fault> {
        Ok(Vec::new())
    }
}

fn ask_within(ask: &Ask, bounds: Bounds) -> Result<Reading, Fault> {
    let words = &ask.live.command;
    let name = printable(words.first().map_or("", String::as_str));
    let fault = |cause: String| Fault::Setup(format!("command '{name}': {cause}"));
    let account = account(ask.live, Uid::effective()).map_err(Fault::Setup)?;
    if !Path::new(&name).is_absolute() {
        return Err(fault("give its whole path; there is no search for it".to_owned()));
    }
    let output = run::run(words, &account, bounds).map_err(fault)?;
    let trace = Trace::parse(&output, Path::new("its output")).map_err(|error| match error {
        TraceError::Line { line, cause, .. } => fault(format!("its output, line {line}: {cause}")),
        other @ TraceError::Read { .. } => fault(other.to_string()),
    })?;
    let series = |signal: Option<Signal>| signal.map_or_else(Series::default, |signal| split(&signal, ask));
    Ok(Reading {
        carbon_g_per_kwh: series(trace.carbon_g_per_kwh),
        renewable_share: series(trace.renewable_share),
        onsite_w: series(trace.onsite_w),
        remarks: Vec::new(),
    })
}

/// Whom the command runs as. root may change to anybody but itself; anybody else can run it as itself alone.
fn account(live: &Live, mine: Uid) -> Result<Change, String> {
    let name = live.user.as_deref().unwrap_or_default();
    let shown = printable(name);
    let user = match User::from_name(name) {
        Ok(Some(user)) => user,
        Ok(None) => return Err(format!("user: '{shown}': this host knows no such user")),
        Err(error) => return Err(format!("user: '{shown}': {error}")),
    };
    if user.uid.is_root() {
        return Err(format!("user: '{shown}' is root by another name; name another user"));
    }
    let ids = match mine {
        mine if mine.is_root() => Some((user.uid.as_raw(), user.gid.as_raw())),
        mine if mine == user.uid => None,
        mine => {
            let own = User::from_uid(mine).ok().flatten().map_or_else(|| mine.to_string(), |user| user.name);
            return Err(format!(
                "user: '{shown}': carm-grid runs as {own}, and only root can run a command as somebody else; \
                 run carm-grid as root, or give user = \"{own}\""
            ));
        }
    };
    Ok(Change { ids, name: name.to_owned(), home: user.dir })
}

/// What has begun is past, the rest forecast; what was known already is left out.
fn split(signal: &Signal, ask: &Ask) -> Series {
    let steps = signal.steps();
    let ends = steps.iter().skip(1).map(|step| step.from).chain([signal.end()]);
    let mut series = Series::default();
    for (step, end) in steps.iter().zip(ends) {
        if end <= ask.since || step.from >= ask.until {
            continue;
        }
        let band = (step.low < step.high).then_some((step.low, step.high));
        let point = Point { band, ..point(step.from, end - step.from, step.value) };
        if step.from <= ask.now { series.observed.push(point) } else { series.forecast.push(point) }
    }
    series
}

#[cfg(test)]
mod tests;
