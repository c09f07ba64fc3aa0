//! What an admin does by hand, or a unit at boot: `reset` gives up every hold and puts clocks back, `status` shows them, to
//! people, programs and Prometheus.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use carm::config::{Clocks, Config};
use chrono::Utc;
use serde::Serialize;

use crate::clocks;
use crate::gpu::{Driver, Nvml};
use crate::metrics;
use crate::state::{Holder, Store};

/// A person waits at the terminal; slurmd's bound is not ours here.
const PATIENCE: Duration = Duration::from_secs(5);

/// Puts back the clocks of every GPU that the journal names, or of every GPU of the node. One that fails does not keep the
/// others from it.
pub fn reset(config: &Config, every_gpu: bool) -> Result<()> {
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let restore_mhz = config.node.restore_mhz;
    let mut seen = Vec::new();
    let mut failed = 0;
    let mut tell = |uuid: &str, done: Result<bool>| match done {
        Ok(true) => println!("gpu {uuid}: clocks put back"),
        Ok(false) => println!("gpu {uuid}: nothing was locked"),
        Err(error) => {
            eprintln!("carm-prolog: gpu {uuid}: {}", carm::text::legible(&format!("{error:#}")));
            failed += 1;
        }
    };
    for node in Store::nodes(&config.node.state_dir) {
        let store = Store::open(&config.node.state_dir, &node, PATIENCE)?;
        for uuid in store.gpus() {
            tell(&uuid, clocks::reset(&store, &nvml, &uuid, &config.node));
            seen.push(uuid);
        }
        // No epilog comes for a measurement that was killed.
        store.remove_job(crate::profile::JOB)?;
    }
    if every_gpu && config.node.clocks == Clocks::On {
        for card in nvml.cards().context("listing GPUs")?.iter().filter(|card| !seen.contains(&card.uuid)) {
            let done = match restore_mhz {
                Some((lowest, highest)) => nvml.lock(&card.uuid, lowest, highest),
                None => nvml.unlock(&card.uuid),
            };
            tell(&card.uuid, done.map(|()| true).map_err(Into::into));
        }
    }
    anyhow::ensure!(failed == 0, "clocks not put back on {}; see above", carm::quantity::counted(failed, "GPU"));
    Ok(())
}

/// One GPU as `status` shows it.
#[derive(Debug, Serialize)]
struct GpuStatus {
    node: Option<String>,
    uuid: String,
    /// As nvidia-smi counts.
    index: u32,
    minor: u32,
    model: String,
    sm_clock_mhz: Option<u32>,
    power_w: Option<f64>,
    locked_mhz: Option<(u32, u32)>,
    jobs: Vec<Holder>,
}

/// Shows every GPU of the node with its clock, its power and who holds it. Where the state cannot be read, locks and jobs are
/// shown as not known, and the error says why.
pub fn status(config: &Config, json: bool, out: &mut impl Write) -> Result<()> {
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let unreadable = unreadable_state(&config.node.state_dir);
    let mut journal = Vec::new();
    for node in Store::nodes(&config.node.state_dir) {
        let store = Store::at(&config.node.state_dir, &node, PATIENCE);
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
            index: card.index,
            uuid: card.uuid,
            minor: card.minor,
            model: card.name,
        }
    });
    let gpus: Vec<GpuStatus> = gpus.collect();
    if json {
        let clocks = config.node.clocks;
        let shown = serde_json::json!({ "version": 1, "clocks": clocks, "gpus": gpus, "unreadable": unreadable });
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return refuse_partial(unreadable);
    }
    if config.node.clocks == Clocks::Off {
        writeln!(out, "clocks = off")?;
    }
    writeln!(out, "{:<5} {:<5} {:<42} {:>9} {:>9} {:>12}  JOBS", "INDEX", "MINOR", "UUID", "CLOCK", "POWER", "LOCKED")?;
    for gpu in gpus {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let or_unknown = |text: Option<String>| if unreadable.is_some() { "not known".to_owned() } else { or_dash(text) };
        let jobs: Vec<String> = gpu.jobs.iter().map(|holder| holder.job.to_string()).collect();
        writeln!(
            out,
            "{:<5} {:<5} {:<42} {:>9} {:>9} {:>12}  {}",
            gpu.index,
            gpu.minor,
            gpu.uuid,
            or_dash(gpu.sm_clock_mhz.map(|mhz| format!("{mhz} MHz"))),
            or_dash(gpu.power_w.map(|watts| format!("{watts:.0} W"))),
            or_unknown(gpu.locked_mhz.map(|(low, high)| format!("{low}-{high}"))),
            or_unknown(Some(jobs.join(",")).filter(|jobs| !jobs.is_empty())),
        )?;
    }
    refuse_partial(unreadable)
}

/// The first part of the state folder that cannot be read, and why; without a state folder no job has been here.
fn unreadable_state(state_dir: &Path) -> Option<String> {
    let read_dir = |dir: &Path| match std::fs::read_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Some(format!("{}: {error}", dir.display())),
        _ => None,
    };
    let nodes = Store::nodes(state_dir);
    read_dir(state_dir).or_else(|| nodes.iter().find_map(|node| read_dir(&state_dir.join(node))))
}

/// A partial answer is an error.
fn refuse_partial(unreadable: Option<String>) -> Result<()> {
    match unreadable {
        Some(cause) => anyhow::bail!("what CARM has locked is not known: {cause}; run it as root"),
        None => Ok(()),
    }
}

/// Shows what monitoring would be shown, as far as the journal and the driver know it: a governor's own counts are its own.
pub fn metrics(config: &Config, out: &mut impl Write) -> Result<()> {
    let nvml = Nvml::load(&config.node.nvml_library)?;
    let cards = nvml.cards().context("listing GPUs")?;
    let open = |node: String| Store::open(&config.node.state_dir, &node, PATIENCE).map(|store| (node, Some(store)));
    let mut stores = Store::nodes(&config.node.state_dir).into_iter().map(open).collect::<Result<Vec<_>>>()?;
    if stores.is_empty() {
        // No job has been here since the boot.
        stores.push((this_host(), None));
    }
    out.write_all(metrics::render(&metrics::snapshots(config, &nvml, &cards, &stores, Utc::now())).as_bytes())?;
    Ok(())
}

/// The host's name up to its first dot, which is the node's name unless slurm.conf says otherwise.
pub fn this_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().to_owned()
}
