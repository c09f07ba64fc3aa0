//! `[[zone]]` of a live source: which service, what it calls the zone, and what it needs to be asked.

use std::path::{Path, PathBuf};

use super::raw::RawZone;
use crate::grid::Intensity;
pub use crate::grid::Quantity;
use crate::located::{Located, TomlError};
use crate::quantity::parse_duration;

/// A service that carm-grid knows how to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Electricity Maps.
    ElectricityMaps,
    /// WattTime.
    WattTime,
    /// The Carbon Intensity API of Great Britain's system operator.
    CarbonIntensityGb,
    /// Energy-Charts of Fraunhofer ISE.
    EnergyCharts,
    /// The transparency platform of ENTSO-E.
    Entsoe,
    /// The U.S. Energy Information Administration.
    Eia,
    /// A WebApi of the Green Software Foundation's carbon-aware-sdk.
    CarbonAwareSdk,
    /// A query to Prometheus.
    Prometheus,
    /// A command whose standard output is a trace.
    Command,
}

impl Service {
    /// All services, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::ElectricityMaps,
        Self::WattTime,
        Self::CarbonIntensityGb,
        Self::EnergyCharts,
        Self::Entsoe,
        Self::Eia,
        Self::CarbonAwareSdk,
        Self::Prometheus,
        Self::Command,
    ];

    /// What `source` says.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ElectricityMaps => "electricity-maps",
            Self::WattTime => "watttime",
            Self::CarbonIntensityGb => "carbon-intensity-gb",
            Self::EnergyCharts => "energy-charts",
            Self::Entsoe => "entsoe",
            Self::Eia => "eia",
            Self::CarbonAwareSdk => "carbon-aware-sdk",
            Self::Prometheus => "prometheus",
            Self::Command => "command",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The keys of a zone that this service takes beside those that all take.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::ElectricityMaps => &["area", "token_file", "base_url", "api"],
            Self::WattTime | Self::Entsoe | Self::Eia => &["area", "token_file", "base_url"],
            Self::CarbonIntensityGb | Self::EnergyCharts => &["area", "base_url"],
            Self::CarbonAwareSdk => &["area", "token_file", "base_url"],
            Self::Prometheus => &["base_url", "token_file", "query", "quantity"],
            Self::Command => &["command", "user"],
        }
    }

    /// The keys that it cannot do without.
    fn needs(self) -> &'static [(&'static str, &'static str)] {
        const TOKEN: (&str, &str) =
            ("token_file", "missing; this source wants a token, in a file that root or its group alone can read");
        match self {
            Self::ElectricityMaps | Self::WattTime | Self::Entsoe | Self::Eia => &[TOKEN],
            Self::CarbonIntensityGb | Self::EnergyCharts => &[],
            Self::CarbonAwareSdk => {
                &[("base_url", "missing; give the address of your own WebApi, such as http://127.0.0.1:8080")]
            }
            Self::Prometheus => &[
                ("base_url", "missing; give the address of Prometheus, such as http://127.0.0.1:9090"),
                ("query", "missing; give the query, such as sum(roof_power_watts)"),
                ("quantity", "missing; give what the query answers: carbon_g_per_kwh, renewable_share or onsite_w"),
            ],
            Self::Command => &[
                ("command", "missing; give the program and its arguments, such as [\"/usr/local/bin/roof\", \"--csv\"]"),
                ("user", "missing; give the user that it runs as, never root"),
            ],
        }
    }

    /// The intensity that it tells unless `signal` says otherwise.
    fn usual(self) -> Intensity {
        if self == Self::WattTime { Intensity::Marginal } else { Intensity::Average }
    }

    /// Whether it can tell that intensity.
    fn tells(self, intensity: Intensity) -> bool {
        match self {
            Self::WattTime | Self::CarbonAwareSdk | Self::Prometheus | Self::Command => true,
            _ => intensity == Intensity::Average,
        }
    }
}

/// A release of a service's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Version 3.
    V3,
    /// Version 4.
    V4,
}

/// A zone of a live source.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Whom to ask.
    pub service: Service,
    /// What the service calls the zone: its own name, unless `area` says otherwise.
    pub area: String,
    /// The file of its token.
    pub token_file: Option<PathBuf>,
    /// Its address, where it is not the service's own: no slash at its end.
    pub base_url: Option<String>,
    /// The release of its interface.
    pub api: Option<Api>,
    /// PromQL.
    pub query: Option<String>,
    /// What the query's answer is.
    pub quantity: Option<Quantity>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whom the program runs as.
    pub user: Option<String>,
    /// How often it is asked, in seconds; `None`: as `[grid]` says.
    pub interval_s: Option<f64>,
    /// Whether CARM's own forecast continues it past its end.
    pub extend: bool,
    /// The zone's clocks, for the typical day where nothing was fetched: seconds east of Greenwich.
    pub utc_offset_s: i32,
}

/// The keys that stand in a zone, beside its name and source.
fn given(raw: &RawZone) -> Vec<&'static str> {
    let given = [
        ("path", raw.path.is_some()),
        ("extend", raw.extend.is_some()),
        ("utc_offset_hours", raw.utc_offset_hours.is_some()),
        ("signal", raw.signal.is_some()),
        ("area", raw.area.is_some()),
        ("token_file", raw.token_file.is_some()),
        ("base_url", raw.base_url.is_some()),
        ("api", raw.api.is_some()),
        ("query", raw.query.is_some()),
        ("quantity", raw.quantity.is_some()),
        ("command", raw.command.as_ref().is_some_and(|words| !words.is_empty())),
        ("user", raw.user.is_some()),
        ("interval", raw.interval.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

/// Refuses the keys of a zone that its source does not take: they would be ignored. `signal` tells of every source what its
/// figures are.
pub(super) fn refuse_others(raw: &RawZone, takes: &[&str], index: usize, at: &Located) -> Result<(), TomlError> {
    let other = given(raw).into_iter().find(|name| *name != "signal" && !takes.contains(name));
    let Some(name) = other else { return Ok(()) };
    let takes: Vec<&str> = takes.iter().copied().filter(|known| *known != "signal").chain(["signal"]).collect();
    let cause = format!("source \"{}\" has no such key; it takes {}", raw.source, takes.join(", "));
    Err(at.refuse_absent(&format!("zone[{index}].{name}"), cause))
}

/// How far east of Greenwich the typical day's clocks are, in seconds.
pub(super) fn utc_offset_s(raw: &RawZone, index: usize, at: &Located) -> Result<i32, TomlError> {
    let hours = raw.utc_offset_hours.unwrap_or(0.0);
    if !(-14.0..=14.0).contains(&hours) {
        return Err(at.refuse(&format!("zone[{index}].utc_offset_hours"), hours, "give hours from -14 to 14"));
    }
    Ok((hours * 3_600.0) as i32)
}

/// The live zone that a raw one describes, and its intensity; `None` where `source` names no live source.
pub(super) fn check(raw: &RawZone, index: usize, at: &Located, folder: &Path) -> Result<Option<(Live, Intensity)>, TomlError> {
    let Some(service) = Service::of(&raw.source) else { return Ok(None) };
    let key = |field: &str| format!("zone[{index}].{field}");
    let given = given(raw);
    let is_given = |name: &str| given.contains(&name);
    let common = ["signal", "interval", "extend", "utc_offset_hours"];
    let takes: Vec<&str> = service.keys().iter().chain(&common).copied().collect();
    refuse_others(raw, &takes, index, at)?;
    for (name, cause) in service.needs() {
        if !is_given(name) {
            return Err(at.refuse_absent(&key(name), cause));
        }
    }
    if let Some(url) = &raw.base_url
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        return Err(at.refuse(&key("base_url"), url, "no address; give http:// or https:// and a host"));
    }
    if let Some(url) = raw.base_url.as_deref().filter(|url| url.contains(['@', '?', '#']) || url.chars().any(char::is_whitespace))
    {
        return Err(at.refuse(
            &key("base_url"),
            url,
            "more than an address; everybody can read it: a password goes to token_file",
        ));
    }
    if let Some(user) = raw.user.as_deref().filter(|user| matches!(*user, "root" | "0" | "")) {
        return Err(at.refuse(&key("user"), user, "a command of a configuration never runs as root; name another user"));
    }
    let area = raw.area.clone().unwrap_or_else(|| raw.name.clone());
    if area.is_empty() || area.len() > 100 || area.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(at.refuse(&key("area"), &area, "not a name that a service takes"));
    }
    let intensity = raw.signal.unwrap_or(service.usual());
    if !service.tells(intensity) {
        let cause = format!("source \"{}\" tells average intensity alone", service.name());
        return Err(at.refuse(&key("signal"), intensity.word(), cause));
    }
    let interval_s = match raw.interval.as_deref() {
        None => None,
        Some(text) => Some(interval(at, &key("interval"), text)?),
    };
    let extend = match raw.extend.as_deref() {
        None | Some("forecast") => true,
        Some("never") => false,
        Some(other) => return Err(at.refuse(&key("extend"), other, "give \"never\" or \"forecast\"")),
    };
    let live = Live {
        service,
        area,
        token_file: raw.token_file.as_ref().map(|path| folder.join(path)),
        base_url: raw.base_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        api: raw.api,
        query: raw.query.clone(),
        quantity: raw.quantity,
        command: raw.command.clone().unwrap_or_default(),
        user: raw.user.clone(),
        interval_s,
        extend,
        utc_offset_s: utc_offset_s(raw, index, at)?,
    };
    Ok(Some((live, intensity)))
}

/// An interval of asking: services count requests, and the grid's own data come in steps of minutes.
pub(super) fn interval(at: &Located, key: &str, text: &str) -> Result<f64, TomlError> {
    let seconds = parse_duration(text).map_err(|error| at.refuse(key, text, error))?;
    if (60.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err(at.refuse(key, text, "out of range; give 1m to 1d")) }
}
