//! What monitoring is shown of a node, after each look: the textfile, the port, systemd's status line.

use std::net::SocketAddr;

use carm::config::Config;
use chrono::{DateTime, Utc};

use super::PATIENCE;
use crate::gpu::{Card, Driver};
use crate::metrics::{self, Server, Snapshot, Totals};
use crate::notify;
use crate::state::Store;
use crate::upkeep::this_host;

/// Where it is shown; what the configuration does not name is nowhere.
#[derive(Default)]
pub struct Shown {
    port: Option<(SocketAddr, Server)>,
    told_ready: bool,
}

impl Shown {
    /// Shows the node as it stands; the error says what could not be shown.
    pub fn show(
        &mut self,
        config: &Config,
        driver: &dyn Driver,
        cards: &[Card],
        totals: &Totals,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let listens = config.node.metrics_listen;
        if self.port.as_ref().map(|(address, _)| *address) != listens {
            // Closed before the next is opened: it may be the same port.
            self.port = None;
            if let Some(address) = listens {
                let server = Server::start(address)?;
                log::info!("metrics at http://{}/metrics", server.address());
                self.port = Some((address, server));
            }
        }
        if self.port.is_none() && config.node.metrics_dir.is_none() {
            return Ok(());
        }
        let snapshots = snapshots(config, driver, cards, totals, now);
        if let Some((_, server)) = &self.port {
            server.publish(&snapshots);
        }
        config.node.metrics_dir.as_ref().map_or(Ok(()), |dir| metrics::write_textfile(dir, &snapshots))
    }

    /// Tells systemd that a look is done.
    pub fn tell(&mut self, jobs: usize) {
        if !self.told_ready {
            notify::ready();
            self.told_ready = true;
        }
        notify::status(&format!("{jobs} jobs"));
        notify::watchdog();
    }

    /// Nothing is shown of a governor that has ended.
    pub fn end(&mut self, config: &Config) {
        self.port = None;
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
