//! The governor: the node's daemon. Every interval it looks at each job that a prolog took up: counts what it has used, decides its
//! clock anew, and sets it. What it knows stands in the state files; it may be killed at any instruction and begin again.

pub mod alive;
mod clock;
mod delivery;
mod hands;
mod job;
mod past;
mod shown;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use carm::config::Config;
use carm::site::Outlook;
use chrono::{DateTime, Utc};

use crate::bounded;
use crate::brief;
use crate::clocks::{self, Seen};
use crate::epilog::{self, Place};
use crate::gpu::{Card, Driver, GpuError, Nvml};
use crate::metrics::Totals;
use crate::settings::{self, Settings};
use crate::shared;
use crate::state::{JobState, Store};
use crate::upkeep::this_host;
use crate::{logging, notify, prolog};
use alive::Questions;
use delivery::Delivery;
use past::Pasts;
use shown::Shown;

/// Waiting for a GPU that a prolog or epilog holds: the next look comes soon enough.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often to look whether a new job has come, or a signal.
const NAP: Duration = Duration::from_millis(250);

/// Governs until it is told to end.
pub fn run(config_path: &Path) -> Result<()> {
    bounded::never_wait();
    let Settings { config, fault, distrust } = settings::read(config_path);
    if let Some(fault) = fault.or(distrust) {
        anyhow::bail!("{fault}");
    }
    logging::start(&config.node);
    let alone = Store::be_governor(&config.node.state_dir)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("listening for signals")?;
    }
    let delivery = Delivery::start(&config).context("starting a thread")?;
    let mut governor = Governor::new(config, delivery);
    log::info!("governing, every {} s", governor.config.node.interval_s);
    while !stop.load(Ordering::Relaxed) {
        governor.reload(config_path);
        if let Err(error) = alone.set_modified(SystemTime::now()) {
            log::debug!("that a governor is at work: {error}");
        }
        match governor.distrust.clone() {
            None => {
                // Before the time is taken: counters are read at that time, and a file may keep the governor waiting.
                governor.note_shared_gpus();
                governor.tick(Utc::now());
            }
            Some(fault) => {
                governor.say("strict modes", format!("{fault}; GPUs are left alone"));
                governor.shown.tell(0);
            }
        }
        governor.wait(&stop);
    }
    notify::stopping();
    governor.leave(Utc::now());
    Ok(())
}

type Known = HashMap<(String, u32), Option<u32>>;

struct Governor {
    config: Config,
    delivery: Delivery,
    pasts: Pasts,
    /// Whose hands the files are in that the governor goes by, if not root's alone.
    distrust: Option<String>,
    nvml: Option<Nvml>,
    questions: Questions,
    /// Jobs by node, and the run that was taken up; none while its prolog is at work. A new one is looked at before the interval
    /// is over.
    known: Known,
    /// Whether this is the first look since the daemon started: what it finds then may be long gone.
    first: bool,
    /// When the last look was, by a clock that nobody sets.
    looked: Option<(Instant, DateTime<Utc>)>,
    /// What was last said of a matter, so that it is said once.
    said: HashMap<String, String>,
    totals: Totals,
    shown: Shown,
}

/// What one look at a node goes by.
struct Look<'a> {
    store: &'a Store,
    node: &'a str,
    driver: &'a dyn Driver,
    seen: HashMap<String, Seen>,
    with_steps: &'a [u32],
    now: DateTime<Utc>,
    /// What this look adds up to.
    totals: RefCell<Totals>,
    pasts: RefCell<Pasts>,
}

impl Governor {
    fn new(config: Config, delivery: Delivery) -> Self {
        Self {
            config,
            delivery,
            pasts: Pasts::default(),
            distrust: None,
            nvml: None,
            questions: Questions::default(),
            known: Known::new(),
            first: true,
            looked: None,
            said: HashMap::new(),
            totals: Totals::default(),
            shown: Shown::default(),
        }
    }

    /// Reads the configuration again, as prolog and epilog do; a broken one changes nothing.
    fn reload(&mut self, path: &Path) {
        let Settings { config, fault, distrust } = settings::read(path);
        logging::distrust_state_dir(distrust.is_some());
        self.delivery.pause(distrust.is_some());
        self.distrust = distrust;
        match fault {
            None => {
                self.config = config;
                self.delivery.set_config(&self.config);
                settings::sweep(&self.config);
                self.said.remove("configuration");
            }
            Some(fault) => self.say("configuration", format!("{fault}; the last good one holds")),
        }
    }

    /// Says it, unless that is what was said last of the matter.
    fn say(&mut self, matter: &str, what: String) {
        if self.said.get(matter) != Some(&what) {
            log::warn!("{what}");
            self.said.insert(matter.to_owned(), what);
        }
    }

    /// One look at everything.
    fn tick(&mut self, now: DateTime<Utc>) {
        if let Some((since, then)) = self.looked.replace((Instant::now(), now)) {
            let astray = (now - then).as_seconds_f64() - since.elapsed().as_secs_f64();
            if astray.abs() > 5.0 {
                log::warn!("the clock of this machine was set by {astray:.0} s; jobs are counted by the time that passed");
            }
        }
        if self.nvml.is_none() {
            match Nvml::load(&self.config.node.nvml_library) {
                Ok(nvml) => {
                    self.said.remove("driver");
                    self.nvml = Some(nvml);
                }
                Err(error) => {
                    self.totals.count_nvml_error(&error.call);
                    self.say("driver", format!("{error}; no job is governed until it does"));
                    // Alive all the same, and what waits for it need not wait for a driver.
                    return self.shown.tell(0);
                }
            }
        }
        // Held open for as long as it answers: loading a driver costs more than a look.
        let Some(nvml) = self.nvml.take() else { return };
        let cards = nvml.cards().inspect_err(|error| self.totals.count_nvml_error(&error.call)).unwrap_or_default();
        let with_steps = alive::jobs_with_steps(Path::new("/proc"));
        let mut here = Known::new();
        for node in Store::nodes(&self.config.node.state_dir) {
            match Store::open(&self.config.node.state_dir, &node, PATIENCE) {
                Ok(store) => self.node(&store, &node, &nvml, &with_steps, now, &mut here),
                Err(error) => self.say(&node, format!("node {node}: {error:#}")),
            }
        }
        self.note_idle_counters(&nvml, &cards);
        let delivered = self.delivery.done();
        (self.totals.jobs_booked, self.totals.ledger_errors) = (delivered.lines, delivered.errors);
        self.totals.last_tick = Some(now.timestamp_millis() as f64 / 1e3);
        if let Err(error) = self.shown.show(&self.config, &nvml, &cards, &self.totals, now) {
            self.say("metrics", format!("{error:#}"));
        }
        self.shown.tell(here.len());
        self.questions.keep(|job| here.keys().any(|(_, here)| *here == job));
        self.known = here;
        self.first = false;
        self.nvml = (!cards.is_empty()).then_some(nvml);
    }

    /// Notes the counters of idle GPUs, unless a job may be on one that is not found yet.
    fn note_idle_counters(&self, driver: &dyn Driver, cards: &[Card]) {
        let dir = &self.config.node.state_dir;
        let stores = || Store::nodes(dir).into_iter().map(|node| Store::at(dir, &node, Duration::ZERO));
        let is_idle = |card: &&Card| stores().all(|store| store.peek_gpu(&card.uuid).is_none());
        let read = |card: &Card| Some((card.uuid.clone(), driver.energy_j(&card.uuid).ok()?));
        let counters: Vec<(String, f64)> = cards.iter().filter(is_idle).filter_map(read).collect();
        // Looked at last: the driver may have hung meanwhile.
        let is_unread = |state: &JobState| state.end.as_ref().is_some_and(|end| end.is_unread);
        let is_open =
            |store: &Store, id: u32| store.job(id).is_some_and(|state| is_unread(&state) || job::is_unfinished(store, &state));
        if stores().any(|store| store.jobs().into_iter().any(|id| is_open(&store, id))) {
            return;
        }
        let store = Store::at(dir, "", Duration::ZERO);
        for (uuid, joules) in counters {
            if stores().all(|store| store.peek_gpu(&uuid).is_none()) {
                clocks::note_idle(&store, &uuid, joules);
            }
        }
    }

    /// So that prologs need not read Slurm's files.
    fn note_shared_gpus(&mut self) {
        let dir = self.config.node.state_dir.clone();
        let nodes: BTreeSet<String> = Store::nodes(&dir).into_iter().chain([this_host()]).collect();
        for node in nodes {
            let store = Store::at(&dir, &node, Duration::ZERO);
            let by_jobs = store.jobs().into_iter().find_map(|id| store.job(id)?.slurm_conf);
            let slurm_conf = by_jobs.or_else(|| std::env::var_os("SLURM_CONF").map(PathBuf::from));
            let cause = shared::cause(&self.config, slurm_conf.as_deref(), &node);
            if let Err(error) = shared::note(&store, &self.config, cause, slurm_conf.as_deref()) {
                self.say("shared GPUs", format!("node {node}: {error:#}"));
            }
        }
    }

    fn node(&mut self, store: &Store, node: &str, driver: &dyn Driver, with_steps: &[u32], now: DateTime<Utc>, here: &mut Known) {
        let mut seen = HashMap::new();
        for uuid in store.gpus() {
            match clocks::look(store, driver, &uuid, &self.config.node) {
                Ok(look) => _ = seen.insert(uuid, look),
                Err(error) => {
                    if let Some(error) = error.downcast_ref::<GpuError>() {
                        self.totals.count_nvml_error(&error.call);
                    }
                    self.say(&uuid, format!("gpu {uuid}: {error:#}"));
                }
            }
        }
        let totals = RefCell::new(std::mem::take(&mut self.totals));
        let pasts = RefCell::new(std::mem::take(&mut self.pasts));
        let look = Look { store, node, driver, seen, with_steps, now, totals, pasts };
        let mut outlooks: BTreeMap<usize, Option<Arc<Outlook>>> = BTreeMap::new();
        let mut jobs = Vec::new();
        // A measurement holds its GPUs as a job of its own, and decides their clocks itself.
        let ids: Vec<u32> = store.jobs().into_iter().filter(|&id| id != crate::profile::JOB).collect();
        let found: Vec<job::Found> = ids.iter().filter_map(|&id| self.find(&look, id)).collect();
        let mut answers = self.ask(&look, &found);
        let mut taken_up: HashMap<u32, JobState> = HashMap::new();
        for found in found {
            let (id, answer) = (found.id, answers.remove(&found.id));
            taken_up.extend(self.take_up(&look, found, answer).map(|state| (id, state)));
        }
        for id in ids {
            let taken_up = taken_up.remove(&id);
            if store.has_job(id) {
                here.insert((node.to_owned(), id), taken_up.as_ref().map(|state| state.run));
            }
            jobs.extend(taken_up);
        }
        // First those that have ended: a later job may be on the same GPU.
        let (unread, jobs): (Vec<JobState>, Vec<JobState>) =
            jobs.into_iter().partition(|state| state.end.as_ref().is_some_and(|end| end.is_unread));
        for state in unread {
            epilog::finish(Place { store, node, config: &self.config, driver: Some(driver) }, state);
        }
        for mut state in jobs {
            if job::is_unfinished(store, &state)
                && let Err(error) =
                    prolog::finish(Place { store, node, config: &self.config, driver: Some(driver) }, driver, &mut state, now)
            {
                self.say(&format!("prolog of job {}", state.job), format!("job {}: {error:#}", state.job));
            }
            let site = self.config.site_of(state.partition.as_deref(), node).map(|(index, _)| index);
            let outlook = site.and_then(|index| {
                let load = || brief::outlook(&self.config, index, now).map_err(|error| log::debug!("{error}")).ok();
                outlooks.entry(index).or_insert_with(load).as_deref()
            });
            job::look_after(&self.config, &look, &mut state, outlook);
            if let Err(error) = store.rewrite_job(&state) {
                self.say(&format!("job {}", state.job), format!("job {}: {error:#}; what is known of it is not kept", state.job));
            }
        }
        self.totals = look.totals.into_inner();
        self.pasts = look.pasts.into_inner();
    }

    /// Until the interval is over; a new job, or a signal, ends it.
    fn wait(&self, stop: &AtomicBool) {
        let interval_s = self.config.node.interval_s.max(0.1);
        // Whole intervals since 1970: all nodes of a job look at the same moments.
        let now_s = Utc::now().timestamp_millis() as f64 / 1e3;
        let until = Instant::now() + Duration::from_secs_f64((interval_s - now_s.rem_euclid(interval_s)).max(0.01));
        while Instant::now() < until && !stop.load(Ordering::Relaxed) && !self.has_new_job() {
            std::thread::sleep(NAP.min(until.saturating_duration_since(Instant::now())));
            // An interval may be longer than systemd's patience.
            notify::watchdog();
        }
    }

    fn has_new_job(&self) -> bool {
        let dir = &self.config.node.state_dir;
        Store::nodes(dir).into_iter().any(|node| {
            let store = Store::at(dir, &node, Duration::ZERO);
            let taken_up = |id: u32| self.known.get(&(node.clone(), id)).is_some_and(Option::is_some);
            let new = |id: &u32| !taken_up(*id) && store.job(*id).is_some_and(|state| state.ready);
            store.jobs().iter().any(new)
        })
    }

    /// Leaves every job at a clock that holds to its end, whether or not a governor comes back.
    fn leave(&mut self, now: DateTime<Utc>) {
        self.tick(now);
        let Some(nvml) = &self.nvml else { return };
        for node in Store::nodes(&self.config.node.state_dir) {
            let Ok(store) = Store::open(&self.config.node.state_dir, &node, PATIENCE) else { continue };
            for mut state in store.jobs().into_iter().filter_map(|id| store.job(id)) {
                clock::steady(&self.config, &store, nvml, &node, &mut state, now);
                if let Err(error) = store.rewrite_job(&state) {
                    log::error!("job {}: {error:#}", state.job);
                }
            }
        }
        self.shown.end(&self.config);
        log::info!("ended; every job keeps a clock that holds to its end");
        self.delivery.finish();
    }
}
