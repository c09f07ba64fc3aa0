//! `carm-grid check`: whether each zone's source works, and what to do where it does not. Asks every source once, whenever it
//! was asked last, and writes nothing.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command as Process, ExitCode, Stdio};

use carm::config::{Service, Source, Zone};
use carm::grid::cache;
use carm::quantity::rough_duration;
use carm::site::Outlook;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgMatches, Command};

use crate::asking::{self, Question, address};
use crate::assemble::{Frame, assemble};
use crate::cli::{self, Setup};
use crate::exit::{A_ZONE_FAILED, A_ZONE_WITHOUT_DATA, Refusal, show, width};
use crate::fetch;
use crate::given;
use crate::http::Http;
use crate::wrap::wrapped;

/// Its options.
pub fn command() -> Command {
    Command::new("check")
        .about("Tell whether each zone's source works, and what to do where it does not")
        .arg(cli::zone_arg("This zone alone; may be repeated"))
        .arg(fetch::timeout_arg())
        .after_help(AFTER_HELP)
}

const AFTER_HELP: &str = "\
Run it as the user that fetches, for whom the tokens are: sudo -u carm carm-grid check. It asks every source once.

Exit status: 0 all is well; 3 something is not; 4 a zone has no data that are young enough.
";

/// Past that `check` requests. EIA publishes more than a day late, so one day can be empty.
const REQUESTED_PAST: TimeDelta = TimeDelta::days(3);

/// Age of the newest observation from which a note is due. No service promises a delay, so the limits are a judgement: three
/// times what is usual. EIA-930 is a day late as a rule. The slowest of the others, ENTSO-E's small areas, are some hours
/// late; a night without news at 12 h is worth a look, and an hour's hiccup is not.
fn late_after(service: Service) -> TimeDelta {
    match service {
        Service::Eia => TimeDelta::days(3),
        _ => TimeDelta::hours(12),
    }
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Not as it should be; plans are still good.
    Odd,
    /// A source or the fetching does not work.
    Fails,
    /// Plans have no good data.
    NoData,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Odd => "note",
            Self::Fails => "FAILS",
            Self::NoData => "NO DATA",
        }
    }
}

/// A line: what it is about, how that stands, and why.
struct Line {
    about: String,
    verdict: Verdict,
    text: String,
}

/// Looks at everything.
pub fn run(found: &ArgMatches) -> Result<ExitCode, Refusal> {
    let setup = cli::setup(found)?;
    let zones = setup.zones(found)?;
    let http = Http::new().map_err(Refusal::new)?.within(fetch::timeout(found)?).at(setup.now);
    let live: Vec<&Zone> = zones.iter().copied().filter(|zone| matches!(zone.source, Source::Live(_))).collect();
    let questions = asking::interleaved(asking::questions(&live));
    let answers = asking::at_once(&questions, |question| answer(&http, &setup, question));
    let mut lines = Vec::new();
    for zone in &zones {
        let answer =
            questions.iter().zip(&answers).find(|(question, _)| question.zones.iter().any(|known| known.name == zone.name));
        lines.push(match answer {
            Some((question, (verdict, text))) => {
                let about = format!("zone {}", zone.name);
                Line { about, verdict: *verdict, text: format!("{}: {text}", question.live.service.name()) }
            }
            None => not_fetched(zone),
        });
    }
    lines.extend(live.iter().map(|zone| cached(&setup, zone)));
    if !live.is_empty() {
        lines.push(folder(&setup.config.grid.cache_dir));
        lines.extend(clock(&http));
        lines.extend(timer(live.iter().all(|zone| is_young(&setup, zone))));
    }
    if found.get_many::<String>("zone").is_none() {
        lines.extend(sites(&setup));
    }
    show(&text_of(&lines, width(&std::io::stdout())))?;
    let worst = |verdict| lines.iter().any(|line| line.verdict == verdict);
    Ok(match (worst(Verdict::NoData), worst(Verdict::Fails)) {
        (true, _) => ExitCode::from(A_ZONE_WITHOUT_DATA),
        (_, true) => ExitCode::from(A_ZONE_FAILED),
        _ => ExitCode::SUCCESS,
    })
}

fn text_of(lines: &[Line], columns: Option<usize>) -> String {
    let width = lines.iter().map(|line| line.about.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for Line { about, verdict, text: why } in lines {
        let line = format!("{about:width$}  {:7}  {why}", verdict.word());
        // Under the reason; a long name leaves no room there.
        let indent = (width + 11).min(24);
        let lines = columns.map_or_else(|| vec![line.clone()], |columns| wrapped(&line, columns, indent));
        let _ = writeln!(text, "{}", lines.join("\n"));
    }
    text
}

/// Asks a question, and looks at whether its answer would do.
fn answer(http: &Http, setup: &Setup, question: &Question) -> (Verdict, String) {
    let now = setup.now;
    let live = question.live;
    if let Some(path) = live.token_file.as_ref().filter(|path| matches!(path.try_exists(), Ok(false)))
        && question.zones.iter().all(|zone| is_young(setup, zone))
    {
        // Whether another host has the token is not known here; that the data are young is.
        let text = format!("not requested: no token_file {} on this host; its cached data are within max_age", path.display());
        return (Verdict::Odd, text);
    }
    let frame =
        Frame { zone: &question.zones[0].name, source: live.service.name(), intensity: question.intensity, now, until: None };
    let reading = asking::ask(http, question, now, now - REQUESTED_PAST, now + TimeDelta::days(3));
    let assembled = match reading {
        Err(fault) => return (Verdict::Fails, fault.to_string()),
        Ok(reading) => match http.alone(|| assemble(&reading, None, &frame)) {
            Err(cause) => return (Verdict::Fails, format!("{}: {cause}", address(live))),
            Ok(assembled) => assembled,
        },
    };
    let came = fetch::what_came(&assembled.data);
    match assembled.remarks.as_slice() {
        [] => (Verdict::Ok, came),
        remarks => (Verdict::Odd, format!("{came}; {}", remarks.join("; "))),
    }
}

fn not_fetched(zone: &Zone) -> Line {
    let about = format!("zone {}", zone.name);
    match &zone.source {
        Source::Trace { path, .. } => match carm::grid::load::trace(path) {
            Ok(_) => Line { about, verdict: Verdict::Ok, text: format!("trace: {}", path.display()) },
            Err(error) => Line { about, verdict: Verdict::NoData, text: format!("trace: {error}") },
        },
        _ => Line { about, verdict: Verdict::Ok, text: "typical-day: a model, nothing to fetch".to_owned() },
    }
}

/// Whether a zone's cached data are within `max_age`.
fn is_young(setup: &Setup, zone: &Zone) -> bool {
    let grid = &setup.config.grid;
    cache::read(&grid.cache_dir, &zone.name).is_ok_and(|data| (setup.now - data.fetched).as_seconds_f64() <= grid.max_age_s)
}

/// Ages of a zone's last request and of its newest observation.
fn cached(setup: &Setup, zone: &Zone) -> Line {
    let about = format!("data {}", zone.name);
    let grid = &setup.config.grid;
    let (verdict, text) = match cache::read(&grid.cache_dir, &zone.name) {
        Ok(data) => {
            let age_s = (setup.now - data.fetched).as_seconds_f64();
            let ages = given::ages(data.fetched, data.observed_until, setup.now);
            if age_s < -60.0 {
                (
                    Verdict::Odd,
                    format!("fetched at {}, which is ahead of this host's clock", data.fetched.format("%Y-%m-%d %H:%MZ")),
                )
            } else if age_s > grid.max_age_s {
                let most = rough_duration(grid.max_age_s);
                (Verdict::NoData, format!("{ages}; max_age is {most}: plans mark them as estimated; look at the timer"))
            } else {
                observed(setup, zone, &data, ages)
            }
        }
        Err(error) => (Verdict::NoData, error.to_string()),
    };
    Line { about, verdict, text }
}

fn observed(setup: &Setup, zone: &Zone, data: &cache::ZoneData, ages: String) -> (Verdict, String) {
    let behind = setup.now - data.observed_until;
    let Source::Live(live) = &zone.source else { return (Verdict::Ok, ages) };
    let limit = late_after(live.service);
    if behind <= limit {
        return (Verdict::Ok, ages);
    }
    let whose = if has_forecast(data, setup.now) { "the source's own forecast" } else { "CARM's forecast" };
    let limit = rough_duration(limit.as_seconds_f64());
    (Verdict::Odd, format!("{ages}: no newer value for more than {limit}; plans go by {whose}; look at the service's own site"))
}

/// Whether the source itself says something of the present intensity, or of the share where it gives no intensity.
fn has_forecast(data: &cache::ZoneData, now: DateTime<Utc>) -> bool {
    let signal = [&data.carbon_g_per_kwh, &data.renewable_share, &data.onsite_w].into_iter().flatten().next();
    signal.and_then(|signal| signal.at(now)).is_some_and(|step| !step.estimated)
}

/// Whether everybody can read the cache folder, and this user write to it.
fn folder(path: &Path) -> Line {
    let about = "cache".to_owned();
    let line = |verdict, text: String| Line { about: about.clone(), verdict, text: format!("{}: {text}", path.display()) };
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return line(Verdict::NoData, format!("{error}; the first fetch makes it")),
    };
    let mode = meta.mode() & 0o777;
    if !meta.is_dir() {
        return line(Verdict::NoData, "not a folder; look at [grid] cache_dir".to_owned());
    }
    if mode & 0o005 != 0o005 {
        return line(Verdict::NoData, format!("mode {mode:04o}: users cannot plan with what is in it; chmod o+rx it"));
    }
    if mode & 0o002 != 0 {
        return line(Verdict::Fails, format!("mode {mode:04o}: everybody can write to it; chmod o-w it"));
    }
    match rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
        Ok(()) => line(Verdict::Ok, "everybody can read it".to_owned()),
        Err(_) => line(
            Verdict::Odd,
            format!("everybody can read it; it belongs to uid {}, who must be the one that fetches", meta.uid()),
        ),
    }
}

fn clock(http: &Http) -> Option<Line> {
    let ahead = http.ahead()?;
    let about = "clock".to_owned();
    Some(if fetch::is_off(ahead) {
        Line { about, verdict: Verdict::Fails, text: fetch::clock_off(ahead) }
    } else {
        Line { about, verdict: Verdict::Ok, text: "as the services' own".to_owned() }
    })
}

/// Whether something fetches: carm-grid.timer, or a carm-grid.service that goes on by itself. None where there is no systemd.
/// Hosts that share a cache folder need one timer: while all data are young, an inactive one is no fault here.
fn timer(young: bool) -> Option<Line> {
    let active = |unit: &str| {
        let asked =
            Process::new("systemctl").args(["is-active", unit]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let word = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        // Without systemd as the first process there is no word at all.
        (!word.is_empty()).then_some(word)
    };
    let about = "timer".to_owned();
    let word = active("carm-grid.timer")?;
    let text = match word.as_str() {
        "active" => return Some(Line { about, verdict: Verdict::Ok, text: "carm-grid.timer is active".to_owned() }),
        word if young => {
            let text = format!(
                "carm-grid.timer is {word} here; the data are within max_age; enable it unless another host fetches for this cache"
            );
            return Some(Line { about, verdict: Verdict::Odd, text });
        }
        word => {
            format!("carm-grid.timer is {word}: nothing fetches; systemctl enable --now carm-grid.timer, on one host a cache")
        }
    };
    Some(Line { about, verdict: Verdict::Fails, text })
}

/// Whether plans of each site have data.
fn sites(setup: &Setup) -> Vec<Line> {
    let one = |site: &carm::config::Site| {
        let about = format!("site {}", site.name);
        let zone = setup.config.zone_of(site);
        match Outlook::load(&setup.config, site, setup.now) {
            Err(error) => Line { about, verdict: Verdict::NoData, text: error.to_string() },
            Ok(outlook) if outlook.doubts.is_empty() => {
                let text = format!("plans with zone {}: {}", zone.name, outlook.described());
                Line { about, verdict: Verdict::Ok, text }
            }
            Ok(outlook) => Line { about, verdict: Verdict::NoData, text: outlook.doubts.join("; ") },
        }
    };
    setup.config.sites.iter().map(one).collect()
}
