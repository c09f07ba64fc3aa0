//! Delivers what prolog, epilog and governor leave in the state folder: ended runs and whole lines to the ledger, log lines to the
//! log file. Both may lie on a file server that stalls, so nobody waits for this: the governor delivers in a thread of its own;
//! without a governor a process that the epilog starts, and leaves behind.
//!
//! A line is in the spool until it is in the ledger. Who was killed in between has written it already: so each is looked for
//! before it is written.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use carm::config::{Config, LogTarget};
use carm::ledger::{self, Exit, Mark, Record};
use carm::quantity::{decimals, format_mass, parse_instant};
use carm::site::Outlook;
use chrono::Utc;
use serde::{Deserialize, Serialize};

use crate::bounded::{self, reading};
use crate::count::{self, Around};
use crate::settings::{self, Settings};
use crate::state::{Entry, JobState, Spooled, Store};
use crate::{booking, exit, logging};

/// Who delivers holds it: a second process would deliver the same.
const LOCK: &str = "deliver";

/// A process that delivers is done within moments, unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// The only copy of a run is worth a longer wait; nobody waits for the process.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// What came of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    pub lines: u64,
    pub errors: u64,
}

/// What the state folder has no room for, handed over in memory.
#[derive(Default, Serialize, Deserialize)]
pub struct Homeless {
    pub log: String,
    pub ended: Option<JobState>,
}

/// Starts a process that delivers, and waits for it for at most so long.
pub fn start(config_path: &Path, ended: Option<JobState>, wait: Duration) {
    let homeless = Homeless { log: logging::take_homeless(), ended };
    let mut command = bounded::this_program(&["--config".into(), config_path.into(), "deliver".into()]);
    let started = memory_file(&homeless).and_then(|file| command.stdin(file).spawn());
    match started {
        Ok(mut child) => _ = bounded::wait(&mut child, wait, || {}),
        Err(error) => log::error!("starting the delivery of ledger and log lines: {error}"),
    }
}

fn memory_file(homeless: &Homeless) -> std::io::Result<std::fs::File> {
    let mut file = std::fs::File::from(rustix::fs::memfd_create("carm", rustix::fs::MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, homeless)?;
    file.rewind()?;
    Ok(file)
}

/// The process that was started by [`start`].
pub fn run(config_path: &Path) {
    bounded::detach();
    let mut text = String::new();
    let homeless = std::io::stdin().read_to_string(&mut text).map_err(anyhow::Error::from);
    let homeless: Homeless = homeless.and_then(|_| Ok(serde_json::from_str(&text)?)).unwrap_or_default();
    // Before the configuration is read: of a file server that stalls one process is enough to wait for.
    let mut lock = settings::mirrored(config_path).map(|known| Store::try_lock(&known.config.node.state_dir, LOCK, PATIENCE));
    if matches!(lock, Some(None)) && homeless.ended.is_none() && homeless.log.is_empty() {
        return;
    }
    let Settings { config, fault, distrust } = settings::read(config_path);
    if distrust.is_some() {
        if let LogTarget::File(path) = &config.node.log {
            logging::append(path, homeless.log.as_bytes());
        }
        return;
    }
    logging::start(&config.node);
    if let Some(fault) = fault {
        log::error!("{fault}; no carbon is booked");
    }
    lock.get_or_insert_with(|| Store::try_lock(&config.node.state_dir, LOCK, PATIENCE));
    let node = config.node.clone();
    // A log that hangs must not keep lines from the ledger.
    let log = std::thread::spawn(move || {
        if let (LogTarget::File(path), false) = (&node.log, homeless.log.is_empty()) {
            logging::append(path, homeless.log.as_bytes());
        }
        logging::deliver(&node);
    });
    let mut desk = Desk::new(&config);
    if let Some(mut state) = homeless.ended {
        // The process that holds the lock may be about to write the same run.
        lock = lock.filter(Option::is_some).or_else(|| Some(Store::try_lock(&config.node.state_dir, LOCK, LONG_PATIENCE)));
        let node = state.end.as_ref().map(|end| end.node.clone()).unwrap_or_default();
        let exit = state.end.as_ref().and_then(|end| end.exit).filter(|exit| !exit.is_success());
        let record = desk.record(&mut state, &node, exit);
        if let Err(error) = desk.append(&record) {
            let line = carm::text::json(&serde_json::to_string(&record).unwrap_or_default());
            log::error!("job {}: its ledger line: {error}; the line is: {line}", record.job);
        }
    }
    if lock.flatten().is_some() {
        ledger(&config);
    }
    let _ = log.join();
    logging::deliver(&config.node);
}

/// Delivers the spool of every node, as the governor does: not where another does so at this moment.
pub fn try_ledger(config: &Config) -> Delivered {
    match Store::try_lock(&config.node.state_dir, LOCK, Duration::ZERO) {
        Some(_lock) => ledger(config),
        None => Delivered::default(),
    }
}

/// Whether anything waits for the ledger.
pub fn spooled(state_dir: &Path) -> usize {
    Store::nodes(state_dir).iter().map(|node| Store::at(state_dir, node, Duration::ZERO).spooled()).sum()
}

/// Writes what is spooled to the ledger, until nothing is left or a line cannot be written.
fn ledger(config: &Config) -> Delivered {
    let (mut done, mut desk) = (Delivered::default(), Desk::new(config));
    loop {
        let nodes = Store::nodes(&config.node.state_dir);
        let stores = nodes.into_iter().map(|node| {
            let store = Store::at(&config.node.state_dir, &node, Duration::ZERO);
            (node, store.spool())
        });
        let spool: Vec<(String, Vec<Spooled>)> = stores.filter(|(_, spool)| !spool.is_empty()).collect();
        if spool.is_empty() {
            return done;
        }
        let exits = exits(config, &spool);
        for (node, spooled) in spool.iter().flat_map(|(node, all)| all.iter().map(move |spooled| (node, spooled))) {
            let record = match &spooled.entry {
                Entry::Line(record) => Record::clone(record),
                Entry::Ended(state) => {
                    let node = state.end.as_ref().map_or(node, |end| &end.node);
                    let exit = exits.get(&(state.job, state.run)).copied();
                    desk.record(&mut state.clone(), node, exit)
                }
            };
            match desk.append(&record) {
                Ok(is_new) => done.lines += u64::from(is_new),
                Err(error) => {
                    log::warn!("job {}: its ledger line: {error}; it waits in the state folder", record.job);
                    done.errors += 1;
                    return done;
                }
            }
            if let Err(error) = spooled.remove() {
                log::error!("job {}: {error:#}", record.job);
                return done;
            }
        }
    }
}

/// How the spooled runs ended. slurmd's word is believed but for success: see [`exit`].
fn exits(config: &Config, spool: &[(String, Vec<Spooled>)]) -> HashMap<(u32, u32), Exit> {
    let mut exits = HashMap::new();
    let mut doubtful: BTreeMap<Option<PathBuf>, Vec<(u32, u32)>> = BTreeMap::new();
    for spooled in spool.iter().flat_map(|(_, spool)| spool) {
        let Entry::Ended(state) = &spooled.entry else { continue };
        match state.end.as_ref().and_then(|end| end.exit) {
            Some(exit) if !exit.is_success() => _ = exits.insert((state.job, state.run), exit),
            Some(_) if state.booked && config.node.ask_limit => {
                doubtful.entry(state.slurm_conf.clone()).or_default().push((state.job, state.run));
            }
            _ => {}
        }
    }
    for (slurm_conf, jobs) in doubtful {
        exits.extend(exit::from_slurmctld(&jobs, slurm_conf.as_deref()));
    }
    exits
}

/// Makes lines of ended runs. The grid of a site is read once.
struct Desk<'a> {
    config: &'a Config,
}

impl<'a> Desk<'a> {
    fn new(config: &'a Config) -> Self {
        Self { config }
    }

    /// Counts a run to its end.
    fn record(&mut self, state: &mut JobState, node: &str, exit: Option<Exit>) -> Record {
        let now = Utc::now();
        let parts = state.end.as_ref().map_or_else(|| vec![None; state.gpus.len()], |end| end.parts.clone());
        let end = state.end.as_ref().and_then(|end| parse_instant(&end.at).ok()).unwrap_or(now);
        if !state.ready && !state.marks.contains(&Mark::NoProlog) {
            state.mark([Mark::CutShort]);
        }
        let mut outlook = None;
        if !state.start.is_empty() {
            let site = self.config.site_of(state.partition.as_deref(), node).map(|(_, site)| site);
            let from = count::counted_until(state, end);
            outlook = site.and_then(|site| {
                let loaded = reading(&source(self.config, site), || Outlook::load_since(self.config, site, from, end));
                loaded.inspect_err(|error| log::warn!("{error}; no carbon is booked")).ok()
            });
            let around = Around { config: self.config, site, outlook: outlook.as_ref() };
            count::count(state, &parts, None, &around, end);
        }
        let record = booking::record(state, node, self.config, &parts, outlook.as_ref(), end);
        let grid = outlook.as_ref().map(|outlook| booking::grid(&record, state, self.config, outlook)).unwrap_or_default();
        Record { exit, grid, ..record }
    }

    /// Writes a line unless it is there already; whether it was written.
    fn append(&self, record: &Record) -> anyhow::Result<bool> {
        let (dir, now) = (&self.config.node.ledger_dir, Utc::now());
        reading(dir, || {
            if ledger::has_line(dir, &record.node, record.job, now, |line| is_same(line, record))? {
                return Ok(false);
            }
            ledger::append(dir, record, now)?;
            log::info!(
                "job {}: {} kWh at the facility, {}; GPU energy {} J",
                record.job,
                decimals(record.energy_kwh, 4),
                format_mass(record.carbon_g),
                decimals(record.gpu_energy_j, 0)
            );
            Ok(true)
        })
    }
}

/// Whether a line of the ledger has what this one would add to it.
fn is_same(line: &Record, record: &Record) -> bool {
    let is_of_job = line.cluster == record.cluster && line.job == record.job && line.node == record.node;
    is_of_job
        && match record.start {
            Some(_) => line.run == record.run && line.start == record.start && line.since == record.since,
            // slurmd may run an epilog again, and then nothing is left of the job; that of a requeued run counts the next one.
            None => line.run + 1 >= record.run,
        }
}

/// The file in which a site's grid is, to be named where it hangs.
pub fn source(config: &Config, site: &carm::config::Site) -> PathBuf {
    let zone = config.zone_of(site);
    match &zone.source {
        carm::config::Source::Trace { path, .. } => path.clone(),
        _ => carm::grid::cache::path(&config.grid.cache_dir, &zone.name),
    }
}
