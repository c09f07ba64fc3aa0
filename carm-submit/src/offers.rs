//! What every site offers a job, as far as CARM itself knows: grid, profile, candidate, and the planner's tables for it.
//!
//! Slurm is not asked here: this is worked out, site beside site, while its commands are still answering.

use anyhow::Context;
use carm::config::{Config, Site};
use carm::plan::{Candidate, Start, Tables};
use carm::profile::{Profile, Profiles};
use carm::quantity::Moment;
use carm::request::ProfileName;
use carm::site::{Ask, Outlook, offer};
use carm::slurm::gpus::GpuRequest;
use carm::submission::Band;
use chrono::{DateTime, Utc};

use crate::exit::{Obstacle, Refusal};
use crate::gather::Gathered;
use crate::places;
use crate::slurm::Partitions;
use crate::submit::local_instant;

/// One site's offer.
#[derive(Debug)]
pub struct Offered {
    /// Index into the configuration's sites.
    pub site: usize,
    /// For the planner, one for each width; how long it may run there is still open. Never empty.
    pub widths: Vec<(Candidate, Tables, Option<Band>)>,
    /// The profile used there.
    pub profile: ProfileName,
    /// Whether its figures were measured for this card.
    pub measured: bool,
    /// The card that it was made for, and its throughput.
    pub made_for: (Option<String>, Option<f64>),
    /// Where the grid's figures come from, which they are and how old.
    pub grid: GridData,
    /// What is to be known of them.
    pub doubts: Vec<String>,
    /// Counts that its profile's scaling table lacks: no candidates.
    pub lacks: Vec<u32>,
}

impl Offered {
    /// Leaves full clock alone.
    pub fn keep_full_clock(&mut self) -> anyhow::Result<()> {
        for (candidate, tables, _) in &mut self.widths {
            let full = candidate.full_clock().map(|level| candidate.levels[level]);
            candidate.levels = full.into_iter().collect();
            *tables = Tables::new(candidate).context("assembling the plan")?;
        }
        Ok(())
    }
}

/// What a plan's carbon rests on.
#[derive(Debug, Clone)]
pub struct GridData {
    /// The source, alone.
    pub source: String,
    /// The same with kind and age, for people.
    pub described: String,
    /// Average or marginal.
    pub kind: carm::grid::Intensity,
    /// How long ago they were fetched.
    pub age_s: Option<f64>,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoOffer {
    /// The user asked for something else: no word is lost on it where another site takes the job.
    Elsewhere(String),
    /// CARM lacks what it needs to plan there.
    Unplanned(anyhow::Error),
}

/// What a job asks of every site.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The present instant.
    pub now: DateTime<Utc>,
    /// The GPUs.
    pub gpus: &'a GpuRequest,
    /// The GPU counts that it may have there, rising; never empty.
    pub counts: &'a [u32],
    /// The latency limit of a service, in ms.
    pub latency_ms: Option<f64>,
    /// Run time in hours at full clock.
    pub work_h: f64,
    /// When it may begin.
    pub start: Start,
}

/// Asks every site, in the configuration's order.
pub fn ask_all(
    config: &Config,
    profiles: &Profiles,
    gathered: &Gathered,
    asked: Asked,
) -> Result<Vec<Result<Offered, NoOffer>>, Obstacle> {
    if let Some(name) = &gathered.request.profile
        && profiles.find(name, None).is_none()
    {
        return Err(Refusal::wrong(profiles.unknown(name)).into());
    }
    let sites: Vec<(usize, &Site)> = config.sites.iter().enumerate().collect();
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let each = sites.len().div_ceil(at_once).max(1);
    let ask = |some: &[(usize, &Site)]| -> Vec<_> {
        some.iter().map(|&site| ask_one(config, profiles, gathered, asked, site)).collect()
    };
    Ok(std::thread::scope(|scope| {
        let threads: Vec<_> =
            sites.chunks(each).map(|some| (some, std::thread::Builder::new().spawn_scoped(scope, move || ask(some)))).collect();
        let answer = |(some, thread): (&[_], std::io::Result<std::thread::ScopedJoinHandle<_>>)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => ask(some), // this user may not have another thread
        };
        threads.into_iter().flat_map(answer).collect()
    }))
}

fn ask_one(
    config: &Config,
    profiles: &Profiles,
    gathered: &Gathered,
    asked: Asked,
    (index, site): (usize, &Site),
) -> Result<Offered, NoOffer> {
    let fits: Vec<u32> = asked.counts.iter().copied().filter(|&count| config.path.is_none() || count <= site.gpus).collect();
    let least = GpuRequest { count: fits.first().copied().unwrap_or(asked.gpus.count), ..asked.gpus.clone() };
    places::consents(config, site, &gathered.job).map_err(NoOffer::Elsewhere)?;
    // What Slurm says of it is still to come.
    places::place(config, index, &gathered.job, &least, &Partitions::default(), None).map_err(NoOffer::Elsewhere)?;
    let name = gathered.request.profile.as_ref().or(site.profile.as_ref());
    let profile = profile_for(profiles, name, site.gpu.as_deref())?;
    let outlook = Outlook::load(config, site, asked.now).map_err(|error| NoOffer::Unplanned(error.into()))?;
    let ask = Ask { now: asked.now, gpus: asked.gpus.count, work_h: asked.work_h, start: asked.start, max_run_h: None };
    let (mut widths, mut lacks) = (Vec::new(), Vec::new());
    // Without any count that the table knows, the requested one stands.
    let known = fits.iter().any(|&count| profile.relative_throughput(count, asked.gpus.count).is_some());
    let fits = if known { fits } else { fits.into_iter().chain([asked.gpus.count]).collect() };
    for count in fits {
        let mut candidate = match offer((index, site), &outlook, profile, &config.planner, &ask, count) {
            Ok(offered) => offered.candidate,
            Err(_) => {
                lacks.push(count);
                continue;
            }
        };
        if let Some(limit_ms) = asked.latency_ms {
            // A service runs for its time limit, however fast the card.
            candidate.work_h = asked.work_h;
            // As the node will count.
            candidate.levels = carm::govern::sure_latencies(&candidate, profile.measured);
            let kept = carm::plan::levels_within_latency(&candidate.levels, limit_ms);
            if kept.map_err(|error| NoOffer::Unplanned(error.into()))?.is_none() {
                return Err(NoOffer::Unplanned(anyhow::anyhow!(
                    "profile '{}' tells no latency; give latency_ms of its highest clock",
                    profile.name
                )));
            }
        }
        let moment = Moment { now: asked.now, local: &local_instant };
        candidate.slots = Outlook::close(candidate.slots, site, &moment);
        let tables = Tables::new(&candidate).map_err(|error| NoOffer::Unplanned(error.into()))?;
        let until = asked.now + chrono::TimeDelta::milliseconds((config.planner.horizon_s * 1e3) as i64);
        let share = site.onsite_share(f64::from(count));
        let close = |slots| Outlook::close(slots, site, &moment);
        let band = outlook.band(asked.now, until, share).map(|(low, high)| (close(low), close(high)));
        widths.push((candidate, tables, band));
    }
    Ok(Offered {
        site: index,
        widths,
        lacks,
        profile: profile.name.clone(),
        measured: profile.measured && profile.gpu.is_some() && profile.gpu == site.gpu,
        made_for: (profile.gpu.clone(), profile.throughput),
        grid: GridData { described: outlook.described(), kind: outlook.kind, age_s: outlook.age_s, source: outlook.source },
        doubts: outlook.doubts,
    })
}

fn profile_for<'p>(profiles: &'p Profiles, name: Option<&ProfileName>, gpu: Option<&str>) -> Result<&'p Profile, NoOffer> {
    let generic = carm::profile::generic().name;
    let name = name.unwrap_or(&generic);
    profiles.find(name, gpu).ok_or_else(|| {
        // Not the user's word: the site's.
        NoOffer::Unplanned(anyhow::anyhow!("profile '{name}': no such profile; there are {}", profiles.names()))
    })
}
