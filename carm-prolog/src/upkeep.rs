//! What an admin does by hand, or a unit at boot: `reset` gives up every hold and puts clocks back, `status` shows them.

use anyhow::{Context, Result};
use carm::config::Config;
use serde::Serialize;

use crate::clocks;
use crate::gpu::{Driver, Nvml};
use crate::state::{Holder, Store};

/// Puts back the clocks of every GPU that the journal names, or of every GPU of the node.
pub fn reset(config: &Config, every_gpu: bool) -> Result<()> {
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let mut seen = Vec::new();
    for node in Store::nodes(&config.node.state_dir) {
        let store = Store::open(&config.node.state_dir, &node)?;
        for uuid in store.gpus() {
            let owed = clocks::reset(&store, &nvml, &uuid, config.node.restore_mhz)?;
            let still_owed = store.peek_gpu(&uuid).is_some_and(|gpu| gpu.locked_mhz.is_some());
            anyhow::ensure!(!still_owed, "gpu {uuid}: its clocks could not be put back; the log says why");
            println!("gpu {uuid}: {}", if owed { "clocks put back" } else { "nothing was locked" });
            seen.push(uuid);
        }
    }
    if every_gpu {
        for card in nvml.cards().context("listing GPUs")?.iter().filter(|card| !seen.contains(&card.uuid)) {
            match config.node.restore_mhz {
                Some((lowest, highest)) => nvml.lock(&card.uuid, lowest, highest)?,
                None => nvml.unlock(&card.uuid)?,
            }
            println!("gpu {}: clocks put back", card.uuid);
        }
    }
    Ok(())
}

/// One GPU as `status` shows it.
#[derive(Debug, Serialize)]
struct GpuStatus {
    node: Option<String>,
    uuid: String,
    minor: u32,
    model: String,
    sm_clock_mhz: Option<u32>,
    power_w: Option<f64>,
    locked_mhz: Option<(u32, u32)>,
    jobs: Vec<Holder>,
}

/// Shows every GPU of the node with its clock, its power and who holds it.
pub fn status(config: &Config, json: bool) -> Result<()> {
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let mut journal = Vec::new();
    for node in Store::nodes(&config.node.state_dir) {
        let store = Store::open(&config.node.state_dir, &node)?;
        journal.extend(store.gpus().iter().filter_map(|uuid| Some((node.clone(), store.peek_gpu(uuid)?))));
    }
    let gpus = nvml.cards().context("listing GPUs")?.into_iter().map(|card| {
        let held = journal.iter().find(|(_, gpu)| gpu.uuid == card.uuid);
        GpuStatus {
            node: held.map(|(node, _)| node.clone()),
            sm_clock_mhz: nvml.sm_clock_mhz(&card.uuid).ok(),
            power_w: nvml.power_w(&card.uuid).ok(),
            locked_mhz: held.and_then(|(_, gpu)| gpu.locked_mhz),
            jobs: held.map(|(_, gpu)| gpu.holders.clone()).unwrap_or_default(),
            uuid: card.uuid,
            minor: card.minor,
            model: card.name,
        }
    });
    let gpus: Vec<GpuStatus> = gpus.collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "version": 1, "gpus": gpus }))?);
        return Ok(());
    }
    println!("{:<6} {:<42} {:>9} {:>9} {:>12}  JOBS", "MINOR", "UUID", "CLOCK", "POWER", "LOCKED");
    for gpu in gpus {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let jobs: Vec<String> = gpu.jobs.iter().map(|holder| holder.job.to_string()).collect();
        println!(
            "{:<6} {:<42} {:>9} {:>9} {:>12}  {}",
            gpu.minor,
            gpu.uuid,
            or_dash(gpu.sm_clock_mhz.map(|mhz| format!("{mhz} MHz"))),
            or_dash(gpu.power_w.map(|watts| format!("{watts:.0} W"))),
            or_dash(gpu.locked_mhz.map(|(low, high)| format!("{low}-{high}"))),
            or_dash(Some(jobs.join(",")).filter(|jobs| !jobs.is_empty())),
        );
    }
    Ok(())
}
