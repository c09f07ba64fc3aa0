//! From the raw configuration to the checked one: defaults, ranges, references between tables.

use std::path::{Path, PathBuf};

use super::live::{self, Quantity, Service};
use super::raw::{RawConfig, RawGrid, RawNode, RawPlanner, RawSite, RawStretch, RawSubmit, RawZone};
use super::{Account, Clocks, Config, Grid, LogTarget, Node, OnBudget, Planner, Site, Source, Submit, Zone};
use crate::grid::Intensity;
use crate::located::{Located, TomlError};
use crate::quantity::parse_duration;
use crate::request::Objective;

pub(super) fn check(raw: RawConfig, at: &Located, path: &Path) -> Result<Config, TomlError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let planner = check_planner(&raw.planner, at)?;
    let submit = check_submit(raw.submit, at)?;
    let grid = check_grid(&raw.grid, at, folder)?;
    let mut zones: Vec<Zone> = Vec::new();
    for (index, zone) in raw.zone.into_iter().enumerate() {
        let key = format!("zone[{index}].name");
        if zones.iter().any(|seen| seen.name == zone.name) {
            return Err(at.refuse(&key, &zone.name, "stands twice; each zone once"));
        }
        zones.push(check_zone(zone, index, at, folder)?);
    }
    let mut sites: Vec<Site> = Vec::new();
    for (index, site) in raw.site.into_iter().enumerate() {
        if sites.iter().any(|seen| seen.name == site.name) {
            return Err(at.refuse(&format!("site[{index}].name"), &site.name, "stands twice; each site once"));
        }
        sites.push(check_site(site, index, at, folder, &planner, &grid, &zones)?);
    }
    let node = check_node(raw.node, at, folder, &sites)?;
    Ok(Config { path: Some(path.to_owned()), planner, submit, grid, zones, sites, node })
}

pub(super) fn embedded(utc_offset_s: i32) -> Config {
    let planner = planner_defaults();
    let grid = grid_defaults();
    let zones =
        vec![Zone { name: "typical-day".to_owned(), source: Source::TypicalDay { utc_offset_s }, intensity: Intensity::Average }];
    let site = Site {
        name: "default".to_owned(),
        zone: 0,
        partition: None,
        cluster: None,
        constraint: None,
        nodelist: None,
        gpu: None,
        profile: None,
        gpus: 1,
        onsite: None,
        onsite_zone: None,
        onsite_g_per_kwh: grid.renewable_g_per_kwh,
        host_watts: planner.host_watts,
        pue: planner.pue,
        clock_floor_mhz: None,
        closed: Vec::new(),
        embodied_g_per_gpu_h: 0.0,
    };
    Config { path: None, planner, submit: Submit::default(), grid, zones, sites: vec![site], node: node_defaults() }
}

fn planner_defaults() -> Planner {
    Planner {
        objective: Objective::Performance,
        horizon_s: 7.0 * 86_400.0,
        max_delay_s: 43_200.0,
        max_delay_ratio: 0.5,
        host_watts: 100.0,
        pue: 1.2,
        ask_slurm: true,
    }
}

fn grid_defaults() -> Grid {
    Grid {
        cache_dir: "/var/cache/carm".into(),
        max_age_s: 7_200.0,
        interval_s: 900.0,
        renewable_g_per_kwh: 30.0,
        fossil_g_per_kwh: 650.0,
    }
}

fn node_defaults() -> Node {
    Node {
        site: None,
        nvml_library: "libnvidia-ml.so.1".into(),
        state_dir: "/run/carm".into(),
        ledger_dir: "/var/lib/carm/ledger".into(),
        clocks: Clocks::On,
        interval_s: 60.0,
        ask_limit: true,
        dwell_s: 300.0,
        min_change: 3,
        account: Account::Carbon,
        on_budget: OnBudget::Floor,
        log: LogTarget::Syslog,
        gpu_files: None,
        shared_gpus: None,
        restore_mhz: None,
        metrics_dir: None,
        strict_modes: true,
    }
}

fn check_planner(raw: &RawPlanner, at: &Located) -> Result<Planner, TomlError> {
    let defaults = planner_defaults();
    let horizon_s = duration(at, "planner.horizon", raw.horizon.as_deref(), defaults.horizon_s)?;
    if !(3_600.0..=31.0 * 86_400.0).contains(&horizon_s) {
        return Err(at.refuse("planner.horizon", raw.horizon.as_deref().unwrap_or_default(), "out of range; give 1h to 31d"));
    }
    Ok(Planner {
        objective: raw.objective.unwrap_or(defaults.objective),
        horizon_s,
        max_delay_s: duration(at, "planner.max_delay", raw.max_delay.as_deref(), defaults.max_delay_s)?,
        max_delay_ratio: in_range(
            at,
            "planner.max_delay_ratio",
            raw.max_delay_ratio,
            defaults.max_delay_ratio,
            0.0..=100.0,
            "out of range; give 0 to 100, such as 0.5",
        )?,
        host_watts: watts(at, "planner.host_watts", raw.host_watts, defaults.host_watts)?,
        pue: pue(at, "planner.pue", raw.pue, defaults.pue)?,
        ask_slurm: raw.ask_slurm.unwrap_or(defaults.ask_slurm),
    })
}

fn check_submit(raw: RawSubmit, at: &Located) -> Result<Submit, TomlError> {
    let sbatch = raw.sbatch.map(PathBuf::from);
    if let Some(path) = sbatch.as_ref().filter(|path| path.is_relative()) {
        return Err(at.refuse("submit.sbatch", path.display(), "not an absolute path; give one such as /usr/bin/sbatch"));
    }
    let stretch_limit = match raw.stretch_limit {
        None | Some(RawStretch::Switch(true)) => None,
        Some(RawStretch::Switch(false)) => Some(0.0),
        Some(RawStretch::Share(text)) => {
            let share = text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
            let share = share.filter(|percent| (0.0..=1000.0).contains(percent));
            let wrong = || at.refuse("submit.stretch_limit", &text, "not a share; give true, false or one such as \"25%\"");
            Some(share.ok_or_else(wrong)? / 100.0)
        }
    };
    Ok(Submit { sbatch, stretch_limit, other_clusters: raw.other_clusters.unwrap_or(false) })
}

fn check_grid(raw: &RawGrid, at: &Located, folder: &Path) -> Result<Grid, TomlError> {
    let defaults = grid_defaults();
    let interval_s = raw.interval.as_deref().map(|text| live::interval(at, "grid.interval", text)).transpose()?;
    Ok(Grid {
        interval_s: interval_s.unwrap_or(defaults.interval_s),
        cache_dir: raw.cache_dir.as_ref().map_or(defaults.cache_dir, |path| folder.join(path)),
        max_age_s: duration(at, "grid.max_age", raw.max_age.as_deref(), defaults.max_age_s)?,
        renewable_g_per_kwh: intensity(at, "grid.renewable_g_per_kwh", raw.renewable_g_per_kwh, defaults.renewable_g_per_kwh)?,
        fossil_g_per_kwh: intensity(at, "grid.fossil_g_per_kwh", raw.fossil_g_per_kwh, defaults.fossil_g_per_kwh)?,
    })
}

fn check_zone(raw: RawZone, index: usize, at: &Located, folder: &Path) -> Result<Zone, TomlError> {
    let key = |field: &str| format!("zone[{index}].{field}");
    at.name(&key("name"), &raw.name)?;
    if let Some((live, intensity)) = live::check(&raw, index, at, folder)? {
        return Ok(Zone { name: raw.name, source: Source::Live(live), intensity });
    }
    match raw.source.as_str() {
        "trace" => live::refuse_others(&raw, &["path", "extend"], index, at)?,
        "typical-day" => live::refuse_others(&raw, &["utc_offset_hours"], index, at)?,
        _ => {}
    }
    let source = match raw.source.as_str() {
        "trace" => {
            let path = raw
                .path
                .ok_or_else(|| at.refuse_absent(&key("path"), "missing; a zone with source = \"trace\" names its file"))?;
            let extend = match raw.extend.as_deref() {
                None | Some("never") => false,
                Some("forecast") => true,
                Some(other) => return Err(at.refuse(&key("extend"), other, "give \"never\" or \"forecast\"")),
            };
            Source::Trace { path: folder.join(path), extend }
        }
        "typical-day" => Source::TypicalDay { utc_offset_s: live::utc_offset_s(&raw, index, at)? },
        other => {
            let live: Vec<&str> = live::Service::ALL.iter().map(|service| service.name()).collect();
            let cause = format!("no such source; give \"trace\", \"typical-day\", or one of {}", live.join(", "));
            return Err(at.refuse(&key("source"), other, cause));
        }
    };
    Ok(Zone { name: raw.name, source, intensity: raw.signal.unwrap_or_default() })
}

fn check_site(
    raw: RawSite,
    index: usize,
    at: &Located,
    folder: &Path,
    planner: &Planner,
    grid: &Grid,
    zones: &[Zone],
) -> Result<Site, TomlError> {
    let key = |field: &str| format!("site[{index}].{field}");
    at.name(&key("name"), &raw.name)?;
    let zone = zones.iter().position(|zone| zone.name == raw.zone).ok_or_else(|| {
        let names: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
        at.refuse(&key("zone"), &raw.zone, format!("no such [[zone]]; give one of {}", names.join(", ")))
    })?;
    if let Source::Live(live) = &zones[zone].source
        && live.quantity == Some(Quantity::OnsiteW)
    {
        return Err(at.refuse(
            &key("zone"),
            &raw.zone,
            "its query answers on-site power; give it as onsite_zone, and a grid as zone",
        ));
    }
    let gpus = raw.gpus.unwrap_or(Site::UNKNOWN_GPUS);
    if raw.gpus.is_some_and(|gpus| !(1..=1_000_000).contains(&gpus)) {
        return Err(at.refuse(&key("gpus"), gpus, "not a GPU count; give 1 to 1000000"));
    }
    // What reaches sbatch's command line stands there as one argument; an empty or dashed name would be read as another.
    for (field, text) in
        [("partition", &raw.partition), ("cluster", &raw.cluster), ("constraint", &raw.constraint), ("nodelist", &raw.nodelist)]
    {
        if let Some(text) = text
            && (text.is_empty() || text.starts_with('-') || text.chars().any(|c| c.is_control() || c == ' '))
        {
            return Err(at.refuse(&key(field), text, "not a name that Slurm takes"));
        }
    }
    if let Some(floor) = raw.clock_floor_mhz
        && !(1..=10_000).contains(&floor)
    {
        return Err(at.refuse(&key("clock_floor_mhz"), floor, "not a clock; give MHz from 1 to 10000"));
    }
    let profile = match &raw.profile {
        Some(name) => Some(name.parse().map_err(|e| at.refuse(&key("profile"), name, e))?),
        None => None,
    };
    let window = |text: &String| text.parse().map_err(|error| at.refuse(&key("closed"), text, error));
    let closed = raw.closed.iter().map(window).collect::<Result<_, _>>()?;
    let onsite_zone = onsite_zone(&raw, &key, at, zones)?;
    Ok(Site {
        zone,
        partition: raw.partition,
        cluster: raw.cluster,
        constraint: raw.constraint,
        nodelist: raw.nodelist,
        gpu: raw.gpu,
        profile,
        gpus,
        onsite_zone,
        onsite: raw.onsite.map(|path| folder.join(path)),
        onsite_g_per_kwh: intensity(at, &key("onsite_g_per_kwh"), raw.onsite_g_per_kwh, grid.renewable_g_per_kwh)?,
        host_watts: watts(at, &key("host_watts"), raw.host_watts, planner.host_watts)?,
        pue: pue(at, &key("pue"), raw.pue, planner.pue)?,
        clock_floor_mhz: raw.clock_floor_mhz,
        closed,
        embodied_g_per_gpu_h: intensity(at, &key("embodied_g_per_gpu_h"), raw.embodied_g_per_gpu_h, 0.0)?,
        name: raw.name,
    })
}

/// The zone that tells a site's on-site power.
fn onsite_zone(raw: &RawSite, key: &impl Fn(&str) -> String, at: &Located, zones: &[Zone]) -> Result<Option<usize>, TomlError> {
    let Some(name) = &raw.onsite_zone else { return Ok(None) };
    if raw.onsite.is_some() {
        return Err(at.refuse(&key("onsite_zone"), name, "stands beside onsite; give one of the two"));
    }
    let gives = |zone: &Zone| match &zone.source {
        Source::Live(live) => live.service == Service::Command || live.quantity == Some(Quantity::OnsiteW),
        Source::Trace { .. } | Source::TypicalDay { .. } => false,
    };
    match zones.iter().position(|zone| zone.name == *name) {
        None => Err(at.refuse(&key("onsite_zone"), name, "no such [[zone]]")),
        Some(index) if gives(&zones[index]) => Ok(Some(index)),
        Some(_) => {
            let expected =
                "give a zone of source \"prometheus\" with quantity = \"onsite_w\", or of \"command\"; a trace goes to onsite";
            Err(at.refuse(&key("onsite_zone"), name, format!("gives no on-site power; {expected}")))
        }
    }
}

fn check_node(raw: RawNode, at: &Located, folder: &Path, sites: &[Site]) -> Result<Node, TomlError> {
    let defaults = node_defaults();
    let site = match &raw.site {
        Some(name) => Some(sites.iter().position(|site| site.name == *name).ok_or_else(|| {
            let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
            at.refuse("node.site", name, format!("no such [[site]]; give one of {}", names.join(", ")))
        })?),
        None => None,
    };
    let interval_s = duration(at, "node.interval", raw.interval.as_deref(), defaults.interval_s)?;
    if !(1.0..=3_600.0).contains(&interval_s) {
        return Err(at.refuse("node.interval", raw.interval.as_deref().unwrap_or_default(), "out of range; give 1s to 1h"));
    }
    if let Some([low, high]) = raw.restore_mhz
        && (low == 0 || low > high || high > 10_000)
    {
        return Err(at.refuse(
            "node.restore_mhz",
            format!("[{low}, {high}]"),
            "not a clock range; give [lowest, highest] in MHz",
        ));
    }
    let log = match raw.log.as_deref() {
        None | Some("syslog") => LogTarget::Syslog,
        Some(path) if Path::new(path).is_absolute() => LogTarget::File(path.into()),
        Some(other) => return Err(at.refuse("node.log", other, "give \"syslog\" or an absolute path")),
    };
    // A bare library name is left to the dynamic loader; anything with a slash is a path beside the file.
    let nvml_library = match raw.nvml_library {
        Some(name) if name.contains('/') => folder.join(name),
        Some(name) => name.into(),
        None => defaults.nvml_library,
    };
    Ok(Node {
        site,
        nvml_library,
        state_dir: raw.state_dir.map_or(defaults.state_dir, |path| folder.join(path)),
        ledger_dir: raw.ledger_dir.map_or(defaults.ledger_dir, |path| folder.join(path)),
        clocks: raw.clocks.unwrap_or(defaults.clocks),
        interval_s,
        ask_limit: raw.ask_limit.unwrap_or(defaults.ask_limit),
        dwell_s: duration(at, "node.dwell", raw.dwell.as_deref(), defaults.dwell_s)?,
        min_change: raw.min_change.unwrap_or(defaults.min_change),
        account: raw.account.unwrap_or(defaults.account),
        on_budget: raw.on_budget.unwrap_or(defaults.on_budget),
        log,
        shared_gpus: raw.shared_gpus,
        gpu_files: raw.gpu_files.map(|files| files.into_iter().map(PathBuf::from).collect()),
        restore_mhz: raw.restore_mhz.map(|[low, high]| (low, high)),
        metrics_dir: raw.metrics_dir.map(|path| folder.join(path)),
        strict_modes: raw.strict_modes.unwrap_or(defaults.strict_modes),
    })
}

fn duration(at: &Located, key: &str, text: Option<&str>, default: f64) -> Result<f64, TomlError> {
    text.map_or(Ok(default), |text| parse_duration(text).map_err(|e| at.refuse(key, text, e)))
}

fn watts(at: &Located, key: &str, value: Option<f64>, default: f64) -> Result<f64, TomlError> {
    in_range(at, key, value, default, 0.0..=100_000.0, "not a power; give watts from 0 to 100000")
}

fn pue(at: &Located, key: &str, value: Option<f64>, default: f64) -> Result<f64, TomlError> {
    in_range(at, key, value, default, 1.0..=10.0, "not a power usage effectiveness; give 1 to 10, such as 1.2")
}

fn intensity(at: &Located, key: &str, value: Option<f64>, default: f64) -> Result<f64, TomlError> {
    in_range(at, key, value, default, 0.0..=10_000.0, "out of range; give grams from 0 to 10000")
}

fn in_range(
    at: &Located,
    key: &str,
    value: Option<f64>,
    default: f64,
    range: std::ops::RangeInclusive<f64>,
    expected: &str,
) -> Result<f64, TomlError> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(value),
        Some(value) => Err(at.refuse(key, value, expected)),
    }
}
