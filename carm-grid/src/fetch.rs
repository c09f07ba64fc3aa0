//! `carm-grid fetch`: asks every zone's source that is due, and leaves what it says in the cache.
//!
//! Where a source fails the last good data stay, and the fault is said once: again when it changes, or a day later. With
//! `--once` it ends after one round, as carm-grid.timer wants it; without, it goes on at the zones' intervals, for hosts
//! without systemd.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use carm::config::{Config, Live, Source, Zone};
use carm::grid::cache::{self, ZoneData};
use carm::quantity::{parse_duration, rough_duration};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::asking::{self, Question, address};
use crate::assemble::{Frame, assemble};
use crate::cli::{self, Setup};
use crate::exit::{A_ZONE_FAILED, A_ZONE_WITHOUT_DATA, Refusal, warn};
use crate::fault::Fault;
use crate::given::ages;
use crate::http::{self, Http};
use crate::state::{State, ZoneState, fingerprint, say};

/// CARM's own forecast goes this far past the planner's horizon: so long may fetching fail until plans see the end of it.
const BEYOND_HORIZON: TimeDelta = TimeDelta::days(3);
/// How much history a source is asked for where none is known.
const HISTORY: TimeDelta = TimeDelta::days(35);
/// Observations of the last two days are requested again: Great Britain and Electricity Maps revise them for a day and more.
const CORRECTED: TimeDelta = TimeDelta::hours(48);
/// A timer does not fire to the second.
const EARLY: Duration = Duration::from_secs(45);
/// A clock that is off by more than this puts values into the wrong step.
const CLOCK_OFF: TimeDelta = TimeDelta::seconds(60);

/// Its options.
pub fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Command::new("fetch")
        .about("Ask every zone's source, and leave what it says in the cache")
        .arg(flag("once", "End after one round; without, go on at the zones' intervals"))
        .arg(cli::zone_arg("This zone alone, whenever it was asked last; may be repeated"))
        .arg(flag("force", "Ask every zone, whenever it was asked last").conflicts_with("zone"))
        .arg(timeout_arg())
        .arg(flag("verbose", "Say of every zone what came; on a terminal it always does").short('v'))
        .after_help(AFTER_HELP)
}

const AFTER_HELP: &str = "\
A zone is asked once in its interval at most ([grid] interval, or the zone's own). What cannot be fetched
leaves the last good data in place; the fault is said when it begins or changes, and once a day.

Exit status: 0 all is well; 1 nothing could be done; 3 a source failed, and the data at hand are still young
enough ([grid] max_age); 4 a zone's data are too old, or there are none.
";

/// `--timeout`, of the verbs that ask services.
pub fn timeout_arg() -> Arg {
    Arg::new("timeout").long("timeout").value_name("DURATION").help("How long an answer may take [default: 30s]")
}

/// What `--timeout` says.
///
/// # Errors
/// It is no duration from 100 ms to 10 min.
pub fn timeout(found: &ArgMatches) -> Result<Duration, Refusal> {
    let Some(text) = found.get_one::<String>("timeout") else { return Ok(http::ANSWER) };
    let refuse = |cause: String| Refusal::new(format!("--timeout: '{}': {cause}", carm::request::printable(text)));
    match parse_duration(text) {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err(refuse("out of range; give 100ms to 10m".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// What the command line wants.
struct How {
    answer_within: Duration,
    /// Asked whenever they were asked last.
    at_once: bool,
    /// Somebody looks on: every fault is said, however often.
    by_hand: bool,
    /// What came is said, too.
    chatty: bool,
}

/// Fetches.
pub fn run(found: &ArgMatches) -> Result<ExitCode, Refusal> {
    let named = found.get_many::<String>("zone").is_some();
    let terminal = std::io::stderr().is_terminal();
    let how = How {
        answer_within: timeout(found)?,
        at_once: named || found.get_flag("force"),
        by_hand: named || terminal,
        chatty: terminal || found.get_flag("verbose"),
    };
    let setup = cli::setup(found)?;
    if found.get_flag("once") {
        return Ok(round(&setup, &setup.zones(found)?, &how)?.code());
    }
    go_on(found, setup, how)
}

/// Round after round, each with the configuration as it then is.
fn go_on(found: &ArgMatches, mut setup: Setup, mut how: How) -> Result<ExitCode, Refusal> {
    let shifted = setup.now - Utc::now();
    loop {
        let zones = setup.zones(found)?;
        if let Err(refusal) = round(&setup, &zones, &how) {
            // Another fetcher, a full disk: it may pass.
            let _ = refusal.report();
        }
        how.at_once = false;
        let live = zones.iter().filter_map(|zone| if let Source::Live(live) = &zone.source { Some(live) } else { None });
        let shortest = live.map(|live| interval(&setup.config, live)).min().unwrap_or(Duration::from_secs(900));
        std::thread::sleep(shortest);
        let now = Utc::now() + shifted;
        match cli::setup(found) {
            Ok(newer) if newer.zones(found).is_ok() => setup = newer,
            Ok(_) => warn("a zone that --zone names has left the configuration; going on with it as it was"),
            Err(refusal) => {
                let _ = refusal.report();
            }
        }
        setup.now = now;
    }
}

fn interval(config: &Config, live: &Live) -> Duration {
    Duration::from_secs_f64(live.interval_s.unwrap_or(config.grid.interval_s))
}

/// How a round went.
#[derive(Default)]
struct Outcome {
    failed: bool,
    without_data: bool,
}

impl Outcome {
    fn code(&self) -> ExitCode {
        match self {
            Self { without_data: true, .. } => ExitCode::from(A_ZONE_WITHOUT_DATA),
            Self { failed: true, .. } => ExitCode::from(A_ZONE_FAILED),
            _ => ExitCode::SUCCESS,
        }
    }
}

/// Asks what is due, writes what came, and says what is to be said.
fn round(setup: &Setup, zones: &[&Zone], how: &How) -> Result<Outcome, Refusal> {
    let (config, now) = (&setup.config, setup.now);
    let live: Vec<&Zone> = zones.iter().copied().filter(|zone| matches!(zone.source, Source::Live(_))).collect();
    if live.is_empty() {
        if how.chatty {
            warn("no zone of the configuration has a source to fetch from; docs/grid/ has a page for each");
        }
        return Ok(Outcome::default());
    }
    let state = State::open(&config.grid.cache_dir)?;
    let due: Vec<&Zone> = live.iter().copied().filter(|zone| how.at_once || is_due(config, zone, &state, now)).collect();
    if how.chatty && due.len() < live.len() {
        let left = live.len() - due.len();
        warn(format!("{left} of {} zones were asked less than their interval ago; --force asks them all the same", live.len()));
    }
    let http = Http::new().map_err(Refusal::new)?.within(how.answer_within).at(now);
    let questions = asking::interleaved(asking::questions(&due));
    let answers = asking::at_once(&questions, |question| fetched(&http, setup, question, &state));
    let mut told = Told { how, now, lines: Vec::new(), unkept: None };
    let mut failed = false;
    let mut answered: Vec<_> = questions.iter().zip(answers).collect();
    answered.sort_by_key(|(question, _)| due.iter().position(|zone| zone.name == question.zones[0].name));
    for (question, answers) in answered {
        for (zone, answer) in question.zones.iter().zip(answers) {
            failed |= answer.is_err();
            told.zone(config, zone, question, answer, &state);
        }
    }
    told.clock(&http, &state);
    told.say();
    let without_data = live.iter().any(|zone| !has_data(config, zone, now));
    Ok(Outcome { failed, without_data })
}

fn is_due(config: &Config, zone: &Zone, state: &State, now: DateTime<Utc>) -> bool {
    let Source::Live(live) = &zone.source else { return false };
    let known = state.of(&zone.name);
    let key = fingerprint(&asking::key(live, zone.intensity));
    // A zone with another configuration is another zone: neither its rest nor its interval holds.
    if known.requested_key.is_some_and(|requested| requested != key) {
        return true;
    }
    // The last request succeeded, but its data are gone or broken.
    if known.key == Some(key) && known.fault.is_none() && cache::read(&config.grid.cache_dir, &zone.name).is_err() {
        return true;
    }
    let interval = interval(config, live);
    let early = EARLY.min(interval / 10);
    // A clock that was put back must not keep a zone from being asked.
    let since = |then: DateTime<Utc>| (now - then).to_std().unwrap_or(Duration::MAX);
    let rested = known.asked.is_none_or(|asked| since(asked) + early >= interval);
    let awaited = known.not_before.is_some_and(|then| now < then && then - now < TimeDelta::days(1));
    rested && !awaited
}

fn has_data(config: &Config, zone: &Zone, now: DateTime<Utc>) -> bool {
    let data = cache::read(&config.grid.cache_dir, &zone.name);
    data.is_ok_and(|data| (now - data.fetched).as_seconds_f64() <= config.grid.max_age_s)
}

/// What is known of a zone from the same source, under the same keys.
fn earlier(config: &Config, zone: &Zone, question: &Question, state: &State) -> Option<ZoneData> {
    let key = fingerprint(&asking::key(question.live, question.intensity));
    let data = cache::read(&config.grid.cache_dir, &zone.name).ok()?;
    let same = state.of(&zone.name).key == Some(key)
        && data.intensity == question.intensity
        && data.source == question.live.service.name();
    same.then_some(data)
}

/// What is said of an answer that is in the cache.
struct Came {
    told: String,
    remarks: Vec<String>,
}

/// Asks one question and makes its answer into the data of its zones, in their files.
fn fetched(http: &Http, setup: &Setup, question: &Question, state: &State) -> Vec<Result<Came, Fault>> {
    let (config, now) = (&setup.config, setup.now);
    // The zone that knows least decides what is asked for.
    let known_until = |zone: &&Zone| earlier(config, zone, question, state).map(|data| data.observed_until);
    let since = question.zones.iter().map(|zone| known_until(zone).map_or(now - HISTORY, |until| until - CORRECTED)).min();
    let since = since.unwrap_or(now - HISTORY).clamp(now - HISTORY, now);
    let until = now + TimeDelta::milliseconds((config.planner.horizon_s * 1e3) as i64) + BEYOND_HORIZON;
    let reading = match asking::ask(http, question, now, since, until) {
        Ok(reading) => reading,
        Err(fault) => return question.zones.iter().map(|_| Err(fault.clone())).collect(),
    };
    let one = |zone: &&Zone| {
        let known = earlier(config, zone, question, state);
        let extend = matches!(&zone.source, Source::Live(live) if live.extend);
        let frame = Frame {
            zone: &zone.name,
            source: question.live.service.name(),
            intensity: question.intensity,
            now,
            until: extend.then_some(until),
        };
        let assembled =
            assemble(&reading, known.as_ref(), &frame).map_err(|cause| Fault::Answer { url: address(question.live), cause })?;
        cache::write(&config.grid.cache_dir, &assembled.data).map_err(|error| Fault::Setup(error.to_string()))?;
        Ok(Came { told: what_came(&assembled.data), remarks: assembled.remarks })
    };
    http.alone(|| question.zones.iter().map(one).collect())
}

/// What is said of a round.
struct Told<'a> {
    how: &'a How,
    now: DateTime<Utc>,
    /// What is said, and the zones that it is said of.
    lines: Vec<(Vec<String>, String)>,
    unkept: Option<std::io::Error>,
}

impl Told<'_> {
    fn zone(&mut self, config: &Config, zone: &Zone, question: &Question, answer: Result<Came, Fault>, state: &State) {
        let mut known = ZoneState { asked: Some(self.now), not_before: None, ..state.of(&zone.name) };
        let source = question.live.service.name();
        let key = fingerprint(&asking::key(question.live, question.intensity));
        known.requested_key = Some(key);
        let live = question.live;
        let area = format!("{source} {} {:?} {}", live.area, live.query, question.intensity.word());
        match answer {
            Ok(came) => {
                known.key = Some(key);
                known.fetched_area = Some(area);
                if let Some(fault) = known.fault.take() {
                    let lasted = rough_duration((self.now - fault.since).as_seconds_f64());
                    self.line(zone, format!("{source}: answers again, after {lasted}"));
                }
                let remark = came.remarks.join("; ");
                if remark.is_empty() {
                    known.remark = None;
                } else if say(&mut known.remark, &remark, self.now) || self.how.by_hand {
                    self.line(zone, format!("{source}: {remark}"));
                }
                if self.how.chatty {
                    self.line(zone, format!("{source}: {}", came.told));
                }
            }
            Err(fault) => {
                if known.fetched_area.as_ref().is_some_and(|fetched| *fetched != area) {
                    // Plans must not go on with another grid's data under this zone's name.
                    let _ = std::fs::remove_file(cache::path(&config.grid.cache_dir, &zone.name));
                    (known.key, known.fetched_area) = (None, None);
                    self.line(zone, format!("{source}: the data of the zone's earlier configuration are removed"));
                }
                let rest = fault.retry_after().and_then(|rest| TimeDelta::from_std(rest).ok());
                known.not_before = rest.map(|rest| self.now + rest.min(TimeDelta::days(1)));
                let fault = fault.to_string();
                if say(&mut known.fault, &fault, self.now) || self.how.by_hand {
                    self.line(zone, format!("{source}: {fault}; {}", at_hand(config, zone, self.now)));
                }
            }
        }
        if let Err(error) = state.keep(&zone.name, &known) {
            self.unkept = Some(error);
        }
    }

    fn line(&mut self, zone: &Zone, text: String) {
        match self.lines.iter_mut().find(|(_, known)| *known == text) {
            Some((zones, _)) => zones.push(zone.name.clone()),
            None => self.lines.push((vec![zone.name.clone()], text)),
        }
    }

    fn clock(&mut self, http: &Http, state: &State) {
        let Some(ahead) = http.ahead() else { return };
        let off = ahead.abs() > CLOCK_OFF;
        // In the state beside the zones': no zone has an empty name.
        let mut known = state.of("");
        let text = clock_off(ahead);
        if off && (say(&mut known.fault, &text, self.now) || self.how.by_hand) {
            warn(text);
        }
        if !off {
            known.fault = None;
        }
        let _ = state.keep("", &known);
    }

    fn say(self) {
        for (zones, text) in self.lines {
            match zones.as_slice() {
                [one] => warn(format!("zone '{one}': {text}")),
                [first, second] => warn(format!("zones '{first}' and '{second}': {text}")),
                [first, rest @ ..] => warn(format!("zone '{first}' and {} others: {text}", rest.len())),
                [] => {}
            }
        }
        if let Some(error) = self.unkept {
            warn(format!("remembering what was asked: {error}; the next fetch may ask too early"));
        }
    }
}

/// What is said of a clock that differs from the services'.
pub fn clock_off(ahead: TimeDelta) -> String {
    let (off, way) =
        (rough_duration(ahead.abs().as_seconds_f64()), if ahead > TimeDelta::zero() { "ahead of" } else { "behind" });
    format!(
        "this host's clock is {off} {way} the services' own; data and forecasts are dated by it: set it (timedatectl, chronyc tracking)"
    )
}

/// Whether a clock is so far off that it matters.
pub fn is_off(ahead: TimeDelta) -> bool {
    ahead.abs() > CLOCK_OFF
}

/// What plans go by while a source fails.
fn at_hand(config: &Config, zone: &Zone, now: DateTime<Utc>) -> String {
    match cache::read(&config.grid.cache_dir, &zone.name) {
        Ok(data) => {
            let ages = ages(data.fetched, data.observed_until, now);
            if (now - data.fetched).as_seconds_f64() <= config.grid.max_age_s {
                format!("plans go on with data {ages}")
            } else {
                format!("plans go on with data {ages}, past max_age, and mark them as estimated")
            }
        }
        Err(cache::CacheError::Absent { .. }) => "no data yet: plans use the typical day".to_owned(),
        Err(error) => format!("{error}: plans use the typical day"),
    }
}

/// What a zone's data hold, in a few words.
pub fn what_came(data: &ZoneData) -> String {
    let minute = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%MZ");
    let signals = [
        (data.carbon_g_per_kwh.as_ref(), format!("{} intensity", data.intensity.word())),
        (data.renewable_share.as_ref(), "renewable share".to_owned()),
        (data.onsite_w.as_ref(), "on-site power".to_owned()),
    ];
    let told = |(signal, name): (Option<&carm::grid::Signal>, String)| {
        let signal = signal?;
        // The last step that the source itself gave.
        let index = signal.steps().iter().rposition(|step| !step.estimated)?;
        let until = signal.steps().get(index + 1).map_or(signal.end(), |next| next.from);
        // The step of the present ends later than now and is no forecast.
        Some(if signal.steps().get(index)?.from > data.fetched {
            format!("{name} from {} with a forecast to {}", minute(signal.start()), minute(until))
        } else {
            format!("{name} from {} to {}", minute(signal.start()), minute(until))
        })
    };
    signals.into_iter().filter_map(told).collect::<Vec<_>>().join(", ")
}
