//! `carm-grid zones`: the zones of the configuration, or the areas that a service knows.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use carm::config::{Live, Service, Source, Zone};
use carm::grid::Intensity;
use carm::request::printable;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::exit::{Refusal, show};
use crate::http::Http;
use crate::source::{self, Area, Ask};
use crate::token::Token;
use crate::{cli, fetch};

/// Its options.
pub fn command() -> Command {
    Command::new("zones")
        .about("List the zones of the configuration, or the areas that a service knows")
        .arg(Arg::new("service").value_name("SERVICE").help("A service, as source of a [[zone]] names it"))
        .arg(
            Arg::new("token-file")
                .long("token-file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .requires("service")
                .help("The service's token [default: that of the first zone of this service]"),
        )
        .arg(
            Arg::new("base-url")
                .long("base-url")
                .value_name("URL")
                .requires("service")
                .help("The service's address [default: likewise]"),
        )
        .arg(fetch::timeout_arg())
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON object"))
}

/// Does it.
pub fn run(found: &ArgMatches) -> Result<ExitCode, Refusal> {
    let as_json = found.get_flag("json");
    let text = match found.get_one::<String>("service") {
        Some(name) => {
            let service = service(name)?;
            let areas = areas(service, found)?;
            if as_json { areas_json(service, &areas) } else { areas_text(service, &areas) }
        }
        None => {
            let setup = cli::setup(found)?;
            if as_json { zones_json(&setup.config.zones) } else { zones_text(&setup.config.zones) }
        }
    };
    show(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn service(name: &str) -> Result<Service, Refusal> {
    let known = || Service::ALL.map(Service::name).join(", ");
    let absent = || Refusal::new(format!("zones: '{}': no such service; give one of {}", printable(name), known()));
    Service::ALL.into_iter().find(|service| service.name() == name).ok_or_else(absent)
}

fn areas(service: Service, found: &ArgMatches) -> Result<Vec<Area>, Refusal> {
    // What is asked by hand needs no configuration; one that is named must be right.
    let setup = match cli::setup(found) {
        Err(refusal) if found.get_one::<PathBuf>("config").is_some() => return Err(refusal),
        other => other.ok(),
    };
    let of_service = |zone: &Zone| match &zone.source {
        Source::Live(live) if live.service == service => Some((live.clone(), zone.intensity)),
        _ => None,
    };
    let configured = setup.and_then(|setup| setup.config.zones.iter().find_map(of_service));
    let (mut live, intensity) = configured.unwrap_or_else(|| (unconfigured(service), usual(service)));
    if let Some(path) = found.get_one::<PathBuf>("token-file") {
        live.token_file = Some(path.clone());
    }
    if let Some(url) = found.get_one::<String>("base-url") {
        live.base_url = Some(url.trim_end_matches('/').to_owned());
    }
    let fault = |fault: crate::fault::Fault| Refusal::new(format!("zones: {}: {fault}", service.name()));
    let absent = || Refusal::new(format!("zones: this release cannot ask {}", service.name()));
    let source = source::of(service).ok_or_else(absent)?;
    if live.base_url.is_none() && service == Service::CarbonAwareSdk {
        return Err(Refusal::new(format!("zones: {}: every site has its own; give --base-url", service.name())));
    }
    let now = cli::now(found)?;
    let token = live.token_file.as_deref().map(Token::read).transpose().map_err(fault)?;
    let http = Http::new().map_err(fault)?.within(fetch::timeout(found)?).at(now);
    let ask = Ask { live: &live, intensity, token: token.as_ref(), now, since: now, until: now };
    let mut areas = source.areas(&http, &ask).map_err(fault)?;
    areas.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(areas)
}

/// A zone of a service that the configuration has none of.
fn unconfigured(service: Service) -> Live {
    Live {
        service,
        area: String::new(),
        token_file: None,
        base_url: None,
        api: None,
        query: None,
        quantity: None,
        command: Vec::new(),
        user: None,
        interval_s: None,
        extend: true,
        utc_offset_s: 0,
    }
}

fn usual(service: Service) -> Intensity {
    if service == Service::WattTime { Intensity::Marginal } else { Intensity::Average }
}

fn areas_text(service: Service, areas: &[Area]) -> String {
    if areas.is_empty() {
        return format!(
            "{} has no list of areas; docs/grid/{}.md tells what a zone of it needs\n",
            service.name(),
            service.name()
        );
    }
    let width = areas.iter().map(|area| area.key.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for area in areas {
        let line = format!("{:width$}  {}", printable(&area.key), printable(&area.name));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn areas_json(service: Service, areas: &[Area]) -> String {
    let areas: Vec<_> = areas.iter().map(|area| serde_json::json!({ "area": area.key, "name": area.name })).collect();
    format!("{:#}\n", serde_json::json!({ "version": 1, "service": service.name(), "areas": areas }))
}

/// A zone's source, and what it is called there.
fn source_of(zone: &Zone) -> (&'static str, String) {
    match &zone.source {
        Source::Trace { path, .. } => ("trace", path.display().to_string()),
        Source::TypicalDay { .. } => ("typical-day", String::new()),
        Source::Live(live) => (live.service.name(), live.area.clone()),
    }
}

fn zones_text(zones: &[Zone]) -> String {
    let rows: Vec<[String; 4]> = zones
        .iter()
        .map(|zone| {
            let (source, area) = source_of(zone);
            [printable(&zone.name), source.to_owned(), zone.intensity.word().to_owned(), printable(&area)]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [0, 1, 2].map(width);
    let mut text = String::new();
    for [name, source, intensity, area] in &rows {
        let [a, b, c] = widths;
        let line = format!("{name:a$}  {source:b$}  {intensity:c$}  {area}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn zones_json(zones: &[Zone]) -> String {
    let zone = |zone: &Zone| {
        let (source, area) = source_of(zone);
        serde_json::json!({ "zone": zone.name, "source": source, "intensity": zone.intensity.word(), "area": area })
    };
    format!("{:#}\n", serde_json::json!({ "version": 1, "zones": zones.iter().map(zone).collect::<Vec<_>>() }))
}
