//! What monitoring gets of a node each interval: node_exporter's textfile, systemd's status line.

use carm::config::Config;
use chrono::{DateTime, Utc};

use super::PATIENCE;
use crate::bounded;
use crate::gpu::{Card, Driver};
use crate::metrics::{self, Snapshot, Totals};
use crate::notify;
use crate::state::Store;
use crate::upkeep::this_host;

#[derive(Default)]
pub struct Shown {
    told_ready: bool,
}

impl Shown {
    /// Writes the textfile, where the configuration names its folder.
    pub fn show(
        &self,
        config: &Config,
        driver: &dyn Driver,
        cards: &[Card],
        totals: &Totals,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let Some(dir) = &config.node.metrics_dir else { return Ok(()) };
        let (folder, page) = (dir.clone(), snapshots(config, driver, cards, totals, now));
        let write = move || metrics::write_textfile(&folder, &page).map_err(|error| format!("{error:#}"));
        match bounded::anew(dir, "metrics", write).as_deref() {
            Some(Err(error)) => anyhow::bail!("{error}"),
            _ => Ok(()),
        }
    }

    /// Tells systemd that a look is done.
    pub fn tell(&mut self, jobs: usize) {
        if !self.told_ready {
            notify::ready();
            self.told_ready = true;
        }
        notify::status(&carm::quantity::counted(jobs, "job"));
        notify::watchdog();
    }

    /// Removes the textfile: a governor that has ended has no figures.
    pub fn end(&self, config: &Config) {
        if let Some(dir) = &config.node.metrics_dir
            && let Err(error) = metrics::remove_textfile(dir)
        {
            log::warn!("{error:#}");
        }
    }
}

fn snapshots(config: &Config, driver: &dyn Driver, cards: &[Card], totals: &Totals, now: DateTime<Utc>) -> Vec<Snapshot> {
    let open = |node: String| {
        let store = Store::open(&config.node.state_dir, &node, PATIENCE).ok();
        (node, store)
    };
    let mut nodes: Vec<(String, Option<Store>)> = Store::nodes(&config.node.state_dir).into_iter().map(open).collect();
    if nodes.is_empty() {
        nodes.push((this_host(), None));
    }
    let mut all = metrics::snapshots(config, driver, cards, &nodes, now);
    // One governor for all nodes of the host: its counts stand once.
    if let Some(first) = all.first_mut() {
        first.totals = Some(totals.clone());
    }
    all
}
