//! Where the ledger is: `--ledger`, else the configuration's `[node] ledger_dir`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use carm::config::Config;

use crate::cli::Place;
use crate::exit::Refusal;

const DEFAULT_CONFIG: &str = "/etc/carm/carm.toml";

/// The ledger's folder, and what the configuration says of on-site power.
#[derive(Debug)]
pub struct Found {
    pub ledger: PathBuf,
    onsite_g_per_kwh: HashMap<String, f64>,
    otherwise: f64,
}

impl Found {
    /// Life-cycle intensity of a site's on-site power, g/kWh.
    pub fn onsite_g_per_kwh(&self, site: Option<&str>) -> f64 {
        site.and_then(|site| self.onsite_g_per_kwh.get(site).copied()).unwrap_or(self.otherwise)
    }
}

/// Finds the ledger.
pub fn find(place: &Place) -> Result<Found, Refusal> {
    let default = Path::new(DEFAULT_CONFIG);
    let config = match &place.config {
        Some(path) => Config::load(path).map_err(Refusal::new)?,
        None if default.exists() => match Config::load(default) {
            Ok(config) => config,
            // Where the ledger is is known; what else the file says is not needed.
            Err(_) if place.ledger.is_some() => Config::embedded(0),
            Err(error) => return Err(Refusal::new(format!("{error}; correct it, or give --ledger=DIR"))),
        },
        None => Config::embedded(0),
    };
    Ok(Found {
        ledger: place.ledger.clone().unwrap_or(config.node.ledger_dir),
        onsite_g_per_kwh: config.sites.iter().map(|site| (site.name.clone(), site.onsite_g_per_kwh)).collect(),
        otherwise: config.grid.renewable_g_per_kwh,
    })
}
