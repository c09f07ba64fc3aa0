//! From the job's GPUs as Slurm names them to the node's cards; where that is not certain, none.

use carm::config::Config;
use carm::request::printable;

use crate::gpu::{Card, Driver};
use crate::gres;
use crate::job::{GpuNames, Job};

/// The job's cards, or why they are not known for certain.
pub fn cards(job: &Job, config: &Config, driver: &dyn Driver) -> Result<Vec<Card>, String> {
    let minors = match &job.gpus {
        GpuNames::None => return Ok(Vec::new()),
        GpuNames::Ambiguous(cause) => return Err(cause.clone()),
        GpuNames::Uuids(uuids) => {
            let all = driver.cards().map_err(|error| error.to_string())?;
            return pick(uuids, |uuid| all.iter().find(|card| card.uuid == *uuid).cloned());
        }
        GpuNames::GresIndices(indices) => {
            let files = match &config.node.gpu_files {
                Some(files) => files.clone(),
                None => gres::device_files(job.slurm_conf.as_deref(), &job.node, driver, &config.node.nvml_library)?,
            };
            let minor = |index: &u32| gres::minor(files.get(*index as usize)?);
            let found: Option<Vec<u32>> = indices.iter().map(minor).collect();
            found.ok_or_else(|| format!("GRES index {indices:?} has no device file among the node's {}", files.len()))?
        }
    };
    let all = driver.cards().map_err(|error| error.to_string())?;
    pick(&minors, |minor| all.iter().find(|card| card.minor == *minor).cloned())
}

fn pick<T: std::fmt::Debug>(names: &[T], find: impl Fn(&T) -> Option<Card>) -> Result<Vec<Card>, String> {
    let mut cards: Vec<Card> = Vec::new();
    for name in names {
        let card = find(name).ok_or_else(|| format!("no GPU answers to {}", printable(&format!("{name:?}"))))?;
        // A card named twice is one card: its energy counts once.
        if !cards.contains(&card) {
            cards.push(card);
        }
    }
    Ok(cards)
}
